"""Score-optimal grids: times between which the model's score changes by equal amounts (Williams et al. 2024).

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

RATIO = 1.1  # on a Gaussian, all times of a grid of 10 calls are within 1.2 % of the closed form
MAX_LOG_SNR = 5.0  # |log-SNR| at the ends of a probe where the process reaches pure noise or clean data


def levels(process: Process, ratio: float = RATIO) -> np.ndarray:
    """Rising log-SNRs (K+1,) of a probe, σ/α falling by ``ratio`` at most between two, from t_max to t_min.

    Where the process reaches pure noise or clean data the probe ends at |log-SNR| = 5. Raises `InvalidInput` where
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
    if not np.isfinite(first):
        first = min(-MAX_LOG_SNR, last - 1) if np.isfinite(last) else -MAX_LOG_SNR
    if not np.isfinite(last):
        last = max(MAX_LOG_SNR, first + 1)
    return np.linspace(first, last, 1 + int(np.ceil((last - first) / np.log(ratio))))


@torch.no_grad()
def measure(
    denoiser: Denoiser,
    noise: torch.Tensor,
    data: torch.Tensor | None = None,
    kind: str = "corrector",
    ratio: float = RATIO,
) -> ArcLength:
    """The arc length of a denoiser's path, from a probe of its scores; deterministic, without training.

    ``noise`` (n, ...) standard normal. With clean ``data`` (n, ...) the states are α·data + σ·noise, paired anew at
    each level; without, they are the model's own trajectories of the probability flow, by a second-order solver. The
    corrector cost takes two calls for each sample and level, the predictor cost more (`fewstep.grids.score_cost`). 64
    to 256 samples are enough. Raises `InvalidInput` for a bad ratio, unknown kind or data unlike the noise, and
    `InvalidModel` where the network's outputs are not finite or all alike.

    >>> from fewstep import models, processes
    >>> gaussian = models.Gaussian(processes.VE(), mean=torch.zeros(2), covariance=torch.eye(2))
    >>> arc = measure(gaussian, torch.randn(256, 2, generator=torch.Generator().manual_seed(0)))
    >>> arc.source, [round(t, 2) for t in arc.times(4, blend=1.0)]
    ('flow', [80.0, 28.98, 10.44, 3.6, 0.0])
    """
    if kind not in KINDS:
        raise UnknownName("kind of cost", kind, KINDS)
    process = denoiser.process
    lam = levels(process, ratio)
    times = [float(t) for t in process.time(lam)]
    if np.isfinite(process.log_snr(np.float64(process.t_max))):
        times[0] = process.t_max
    costs = []
    calls = 0
    pairs = _along_flow(denoiser, noise, times) if data is None else _noised_data(denoiser, noise, data, times)
    for k, (x, output) in enumerate(pairs):
        start = times[k]
        end = times[k + 1]
        if kind == "corrector":
            each = corrector_cost(denoiser, x, output, start, end)
            extra = 1
        else:
            each = predictor_cost(denoiser, x, start, end, seed=k)
            extra = predictor_calls(x[0].numel())
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


def _noised_data(
    denoiser: Denoiser, noise: torch.Tensor, data: torch.Tensor, times: list[float]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """State and output (n, ...) at every time but the last, from noised clean data."""
    if data.shape != noise.shape:
        raise InvalidInput(f"data are shaped like the noise {tuple(noise.shape)}, got {tuple(data.shape)}")
    process = denoiser.process
    clean = data.to(noise)
    for k, t in enumerate(times[:-1]):
        x = process.alpha(t) * clean + process.sigma(t) * noise.roll(k, 0)  # another pairing at each level
        yield x, denoiser(x, x.new_full((len(x),), t))


def _along_flow(
    denoiser: Denoiser, noise: torch.Tensor, times: list[float]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """State and output (n, ...) at every time but the last, on the model's own trajectories."""
    process = denoiser.process
    outputs: list[torch.Tensor] = []

    def recording(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        outputs.append(denoiser(x, t))
        return outputs[-1]

    before = [] if times[0] == process.t_max else [process.t_max]
    steps = [Step("data", min(2, i + 1) if not before or i > 1 else 1) for i in range(len(before) + len(times) - 1)]
    schedule = Schedule(process, (*before, *times), tuple(steps))
    path = states(from_callable(recording, process, prediction="data"), schedule, noise)
    x = next(path)
    for i, following in enumerate(path):
        if i >= len(before):
            yield x, outputs[-1]
        x = following
        outputs.clear()
