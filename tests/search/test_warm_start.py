"""Nesting of budgets: one call more never makes the published schedule worse."""

import pytest
import torch

import fewstep
from fewstep import Schedule, models, processes, solvers
from fewstep.search import find
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import TEST, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, WarmStart
from fewstep.search.metrics.paired import Mean
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.stages import warm_start
from fewstep.values.problem import Problem
from fewstep.values.stages import STAGES


@pytest.mark.parametrize("process", [processes.VPLinear(), processes.Flow(), processes.DDM(), processes.VE()])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp-2m", "heun"])
def test_a_split_schedule_makes_the_same_samples(process: processes.Process, solver: str) -> None:
    """One call more, its output unused: the samples stay, and the new time halves the longest λ-gap."""
    model = models.Gaussian(process, torch.tensor([0.5, -0.5]), torch.diag(torch.tensor([0.2, 1.0])))
    schedule = solvers.named(solver).schedule(process, 4)
    longer = warm_start.split(warm_start.split(schedule))
    noise = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert longer.nfe == 6
    torch.testing.assert_close(fewstep.sample(model, longer, noise), fewstep.sample(model, schedule, noise))
    assert Schedule.from_json(longer.to_json()) == longer


def test_a_stochastic_schedule_keeps_its_noise() -> None:
    """Fresh noise enters the split schedule where it entered before."""
    process = processes.VPLinear()
    model = models.Gaussian(process, torch.zeros(2), torch.eye(2))
    schedule = solvers.named("ddpm").schedule(process, 3)
    noise, fresh = torch.ones(1, 2).double(), torch.arange(6.0).reshape(-1, 1, 2).double()
    fresh = fresh[: fewstep.compile(schedule).noise.shape[1]]
    before, after = (fewstep.sample(model, s, noise, fresh=fresh) for s in (schedule, warm_start.split(schedule)))
    torch.testing.assert_close(after, before)


def test_the_new_state_lies_on_the_way(blobs: models.GaussianMixture) -> None:
    """What the new call sees is the first-order step to its time from the state before it."""
    schedule = solvers.named("ddim").schedule(blobs.process, 3)
    longer = warm_start.split(schedule)
    noise = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = Schedule(blobs.process, longer.times, (fewstep.Step(),) * 4)
    new = next(i for i in range(1, 4) if longer.times[i] not in schedule.times)
    seen = [list(fewstep.states(blobs, s, noise))[new] for s in (longer, whole)]
    torch.testing.assert_close(seen[0], seen[1])


def test_a_seeded_search_is_no_worse_on_held_out_noise(blobs: models.GaussianMixture) -> None:
    """With the winner of one call less as a seed, the result is at least as good, whatever the budget."""
    fewer = find(blobs, 3, (4,), budget=16, noises=16, stages=[STAGES["baselines"], STAGES["fit"]])
    assert fewer.schedule.fitted is not None
    more = find(blobs, 4, (4,), budget=16, noises=16, warm=WarmStart([fewer.schedule]))
    assert more.score.value <= fewer.score.value * (1 + 1e-5)
    evaluator, held = Evaluator(blobs, (4,)), NoiseSet(0, TEST, 128)
    measured = evaluate.measure(evaluator, held, more.schedule)[:, None]
    assert Mean().value(measured) == pytest.approx(more.score.value, rel=1e-4)


def test_a_seed_that_nothing_beats_is_published(blobs: models.GaussianMixture) -> None:
    """Where the seed is exact, its split is the winner; it and its fit are trials like others."""
    gaussian = models.Gaussian(processes.VPLinear(), torch.zeros(4), 0.25 * torch.eye(4))
    seed = find(gaussian, 1, (4,), budget=16, noises=16, stages=[STAGES["baselines"], STAGES["fit"]]).schedule
    trials = []
    problem = Problem("gaussian", 2, budget=24, noises=16)
    pool, on = InlinePool(Evaluator(gaussian, (4,))), Callbacks(trial=trials.append)
    result = run(problem, gaussian.process, pool, by_replay, warm=WarmStart([seed]), on=on)
    assert result.score.value < 1e-4
    assert [t.schedule for t in trials if t.origin.stage == "warm-start"] == [warm_start.split(seed)]
    assert sorted(t.number for t in trials) == list(range(24))
