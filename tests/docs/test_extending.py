"""The page on extending fewstep: one thing of every kind is registered from outside, and each is used in a search."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fewstep import processes, solvers
from fewstep.cli.app import app
from fewstep.cli.commands import COMMANDS
from fewstep.search import Callbacks, find
from fewstep.search.evaluation.pool import POOLS
from fewstep.values.objective import METRICS
from fewstep.values.rankers import RANKERS
from fewstep.values.result import Result
from fewstep.values.samplers import SAMPLERS
from fewstep.values.stages import STAGES
from fewstep.values.trial import Trial

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
ADDED = {
    "Metric": (METRICS, "sharpness"),
    "Ranker": (RANKERS, "by-spread"),
    "Sampler": (SAMPLERS, "nearest"),
    "Pool": (POOLS, "threads"),
    "Process": (processes.KINDS, "sine"),
    "Solver": (solvers.SOLVERS, "bold-2"),
    "Stage": (STAGES, "mirror"),
    "Command": (COMMANDS, "hello"),
}


@pytest.fixture(scope="module")
def searches() -> Iterator[dict[str, tuple[Result | None, list[Trial]]]]:
    """The page's code, section after section: what each one's search published, and its trials."""
    trials: list[Trial] = []

    def recorded(*arguments: Any, **options: Any) -> Result:
        return find(*arguments, **options, on=Callbacks(trial=trials.append))

    names: dict[str, Any] = {"__name__": "extending"}
    outcomes: dict[str, tuple[Result | None, list[Trial]]] = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.M):
        title = section.split("\n", 1)[0]
        trials.clear()
        names["result"] = None
        for block in re.findall(r"^```python\n(.*?)^```", section, re.M | re.S):
            exec(compile(block, f"extending.md, {title}", "exec"), names)
            names["find"] = recorded
        outcomes[title] = names["result"], list(trials)
    yield outcomes
    for registry, name in ADDED.values():
        registry.remove(name)


@pytest.mark.parametrize("kind", ADDED)
def test_every_kind_is_registered(searches: dict[str, Any], kind: str) -> None:
    """Each section of the page adds one entry to its registry."""
    registry, name = ADDED[kind]
    assert kind in searches
    assert name in registry


def test_a_metric_of_a_package_is_what_a_search_lowers(searches: dict[str, Any]) -> None:
    """Its name is the objective, and the endpoint error is reported beside it."""
    result, trials = searches["Metric"]
    assert result.problem.metric == "sharpness:pixels:teacher"
    assert result.winner.secondary is not None
    assert any(trial.score for trial in trials)


def test_a_ranker_of_a_package_makes_the_forecasts(searches: dict[str, Any]) -> None:
    """Guided trials carry its forecasts."""
    _, trials = searches["Ranker"]
    forecasts = [trial.candidate.forecast for trial in trials if trial.candidate.forecast is not None]
    assert forecasts
    assert all(forecast.std == 1.0 and forecast.mean > 0 for forecast in forecasts)


def test_a_sampler_of_a_package_proposes(searches: dict[str, Any]) -> None:
    """Guided trials are its own."""
    _, trials = searches["Sampler"]
    assert {trial.origin.name for trial in trials if trial.origin.stage == "guided"} == {"nearest"}


def test_a_pool_of_a_package_evaluates(searches: dict[str, Any]) -> None:
    """A whole search on its slots ends with the result that one in this process has."""
    result, _ = searches["Pool"]
    reference, _ = searches["Solver"]
    assert result.score.noises == reference.score.noises
    assert result.ratio <= 1.0


def test_a_process_of_a_package_is_searched(searches: dict[str, Any]) -> None:
    """Schedules are on it, and come back from JSON."""
    result, _ = searches["Process"]
    assert processes.from_dict(processes.to_dict(result.schedule.process)) == result.schedule.process
    assert result.schedule.process.kind == "sine"


def test_a_solver_of_a_package_is_a_baseline(searches: dict[str, Any]) -> None:
    """It stands among the baselines that a search may try."""
    from fewstep.search.stages.baselines import baselines

    result, _ = searches["Solver"]
    assert any(name.startswith("bold-2 ") for name in baselines(result.schedule.process, 3))


def test_a_stage_of_a_package_runs_in_its_place(searches: dict[str, Any]) -> None:
    """Its trial stands before the guided ones, its share was kept for it, and the result says what it spent."""
    result, trials = searches["Stage"]
    stages = [trial.origin.stage for trial in sorted(trials, key=lambda trial: trial.number)]
    assert stages.count("mirror") == 1
    assert stages.index("mirror") < stages.index("guided")
    report = next(report for report in result.cost.stages if report.label == "mirror")
    assert report.evaluations == 1


def test_a_command_of_a_package_runs(searches: dict[str, Any]) -> None:
    """It is listed with fewstep's own, and greets."""
    assert "hello" in CliRunner().invoke(app, ["--help"]).output
    assert CliRunner().invoke(app, ["hello", "you"]).output == "hello, you\n"
