"""The pages of models: what they are, why they were refused, and what was found for them."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from api.dashboard.front import front
from fewstep import Schedule
from fewstep.cli.display import measured
from fewstep.values.model import Facts, Model, ModelState
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from storage.model_checks import ModelChecks
from storage.store import Store
from tests.api.support import publish
from tests.storage import samples


class Text(HTMLParser):
    """The words of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.links = "", []
        self.feed(text)
        self.words = " ".join(self.words.split())

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name == "href" and tag == "a"]


def page(client: TestClient, path: str, status: int = 200) -> Text:
    answer = client.get(path)
    assert answer.status_code == status
    return Text(answer.text)


@pytest.fixture
def submitted(store: Store) -> Model:
    return store.add_model(samples.submitted("b"))


def test_an_empty_list_says_how_to_begin(client: TestClient) -> None:
    """Without a model the list shows the commands that add one."""
    assert "fewstep models add" in page(client, "/models").words


def test_the_list_shows_every_model(client: TestClient, store: Store, model: Model, submitted: Model) -> None:
    """Name, source, state and the number of schedules, each with a link to its page."""
    publish(store, Problem(model.id, 4))
    publish(store, Problem(model.id, 6))
    shown = page(client, "/models")
    assert {f"/models/{model.id}", f"/models/{submitted.id}"} <= set(shown.links)
    for wanted in ("digits-mixture", "1 × 8 × 8", "ready", "submitted", "m-b"):
        assert wanted in shown.words
    row = shown.words[shown.words.index("digits-mixture") :]
    assert re.search(r"data 2 ", row)


def test_a_model_shows_what_was_found_out(client: TestClient, store: Store, submitted: Model) -> None:
    """While it waits the page says so; once it was tried its facts are there, and the command that searches it."""
    before = page(client, f"/models/{submitted.id}").words
    assert "submitted" in before
    assert "A runner will try it" in before
    assert "fewstep submit" not in before
    held = ModelChecks(store).claim("test runner", 60)
    assert held is not None
    ModelChecks(store).ready(held, Facts("UNet2DModel", "noise", 1_234_567, 10, 1.5, 2, 0.25))
    after = page(client, f"/models/{submitted.id}").words
    for wanted in ("ready", "UNet2DModel", "noise", "1 234 567", "0.2 s", "Passes per call2", "guidance 1.5", "10"):
        assert wanted in after.replace("\N{THIN SPACE}", " ")
    assert f"fewstep submit {submitted.id}" in after


def test_a_refused_model_says_why_and_cannot_inject(client: TestClient, store: Store, submitted: Model) -> None:
    """The reason and the name are text, whatever they hold."""
    held = ModelChecks(store).claim("test runner", 60)
    assert held is not None
    ModelChecks(store).refuse(held, "<script>alert(1)</script>")
    answer = client.get(f"/models/{submitted.id}").text
    assert "<script>alert" not in answer
    assert "<script>alert(1)</script>" in Text(answer).words
    odd = store.add_model(replace(samples.submitted("c"), name='a/"b"<i>'))
    assert "<i>" not in client.get("/models").text
    assert 'a/"b"<i>' in page(client, f"/models/{odd.id}").words


def test_a_model_that_is_still_on_a_hub(client: TestClient, store: Store) -> None:
    """Nothing is known of it but its address, and the page does without."""
    model = store.add_model(samples.on_hub("d"))
    assert "–" in page(client, f"/models/{model.id}").words
    assert model.name in page(client, "/models").words


def test_the_front_is_drawn_and_told_in_numbers(client: TestClient, store: Store, model: Model) -> None:
    """Every number of calls has its errors, its baseline, its ratio, its search and its schedule as a file."""
    ids = [publish(store, Problem(model.id, nfe), value=0.4 / nfe).id for nfe in (4, 6, 8)]
    shown = page(client, f"/models/{model.id}")
    for id, nfe in zip(ids, (4, 6, 8), strict=True):
        score = samples.score(0.4 / nfe)
        assert measured(score.value, score.standard_error) in shown.words
        assert f"{0.4 / nfe / 0.2:.3f}" in shown.words
        assert f"/searches/{id}" in shown.links
        assert Schedule.from_json(client.get(f"/searches/{id}/schedule.json").text) == samples.schedule(nfe)
    assert samples.result(samples.problem()).baseline_name in shown.words
    text = client.get(f"/models/{model.id}").text
    assert text.count("<circle") == 6


def test_every_metric_has_a_front_of_its_own(client: TestClient, store: Store, model: Model) -> None:
    """One drawing and table for each metric, under its name; the second metric and the score's interval are told."""
    publish(store, Problem(model.id, 4), value=0.1)
    publish(store, Problem(model.id, 4, "frechet:digits"), value=0.6)
    publish(store, Problem(model.id, 6, "frechet:digits"), value=0.3)
    text = client.get(f"/models/{model.id}").text
    assert re.findall("<h3>(.*?)</h3>", text) == ["mean distance", "frechet:digits:teacher"]
    first, second = (Text(part).words for part in text.split("<h3>")[1:])
    assert "0.100 ±" in first
    assert "0.0500 to 0.200" in first
    assert "mean, baseline" not in first
    assert "0.600 ±" in second
    assert f"{measured(0.2, 0.6 / 21)} mean, baseline {measured(0.3, 0.3 / 7)}" in second
    assert text.count("<circle") == 6
    assert re.search(r"data 3 ", page(client, "/models").words)


def test_a_front_is_drawn_to_scale(store: Store, model: Model) -> None:
    """Equal ratios of errors are equal heights, bars reach 1.96 standard errors, calls lie evenly."""
    for nfe, value in ((4, 0.08), (6, 0.04), (8, 0.02)):
        publish(store, Problem(model.id, nfe), value=value)
    winners = front(store.front(model.id)).split('class="winner"')[1]
    x, y = zip(*((float(a), float(b)) for a, b in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', winners)), strict=True)
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert y[1] - y[0] == pytest.approx(y[2] - y[1], abs=0.2)
    assert y[0] < y[2]
    tops = [(float(a), float(b)) for a, b in re.findall(r'y1="([\d.]+)" y2="([\d.]+)"', winners)]
    assert all(top < centre < bottom for (top, bottom), centre in zip(tops, y, strict=True))
    per_halving = (y[2] - y[0]) / 2
    want = math.log2(1 + 1.96 / 7) * per_halving
    assert y[0] - tops[0][0] == pytest.approx(want, abs=0.3)


def test_a_name_makes_a_safe_file_name(client: TestClient, store: Store) -> None:
    """Whatever a model is called, its schedules download under letters, digits, dots and dashes."""
    model = store.add_model(replace(samples.model("e"), name='../te am/"x"\r\nü'))
    search = publish(store, Problem(model.id, 4))
    given = client.get(f"/searches/{search.id}/schedule.json").headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="te-am-x-4-calls-\w{8}\.json"', given)


def test_an_unknown_model_has_a_page_that_says_so(client: TestClient) -> None:
    """404, with the id."""
    assert "nonesuch" in page(client, "/models/nonesuch", 404).words


def test_searches_lead_to_their_model(client: TestClient, store: Store, model: Model) -> None:
    """Its name on a search's page is a link, and so is every page's way to the list of models."""
    search = store.submit(Problem(model.id, 5))
    links = page(client, f"/searches/{search.id}").links
    assert {f"/models/{model.id}", "/models"} <= set(links)
    assert f"/searches/{search.id}" in page(client, f"/models/{model.id}").links
    Jobs(store).cancel(search.id)
    assert model.state is ModelState.READY
