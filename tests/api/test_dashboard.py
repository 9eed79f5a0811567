"""The dashboard's pages as the server makes them: content, safety and what they load."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources

import pytest
from fastapi.testclient import TestClient

from api.dashboard import views
from fewstep import Schedule
from fewstep.cli.display import measured
from fewstep.values.cost_card import cost_card
from fewstep.values.limits import Limits
from fewstep.values.model import Model
from fewstep.values.problem import Problem
from fewstep.values.result import StageReport
from fewstep.values.score import Score
from fewstep.values.stages import STAGES, Stage
from fewstep.values.trial import Trial
from storage.jobs import Jobs
from storage.lease import Claim
from storage.store import Store
from tests.api.elements import page
from tests.api.support import PROBLEM_JSON, claim
from tests.storage import samples
from tests.trials import trial_of


@pytest.fixture
def held(store: Store, model: Model) -> Claim:
    """A running search in 4 calls with a budget of 20."""
    return claim(store, store.submit(Problem(model.id, 4, budget=20, seed=7)))


def record(store: Store, held: Claim, number: int, value: float | None, origin: str = "mutation") -> Trial:
    plan = samples.schedule(4, "quadratic" if origin.startswith("baseline") else "logsnr")
    score = None if value is None else Score(value, value / 10, 128, 512)
    trial = trial_of(number, plan, score, origin, None if origin.startswith("baseline") else -2.0, 0.1, None)
    Jobs(store).record(held, trial)
    return trial


def every_page(store: Store, held: Claim) -> Iterator[str]:
    """A page of each kind, of a search in each stage."""
    yield from ("/", f"/searches/{held.search.id}")
    record(store, held, 0, 0.2, "baseline dpmpp-2m quadratic")
    record(store, held, 1, 0.1)
    yield from ("/", f"/searches/{held.search.id}")
    Jobs(store).succeed(held, samples.result(held.search.problem))
    yield from ("/", f"/searches/{held.search.id}", "/models", f"/models/{held.search.problem.model}")


def test_an_empty_list_says_how_to_begin(client: TestClient) -> None:
    """Without a search the list shows the command that submits one."""
    assert "fewstep submit" in page(client, "/").text("code")[0]


def test_the_list_shows_where_every_search_stands(client: TestClient, store: Store, held: Claim) -> None:
    """Newest first: state, trials of the budget, best error, and the ratio as far as it is known."""
    record(store, held, 0, 0.2, "baseline dpmpp-2m quadratic")
    record(store, held, 1, 0.1)
    store.submit(Problem(held.search.problem.model, 6, budget=30))
    rows = page(client, "/").text("tr")[1:]
    assert [re.search("queued|running", row).group() for row in rows] == ["queued", "running"]
    assert "0/30" in rows[0]
    assert "2/20" in rows[1]
    assert "0.100 ± 0.010 0.50 so far" in rows[1]

    Jobs(store).succeed(held, samples.result(held.search.problem, value=0.05))
    row = page(client, "/").text("tr")[2]
    assert "so far" not in row
    assert "0.0500 ± 0.0071 0.25" in row


def test_the_list_goes_on_over_pages(
    client: TestClient, store: Store, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older searches follow on the next page, each on one page only."""
    monkeypatch.setattr(views, "SEARCHES", 2)
    ids = [store.submit(Problem(model.id, 4, seed=seed)).id for seed in range(5)]
    seen, path = [], "/"
    while path:
        elements = page(client, path)
        links = [given["href"] for tag, given, _ in elements.found if tag == "a" and given["href"]]
        seen += [link.removeprefix("/searches/") for link in links if link.startswith("/searches/")]
        path = next((link for link in links if link.startswith("/?cursor=")), "")
    assert seen == ids[::-1]


def test_a_search_that_waits(client: TestClient, store: Store, model: Model) -> None:
    """A queued search shows its problem, what it will cost, no other numbers, and offers no schedule."""
    search = store.submit(Problem(model.id, 9, effort="quick"))
    of_test = cost_card(search.problem).test_calls
    elements = page(client, f"/searches/{search.id}")
    assert elements.text("h1") == ["digits-mixture in 9 calls queued"]
    assert "effort quick" in elements.text("section", id="standing")[0]
    assert elements.text("dd")[:3] == ["–", "–", "–"]
    assert elements.text("dd")[3] == f"3 000and {of_test:,} of the test".replace(",", " ")
    assert elements.text("svg") == []
    refused = client.get(f"/searches/{search.id}/schedule.json")
    assert (refused.status_code, refused.headers["content-type"]) == (404, PROBLEM_JSON)


