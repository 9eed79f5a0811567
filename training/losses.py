"""Denoising losses: prediction targets and weights of the noise levels.

The squared error of the noise estimate is weighed by w(SNR), SNR = α²/σ². A network that predicts something else makes
the same error in other units, ‖ε̂ − ε‖² = e(SNR) ‖output − target‖², so that its exact equivalent weight is w·e.

| name | w(SNR) | from |
|---|---|---|
| constant | 1 | Ho et al. 2020, eq. 14 |
| debiased | SNR^−1/2 | Yu et al. 2023, "Unmasking bias in diffusion model training" |
| min-snr | min(γ/SNR, 1), γ = 5 | Hang et al. 2023, for the noise |
| p2 | 1 / (1 + SNR) | Choi et al. 2022, k = γ = 1 |
| inverse-snr | 1 / SNR | the same error of x_0 at every level |
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from fewstep.errors import UnknownName
from fewstep.models.base import per_sample
from fewstep.processes import Process

__all__ = ["ERRORS", "TARGETS", "WEIGHTS", "Denoising", "weight"]

GAMMA = 5.0

WEIGHTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "constant": torch.ones_like,
    "debiased": torch.rsqrt,
    "min-snr": lambda snr: (GAMMA / snr).clamp(max=1.0),
    "p2": lambda snr: 1 / (1 + snr),
    "inverse-snr": torch.reciprocal,
}

# e(SNR); "velocity" where α² + σ² = 1. From Δε = −(α/σ) Δx_0, Δv = −Δx_0 / σ, Δ(ε − x_0) = −((α + σ)/σ) Δx_0.
ERRORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "noise": torch.ones_like,
    "data": lambda snr: snr,
    "velocity": lambda snr: snr / (1 + snr),
    "flow": lambda snr: snr / (1 + snr.sqrt()) ** 2,
}

TARGETS: dict[str, Callable[..., Any]] = {
    "noise": lambda data, noise, alpha, sigma: noise,
    "data": lambda data, noise, alpha, sigma: data,
    "velocity": lambda data, noise, alpha, sigma: alpha * noise - sigma * data,
    "flow": lambda data, noise, alpha, sigma: noise - data,
}


def weight(name: str, prediction: str, snr: torch.Tensor) -> torch.Tensor:
    """Weight of the squared error of a ``prediction`` at ``snr`` (B,) > 0 under the scheme ``name``: (B,).

    Raises `UnknownName`.

    >>> weight("debiased", "noise", torch.tensor([0.25, 4.0])).tolist()
    [2.0, 0.5]
    >>> weight("debiased", "data", torch.tensor([0.25, 4.0])).tolist()
    [0.5, 2.0]
    """
    if name not in WEIGHTS:
        raise UnknownName("loss weight", name, WEIGHTS)
    if prediction not in ERRORS:
        raise UnknownName("prediction", prediction, ERRORS)
    return WEIGHTS[name](snr) * ERRORS[prediction](snr)


@dataclass(frozen=True)
class Denoising:
    """Denoising loss of a network with output ``prediction`` and time input ``time_scale`` · t (a flow's σ).

    Times are drawn uniformly: from the process's knots where it has such, else from [t_min, t_max]. ``weight`` is a
    name of `WEIGHTS`, or "" for the plain squared error of the prediction itself. ``no_class``: the label that
    replaces a tenth of the labels, so that one network also learns to do without; None for a network without labels.
    """

    process: Process
    prediction: str = "noise"
    weight: str = "constant"
    time_scale: float = 1.0
    no_class: int | None = None

    def times(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Random times (count,), float32."""
        if self.process.whole_times:
            return torch.randint(len(self.process.knots), (count,), generator=generator).float()
        low, high = self.process.t_min, self.process.t_max
        return low + (high - low) * torch.rand(count, generator=generator)

    def __call__(
        self, network: torch.nn.Module, data: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The batch's mean loss, a scalar: ``data`` (B, ...) and ``labels`` (B,); draws on the generator's device."""
        times = self.times(len(data), generator).to(data.device)
        noise = torch.randn(data.shape, generator=generator).to(data)
        alpha, sigma = (per_sample(scale(times), data) for scale in (self.process.alpha, self.process.sigma))
        conditions: dict[str, torch.Tensor] = {}
        if self.no_class is not None:
            dropped = torch.rand(len(labels), generator=generator) < 0.1
            conditions["class_labels"] = labels.masked_fill(dropped.to(labels.device), self.no_class)
        output = network(alpha * data + sigma * noise, self.time_scale * self.process.network_time(times), **conditions)
        target = TARGETS[self.prediction](data, noise, alpha, sigma)
        errors = (getattr(output, "sample", output).to(data.dtype) - target).square().flatten(1).mean(1)  # (B,)
        if self.weight:
            errors = errors * weight(self.weight, self.prediction, (alpha / sigma).flatten().square())
        mean: torch.Tensor = errors.mean()
        return mean
