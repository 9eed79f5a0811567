"""Whether a model can be polished: does its gradient exist, and is it that of what the model computes?

A model may run without autograd, or detach, or round a part of its inputs; then a gradient is missing or false. So one
derivative in the states and one in the time are compared with difference quotients.
"""

import numpy as np
import torch

from search.ends import ends
from search.evaluate import Evaluator
from search.noises import SEARCH, NoiseSet

__all__ = ["PROBE_CALLS", "obstacle"]

PROBED = 2  # noises
PROBE_CALLS = 6 * PROBED  # five forward, one backward
PLACE = 0.5  # of the way from t_max to t_min, in λ
MOVE = 0.02  # of the state's size; and in λ
TOLERANCE = 0.2  # of a derivative; a part that is missing makes more


def obstacle(evaluator: Evaluator) -> str | None:
    """Why the model cannot be polished, or None where it can. Costs `PROBE_CALLS` sample-calls."""
    noises = NoiseSet(0, SEARCH, PROBED)
    denoiser, process = evaluator.under(noises), evaluator.denoiser.process
    first, last = ends(process)
    middle = first + PLACE * (last - first)
    t = float(process.time(np.float64(middle)))
    scale = float(np.hypot(process.alpha(np.float64(t)) * 0.5, process.sigma(np.float64(t))))
    x = (scale * noises.draw(evaluator.shape)).to(evaluator.device).requires_grad_(True)
    lam = torch.tensor(middle, dtype=torch.float64, requires_grad=True)

    def told(value: torch.Tensor) -> torch.Tensor:
        return process.time(value).to(x).expand(PROBED)

    with torch.no_grad():
        later, earlier = denoiser(x, told(lam + MOVE)), denoiser(x, told(lam - MOVE))
    in_time = (later - earlier).double() / (2 * MOVE)
    weight = in_time / in_time.norm().clamp_min(1e-12)
    try:
        output = denoiser(x, told(lam))
        slopes = torch.autograd.grad((weight * output.double()).sum(), (x, lam), allow_unused=True)
    except RuntimeError as error:
        return f"it has no gradient: {str(error).splitlines()[0][:120]}"
    if slopes[0] is None or not bool(slopes[0].isfinite().all()):
        return "it has no finite gradient in the states"
    length = slopes[0].double().norm()
    move = (MOVE * scale * slopes[0] / length.clamp_min(1e-12)).detach() * x.detach().norm() / x.numel() ** 0.5
    with torch.no_grad():
        difference = (weight * (denoiser(x + move, told(lam)) - denoiser(x - move, told(lam))).double()).sum()
    seen = difference / (2 * move.double().norm().clamp_min(1e-12))
    if abs(float(seen - length)) > TOLERANCE * max(float(seen.abs()), float(length), 1e-6):
        return f"its gradient in the states is {float(length):.3g} where the model moves by {float(seen):.3g}"
    slope, moved = 0.0 if slopes[1] is None else float(slopes[1]), float(in_time.norm())
    if abs(slope - moved) > TOLERANCE * max(abs(slope), moved, 1e-6):
        return f"its gradient in the time is {slope:.3g} where the model moves by {moved:.3g}"
    return None