def test_a_running_search(client: TestClient, store: Store, held: Claim) -> None:
    """A running search shows its phase, the best trials in order without failed ones, and the ratio so far."""
    Jobs(store).phase(held, "teacher", 3, 7)
    assert "teacher 3 of 7" in page(client, f"/searches/{held.search.id}").text("section", id="standing")[0]
    record(store, held, 0, 0.2, "baseline dpmpp-2m quadratic")
    record(store, held, 1, None)
    best = record(store, held, 2, 0.05)
    record(store, held, 3, 0.3, "crossover")

    elements = page(client, f"/searches/{held.search.id}")
    assert [row.split()[0] for row in elements.text("tr") if "±" in row] == ["2", "0", "3"]
    figures = elements.text("dd")
    assert figures[0] == "0.0500 ± 0.0050trial 2, mutation"
    assert figures[1] == "0.200 ± 0.020dpmpp-2m quadratic"
    assert figures[2].startswith("0.250")
    assert best.schedule.digest[:16] in elements.text("code")
    assert len(elements.text("svg", **{"class": "strip"})) == 1


def test_a_search_that_succeeded(client: TestClient, store: Store, held: Claim) -> None:
    """Its figures are the result's: test error, interval, tau; its schedule is the published one."""
    record(store, held, 0, 0.01)
    result = samples.result(held.search.problem, 0.05, samples.fitted(4))
    Jobs(store).succeed(held, result)
    elements = page(client, f"/searches/{held.search.id}")
    figures = " ".join(elements.text("dd"))
    for wanted in (measured(0.05, result.score.standard_error), "64 test noises", "0.250", "0.167 to 0.500"):
        assert wanted in figures
    assert result.baseline_name in figures
    assert "Fitted coefficients" in " ".join(elements.text("details"))
    assert "the result is measured on test noises" in elements.text("section", id="trials")[0]
    assert not elements.text("meta", **{"http-equiv": "refresh"})
    assert "--nfe 4" in elements.text("code")[-1]


def test_a_search_says_what_it_lowers_and_what_may_end_it(client: TestClient, store: Store, model: Model) -> None:
    """Metric, second metric, sampler and limits; then the interval, the second score beside its baseline, and what
    ended the trials."""
    limits = Limits(calls=100_000, seconds=60, failures=3, improvement=0.05)
    problem = Problem(model.id, 4, "frechet:digits", budget=20, report="kid:digits", limits=limits)
    held = claim(store, store.submit(problem))
    told = page(client, f"/searches/{held.search.id}").text("section", id="standing")[0]
    wanted = [
        "lowers frechet:digits:teacher, reports kid:digits:teacher · effort custom · guided search on 64 noises, seed 0"
    ]
    wanted += ["at most 100,000 calls", "at most 60 s", "at most 3 failed trials", "by 5 % is unlikely"]
    for words in wanted:
        assert words in told
    result = replace(samples.result(problem, 0.05), ended="improvement")
    Jobs(store).succeed(held, result)
    elements = page(client, f"/searches/{held.search.id}")
    assert "no forecast reached the improvement" in elements.text("section", id="standing")[0]
    figures = " ".join(elements.text("dd"))
    assert "95 % interval 0.0250 to 0.100" in figures
    assert f"{measured(0.05 / 3, 0.05 / 21)}{measured(0.3, 0.3 / 7)} best baseline" in figures
    assert "kid:digits:teacher" in elements.text("dt")
    assert "--metric frechet:digits:teacher" in elements.text("code")[-1]
    assert "frechet:digits:teacher" in page(client, "/").text("tr")[1]


