"""The dashboard in a real browser: it follows searches live, breaks no content policy and asks no other host."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from fewstep import Schedule
from fewstep.values.problem import Problem
from fewstep.values.score import Score
from fewstep.values.stages import STAGES
from storage.jobs import Jobs
from storage.lease import Claim
from tests.api.support import Service, add_model, claim, serving
from tests.api.watched import Watched, shown
from tests.storage import samples
from tests.trials import trial_of

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def held(service: Service) -> Claim:
    """A running search in 4 calls with a budget of 20."""
    return claim(service.store, service.store.submit(Problem(service.store.models()[0].id, 4, budget=20)))


def record(
    service: Service, held: Claim, number: int, value: float, origin: str = "mutation", noises: int = 128
) -> None:
    plan = samples.schedule(4, ("logsnr", "quadratic", "time", "edm")[number % 4])
    score = Score(value, value / 10, noises, 4 * noises)
    Jobs(service.store).record(held, trial_of(number, plan, score, origin, -2.0, 0.1))


def drawn(page: Any, count: int) -> None:
    """Wait until the curve has ``count`` markers, and no more."""
    markers = page.locator("#curve .scatterlayer .points path")
    if count:
        markers.nth(count - 1).wait_for(state="attached")
    assert markers.count() == count


def test_a_search_is_followed_live(service: Service, held: Claim, open_page: Any) -> None:
    """Trials, phases and the result appear on the open page, in figures, curve, strip and table, without a reload."""
    page = open_page(f"/searches/{held.search.id}")
    page.evaluate("window.sameDocument = true")
    shown(page, "h1", "running")
    drawn(page, 0)

    Jobs(service.store).phase(held, "teacher", 3, 7)
    shown(page, "#standing", "teacher 3 of 7")
    record(service, held, 0, 0.2, "baseline dpmpp-2m logsnr")
    shown(page, "#figures", "0.200 ± 0.020")
    shown(page, "#trials tbody tr:first-child", "baseline dpmpp-2m logsnr")
    first = page.locator("#schedule svg").inner_html()
    for number in range(1, 4):
        record(service, held, number, 0.2 / (number + 1))
    shown(page, "#trials tbody tr:first-child", "0.0500 ± 0.0050")
    shown(page, "#standing", "4/20")
    shown(page, "#figures", "0.250")
    drawn(page, 4)
    assert page.locator("#schedule svg").inner_html() != first
    assert page.locator("#curve .legendtext").all_text_contents() == [
        "baselines",
        "guided",
        "best baseline",
        "incumbent",
    ]

    page.locator("summary").click()
    Jobs(service.store).succeed(held, samples.result(held.search.problem))
    shown(page, "h1", "succeeded")
    shown(page, "#figures", "test noises")
    assert page.locator("details").get_attribute("open") is not None
    assert page.evaluate("window.sameDocument")


def test_the_legend_names_every_stage(service: Service, held: Claim, open_page: Any) -> None:
    """In the order of the search; one unknown here under its name; then trials that were stopped early."""
    page = open_page(f"/searches/{held.search.id}")
    origins = ("baseline ddim time", "mirror: reversed", "seed unipc-2 arc", "cross-fit", "guidance", "cmaes")
    origins += ("evolution", "nested fill", "fit row", "fit closed-loop", "polish")
    for number, origin in enumerate(origins):
        record(service, held, number, 0.2 / (number + 1), origin, 128 if number != 5 else 20)
    drawn(page, len(origins))
    assert page.locator("#curve .legendtext").all_text_contents() == [
        *(STAGES[name].label for name in STAGES),
        "mirror",
        "stopped early",
        "best baseline",
        "incumbent",
    ]
    fills = page.locator("#curve .scatterlayer .points path").evaluate_all("all => all.map(one => one.style.stroke)")
    assert len(set(fills)) == len(STAGES) + 1


def test_the_list_is_kept_current(service: Service, held: Claim, open_page: Any) -> None:
    """The open list shows new searches and progress by itself."""
    page = open_page("/")
    shown(page, "tbody tr:first-child", "0/20")
    record(service, held, 0, 0.2, "baseline ddim time")
    service.store.submit(Problem(held.search.problem.model, 6))
    shown(page, "tbody tr:first-child", "queued")
    shown(page, "tbody tr:last-child", "1/20")


def test_a_finished_search_is_drawn_from_its_events(service: Service, held: Claim, open_page: Any) -> None:
    """The curve of a search that ended before the page was opened is complete; in the dark scheme as well."""
    for number in range(6):
        record(service, held, number, 0.3 / (number + 1), "baseline ddim time" if number < 2 else "guided")
    Jobs(service.store).cancel(held.search.id)
    for scheme in ("light", "dark"):
        page = open_page(f"/searches/{held.search.id}", color_scheme=scheme)
        drawn(page, 6)


def test_the_schedule_can_be_taken_away(service: Service, held: Claim, open_page: Any) -> None:
    """Download and copy give the best schedule's JSON."""
    record(service, held, 0, 0.2)
    wanted = samples.schedule(4, "logsnr")
    page = open_page(f"/searches/{held.search.id}", permissions=["clipboard-read", "clipboard-write"])
    with page.expect_download() as download:
        page.get_by_role("link", name="Download JSON").click()
    assert Schedule.from_json(Path(download.value.path()).read_text()) == wanted
    page.get_by_role("button", name="Copy JSON").click()
    shown(page, "#link", "Copied")
    assert Schedule.from_json(page.evaluate("navigator.clipboard.readText()")) == wanted


