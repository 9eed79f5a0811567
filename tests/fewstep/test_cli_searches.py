"""The command line's searches, against a real service: submit, watch, fetch."""

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fewstep import Schedule
from fewstep.cli import searches
from fewstep.cli.display import measured
from fewstep.cli.wording import estimate, summary
from fewstep.values.cost_card import cost_card
from fewstep.values.estimate import Estimate
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from fewstep.values.score import Score
from storage.jobs import Jobs
from tests.api.support import Service, add_model, claim, publish
from tests.fewstep.invoked import Fewstep, refused
from tests.storage import samples
from tests.trials import trial_of

NOBODY = "http://127.0.0.1:9"


def test_submit_queues_the_search_that_was_asked(fewstep: Fewstep, service: Service) -> None:
    """A model of the zoo is added as needed; the id alone stands on stdout, for scripts."""
    words = ("submit", "digits-mixture", "--nfe", 5, "--budget", 30, "--seed", 3, "--url", service.url)
    done = fewstep(*words)
    search = service.store.search(done.stdout.strip())
    model = service.store.models()[0]
    assert search.problem == Problem(model.id, 5, budget=30, seed=3)
    assert f"{service.url}/searches/{search.id}" in done.stderr
    refused(fewstep("submit", "nonesuch", "--nfe", 5, "--url", service.url), "nonesuch", "digits-mixture")
    again = fewstep("submit", model.id, "--nfe", 6, "--url", service.url)
    assert service.store.search(again.stdout.strip()).problem.nfe == 6


def test_submit_queues_one_search_for_each_number_of_calls(fewstep: Fewstep, service: Service) -> None:
    """Fewest calls first, each once, all of one kind; every id stands on a line of its own."""
    kinds = ("--metric", "frechet:digits", "--report", "kid:digits", "--improvement", 0.1, "--noises", 32)
    limits = ("--max-calls", 10**6, "--max-seconds", 60, "--max-failures", 0)
    done = fewstep(
        "submit", "digits-mixture", "--nfe", 8, "--nfe", 5, "--nfe", 8, *kinds, *limits, "--url", service.url
    )
    assert done.exit_code == 0, done.stderr
    model = service.store.models()[0].id
    wanted = [
        Problem(model, nfe, "frechet:digits", noises=32, report="kid:digits", limits=Limits(10**6, 60, 0, 0.1))
        for nfe in (5, 8)
    ]
    assert [service.store.search(id).problem for id in done.stdout.split()] == wanted
    assert done.stderr.count(service.url) == 2
    random = fewstep("submit", model, "--nfe", 5, "--sampler", "random", "--url", service.url)
    assert service.store.search(random.stdout.strip()).problem.sampler == "random"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-calls", 0), "a limit of calls is a whole number from 1"),
        (("--improvement", 2), "a limit of improvement is above 0 and at most 1"),
        (("--sampler", "random", "--improvement", 0.1), "only 'guided' makes"),
        (("--sampler", "luck"), "unknown sampler 'luck'"),
        (("--metric", "taste"), "unknown metric 'taste'"),
        (("--metric", "frechet:coco"), "unknown features 'coco'; known: pixels, digits"),
    ],
)
def test_submit_refuses_in_one_line(fewstep: Fewstep, service: Service, words: tuple, message: str) -> None:
    """What was given and wanted, by the client or by the service; nothing is queued."""
    refused(fewstep("submit", "digits-mixture", "--nfe", 5, *words, "--url", service.url), message)
    assert service.store.searches().items == []