def test_a_result_shows_other_metrics_and_its_cost(client: TestClient, store: Store, model: Model) -> None:
    """Typical error, switch rate and Fréchet distance with intervals, calls of search and test, why the baseline is
    published, and what became worse; results of older versions have none of these."""
    problem = Problem(model.id, 4, "rms", budget=20)
    held = claim(store, store.submit(problem))
    Jobs(store).succeed(held, samples.summarised(samples.result(problem)))
    elements = page(client, f"/searches/{held.search.id}")
    standing = elements.text("section", id="standing")[0]
    assert "effort custom" in standing
    assert "nothing better was found: the best candidate is worse by typical. The baseline is published." in standing
    assert "The winner is worse than the baseline by median error, 95th percentile." in standing
    shown = dict(zip(elements.text("dt"), elements.text("dd"), strict=True))
    assert shown["Winner"].startswith("0.0500 ± 0.0071RMS error, 95 % interval")
    assert shown["typical error"] == "0.040095 % interval 0.0300 to 0.0500; best baseline 0.0800, 0.0600 to 0.100"
    assert {"switch rate", "frechet:pixels:teacher"} < shown.keys()
    assert shown["Out of span"].startswith("25 %")
    thin = "\N{THIN SPACE}"
    wanted = {"Calls of the search": f"10{thin}000", "Calls of the test": f"2{thin}345", "Passes": f"24{thin}690"}
    for name, count in wanted.items():
        assert shown[name].startswith(" ".join(count.split()))
    assert "777 more saved" in shown["Calls of the search"]
    held = claim(store, store.submit(problem))
    Jobs(store).succeed(held, samples.result(problem))
    plain = page(client, f"/searches/{held.search.id}")
    assert "Network calls spent" in plain.text("dt")
    assert not {"Calls of the search", "Calls of the test", "Passes", "Out of span", "typical error"} & set(
        plain.text("dt")
    )
    assert "baseline is published" not in plain.text("section", id="standing")[0]


def test_trials_that_were_stopped_early_are_told_apart(client: TestClient, store: Store, held: Claim) -> None:
    """A trial on fewer noises than the search's has their number and a row of its own kind; so has none on all."""
    record(store, held, 0, 0.1)
    trial = trial_of(1, samples.schedule(4), Score(0.2, 0.02, 32, 128), "mutation")
    Jobs(store).record(held, trial)
    elements = page(client, f"/searches/{held.search.id}")
    (stopped,) = elements.text("tr", **{"class": "stopped"})
    assert stopped.split()[0] == "1"
    assert " 32 " in stopped
    assert elements.text("main", **{"data-noises": "64"})


def shown_stages(client: TestClient, held: Claim) -> dict[str, dict[str, str]]:
    """The stages that the page hands to its script, by name."""
    (main,) = (given for tag, given, _ in page(client, f"/searches/{held.search.id}").found if tag == "main")
    return {stage["name"]: stage for stage in json.loads(main["data-stages"])}


def marks(client: TestClient, held: Claim) -> list[str | None]:
    """The colours of the marks on the page, from top to bottom."""
    found = page(client, f"/searches/{held.search.id}").found
    return [given["fill"] for tag, given, _ in found if tag == "circle"]


def test_a_stage_of_a_package_is_shown_as_it_says(client: TestClient, store: Store, held: Claim) -> None:
    """Its label and colour reach script and table; where it is unknown, its trials are shown in a neutral colour."""
    record(store, held, 0, 0.1, "mirror: reversed")
    neutral = marks(client, held)
    stage = Stage("mirror", "<mirrored> 'times'", "#b0609a", lambda state: iter(()))
    STAGES.add("mirror", stage)
    try:
        assert list(shown_stages(client, held)) == list(STAGES)
        assert shown_stages(client, held)["mirror"] == {"name": "mirror", "label": stage.label, "colour": stage.colour}
        assert marks(client, held) == [stage.colour]
    finally:
        STAGES.remove("mirror")
    assert "mirror" not in shown_stages(client, held)
    (colour,) = neutral
    assert marks(client, held) == neutral
    assert colour not in {stage["colour"] for stage in shown_stages(client, held).values()}


