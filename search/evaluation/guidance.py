"""Guidance of a model as a search uses it: the scale that it was opened with, what its calls cost at that and without
guidance, and its outputs without guidance along the teacher's trajectories."""

from typing import NamedTuple

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.models import Denoiser
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.projection import precise
from fewstep.trajectory import Trajectories

__all__ = ["PROBE_CALLS", "UNGUIDED", "Guidance", "contrast_calls", "follow_both", "probe"]

UNGUIDED = 1.0  # the scale at which most models need no second pass
PROBED = 2  # noises
PROBE_CALLS = 3 * PROBED
PLACE = 0.3  # of the way from t_max to t_min: guidance is strongest where noise is
DIGITS = 4  # of the scale


class Guidance(NamedTuple):
    """The ``own`` scale of a model, and the passes of a call at that scale and ``unguided``, at 1."""

    own: float
    passes: int
    unguided: int


def probe(evaluator: Evaluator) -> Guidance | None:
    """The model's guidance; None where it has none to set, or where a call without it takes no fewer passes.

    Outputs are linear in the scale, so that of the model is found from three of them; `PROBE_CALLS` network calls.
    """
    noises = NoiseSet(0, SEARCH, PROBED)
    own = evaluator.under(noises)
    try:
        one = own.guided(UNGUIDED)
        two = own.guided(2.0)
    except InvalidInput:
        return None
    if one.passes >= own.passes:
        return None
    process = own.process
    time = process.t_max + PLACE * (process.t_min - process.t_max)
    x = noises.draw(evaluator.shape).to(evaluator.device)

    @torch.no_grad()
    def output(denoiser: Denoiser) -> torch.Tensor:
        return precise(denoiser(process.prior_std * x, x.new_full((PROBED,), time)))

    plain = output(one)
    direction = output(two) - plain
    size = float(direction.square().sum())
    scale = 1.0 + float(((output(own) - plain) * direction).sum()) / size if size > 0 else UNGUIDED
    return Guidance(round(scale, DIGITS), own.passes, one.passes)


def contrast_calls(count: int) -> int:
    """Network calls of `follow_both` on so many noises."""
    return 2 * count * (teacher.CALLS + 1)


def follow_both(evaluator: Evaluator, owner: str, noises: NoiseSet) -> tuple[Trajectories, int]:
    """The teacher's trajectories of the noises with the model's outputs without guidance on the way, and the calls that
    ``owner`` has to pay for them."""
    process = evaluator.denoiser.process
    key = f"{noises}/{teacher.CALLS}/{teacher.schedule(process, teacher.CALLS).digest}/unguided"
    names = ("log_snrs", "states", "outputs", "unguided")

    def make() -> dict[str, torch.Tensor]:
        noise = noises.draw(evaluator.shape).to(evaluator.device)
        denoiser = evaluator.under(noises)
        trajectories = teacher.trace(denoiser, noise, beside=denoiser.guided(UNGUIDED))[0]
        return {name: torch.from_numpy(np.asarray(getattr(trajectories, name))) for name in names}

    tensors, owned = evaluator.shared("guidance", key, make, owner)
    stored = Trajectories(process, *(tensors[name].numpy() for name in names))
    return stored, contrast_calls(noises.count) if owned else 0
