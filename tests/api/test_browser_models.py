"""The pages of models in a real browser: they follow what happens, fit a phone, and break no content policy."""

import json
from pathlib import Path
from typing import Any

from fewstep import Schedule
from fewstep.values.model import Facts
from fewstep.values.problem import Problem
from storage.model_checks import ModelChecks
from tests.api.support import Service, publish
from tests.api.watched import shown
from tests.storage import samples

PHONE = {"width": 390, "height": 844}


def test_a_model_is_followed_live(service: Service, open_page: Any) -> None:
    """A submitted model turns ready on the open page, in the list and on its own."""
    model = service.store.add_model(samples.submitted("b"))
    table, page = open_page("/models"), open_page(f"/models/{model.id}")
    shown(table, "tbody tr:first-child", "digits-mixture")
    shown(page, "h1", "submitted")
    held = ModelChecks(service.store).claim("test runner", 60)
    assert held is not None
    ModelChecks(service.store).ready(
        held, Facts("UNet2DModel", "noise", 44_969, passes=2, guidance=1.5, seconds_per_call=0.5)
    )
    shown(page, "h1", "ready")
    shown(page, "#standing", "guidance 1.5")
    shown(page, "#front", f"fewstep submit {model.id}")
    shown(table, "tbody", "ready")


def test_a_front_appears_and_can_be_taken_away(service: Service, open_page: Any) -> None:
    """What a search publishes is drawn without a reload, with a schedule to download; scripts are not needed to read
    it."""
    model = service.store.models()[0]
    page = open_page(f"/models/{model.id}")
    shown(page, "#front", "None yet.")
    for nfe in (4, 6, 8):
        publish(service.store, Problem(model.id, nfe), value=0.4 / nfe)
    page.locator("#front svg circle").nth(5).wait_for(state="attached")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the schedule of 6 calls").click()
    assert Schedule.from_json(Path(download.value.path()).read_text()) == samples.schedule(6)
    plain = open_page(f"/models/{model.id}", java_script_enabled=False)
    assert plain.locator("#front svg circle").count() == 6
    assert "0.0667 ± 0.0095" in plain.locator("#front tbody").inner_text()


def test_pages_of_models_fit_a_phone(service: Service, open_page: Any) -> None:
    """At 390 pixels nothing sticks out, in the light and in the dark."""
    model = service.store.models()[0]
    for nfe in range(3, 11):
        publish(service.store, Problem(model.id, nfe), value=0.4 / nfe)
    for scheme in ("light", "dark"):
        for path in ("/models", f"/models/{model.id}"):
            page = open_page(path, viewport=PHONE, color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


def test_one_walks_from_search_to_model_and_back(service: Service, open_page: Any) -> None:
    """Links lead from a search to its model, to the list of models, and to the search again."""
    model = service.store.models()[0]
    search = publish(service.store, Problem(model.id, 4))
    page = open_page(f"/searches/{search.id}")
    page.get_by_role("link", name="digits-mixture").click()
    page.wait_for_url(f"**/models/{model.id}")
    page.get_by_role("link", name="4 calls", exact=True).click()
    page.wait_for_url(f"**/searches/{search.id}")
    page.get_by_role("link", name="Models", exact=True).click()
    page.wait_for_url("**/models")
    assert json.loads(page.evaluate("JSON.stringify(document.title)")).startswith("Models")