def test_a_search_can_be_read_without_scripts(service: Service, held: Claim, open_page: Any) -> None:
    """Without JavaScript the page has its figures, strip and tables, and asks the browser to look again."""
    record(service, held, 0, 0.2, "baseline ddim time")
    page = open_page(f"/searches/{held.search.id}", java_script_enabled=False)
    assert "0.200 ± 0.020" in page.locator("#trials tbody").inner_text()
    assert page.locator("#schedule svg rect").count() == 4
    assert page.locator("button").is_hidden()
    assert page.locator("noscript meta[http-equiv=refresh]").count() == 1


def test_pages_fit_a_phone(service: Service, held: Claim, open_page: Any) -> None:
    """At 390 pixels nothing sticks out of the page; state and ratio are in view."""
    record(service, held, 0, 0.2, "baseline dpm-3m quadratic full-order")
    record(service, held, 1, 0.1)
    for path in ("/", f"/searches/{held.search.id}"):
        page = open_page(path, viewport=PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        if path == "/":
            for text in ("running", "0.50"):
                box = page.get_by_text(text, exact=True).first.bounding_box()
                assert box["x"] + box["width"] <= PHONE["width"]


def test_the_keyboard_reaches_everything_and_keeps_its_place(service: Service, held: Claim, open_page: Any) -> None:
    """Tab walks through links, strip, details and buttons; an update of the page does not take the focus away."""
    record(service, held, 0, 0.2)
    page = open_page(f"/searches/{held.search.id}")
    page.locator("[data-copy]").wait_for()
    names = []
    for _ in range(9):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()"))
    wanted = ["fewstep", "Models", "Searches", "digits-mixture", "Schedule strip", "Every step in numbers"]
    wanted += ["Download JSON", "Copy JSON", "API"]
    assert names == wanted
    page.locator("#schedule summary").focus()
    record(service, held, 1, 0.1)
    shown(page, "#schedule code", samples.schedule(4, "quadratic").digest[:16])
    assert page.evaluate("document.activeElement.textContent") == "Every step in numbers"


def test_a_page_survives_a_restart_of_the_service(settings: Settings, browser: Any) -> None:
    """The page says that the connection is lost, and catches up when the service is back."""
    with serving(settings) as service:
        add_model(service.store)
        held = claim(service.store, service.store.submit(Problem(service.store.models()[0].id, 4, budget=20)))
        page = browser.new_page()
        page.goto(f"{service.url}/searches/{held.search.id}")
        shown(page, "h1", "running")
        port = int(service.url.rsplit(":", 1)[1])
    shown(page, "#link", "The connection was lost")
    with serving(settings, port) as service:
        record(service, held, 0, 0.2)
        shown(page, "#figures", "0.200 ± 0.020")
        page.locator("#link:empty").wait_for(state="attached")
        page.close()


@pytest.mark.parametrize(
    ("attempt", "kind"),
    [
        ("const s = document.createElement('script'); s.text = 'window.bad = 1'; document.body.append(s)", "policy"),
        ("document.body.setAttribute('style', 'color: red')", "policy"),
        ("fetch('http://127.0.0.1:9/').catch(() => 0)", "policy"),
        ("const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'", "policy"),
        ("console.error('oh')", "console"),
        ("setTimeout(() => { throw new Error('oh') })", "error"),
    ],
)
def test_the_watch_sees_what_it_watches_for(service: Service, browser: Any, attempt: str, kind: str) -> None:
    """What these tests forbid is noticed when it happens, and the policy keeps foreign and inline code out."""
    watched = Watched(browser.new_page(), service.url)
    watched.page.goto(service.url)
    watched.page.evaluate(f"() => {{ {attempt} }}")
    for _ in range(200):
        if any(fault.startswith(kind) for fault in watched.faults):
            break
        watched.page.wait_for_timeout(20)
    assert any(fault.startswith(kind) for fault in watched.faults), json.dumps(watched.faults)
    assert watched.page.evaluate("window.bad === undefined")
    watched.page.close()
