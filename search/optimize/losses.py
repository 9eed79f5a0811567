"""What a polish lowers: distances between a batch of samples and the teacher's ends, as one number with a gradient.

    e_n = mean over pixels (or features) of (x_n − x*_n)²,   c = median of e_n, held fixed

| name | loss | suits |
|---|---|---|
| l2 | mean e / c | the endpoint error itself |
| l1 | mean over noises and pixels of abs(x − x*), beside √c | fewer noises that stay far off |
| log | mean log(1 + e/c), for the last three tenths l2 | the median: noises that end in another mode pull less |
| features | l2 in a feature space | what a feature distance sees |
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

__all__ = ["LOSSES", "Loss"]

Loss = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
SWITCH = 0.7  # share of the iterations after which "log" becomes "l2"
SMALLEST = 1e-20


def _errors(samples: torch.Tensor, ends: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    errors = (samples - ends).double().square().flatten(1).mean(1)  # (B,)
    return errors, errors.detach().median().clamp_min(SMALLEST)


def _l2(samples: torch.Tensor, ends: torch.Tensor, progress: float) -> torch.Tensor:
    errors, middle = _errors(samples, ends)
    return errors.mean() / middle


def _l1(samples: torch.Tensor, ends: torch.Tensor, progress: float) -> torch.Tensor:
    return (samples - ends).double().abs().mean() / _errors(samples, ends)[1].sqrt()


def _log(samples: torch.Tensor, ends: torch.Tensor, progress: float) -> torch.Tensor:
    errors, middle = _errors(samples, ends)
    return torch.log1p(errors / middle).mean() if progress < SWITCH else errors.mean() / middle


LOSSES: Mapping[str, Loss] = MappingProxyType({"l2": _l2, "l1": _l1, "log": _log, "features": _l2})
"""``loss(samples (B, ...), ends (B, ...), progress 0 … 1) -> ()``; "features" is given features (B, F) instead."""
