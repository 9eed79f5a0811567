"""Whether a model can be polished: does its gradient exist, and is it that of what the model computes?

A model may run without autograd, or detach, or round a part of its inputs; then a gradient is missing or false. So a
derivative in the states is compared with a difference quotient, and so is the mean of the derivatives in the time over
a short stretch: one of them would not do, for trained networks tell times apart by fast waves.
"""

from collections.abc import Callable

import numpy as np
import torch

from fewstep.models.memory import out_of_memory
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.gaps import ends
from fewstep.search.projection import precise

__all__ = ["PROBE_CALLS", "obstacle"]

PROBED = 2  # noises
NODES, SHARES = np.polynomial.legendre.leggauss(8)  # times on the stretch, and what each counts
PROBE_CALLS = (6 + 2 * len(NODES)) * PROBED  # forward and backward
PLACE = 0.5  # of the way from t_max to t_min, in λ
MOVE = 0.02  # of the state's size; and half the stretch, in λ
TOLERANCE = 0.2  # of a derivative; a part that is missing makes more


def obstacle(evaluator: Evaluator) -> str | None:
    """Why the model cannot be polished, or None where it can. Costs `PROBE_CALLS` network calls; where the device has
    no memory for so many samples, one is probed."""
    for count in (PROBED, 1):
        try:
            return _obstacle(evaluator, count)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
    return "the device has no memory for the gradient of a single sample"


def _obstacle(evaluator: Evaluator, count: int) -> str | None:
    noises = NoiseSet(0, SEARCH, count)
    denoiser, process = evaluator.under(noises), evaluator.denoiser.process
    first, last = ends(process)
    middle = first + PLACE * (last - first)
    t = float(process.time(np.float64(middle)))
    scale = float(np.hypot(process.alpha(np.float64(t)) * 0.5, process.sigma(np.float64(t))))
    x = (scale * noises.draw(evaluator.shape)).to(evaluator.device).requires_grad_(True)

    def output(lam: float | torch.Tensor, at: torch.Tensor = x) -> torch.Tensor:
        value = torch.as_tensor(lam, dtype=torch.float64)
        return precise(denoiser(at, process.time(value).to(x.dtype).to(x.device).expand(count)))

    with torch.no_grad():
        in_time = (output(middle + MOVE) - output(middle - MOVE)) / (2 * MOVE)
    speed = float(in_time.norm())
    weight = in_time / max(speed, 1e-12)

    try:
        (in_state,) = torch.autograd.grad((weight * output(middle)).sum(), x, allow_unused=True)
        slopes = [_slope(output, weight, middle + MOVE * node) for node in NODES.tolist()]
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        return f"it has no gradient: {str(error).splitlines()[0][:120]}"
    if in_state is None or not bool(in_state.isfinite().all()):
        return "it has no finite gradient in the states"
    length = float(precise(in_state).norm())
    move = MOVE * scale * in_state / max(length, 1e-12) * x.detach().norm() / x.numel() ** 0.5
    with torch.no_grad():
        difference = float((weight * (output(middle, x + move) - output(middle, x - move))).sum())
    slope = difference / (2 * max(float(precise(move).norm()), 1e-12))
    if abs(slope - length) > TOLERANCE * max(abs(slope), length, 1e-6):
        return f"its gradient in the states is {length:.3g} where the model moves by {slope:.3g}"
    mean = float(SHARES @ slopes) / 2
    if not abs(mean - speed) <= TOLERANCE * max(abs(mean), speed, 1e-6):
        return f"its gradient in the time is {mean:.3g} where the model moves by {speed:.3g}"
    return None


def _slope(output: Callable[[torch.Tensor], torch.Tensor], weight: torch.Tensor, lam: float) -> float:
    """The derivative in λ of the outputs, weighted; 0 where none comes back."""
    place = torch.tensor(lam, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((weight * output(place)).sum(), place, allow_unused=True)
    return 0.0 if slope is None else float(slope)
