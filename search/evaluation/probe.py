"""Trial calls of a new model: output shape, finite values, passes and speed."""

import statistics
import time
from dataclasses import dataclass

import torch

from fewstep.errors import InvalidModel
from fewstep.models import Denoiser
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, NoiseSet

__all__ = ["Probed", "probe"]

SAMPLES = 2
PLACES = 5  # times between start and end at which it is asked
REPEATS = 3


@dataclass(frozen=True)
class Probed:
    """``passes`` of the network in one call and the ``seconds`` that a call takes for one sample, median of a few."""

    passes: int
    seconds: float


def probe(evaluator: Evaluator) -> Probed:
    """Call the model at the start of its process, on the way and at its end; raises `InvalidModel` where an answer is
    not finite or has another shape than its samples.
    """
    denoiser, process = evaluator.denoiser, evaluator.denoiser.process
    noise = NoiseSet(0, SEARCH, SAMPLES).draw(evaluator.shape).to(evaluator.device)
    both = denoiser.bound(range(SAMPLES))
    times = [float(t) for t in torch.linspace(process.t_max, process.t_min, PLACES, dtype=torch.float64)]
    for place in times:
        x = noise * float(process.sigma(torch.tensor(place, dtype=torch.float64)))
        answer = both(x, torch.full((SAMPLES,), place, device=x.device, dtype=x.dtype))
        if tuple(answer.shape) != tuple(x.shape):
            raise InvalidModel(
                f"the model answers samples of shape {evaluator.shape} with {tuple(answer.shape[1:])}: "
                "give its shape in fewstep.json"
            )
        if not bool(answer.isfinite().all()):
            raise InvalidModel(f"its answer at time {place:g} is not finite: its weights or its prediction are wrong")
    one, x = denoiser.bound(range(1)), noise[:1]
    t = torch.full((1,), times[PLACES // 2], device=x.device, dtype=x.dtype)
    seconds = statistics.median(_timed(one, x, t) for _ in range(REPEATS))
    return Probed(denoiser.passes, seconds)


def _timed(denoiser: Denoiser, x: torch.Tensor, t: torch.Tensor) -> float:
    begin = time.perf_counter()
    denoiser(x, t).sum().item()  # the number is here only when a device has done its work
    return time.perf_counter() - begin