def test_submit_says_what_it_costs(fewstep: Fewstep, service: Service) -> None:
    """A line for each search on stderr; with --dry-run on stdout, and nothing is queued."""
    words = ("submit", "digits-mixture", "--nfe", 8, "--nfe", 5, "--effort", "quick", "--url", service.url)
    dry = fewstep(*words, "--dry-run")
    assert (dry.exit_code, dry.stderr) == (0, "")
    model = service.store.models()[0].id
    problems = [Problem(model, nfe, effort="quick") for nfe in (5, 8)]
    assert dry.stdout.splitlines() == [estimate(Estimate(each, cost_card(each))) for each in problems]
    assert "5 NFE, effort quick: at most 3,000 network calls of the search and" in dry.stdout
    assert service.store.searches().items == []
    done = fewstep(*words)
    assert done.stderr.startswith(dry.stdout)
    assert [service.store.search(id).problem for id in done.stdout.split()] == problems
    refused(fewstep(*words, "--dry-run", "--max-calls", 5), "and 5 are allowed: allow more, or take fewer noises")


@pytest.mark.parametrize(("answer", "more", "queued"), [("n", (), 0), ("y", (), 1), ("", (), 1), (None, ("--yes",), 1)])
def test_submit_asks_at_a_terminal(
    fewstep: Fewstep, service: Service, monkeypatch: pytest.MonkeyPatch, answer: str | None, more: tuple, queued: int
) -> None:
    """Before the start, unless told not to; whoever says no has queued nothing."""
    monkeypatch.setattr(searches, "_at_terminal", lambda: True)
    words = ("submit", "digits-mixture", "--nfe", 5, *more, "--url", service.url)
    done = fewstep(*words, typed=None if answer is None else f"{answer}\n")
    assert len(service.store.searches().items) == queued
    assert (done.exit_code == 0) == bool(queued)
    assert ("Start?" in done.stderr) == (answer is not None)
    assert len(re.findall("[0-9a-f]{32}", done.stdout)) == queued


def test_a_summary_tells_everything_that_was_measured() -> None:
    """Other metrics with their intervals, calls of search and test apart, passes, verdict and warnings."""
    result = samples.summarised(samples.result(samples.problem(metric="rms")))
    lines = summary(result).splitlines()
    assert lines[0] == "rms on 64 test noises, effort custom"
    assert "typical: winner 0.0400  [0.0300, 0.0500], baseline 0.0800  [0.0600, 0.100]" in lines
    assert "switch: winner 0.0500  [0.0100, 0.100], baseline 0.100  [0.0200, 0.200]" in lines
    assert not any(line.startswith(("median", "p95")) for line in lines)
    assert "out of span: 25 % of the error, which no coefficients could remove" in lines
    assert "nothing better was found: the best candidate is worse by typical" in lines
    assert "warning: worse than the baseline by median, p95" in lines
    assert "10,000 network calls of the search and 2,345 of the test (24,690 passes), 777 saved by" in lines[-1]
    plain = summary(samples.result(samples.problem())).splitlines()
    assert len(plain) == 5
    assert "12,345 network calls, 1.5 s" in plain[-1]


def test_watch_follows_a_search_to_its_end(fewstep: Fewstep, service: Service) -> None:
    """Phases, incumbent, stage and state are drawn from the events; the way to the result is named."""
    model = add_model(service.store)
    search = service.store.submit(Problem(model.id, 4, budget=3))
    held, jobs = claim(service.store, search), Jobs(service.store)

    def work() -> None:
        jobs.phase(held, "teacher", 2, 2)
        for number, (value, origin) in enumerate(((0.2, "baseline ddim time"), (None, "mutation"), (0.05, "tpe"))):
            score = None if value is None else Score(value, 0.01, 64, 512)
            jobs.record(held, trial_of(number, samples.schedule(), score, origin))
            jobs.phase(held, "search", number + 1, 3)
        jobs.succeed(held, samples.result(search.problem))

    worker = threading.Thread(target=work)
    worker.start()
    watched = fewstep("watch", search.id, "--url", service.url)
    worker.join()
    assert watched.exit_code == 0
    assert re.findall(r"queued|running|succeeded", watched.stdout) == [
        "queued",
        "running",
        "succeeded",
    ]
    assert re.search(r"teacher .*2/2", watched.stdout)
    assert re.search(r"search .*3/3 +incumbent 0.0500, baseline 0.200 +● guided", watched.stdout)
    assert f"fewstep fetch {model.id} --nfe 4 -o" in watched.stderr
    assert "4 calls by mean" in watched.stdout
    assert "mean on 64 test noises, effort custom" in watched.stdout
    assert "baseline  0.200 ± 0.029  dpmpp-2m logsnr" in watched.stdout
    assert "12,345 network calls" in watched.stdout


