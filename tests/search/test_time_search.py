"""Times found with the fit inside: better on unseen noise than replay alone, its calls counted, nothing random."""

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, grids, models
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, TEST, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.optimize import replay
from fewstep.search.optimize.fit import ORDER, fit
from fewstep.search.space import Space
from fewstep.search.stages import time_search

SEEN, UNSEEN = NoiseSet(0, SEARCH, 128), NoiseSet(0, TEST, 400)


def sought(model: models.Denoiser, nfe: int, seed: int = 0) -> time_search.TimeSearch:
    evaluator = Evaluator(model, (4,))
    followed = evaluate.follow(evaluator, SEEN)
    return time_search.search_times(InlinePool(evaluator), Space(model.process, nfe), SEEN, followed, seed)


def error(model: models.Denoiser, schedule: Schedule) -> float:
    return float(np.sqrt(evaluate.measure(Evaluator(model, (4,)), UNSEEN, schedule)).mean())


def test_times_are_better_than_replayed_ones(blobs: models.GaussianMixture) -> None:
    """From the same noises and one fit on all of them, the mean distance on unseen noises is lower than on times
    that replay alone has placed, from any grid."""
    evaluator, space = Evaluator(blobs, (4,)), Space(blobs.process, 5)
    followed = evaluate.follow(evaluator, SEEN)
    even = [Schedule(blobs.process, grids.named(name)(blobs.process, 5), (Step(),) * 5) for name in grids.EVEN]
    placed = replay.place(followed, np.stack([space.logits(schedule) for schedule in even]))
    replayed = [fit(evaluator, SEEN, followed, space.build(row, [Step(order=ORDER)] * 5)).schedule for row in placed]
    found = sought(blobs, 5).schedule
    assert found is not None
    assert error(blobs, found) < 0.97 * min(error(blobs, schedule) for schedule in replayed)


@pytest.mark.parametrize("nfe", [1, 2, 5])
def test_calls_are_what_the_model_saw(blobs: models.GaussianMixture, nfe: int) -> None:
    """Beyond the teacher's, every call made is counted; the schedule has its number of calls and rows of its own."""
    seen = [0]

    def call(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen[0] += len(x)
        return blobs(x, t)

    evaluator = Evaluator(models.from_callable(call, blobs.process, prediction="data"), (4,))
    followed = evaluate.follow(evaluator, SEEN)
    seen[0] = 0
    found = time_search.search_times(InlinePool(evaluator), Space(blobs.process, nfe), SEEN, followed)
    assert found.calls - found.saved == seen[0]
    assert found.saved > 0
    assert found.schedule is not None
    assert found.schedule.nfe == nfe
    assert found.schedule.fitted is not None


def test_a_seed_says_what_is_found(blobs: models.GaussianMixture) -> None:
    """The same seed finds the same schedule, another one other times."""
    first, again, other = (sought(blobs, 3, seed).schedule for seed in (0, 0, 1))
    assert first == again
    assert first is not None
    assert other is not None
    assert first.times != other.times


def test_nothing_is_found_where_every_path_diverges(blobs: models.GaussianMixture) -> None:
    """A model that is finite on the teacher's path only: no schedule, and the calls are told all the same."""
    evaluator = Evaluator(blobs, (4,))
    followed = evaluate.follow(evaluator, SEEN)
    nan = models.from_callable(lambda x, t: torch.full_like(x, torch.nan), blobs.process)
    broken = Evaluator(nan, (4,), targets=evaluator.targets)
    found = time_search.search_times(InlinePool(broken), Space(blobs.process, 4), SEEN, followed)
    assert found.schedule is None
    assert found.calls == 2 * time_search.FEW * 4 * (time_search.STARTS + len(grids.EVEN))
