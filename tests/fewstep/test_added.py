"""Processes, solvers and commands that are registered from outside do all that fewstep's own do."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import typer
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import fewstep
from fewstep import Schedule, Step, export, models, processes, sample, solvers
from fewstep.cli.app import app
from fewstep.cli.commands import COMMANDS
from fewstep.errors import Conflict, InvalidSchedule, UnknownName
from fewstep.models.network import Plain
from fewstep.processes import Process
from fewstep.processes.base import Number, check_range, make_floats, xp_of
from fewstep.schedule import json_schema
from fewstep.scheduler import FewstepScheduler
from fewstep.solvers import Solver


@dataclass(frozen=True)
class Trigonometric(Process):
    """α = cos(πt/2) and σ = sin(πt/2), whose networks are told the angle and predict the velocity."""

    kind: ClassVar[str] = "trigonometric"
    default_prediction: ClassVar[str | None] = "velocity"
    default_time_scale: ClassVar[float | None] = 10.0
    t_min: float = 0.01
    t_max: float = 0.99
    t_zero: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        make_floats(self)
        check_range(self)

    def alpha(self, t: Number) -> Number:
        """α(t)."""
        return xp_of(t).cos(math.pi / 2 * t)

    def sigma(self, t: Number) -> Number:
        """σ(t)."""
        return xp_of(t).sin(math.pi / 2 * t)

    def log_snr(self, t: Number) -> Number:
        """λ(t) = −log tan."""
        with np.errstate(divide="ignore"):
            return -xp_of(t).log(xp_of(t).tan(math.pi / 2 * t))

    def time(self, lam: Number) -> Number:
        """t(λ)."""
        return 2 / math.pi * xp_of(lam).arctan(xp_of(lam).exp(-lam))

    def network_time(self, t: Number) -> Number:
        """The angle."""
        return math.pi / 2 * t

    def time_of_network(self, value: Number) -> Number:
        """The time of an angle."""
        return 2 / math.pi * value


HALVING = Solver("halving", 1, "for tests", (Step(),))


@pytest.fixture
def law() -> Iterator[Trigonometric]:
    """The process, known by its kind."""
    processes.KINDS.add("trigonometric", Trigonometric)
    yield Trigonometric()
    processes.KINDS.remove("trigonometric")


@pytest.fixture
def solver() -> Iterator[Solver]:
    """The solver, known by its name."""
    solvers.SOLVERS.add(HALVING.name, HALVING)
    yield HALVING
    solvers.SOLVERS.remove(HALVING.name)


def test_a_process_is_stored_by_its_kind(law: Trigonometric) -> None:
    """A schedule on it comes back from JSON, and the schema has its kind and its parameters."""
    document = solvers.named("unipc-2-bh2").schedule(replace(law, t_min=0.02), 6).to_dict()
    assert Schedule.from_dict(document).process == Trigonometric(t_min=0.02)
    reader = Draft202012Validator(json_schema())
    reader.validate(document)
    document["process"]["gamma"] = 1
    assert not reader.is_valid(document)


def test_a_process_that_is_not_registered_is_refused() -> None:
    """The message lists the kinds there are."""
    stored = solvers.named("ddim").schedule(Trigonometric(), 3).to_dict()
    with pytest.raises(InvalidSchedule, match="unknown process 'trigonometric'; known: cosine, discrete"):
        Schedule.from_dict(stored)


def test_every_solver_runs_on_a_process(law: Trigonometric) -> None:
    """On data of one point every solver is exact: the noise that is left is the start's, scaled by σ."""
    point = models.from_callable(lambda x, t: torch.full_like(x, 0.5), law, prediction="data")
    noise = torch.ones(2, 4, dtype=torch.float64)
    left = (noise - float(law.alpha(law.t_max)) * 0.5) * float(law.sigma(law.t_min) / law.sigma(law.t_max))
    for name in solvers.names():
        chosen = solvers.named(name)
        if chosen.applies(law) and not chosen.stochastic:
            end = sample(point, chosen.schedule(law, 6), noise)
            torch.testing.assert_close(end, float(law.alpha(law.t_min)) * 0.5 + left)


