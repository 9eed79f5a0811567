"""What a polish lowers: distances between a batch of samples and the teacher's ends, as one number with a gradient.

    e_n = mean over pixels (or features) of (x_n − x*_n)²,   c = median of e_n at the start of the polish

| name | loss | suits |
|---|---|---|
| robust | mean log(e/c + 0.03) | the typical error: noises that end in another mode hardly pull |
| l2 | mean e / c | the endpoint error itself |
| l1 | mean over noises and pixels of abs(x − x*), beside √c | fewer noises that stay far off |
| log | mean log(1 + e/c), for the last three tenths l2 | between the two: such noises pull less |
| features | l2 in a feature space | what a feature distance sees |
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from fewstep.search.projection import precise

__all__ = ["LOSSES", "SMALLEST", "Loss"]

Loss = Callable[[torch.Tensor, torch.Tensor, float, float], torch.Tensor]
SWITCH = 0.7  # share of the iterations after which "log" becomes "l2"
SMALLEST = 1e-20  # squared error that counts as none
FLOOR = 0.03  # of an error beside c, below which it pulls less and less


def _errors(samples: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    errors: torch.Tensor = precise(samples - ends).square().flatten(1).mean(1)  # (B,)
    return errors


def _l2(samples: torch.Tensor, ends: torch.Tensor, middle: float, progress: float) -> torch.Tensor:
    return _errors(samples, ends).mean() / middle


def _l1(samples: torch.Tensor, ends: torch.Tensor, middle: float, progress: float) -> torch.Tensor:
    distance: torch.Tensor = precise(samples - ends).abs().mean()
    return distance / float(middle**0.5)


def _log(samples: torch.Tensor, ends: torch.Tensor, middle: float, progress: float) -> torch.Tensor:
    errors = _errors(samples, ends) / middle
    return torch.log1p(errors).mean() if progress < SWITCH else errors.mean()


def _robust(samples: torch.Tensor, ends: torch.Tensor, middle: float, progress: float) -> torch.Tensor:
    return torch.log(_errors(samples, ends) / middle + FLOOR).mean()


LOSSES: Mapping[str, Loss] = MappingProxyType({"robust": _robust, "l2": _l2, "l1": _l1, "log": _log, "features": _l2})
"""``loss(samples (B, ...), ends (B, ...), c, progress 0 … 1) -> ()``; "features" is given features (B, F) instead."""
