"""Models called on parts of a set of samples: each under its condition, in as many calls as memory wants."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from fewstep import models, processes, solvers
from fewstep.errors import InvalidInput
from fewstep.models import Denoiser
from fewstep.models.base import per_sample
from fewstep.search import find
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.microbatch import Chunked, default_batch
from fewstep.search.evaluation.noises import SEARCH, TEST, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.limit import PATIENCE, Limit
from fewstep.search.metrics.paired import Mean
from fewstep.search.optimize.fit import fit
from fewstep.search.samplers.ranking import by_replay
from fewstep.values.problem import Problem

LAW = processes.VPLinear()
NOISES = NoiseSet(3, SEARCH, 10, first=4)


@dataclass(frozen=True)
class Shifted:
    """Three Gaussians as conditions, told apart by their means; it remembers the sizes of its batches."""

    indices: tuple[int, ...] | None = None
    seen: list[int] = field(default_factory=list)
    memory: int = 10**9  # samples that fit

    conditions = 3
    passes = 2
    process = LAW

    def bound(self, indices: Sequence[int]) -> "Shifted":
        return replace(self, indices=tuple(indices))

    def guided(self, scale: float) -> "Shifted":
        raise InvalidInput(f"no guidance at {scale}")

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        assert self.indices is not None
        assert len(self.indices) == len(x)
        self.seen.append(len(x))
        if len(x) > self.memory:
            raise torch.OutOfMemoryError(f"no room for {len(x)}")
        alpha, sigma = (per_sample(of(t), x) for of in (LAW.alpha, LAW.sigma))
        mean = per_sample(torch.tensor(self.indices) % 3, x)
        return mean + alpha * 0.2 / (alpha**2 * 0.2 + sigma**2) * (x - alpha * mean)


def truth(noises: NoiseSet) -> np.ndarray:
    """Where each noise ends under its own Gaussian: noise i belongs to condition i modulo 3."""
    ends = [
        models.Gaussian(LAW, torch.full((2,), (noises.first + i) % 3.0), 0.2 * torch.eye(2)).flow(
            noise[None].double(), LAW.t_max, LAW.t_min
        )
        for i, noise in enumerate(noises.draw((2,)))
    ]
    return torch.cat(ends).numpy()


@pytest.mark.parametrize("batch", [1, 3, 10, None])
def test_noises_run_under_the_condition_of_their_number(batch: int | None) -> None:
    """Teacher's ends, stored trajectories and samples equal the closed form of each condition, for any batch."""
    model = Shifted()
    evaluator = Evaluator(model, (2,), batch=batch)
    np.testing.assert_allclose(evaluate.teach(evaluator, NOISES, teacher.CALLS), truth(NOISES), atol=1e-4)
    followed = evaluate.follow(evaluator, NOISES)
    np.testing.assert_allclose(followed.states[-1], truth(NOISES), atol=1e-4)
    schedule = solvers.named("dpmpp-2m").schedule(LAW, 40)
    assert evaluate.measure(evaluator, NOISES, schedule).max() < 1e-4
    assert max(model.seen) == (batch or 10)
    fitted = fit(evaluator, NOISES, followed, solvers.named("ddim").schedule(LAW, 4)).schedule
    assert evaluate.measure(evaluator, NOISES, fitted).mean() < 1e-3


def test_chunks_change_nothing_but_the_calls() -> None:
    """Errors are the same to the last bit where the model works sample by sample."""
    schedule = solvers.named("unipc-2-bh2").schedule(LAW, 5)
    whole, parts = (evaluate.measure(Evaluator(Shifted(), (2,), batch=b), NOISES, schedule) for b in (None, 4))
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize("memory", [1, 3, 5, 9])
def test_a_lack_of_memory_halves_the_part_that_failed(memory: int) -> None:
    """Again and again, down to one sample, from the plan or from less; the halves stay, and results are the same."""
    model = Shifted(memory=memory)
    evaluator = Evaluator(model, (2,), batch=16)
    schedule = solvers.named("ddim").schedule(LAW, 2)
    fits = evaluate.measure(evaluator, NOISES, schedule)
    failed = [size for size in model.seen if size > memory]
    assert failed[0] == 10
    assert failed == sorted(failed, reverse=True)
    assert [size for size, _ in evaluator._limit.halvings] == failed
    assert np.array_equal(fits, evaluate.measure(Evaluator(Shifted(), (2,)), NOISES, schedule))


