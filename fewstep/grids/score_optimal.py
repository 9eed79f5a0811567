"""Score-optimal grids: times between which the model's own scores change evenly (Williams et al. 2024).

    δ_c(t→t') = σ'² E_{x~p_t} ‖s(x, t') − s(x, t)‖²    (corrector-optimised; eqs. 13-15 with F the identity)
    Λ = Σ √δ_c,    t*_i = Λ⁻¹(i/N · Λ_total)           (algorithm 1, on a fine probe)

Everything is measured in the variance-exploding variable x/α, whose noise has standard deviation σ/α = e^{−λ}, so that
one formula serves every process. `docs/score-optimal.md` derives it.

| symbol | meaning |
|---|---|
| s | score (D − x)/σ² in that variable; D the network's data prediction |
| λ_k | rising log-SNRs of the probe, (K+1,) |
| Λ_k | `ArcLength.lengths`, (K+1,); from 0 |
"""

from collections.abc import Iterator

import numpy as np
import torch

from fewstep.errors import InvalidInput, InvalidModel, UnknownName
from fewstep.grids.arc_length import KINDS, MAX_RATIO, ArcLength
from fewstep.grids.score_cost import corrector_cost, predictor_calls, predictor_cost
from fewstep.models.base import Denoiser, from_callable
from fewstep.processes import Process
from fewstep.sampling.sample import states
from fewstep.schedule import Schedule
from fewstep.steps.step import Step

__all__ = ["levels", "measure"]

RATIO = 1.1  # on a Gaussian, all knots of 10 within 1.2 % of the closed form
FAR = 5.0  # |log-SNR| where a probe ends if the process goes on to pure noise or clean data


def levels(process: Process, ratio: float = RATIO) -> np.ndarray:
    """Rising log-SNRs (K+1,) of a probe, σ/α falling by ``ratio`` at most between two, from t_max to t_min.

    Where the process goes on to pure noise or clean data the probe ends at |log-SNR| = 5. Raises `InvalidInput` where
    ``ratio`` is not above 1 and at most `MAX_RATIO`.

    >>> from fewstep import processes
    >>> len(levels(processes.VE(), 1.2)), levels(processes.Flow())[[0, -1]].tolist()
    (60, [-5.0, 5.0])
    """
    if not 1 < ratio <= MAX_RATIO:
        raise InvalidInput(
            f"a probe's ratio of σ/α between two levels lies in (1, {MAX_RATIO}], got {ratio}: costs of longer steps "
            "make the grid collapse"
        )
    first, last = process.log_snr(np.array([process.t_max, process.t_min]))
    first = first if np.isfinite(first) else min(-FAR, last - 1 if np.isfinite(last) else -FAR)
    last = last if np.isfinite(last) else max(FAR, first + 1)
    return np.linspace(first, last, 1 + int(np.ceil((last - first) / np.log(ratio))))


@torch.no_grad()
def measure(
    denoiser: Denoiser,
    noise: torch.Tensor,
    data: torch.Tensor | None = None,
    kind: str = "corrector",
    ratio: float = RATIO,
) -> ArcLength:
    """Probe a denoiser and return the arc length of its path; deterministic, without training.

    ``noise`` (n, ...) standard normal. With clean ``data`` (n, ...) the states are α·data + σ·noise, paired anew at
    each level; without, they are the model's own: every noise is carried along the probability flow, second order. The
    corrector cost takes two calls for each sample and level, the predictor cost more (`fewstep.grids.score_cost`). 64
    to 256 samples do. Raises `InvalidInput` for a bad ratio, unknown kind or data unlike the noise, and `InvalidModel`
    where the network's outputs are not finite or all alike.

    >>> from fewstep import models, processes
    >>> gaussian = models.Gaussian(processes.VE(), mean=torch.zeros(2), covariance=torch.eye(2))
    >>> arc = measure(gaussian, torch.randn(256, 2, generator=torch.Generator().manual_seed(0)))
    >>> arc.source, [round(t, 2) for t in arc.times(4, blend=1.0)]
    ('flow', [80.0, 28.98, 10.44, 3.6, 0.0])
    """
    if kind not in KINDS:
        raise UnknownName("kind of cost", kind, KINDS)
    process, lam = denoiser.process, levels(denoiser.process, ratio)
    times = [float(t) for t in process.time(lam)]
    if np.isfinite(process.log_snr(np.float64(process.t_max))):
        times[0] = process.t_max
    costs, calls = [], 0
    visited = _along_flow(denoiser, noise, times) if data is None else _noised(denoiser, noise, data, times)
    for k, (x, output) in enumerate(visited):
        start, end = times[k], times[k + 1]
        if kind == "corrector":
            each, extra = corrector_cost(denoiser, x, output, start, end), 1
        else:
            each, extra = predictor_cost(denoiser, x, start, end, seed=k), predictor_calls(x[0].numel())
        costs.append(float(each.mean()))
        calls += len(x) * extra
    calls += len(noise) * (len(times) - 1 + (times[0] != process.t_max and data is None))
    if not np.all(np.isfinite(costs)) or max(costs) <= 0:
        raise InvalidModel("the model's outputs along the probe are not finite or do not change: check its weights")
    steps = np.clip(costs, 0, None) ** KINDS[kind]
    return ArcLength(
        process,
        kind,
        lam,
        np.concatenate([[0.0], np.cumsum(steps)]),
        samples=len(noise),
        source="flow" if data is None else "data",
        calls=calls,
    )


def _noised(
    denoiser: Denoiser, noise: torch.Tensor, data: torch.Tensor, times: list[float]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """State and output (n, ...) at every time but the last, from clean data."""
    if data.shape != noise.shape:
        raise InvalidInput(f"data are shaped like the noise {tuple(noise.shape)}, got {tuple(data.shape)}")
    process, clean = denoiser.process, data.to(noise)
    for k, t in enumerate(times[:-1]):
        x = process.alpha(t) * clean + process.sigma(t) * noise.roll(k, 0)  # another pairing at each level
        yield x, denoiser(x, x.new_full((len(x),), t))


def _along_flow(
    denoiser: Denoiser, noise: torch.Tensor, times: list[float]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same, with states on the model's own trajectories: p_t is where the flow has carried the start noise."""
    process, outputs = denoiser.process, list[torch.Tensor]()

    def recorded(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        outputs.append(denoiser(x, t))
        return outputs[-1]

    before = [] if times[0] == process.t_max else [process.t_max]
    steps = [Step("data", min(2, i + 1) if not before or i > 1 else 1) for i in range(len(before) + len(times) - 1)]
    schedule = Schedule(process, (*before, *times), tuple(steps))
    path = states(from_callable(recorded, process, prediction="data"), schedule, noise)
    x = next(path)
    for i, following in enumerate(path):
        if i >= len(before):
            yield x, outputs[-1]
        x = following
        outputs.clear()
