"""Searches of times for one solver: the steps stay, and a line of sigmas is the whole result."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from fewstep import Schedule, export, models, processes, sample, solvers
from fewstep.errors import InvalidInput, UnknownName
from fewstep.export.hosts import HOSTS, target
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.find import find
from fewstep.search.log import Callbacks
from fewstep.search.stages.solver_times import FullOrder, on_grids, strides
from fewstep.values.stages import STAGES
from fewstep.values.trial import Trial
from tests.fewstep.test_export_sigmas import TEXTBOOK, noise, run
from tests.search.test_search_command import APP


def searched(blobs: models.GaussianMixture, solver: str, nfe: int, trials: list[Trial], budget: int = 12) -> Schedule:
    found = find(
        blobs, nfe, (4,), solver=solver, budget=budget, noises=16, on=Callbacks(trial=trials.append), effort="quick"
    )
    assert found.baseline.name.split()[0] == solver
    return found.schedule


@pytest.mark.parametrize(
    ("sampler", "solver", "nfe"), [("dpmpp_2m", "dpmpp-2m", 6), ("euler", "euler", 5), ("heun", "heun", 7)]
)
def test_every_trial_is_a_line_of_sigmas(blobs: models.GaussianMixture, sampler: str, solver: str, nfe: int) -> None:
    """Baselines and proposals alike: the host's sampler runs them, and they end at clean data."""
    trials: list[Trial] = []
    found = searched(blobs, solver, nfe, trials)
    assert {trial.origin.stage for trial in trials} == {"baselines", "solver-times"}
    assert len(trials) == 12
    for schedule in [found, *(trial.schedule for trial in trials)]:
        assert schedule.nfe == nfe
        assert schedule.times[-1] == blobs.process.t_zero
        assert sampler in export.samplers(schedule)
    assert len({trial.schedule for trial in trials}) == len(trials)
    assert set(TEXTBOOK) >= {sampler}


@pytest.mark.parametrize(("sampler", "solver", "nfe"), [("dpmpp_2m", "dpmpp-2m", 6), ("heun", "heun", 7)])
def test_the_line_makes_the_schedules_samples_in_that_sampler(
    make_mixture: Callable[..., models.GaussianMixture], sampler: str, solver: str, nfe: int
) -> None:
    """A loop written from the sampler's formulas, given the sigmas and nothing else."""
    law = processes.VPLinear()
    denoiser = make_mixture(law)
    for schedule, _ in on_grids(FullOrder(solvers.named(solver)), law, nfe).values():
        got = run(sampler, schedule, denoiser)
        assert (got - sample(denoiser, schedule, noise())).abs().max() < 1e-9


def test_the_same_search_comes_to_the_same_schedule(blobs: models.GaussianMixture) -> None:
    """Its choices hang on the problem and its trials alone."""
    first, second = (searched(blobs, "dpmpp-2m", 5, []) for _ in range(2))
    assert first == second


def test_flows_are_searched_between_pure_noise_and_clean_data() -> None:
    """Euler's times for a flow; the grids that pipelines run are its baselines."""
    flow = processes.Flow(shift=3.0)
    found = on_grids(FullOrder(solvers.named("flow-euler")), flow, 8)
    assert {"flow-euler time", "flow-euler beta", "flow-euler shift-3.158", "flow-euler stretched"} <= set(found)
    for schedule, _ in found.values():
        assert (schedule.times[0], schedule.times[-1]) == (1.0, 0.0)


def test_one_call_has_no_times_to_search(blobs: models.GaussianMixture) -> None:
    """The only list is a baseline."""
    trials: list[Trial] = []
    searched(blobs, "euler", 1, trials)
    assert len(trials) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "ddpm"}, "ddpm adds fresh noise"),
        ({"solver": "heun"}, "heun makes no schedule of 6 calls to clean data: try 5 or 7"),
        ({"solver": "flow-euler"}, "made for the process 'flow'"),
        ({"solver": "nonesuch"}, "unknown solver 'nonesuch'"),
    ],
)
def test_what_cannot_be_searched_is_refused(blobs: models.GaussianMixture, options: dict, message: str) -> None:
    """Before any call of the model."""
    with pytest.raises(InvalidInput, match=message):
        find(blobs, 6, (4,), effort="quick", **options)


def test_a_solver_has_stages_of_its_own(blobs: models.GaussianMixture, inline: InlinePool) -> None:
    """Both at once are refused."""
    with pytest.raises(InvalidInput, match="leave stages or solver out"):
        find(blobs, 6, (4,), solver="euler", stages=(STAGES["baselines"],))


def test_heun_counts_two_calls_a_stride() -> None:
    """But for the last, to clean data."""
    assert strides(FullOrder(solvers.named("heun")), processes.VPLinear(), 7) == 4
    assert strides(FullOrder(solvers.named("dpmpp-2m")), processes.VPLinear(), 7) == 7


def test_hosts_samplers_run_lists_on_their_processes() -> None:
    """Every one on some process; others are refused with those that fit."""
    times = (1.0, 0.6, 0.3, 0.0)
    named = target("comfyui:dpmpp_2m").on(processes.VPLinear(), times)
    assert named == solvers.named("dpmpp-2m").on(processes.VPLinear(), times, lower_order_final=False)
    for text in ("k-diffusion:heun", "comfyui:dpmpp_2m", "diffusers:FlowMatchEulerDiscreteScheduler"):
        schedule = target(text).on(processes.Flow(), times)
        assert target(text).sampler in export.samplers(schedule)
    for text in ("comfyui:lms", "diffusers:EulerDiscreteScheduler"):
        with pytest.raises(InvalidInput, match=r"for other processes than flow: take one of euler, heun, dpmpp_2m"):
            target(text).on(processes.Flow(), times)
    with pytest.raises(UnknownName, match="dpmpp_2m"):
        target("comfyui:uni_pc")
    with pytest.raises(UnknownName, match="known: comfyui, k-diffusion, diffusers"):
        target("a1111:euler")
    with pytest.raises(InvalidInput, match="host:name"):
        target("euler")
    assert set(HOSTS) == {"comfyui", "k-diffusion", "diffusers"}


def test_a_hosts_second_order_on_a_flow_is_searched(make_mixture: Callable[..., models.GaussianMixture]) -> None:
    """DPM-Solver++(2M) as hosts run it on flows is no named solver; its line of sigmas is found all the same."""
    flow = processes.Flow(shift=3.0)
    found = find(make_mixture(flow), 5, (3,), solver=target("comfyui:dpmpp_2m"), effort="quick", noises=8)
    assert found.baseline.name.split()[0] == "dpmpp_2m"
    assert export.samplers(found.schedule) == ["dpmpp_2m"]
    assert found.schedule.steps[1].order == 2


def test_the_command_prints_the_line() -> None:
    """One line of sigmas, from the model's largest to zero."""
    options = ["--nfe", "3", "--effort", "quick", "--for", "comfyui:dpmpp_2m"]
    ran = CliRunner().invoke(APP, ["digits-mixture", *options])
    assert ran.exit_code == 0, ran.output
    line = next(text for text in ran.output.splitlines() if text.startswith("sigmas for comfyui:dpmpp_2m: "))
    numbers = [float(word) for word in line.split(": ")[1].split(", ")]
    assert len(numbers) == 4
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == 0.0
    ran = CliRunner().invoke(APP, ["digits-mixture", "--nfe", "3", "--for", "comfyui:uni_pc"])
    assert ran.exit_code == 1
    assert "unknown sampler of comfyui 'uni_pc'" in ran.output
