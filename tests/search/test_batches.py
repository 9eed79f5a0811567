"""Schedules observed side by side: the same observations as alone, for fewer and larger calls."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pytest
import torch

from fewstep import Schedule, compile, models, processes, sample, solvers
from fewstep.errors import InvalidInput
from fewstep.models import Unconditional, Wrapped
from fewstep.sampling.side_by_side import sample_all
from fewstep.search.evaluation.batches import observe_all
from fewstep.search.evaluation.evaluator import Evaluator, observe
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.samplers import operators
from fewstep.search.space import Space
from fewstep.timeshift import TimeShift
from fewstep.values.objective import Objective

PROCESS = processes.VPLinear()
NOISES, RMS = NoiseSet(0, "search", 12), [Objective("rms")]


@dataclass(frozen=True)
class Counted(Wrapped):
    """Remembers the sizes of its calls, and the conditions that samples had."""

    sizes: list[int] = field(default_factory=list)

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        return self.denoiser(x, t)


@dataclass(frozen=True)
class Towards(Unconditional):
    """Every output depends on its own sample's condition, state and time alone."""

    process: processes.Process = PROCESS
    conditions: int = 5
    picked: tuple[int, ...] = ()

    def bound(self, conditions: Sequence[int]) -> Self:
        return replace(self, picked=tuple(i % self.conditions for i in conditions))

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        assert len(self.picked) == len(x)
        centre = torch.tensor(self.picked, dtype=x.dtype).reshape(-1, 1)
        return centre + torch.sin(3 * x) * (1 - t).reshape(-1, 1)


def schedules(process: processes.Process, nfe: int) -> list[Schedule]:
    """Proposals of the space, a time shift, steps of other kinds, fitted rows, another first time."""
    rng = np.random.default_rng(0)
    made = operators.uniforms(Space(process, nfe, variance=0.5), 9, rng)
    made.append(replace(made[0], shift=TimeShift(window=0.2, cutoff=0.1)))
    made += [solvers.named(name).schedule(process, nfe, "time") for name in ("heun", "unipc-2-bh2", "ipndm-3")]
    made.append(replace(made[1], shift=None, fitted=compile(made[1])))
    late = solvers.named("dpmpp-2m").schedule(process, nfe, "time")
    made.append(replace(late, times=(0.9 * late.times[0], *late.times[1:])))
    return made


@pytest.mark.parametrize("denoiser", [Towards(), models.zoo.load("digits-mixture")], ids=["conditions", "digits"])
@pytest.mark.parametrize("batch", [None, 7, 30])
def test_observations_are_those_of_each_schedule_alone(denoiser: models.Denoiser, batch: int | None) -> None:
    """To rounding, under each sample's own condition, whatever the most samples of a call."""
    shape = (6,) if isinstance(denoiser, Towards) else (1, 8, 8)
    evaluator = Evaluator(denoiser, shape, batch=batch)
    tried = schedules(denoiser.process, 4)
    together, _ = observe_all(evaluator, NOISES, tried, RMS)
    for schedule, found in zip(tried, together, strict=True):
        wanted = observe(Evaluator(denoiser, shape), NOISES, schedule, RMS)
        np.testing.assert_allclose(found[0], wanted[0], rtol=2e-3, atol=1e-9)


def test_the_first_output_is_made_once_and_calls_are_full() -> None:
    """Ten schedules on twelve noises: one call on the noises, then calls on all together."""
    counted = Counted(models.zoo.load("digits-mixture"))
    evaluator = Evaluator(counted, (1, 8, 8))
    evaluator.pairs(NOISES, 48)
    counted.sizes.clear()
    made = operators.uniforms(Space(counted.process, 4), 10, np.random.default_rng(0))
    _, saved = observe_all(evaluator, NOISES, made, RMS)
    assert counted.sizes == [12, 120, 120, 120]
    assert saved == 10 * 12 * 4 - sum(counted.sizes)


def test_schedules_with_fresh_noise_or_guidance_are_refused() -> None:
    """They would need more than a denoiser; the message names what to call."""
    model = models.zoo.load("digits-mixture")
    ddim = solvers.named("ddim").schedule(model.process, 4)
    for other in (
        solvers.named("ddpm").schedule(model.process, 4),
        replace(ddim, guidance=(1.0,) * 4),
        solvers.named("ddim").schedule(model.process, 5),
    ):
        with pytest.raises(InvalidInput, match=r"fewstep\.sample"):
            sample_all(lambda copies: model, [ddim, other], torch.ones(2, 1, 8, 8))


def test_samples_are_those_of_sample() -> None:
    """On a model without batch effects the very same numbers."""
    gaussian = models.Gaussian(processes.VPLinear(), torch.zeros(6), torch.diag(torch.linspace(0.1, 2, 6)))
    noise = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    made = operators.uniforms(Space(gaussian.process, 5), 8, np.random.default_rng(1))
    for schedule, found in zip(made, sample_all(lambda copies: gaussian, made, noise), strict=True):
        torch.testing.assert_close(found, sample(gaussian, schedule, noise), rtol=1e-4, atol=1e-5)
