"""Devices short of memory: a search ends and publishes, and where there is no gradient it says so."""

from typing import Any

import pytest
import torch

from fewstep import models
from fewstep.search import find
from fewstep.search.log import Callbacks
from fewstep.search.optimize import descent
from fewstep.values.stages import STAGES
from fewstep.values.trial import Trial

ROOM = "CUDA out of memory"
STEPS = ("baselines", "guided", "fit", "time-search", "polish")


class Tight(torch.autograd.Function):
    """The identity on a device that has memory for so many samples forward, and backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, forward: int, backward: int) -> torch.Tensor:
        if len(x) > forward:
            raise torch.OutOfMemoryError(ROOM)
        ctx.backward_room = backward
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> Any:  # type: ignore[override]
        if len(slope) > ctx.backward_room:
            raise torch.OutOfMemoryError(ROOM)
        return slope, None, None


def tight(blobs: models.Denoiser, forward: int, backward: int) -> models.Denoiser:
    def call(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = Tight.apply(blobs(x, t), forward, backward)  # type: ignore[no-untyped-call]
        return output

    return models.from_callable(call, blobs.process, "data")


def search(model: models.Denoiser) -> tuple[Any, list[Trial]]:
    trials = list[Trial]()
    stages = [STAGES[name] for name in STEPS]
    result = find(model, 3, (4,), noises=16, budget=32, stages=stages, on=Callbacks(trial=trials.append))
    return result, trials


@pytest.fixture(scope="module")
def roomy(blobs: models.GaussianMixture) -> tuple[Any, list[Trial]]:
    """The search on a device with room for all."""
    return search(blobs)


@pytest.mark.parametrize(("forward", "backward"), [(1, 1), (3, 2), (40, 5)])
def test_a_search_ends_where_memory_is_short(
    blobs: models.GaussianMixture, roomy: tuple[Any, list[Trial]], forward: int, backward: int
) -> None:
    """With room for any few samples, forward and backward, every stage has its trials, and the result is that of a
    device with room for all but for rounding, which may change what is proposed."""
    (ours, trials), (theirs, others) = search(tight(blobs, forward, backward)), roomy
    assert [trial.origin.stage for trial in trials] == [trial.origin.stage for trial in others]
    assert {trial.origin.stage for trial in trials} == set(STEPS)
    assert not any("not polished" in (trial.reason or "") for trial in trials)
    assert ours.score.value == pytest.approx(theirs.score.value, rel=0.05)


def test_what_has_no_room_for_a_gradient_is_not_polished(blobs: models.GaussianMixture) -> None:
    """Forward alone is enough for a search; the trial says why there was no polish."""
    result, trials = search(tight(blobs, 4, 0))
    [polished] = [trial for trial in trials if trial.origin.stage == "polish"]
    assert polished.reason == "not polished: the device has no memory for the gradient of a single sample"
    assert result.score.value > 0


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError(ROOM), ZeroDivisionError("no such batch"), OSError("disk full")]
)
@pytest.mark.parametrize("when", ["begin", "advance"])
def test_no_failure_of_the_polish_ends_the_search(
    blobs: models.GaussianMixture, monkeypatch: pytest.MonkeyPatch, when: str, error: Exception
) -> None:
    """Whatever its tasks raise, the search publishes what it has and says why there was no polish."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(descent, when, fail)
    result, trials = search(blobs)
    [polished] = [trial for trial in trials if trial.origin.stage == "polish"]
    assert (polished.reason or "").startswith("not polished: ")
    assert result.ratio < 1