def test_a_result_says_what_each_stage_spent_and_gained(client: TestClient, store: Store, held: Claim) -> None:
    """Trials, calls, seconds and the incumbent before and after, in the order of the search."""
    result = samples.result(held.search.problem)
    reports = (
        StageReport("baselines", 12, 3072, 2.5, None, 0.2),
        StageReport("fit", 4, 1024, 80.0, 0.2, 0.05),
        StageReport("elsewhere", 0, 0, 0.0, 0.05, 0.05),
    )
    Jobs(store).succeed(held, replace(result, cost=replace(result.cost, stages=reports)))
    (table,) = page(client, f"/searches/{held.search.id}").text("section", id="stages")
    thin = "\N{THIN SPACE}"
    for row in (
        f"baselines 12 3{thin}072 2.5 s – 0.200 –",
        f"fit 4 1{thin}024 1 min 20 s 0.200 0.0500 0.25",
        "elsewhere 0 0 0.0 s 0.0500 0.0500 1.00",
    ):
        assert " ".join(row.split()) in table
    assert marks(client, held)[:2] == [STAGES[name].colour for name in ("baselines", "fit")]


def test_a_result_without_reports_of_stages_shows_none(client: TestClient, store: Store, held: Claim) -> None:
    """Results of older versions have no such reports."""
    Jobs(store).succeed(held, samples.result(held.search.problem))
    assert page(client, f"/searches/{held.search.id}").text("section", id="stages") == [""]


def test_a_failed_search_says_why_and_cannot_inject(client: TestClient, store: Store, held: Claim) -> None:
    """The reason is shown as text, whatever it holds."""
    record(store, held, 0, 0.1, "<b>mutation</b>")
    Jobs(store).fail(held, "<script>alert(1)</script>")
    elements = page(client, f"/searches/{held.search.id}")
    assert elements.text("p", **{"class": "error"}) == ["<script>alert(1)</script>"]
    assert "<b>mutation</b>" in " ".join(elements.text("td"))
    assert elements.text("b") == []


def test_events_are_read_to_the_last(
    client: TestClient, store: Store, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More events than the store gives at a time lose nothing."""
    monkeypatch.setattr(views, "MAX_PAGE", 3)
    for number in range(8):
        record(store, held, number, 1.0 - number / 10)
    assert views.search_page(store, held.search.id).incumbent.number == 7
    assert views.search_page(store, held.search.id).last == store.events(held.search.id)[-1].id


def test_the_schedule_is_a_file(client: TestClient, store: Store, held: Claim) -> None:
    """The file is the best trial's schedule while the search runs, and the published one after."""
    best = record(store, held, 0, 0.1)
    answer = client.get(f"/searches/{held.search.id}/schedule.json")
    assert Schedule.from_json(answer.text) == best.schedule
    assert re.fullmatch(
        r'attachment; filename="digits-mixture-4-calls-\w{8}\.json"', answer.headers["content-disposition"]
    )
    Jobs(store).succeed(held, samples.result(held.search.problem, plan=samples.fitted(4)))
    assert Schedule.from_json(client.get(f"/searches/{held.search.id}/schedule.json").text) == samples.fitted(4)


def test_what_does_not_exist(client: TestClient) -> None:
    """An unknown search has a page that says so; an unknown file is a problem document."""
    assert "nonesuch" in " ".join(page(client, "/searches/nonesuch", 404).text("p"))
    for path in ("/searches/nonesuch/schedule.json", "/static/nonesuch.js", "/static/..%2froutes.py"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM_JSON)


def test_pages_keep_to_the_strict_policy(client: TestClient, store: Store, held: Claim) -> None:
    """No inline script, style or handler, nothing from elsewhere; every address on a page answers."""
    addresses = set()
    for path in every_page(store, held):
        policy = client.get(path).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
        for tag, given, words in page(client, path).found:
            assert "style" not in given
            assert not [name for name in given if name.startswith("on")]
            assert tag != "style"
            if tag == "script":
                assert given["src"]
                assert not "".join(words).strip()
            addresses |= {given[name] for name in ("href", "src") if given.get(name)}
    for address in addresses:
        assert address.startswith("/")
        assert not address.startswith("//")
        assert client.get(address).status_code == 200


def test_plotly_is_the_installed_one(client: TestClient) -> None:
    """Plotly is served byte for byte from its package, and may be kept."""
    answer = client.get("/static/plotly.min.js")
    assert answer.content == (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
