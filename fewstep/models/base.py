"""The model convention: a denoiser maps a state x at time t to its estimate of the clean data, E[x_0 | x_t = x].

`Denoiser` is the protocol, and all of its members are required: wrappers and searches rely on each. A model without
conditions derives from `Unconditional`, a wrapper around another denoiser from `Wrapped`; these bases bring the members
that a class does not define itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch

from fewstep.errors import InvalidInput, UnknownName
from fewstep.models.predictions import PREDICTIONS
from fewstep.processes import Process

__all__ = [
    "PREDICTIONS",
    "CallableDenoiser",
    "Denoiser",
    "Unconditional",
    "Wrapped",
    "check_denoiser",
    "data_weights",
    "from_callable",
    "per_sample",
    "to_data",
    "unwrap",
]

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@runtime_checkable
class Denoiser(Protocol):
    """``x`` (B, ...), ``t`` (B,) in the process's units -> E[x_0 | x_t = x], same shape as ``x``."""

    @property
    def process(self) -> Process:
        """The noise process that it was trained on."""

    @property
    def conditions(self) -> int:
        """Number of conditions (classes or prompts), 0 for an unconditional model."""

    @property
    def passes(self) -> int:
        """Network passes that one call takes for one sample: 2 with classifier-free guidance, else 1; at a scale at
        which the guidance needs no second pass (1, for most) 1 as well."""

    def bound(self, conditions: Sequence[int]) -> "Denoiser":
        """The denoiser for a batch whose sample i runs under condition ``conditions[i]``, modulo their number.

        Binding again replaces the conditions. An unconditional one returns itself.
        """

    def guided(self, scale: float) -> "Denoiser":
        """The denoiser with its guidance at ``scale``; raises `InvalidInput` where it has no guidance to set."""

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor: ...


MEMBERS = ("process", "conditions", "passes", "bound", "guided", "__call__")


def check_denoiser(denoiser: object) -> None:
    """Raises `InvalidInput` where ``denoiser`` lacks a member of `Denoiser`; called once, where a model is passed in.

    >>> check_denoiser(torch.nn.Identity())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    fewstep.errors.InvalidInput: a denoiser has process, ...; this Identity lacks process, conditions, ...
    """
    missing = [name for name in MEMBERS if not hasattr(denoiser, name)]
    if missing:
        raise InvalidInput(
            f"a denoiser has {', '.join(MEMBERS)}; this {type(denoiser).__name__} lacks {', '.join(missing)}: wrap a "
            "function of (x, t) by fewstep.models.from_callable, or derive the class from fewstep.models.Unconditional "
            "(no conditions) or fewstep.models.Wrapped (around another denoiser)"
        )


class Unconditional:
    """Base of unconditional denoisers: a subclass defines ``process`` and ``__call__``, the other members are here.

    >>> from fewstep import processes
    >>> class Zero(Unconditional):
    ...     process = processes.VPLinear()
    ...
    ...     def __call__(self, x, t):
    ...         return 0 * x
    >>> Zero().conditions, Zero().passes
    (0, 1)
    """

    conditions: int = 0
    passes: int = 1

    def bound(self, conditions: Sequence[int]) -> Self:
        """Itself: there are no conditions to bind."""
        return self

    def guided(self, scale: float) -> Self:
        """Raises `InvalidInput`: guidance leads away from a condition, and there is none."""
        raise InvalidInput(
            f"guidance at scale {scale} wants a model with conditions, but this {type(self).__name__} has none: open a "
            "conditional model, or leave the guidance out"
        )


@dataclass(frozen=True)
class Wrapped:
    """Base of wrappers: every member is that of the ``denoiser`` inside; a subclass defines ``__call__``.

    A subclass with more fields is a frozen dataclass; `bound` and `guided` keep them. Raises `InvalidInput` where the
    denoiser inside lacks a member of `Denoiser`.

    >>> from fewstep import models
    >>> class Clamped(Wrapped):
    ...     def __call__(self, x, t):
    ...         return self.denoiser(x, t).clamp(-1, 1)
    >>> clamped = Clamped(models.zoo.load("digits-cond"))
    >>> clamped.conditions, clamped.passes, clamped.bound([7, 7]).denoiser.indices
    (10, 2, (7, 7))
    """

    denoiser: Denoiser

    def __post_init__(self) -> None:
        check_denoiser(self.denoiser)

    @property
    def process(self) -> Process:
        """The noise process of the denoiser inside."""
        return self.denoiser.process

    @property
    def conditions(self) -> int:
        """Number of conditions of the denoiser inside."""
        return self.denoiser.conditions

    @property
    def passes(self) -> int:
        """Network passes that one call of the denoiser inside takes for one sample."""
        return self.denoiser.passes

    def bound(self, conditions: Sequence[int]) -> Self:
        """The same wrapper around the bound denoiser; see `Denoiser`."""
        return replace(self, denoiser=self.denoiser.bound(conditions)) if self.conditions else self

    def guided(self, scale: float) -> Self:
        """The same wrapper around the guided denoiser; see `Denoiser`."""
        return replace(self, denoiser=self.denoiser.guided(scale))


def per_sample(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``values`` (B,) shaped (B, 1, …, 1) so that they broadcast over ``like`` (B, ...)."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def to_data(prediction: str, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor, process: Process) -> torch.Tensor:
    """A network's ``output`` (B, ...) at state ``x`` (B, ...) and time ``t`` (B,) as data prediction (B, ...)."""
    alpha = per_sample(process.alpha(t), x)
    sigma = per_sample(process.sigma(t), x)
    data: torch.Tensor = PREDICTIONS[prediction](output, x, alpha, sigma)
    return data


def data_weights(prediction: str, process: Process, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p and q (N,) with which D = p·x + q·output at ``times`` (N,): every prediction is linear in state and output.

    Raises `InvalidInput` where noise is predicted and a time has no data left.

    >>> from fewstep import processes
    >>> [weights.tolist() for weights in data_weights("flow", processes.Flow(), np.array([0.5, 0.25]))]
    [[1.0, 1.0], [-0.5, -0.25]]
    """
    alpha = process.alpha(times)
    sigma = process.sigma(times)
    of_state = (0.0, 1.0)
    of_output = (1.0, 0.0)
    with np.errstate(divide="ignore"):
        both = [PREDICTIONS[prediction](*unit, alpha, sigma) for unit in (of_state, of_output)]
    p, q = (np.broadcast_to(np.asarray(weights, dtype=np.float64), times.shape) for weights in both)
    if not np.all(np.isfinite([p, q])):
        raise InvalidInput(
            f"a {prediction} prediction says nothing about the data at alpha = 0 (t = {times[0]}): begin the schedule "
            "later, or use a network that predicts velocity, flow or data"
        )
    return p, q


@dataclass(frozen=True)
class CallableDenoiser(Unconditional):
    """A plain function as denoiser; see `from_callable`."""

    function: Function
    process: Process
    prediction: str

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return to_data(self.prediction, self.function(x, t), x, t, self.process)


def unwrap(denoiser: Denoiser) -> tuple[Function, str]:
    """Function and prediction inside a `CallableDenoiser`; any other denoiser itself, which predicts "data".

    A loop that converts outputs to data within its own sums saves a few passes over the state.

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
