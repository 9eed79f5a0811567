"""Memory that a search takes beside its model, by arithmetic: stated before it begins."""

from collections.abc import Sequence
from math import prod

from fewstep.search.evaluation.evaluator import SMALL, TARGETS
from fewstep.search.evaluation.microbatch import default_batch
from fewstep.search.projection import HELD, PROJECTED

__all__ = ["beside_model"]

FLOAT = 4  # bytes
STATES = 8  # of a sample, that a solver has at once beside those that it keeps


def beside_model(shape: Sequence[int], noises: int, nfe: int) -> int:
    """Bytes on the device beside the model and its own activations, at most: the projection, targets of the ``noises``,
    what is compared of them, and the states of what is worked on together.

    >>> flux, video = (16, 128, 128), (16, 21, 60, 104)
    >>> [round(beside_model(shape, noises=16, nfe=8) / 2**30, 1) for shape in (flux, video)]
    [0.5, 1.9]
    """
    state = prod(shape) * FLOAT
    width = 2 * (nfe + STATES)
    together = max(TARGETS // (state * (nfe + 3)), 1)
    batch = together if together >= SMALL else default_batch(shape)
    targets = max(2 * noises * state, TARGETS)
    compared = 3 * noises * state
    projection = HELD * PROJECTED * state if prod(shape) > PROJECTED else 0
    return projection + targets + compared + min(batch, noises) * width * state