def test_a_sample_without_memory_is_an_error() -> None:
    """There is nothing left to halve."""
    single = Limit(1)
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        Chunked(Shifted(memory=0).bound([0]), [0], single)(torch.ones(1, 2), torch.ones(1))
    assert single.halvings == []


def test_the_batch_rises_again_after_a_lack_that_passed() -> None:
    """Another process's memory comes back: after enough parts that fit the plan is tried again, later after a relapse;
    other errors are nobody's lack of memory."""
    room, sizes = [2], list[int]()

    def run(part: slice) -> int:
        size = part.stop - part.start
        sizes.append(size)
        if size > room[0]:
            raise RuntimeError("MPS backend out of memory")
        return size

    limit = Limit(8)
    assert sum(limit.over(8, run)) == 8
    assert limit.now == 2
    for _ in range(PATIENCE):
        limit.over(2, run)
    assert limit.now == 4
    limit.over(4, run)
    assert limit.now == 2
    for _ in range(PATIENCE):
        limit.over(2, run)
    assert limit.now == 2
    room[0] = 8
    for _ in range(8 * PATIENCE):
        limit.over(2, run)
    assert limit.now == 8
    with pytest.raises(RuntimeError, match="shapes"):
        limit.over(8, lambda part: torch.zeros(2) @ torch.zeros(3, 1) if part else 0)


def test_wide_samples_come_in_small_batches() -> None:
    """The default bounds the numbers in a batch, and never falls below one sample."""
    assert default_batch((1, 8, 8)) >= 512
    assert default_batch((16, 128, 128)) == 4
    assert default_batch((3, 2048, 2048)) == 1


def test_a_model_without_conditions_is_called_as_it_is(blobs: models.GaussianMixture) -> None:
    """Chunks and conditions leave a plain model's results as they are, to the last bit."""
    schedule, noises = solvers.named("dpmpp-2m").schedule(LAW, 4), NoiseSet(0, SEARCH, 16)
    noise = noises.draw((4,))
    under: Denoiser = Evaluator(blobs, (4,)).under(noises)
    t = torch.full((16,), 0.5)
    assert torch.equal(under(noise, t), blobs(noise, t))
    assert np.array_equal(
        evaluate.measure(Evaluator(blobs, (4,)), noises, schedule),
        evaluate.measure(Evaluator(blobs, (4,), batch=1000), noises, schedule),
    )


def test_a_conditional_model_is_searched() -> None:
    """A whole search over three conditions: guided passes are counted, the score is that of the published schedule."""
    result = find(Shifted(), nfe=3, shape=(2,), budget=12, noises=16)
    assert result.cost.passes_per_call == 2
    assert result.ratio < 1
    held_out = NoiseSet(0, TEST, 128)
    errors = evaluate.measure(Evaluator(Shifted(), (2,), batch=7), held_out, result.schedule)
    assert result.score.value == pytest.approx(Mean().value(errors[:, None]), rel=1e-3, abs=2e-6)  # all but exact


@pytest.mark.parametrize("process", [processes.Flow(shift=3.0), processes.DDM()], ids=lambda process: process.kind)
def test_models_from_pure_noise_to_clean_data_are_searched(process: processes.Process) -> None:
    """A search where λ is infinite at both ends: finite scores, exact ends, better than every hand-made solver."""
    generator = torch.Generator().manual_seed(7)
    means = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    spread = 0.05 * torch.eye(4, dtype=torch.float64).expand(3, 4, 4)
    mixture = models.GaussianMixture(process, torch.tensor([0.5, 0.3, 0.2]), means, spread)
    pool, problem = InlinePool(Evaluator(mixture, (4,))), Problem("mixture", nfe=5, budget=24, noises=16)
    result = run(problem, process, pool, by_replay)
    assert (result.schedule.times[0], result.schedule.times[-1]) == (1.0, 0.0)
    assert result.ratio < 0.9
    assert result.teacher_error < result.score.value / 10
    assert teacher.schedule(process).times[0] == 1.0
