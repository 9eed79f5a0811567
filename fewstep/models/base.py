"""The one model convention: a denoiser maps (x, t) to its estimate of the clean data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from fewstep.errors import InvalidInput, UnknownName
from fewstep.models.predictions import PREDICTIONS
from fewstep.processes import Process

__all__ = [
    "PREDICTIONS",
    "CallableDenoiser",
    "Denoiser",
    "bound",
    "data_weights",
    "from_callable",
    "passes",
    "per_sample",
    "to_data",
    "unwrap",
]

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@runtime_checkable
class Denoiser(Protocol):
    """``x`` (B, ...), ``t`` (B,) in the process's units -> E[x_0 | x_t = x], same shape as ``x``.

    A conditional one has two more: ``conditions``, how many it knows, and ``bound(indices)``, see `bound`. One that
    passes its network more than once in a call says how often as ``passes``.
    """

    @property
    def process(self) -> Process: ...
    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor: ...


def bound(denoiser: Denoiser, indices: Sequence[int]) -> Denoiser:
    """The denoiser for a batch whose sample i runs under condition ``indices[i]``, modulo their number.

    One without conditions is returned as it is.

    >>> from fewstep import processes
    >>> plain = from_callable(lambda x, t: x, processes.VPLinear())
    >>> bound(plain, range(4)) is plain
    True
    """
    if not getattr(denoiser, "conditions", 0):
        return denoiser
    made: Denoiser = denoiser.bound(indices)  # type: ignore[attr-defined]
    return made


def passes(denoiser: Denoiser) -> int:
    """How often a call passes the network: 2 with classifier-free guidance, else 1."""
    return int(getattr(denoiser, "passes", 1))


def per_sample(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``values`` (B,) shaped (B, 1, …, 1) so that they broadcast over ``like`` (B, ...)."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def to_data(prediction: str, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor, process: Process) -> torch.Tensor:
    """A network's ``output`` (B, ...) at state ``x`` (B, ...) and time ``t`` (B,) as data prediction (B, ...)."""
    alpha, sigma = per_sample(process.alpha(t), x), per_sample(process.sigma(t), x)
    data: torch.Tensor = PREDICTIONS[prediction](output, x, alpha, sigma)
    return data


def data_weights(prediction: str, process: Process, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p and q (N,) with which D = p·x + q·output at ``times`` (N,): every prediction is linear in state and output.

    Raises `InvalidInput` where noise is predicted and a time has no data left.

    >>> from fewstep import processes
    >>> [weights.tolist() for weights in data_weights("flow", processes.Flow(), np.array([0.5, 0.25]))]
    [[1.0, 1.0], [-0.5, -0.25]]
    """
    alpha, sigma = process.alpha(times), process.sigma(times)
    of_state, of_output = ((0.0, 1.0), (1.0, 0.0))
    with np.errstate(divide="ignore"):
        made = [PREDICTIONS[prediction](*unit, alpha, sigma) for unit in (of_state, of_output)]
    p, q = (np.broadcast_to(np.asarray(weights, dtype=np.float64), times.shape) for weights in made)
    if not np.all(np.isfinite([p, q])):
        raise InvalidInput(
            f"a {prediction} prediction says nothing about the data at alpha = 0 (t = {times[0]}): begin the schedule "
            "later, or use a network that predicts velocity, flow or data"
        )
    return p, q


@dataclass(frozen=True)
class CallableDenoiser:
    """A plain function as denoiser; see `from_callable`."""

    function: Function
    process: Process
    prediction: str

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return to_data(self.prediction, self.function(x, t), x, t, self.process)


def unwrap(denoiser: Denoiser) -> tuple[Function, str]:
    """What to call and what it predicts: the function that a `CallableDenoiser` wraps, else the denoiser and "data".

    A loop that makes data of outputs within its own sums is spared a few passes over the state.

    >>> from fewstep import processes
    >>> unwrap(from_callable(torch.mul, processes.Flow(), "flow")) == (torch.mul, "flow")
    True
    """
    if isinstance(denoiser, CallableDenoiser):
        return denoiser.function, denoiser.prediction
    return denoiser, "data"


def from_callable(function: Function, process: Process, prediction: str = "noise") -> CallableDenoiser:
    """A denoiser from ``function(x, t)``: x (B, ...), t (B,) in the process's units -> same shape as x.

    ``prediction`` says what the function returns: "noise", "data", "velocity" (α ε − σ x_0) or "flow" (ε − x_0).
    "noise" says nothing about the data where α = 0. Raises `UnknownName` for another word.

    >>> import torch
    >>> from fewstep import processes
    >>> denoiser = from_callable(lambda x, t: x * 0, processes.VPLinear(), prediction="data")
    >>> denoiser(torch.ones(2, 3), torch.ones(2)).sum().item()
    0.0
    """
    if prediction not in PREDICTIONS:
        raise UnknownName("prediction", prediction, PREDICTIONS)
    return CallableDenoiser(function, process, prediction)