def test_several_searches_are_watched_in_turn(fewstep: Fewstep, service: Service) -> None:
    """Each to its end, with its metric, the second one and its baseline; one that fails does not hide the others."""
    model, jobs = add_model(service.store), Jobs(service.store)

    def work() -> None:
        ended = 0
        while ended < 2:
            held = jobs.claim("test runner", 60)
            if held is not None:
                ended += 1
                if held.search.problem.nfe == 4:
                    jobs.fail(held, "all trials diverged")
                else:
                    jobs.succeed(held, replace(samples.result(held.search.problem), ended="calls"))

    worker = threading.Thread(target=work)
    worker.start()
    words = ("--nfe", 6, "--nfe", 4, "--metric", "frechet:digits", "--watch", "--url", service.url)
    done = fewstep("submit", model.id, *words)
    worker.join()
    first, second = done.stdout.split()[0], service.store.searches().items[0].id
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"fewstep: search {first} failed: all trials diverged"
    assert done.stdout.index("4 calls by frechet:digits:teacher") < done.stdout.index("6 calls by frechet")
    assert f"mean: winner {measured(0.05 / 3, 0.05 / 21)}, baseline {measured(0.3, 0.3 / 7)}" in done.stdout
    assert "its limit of calls was reached" in done.stdout
    assert "--nfe 6 --metric frechet:digits:teacher -o" in done.stderr
    assert second in done.stdout
    fetched = fewstep("fetch", model.id, "--nfe", 6, "--metric", "frechet:digits", "--url", service.url)
    assert "6 calls, frechet:digits:teacher 0.0500 ± 0.0071" in fetched.stderr
    assert "; mean 0.0167 ± 0.0024" in fetched.stderr
    refused(
        fewstep("fetch", model.id, "--nfe", 6, "--url", service.url),
        "by 'mean' yet: there are some by frechet:digits:teacher",
    )


def test_submit_can_stay_and_watch(fewstep: Fewstep, service: Service) -> None:
    """With --watch the command returns when the search has ended, and fails where it failed."""
    add_model(service.store)

    def work() -> None:
        held = None
        while held is None:
            held = Jobs(service.store).claim("test runner", 60)
        Jobs(service.store).fail(held, "all trials diverged")

    worker = threading.Thread(target=work)
    worker.start()
    done = fewstep("submit", "digits-mixture", "--nfe", 4, "--watch", "--url", service.url)
    worker.join()
    assert done.exit_code == 1
    assert "failed: all trials diverged" in done.stderr.splitlines()[-1]
    refused(fewstep("watch", "nonesuch", "--url", service.url), "nonesuch")


def test_fetch_gives_the_schedule_found(fewstep: Fewstep, service: Service, tmp_path: Path) -> None:
    """The file, or stdout, holds the published schedule; what it is worth stands on stderr."""
    model, path = add_model(service.store), tmp_path / "found.json"
    refused(fewstep("fetch", "digits-mixture", "--nfe", 8, "--url", service.url), "submit a search")
    publish(service.store, Problem(model.id, 6), value=0.05)
    done = fewstep("fetch", "digits-mixture", "--nfe", 8, "-o", path, "--url", service.url)
    assert Schedule.from_json(path.read_text()) == samples.schedule(6)
    assert done.stdout == ""
    assert "6 calls, mean 0.0500 ± 0.0071, 0.250 times dpmpp-2m logsnr (95 % 0.167–0.500)" in done.stderr
    printed = fewstep("fetch", model.id, "--nfe", 6, "--url", service.url).stdout
    assert Schedule.from_json(printed) == samples.schedule(6)