def test_a_process_states_what_its_networks_are_told(law: Trigonometric) -> None:
    """A network and a diffusers scheduler take time, prediction and scale from it."""
    fed = Plain(law, "velocity", time_scale=10.0).inputs(torch.ones(1, 2), torch.tensor([0.5]))[1]
    torch.testing.assert_close(fed, torch.tensor([10 * math.pi / 4]))
    schedule = solvers.named("ddim").schedule(law, 4, "time")
    scheduler = FewstepScheduler.from_schedule(schedule)
    assert scheduler.config["prediction_type"] == "v_prediction"
    torch.testing.assert_close(scheduler.timesteps, 10 * math.pi / 2 * torch.tensor(schedule.times[:-1]))


def test_a_process_is_exported_in_its_own_sigmas(law: Trigonometric) -> None:
    """σ/α of its times, as for any process whose samplers keep x/α."""
    schedule = solvers.named("euler").schedule(law, 5)
    assert "euler" in export.samplers(schedule)
    sigmas = np.tan(np.pi / 2 * np.array(schedule.times))
    np.testing.assert_allclose(export.sigmas(schedule, "euler"), sigmas, rtol=1e-12)
    assert export.portable(schedule)["process"]["kind"] == "trigonometric"


def test_a_search_runs_on_a_process_with_a_solver(law: Trigonometric, solver: Solver) -> None:
    """Both are among the baselines; the winner lives on the process."""
    from fewstep.search.find import find
    from fewstep.search.stages.baselines import baselines

    assert any(name.startswith("dpmpp-2m") for name in baselines(law, 3))
    gaussian = models.Gaussian(law, torch.zeros(4), torch.diag(torch.tensor([1.0, 0.5, 0.2, 0.1])))
    found = find(gaussian, nfe=3, shape=(4,), budget=3, noises=8)
    assert found.schedule.process == law


def test_a_solver_is_found_by_its_name(solver: Solver) -> None:
    """It is listed after fewstep's own and makes schedules; afterwards it is unknown again."""
    assert solvers.names()[-1] == "halving"
    assert solvers.named("halving").schedule(processes.VPLinear(), 3).nfe == 3
    solvers.SOLVERS.remove("halving")
    with pytest.raises(UnknownName, match="unknown solver 'halving'; known: ddim"):
        solvers.named("halving")
    solvers.SOLVERS.add("halving", solver)


def test_a_name_of_fewsteps_own_cannot_be_taken() -> None:
    """Neither a process nor a solver takes the place of a built-in one."""
    with pytest.raises(Conflict, match="there is a process 'flow' already"):
        processes.KINDS.add("flow", Trigonometric)
    with pytest.raises(Conflict, match="there is a solver 'ddim' already"):
        solvers.SOLVERS.add("ddim", HALVING)


@pytest.fixture
def command() -> Iterator[None]:
    """Two added commands: a function, and an app whose import would fail if it were made before its time."""

    def greet(name: str) -> None:
        """Say hello."""
        typer.echo(f"hello, {name}")

    group = typer.Typer(help="Things to count.")

    @group.command()
    def up() -> None:
        """Count up."""
        typer.echo("one two")

    @group.command()
    def fail() -> None:
        """Fail as fewstep does."""
        raise fewstep.errors.InvalidInput("not countable")

    added = {"greet": greet, "count": group, "broken": "no_such_module:app"}
    for name, entry in added.items():
        COMMANDS.add(name, entry)
    yield
    for name in added:
        COMMANDS.remove(name)


def test_added_commands_are_listed_and_run(command: None) -> None:
    """Help lists them without importing any; each runs with its own options, help and errors."""
    run = CliRunner().invoke
    shown = run(app, ["--help"])
    assert shown.exit_code == 0
    for name in ("submit", "greet", "count", "broken"):
        assert name in shown.output
    assert run(app, ["greet", "you"]).output == "hello, you\n"
    assert "Count up" in run(app, ["count", "--help"]).output
    assert run(app, ["count", "up"]).output == "one two\n"
    failed = run(app, ["count", "fail"])
    assert failed.exit_code == 1
    assert "fewstep: not countable" in failed.output
