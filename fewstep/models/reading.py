"""How states and times become a network's inputs, and its output a data prediction: one reading for each kind."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models.base import to_data
from fewstep.models.decoupled import TwoHeads
from fewstep.models.edm import Edm
from fewstep.models.scheduler_config import NetworkSpec
from fewstep.processes import VE, Process

__all__ = ["Inverted", "Numbers", "Plain", "Reading", "Unshifted", "first_half", "numbers", "reading"]


class Reading(Protocol):
    """How a process's states and times become a network's inputs, and its output a data prediction."""

    @property
    def process(self) -> Process: ...

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The network's inputs for states ``x`` (B, ...) at times ``t`` (B,): states and network times."""

    def time(self, network_time: torch.Tensor) -> torch.Tensor:
        """The process's times (B,) of which the network is told ``network_time`` (B,)."""

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The data prediction (B, ...) of the network's ``output``."""


@dataclass(frozen=True)
class Plain:
    """Reading of a network without preconditioning: input x and ``time_scale``·t (a flow's σ), output a ``prediction``.

    A second half of the output's channels is a learned variance (Nichol and Dhariwal 2021) and is left out.

    >>> from fewstep import processes
    >>> reading = Plain(processes.Flow(shift=3.0), "flow", time_scale=1000.0)
    >>> reading.inputs(torch.ones(1, 2), torch.tensor([0.5]))[1]
    tensor([750.])
    """

    process: Process
    prediction: str
    time_scale: float = 1.0

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``x`` itself, and the time in the network's units."""
        return x, self.time_scale * self.process.network_time(t)

    def time(self, network_time: torch.Tensor) -> torch.Tensor:
        """The inverse of the network's time."""
        return self.process.time_of_network(network_time / self.time_scale)

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """See `fewstep.models.base.to_data`."""
        return to_data(self.prediction, first_half(output, x), x, t, self.process)


@dataclass(frozen=True)
class Inverted:
    """Reading of a flow network on inverted time (Mochi): told ``time_scale``·(1 − σ), it predicts x_0 − ε.

    >>> from fewstep import processes
    >>> reading = Inverted(processes.Flow(), time_scale=1000.0)
    >>> reading.inputs(torch.ones(1, 2), torch.tensor([0.25]))[1]
    tensor([750.])
    """

    process: Process
    time_scale: float = 1.0

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``x`` itself, and the inverted time in the network's units."""
        return x, self.time_scale * (1.0 - self.process.network_time(t))

    def time(self, network_time: torch.Tensor) -> torch.Tensor:
        """The inverse of the network's time."""
        return self.process.time_of_network(1.0 - network_time / self.time_scale)

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x + σ·output."""
        return to_data("flow", -first_half(output, x), x, t, self.process)


@dataclass(frozen=True)
class Unshifted:
    """Reading of a flow network that is told its process's time, ``time_scale``·t, in the place of σ (CogView4).

    >>> from fewstep import processes
    >>> reading = Unshifted(processes.Flow(shift=3.0), time_scale=1000.0)
    >>> reading.inputs(torch.ones(1, 2), torch.tensor([0.5]))[1]
    tensor([500.])
    """

    process: Process
    time_scale: float = 1.0

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``x`` itself, and the time in the network's units."""
        return x, self.time_scale * t

    def time(self, network_time: torch.Tensor) -> torch.Tensor:
        """The inverse of the network's time."""
        return network_time / self.time_scale

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x − σ·output."""
        return to_data("flow", first_half(output, x), x, t, self.process)


def first_half(output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``output`` (B, C, ...) without a learned variance: its first C channels where it has 2·C, ``x`` (B, C, ...)."""
    if output.ndim == x.ndim and output.ndim > 1 and output.shape[1] == 2 * x.shape[1]:
        return output[:, : x.shape[1]]
    return output


def reading(spec: NetworkSpec) -> Reading:
    """The reading of a network; a prediction "heads" has two (`fewstep.models.decoupled`).

    >>> from fewstep import processes
    >>> reading(NetworkSpec(processes.VE(), "velocity", sigma_data=1.0)).sign
    -1.0
    """
    if spec.preconditioning.startswith("edm") and isinstance(spec.process, VE):
        sign = -1.0 if spec.prediction == "velocity" else 1.0
        return Edm(spec.process, float(spec.sigma_data or 0.5), sign, arctan=spec.preconditioning == "edm-atan")
    if spec.preconditioning == "inverted":
        return Inverted(spec.process, spec.time_scale)
    if spec.preconditioning == "unshifted":
        return Unshifted(spec.process, spec.time_scale)
    if spec.prediction == "heads":
        return TwoHeads(spec.process)
    return Plain(spec.process, spec.prediction, spec.time_scale)


@dataclass(frozen=True, eq=False)
class Numbers:
    """A reading at times (N,): ``network_times``, ``scale`` of the input, D = ``state``·x + ``output``·F."""

    network_times: np.ndarray
    scale: np.ndarray
    state: np.ndarray
    output: np.ndarray


def numbers(spec: NetworkSpec, times: np.ndarray) -> Numbers:
    """The reading at ``times`` (N,) in float64: every reading is linear in state and output.

    Raises `InvalidInput` where noise is predicted and a time has no data left.

    >>> from fewstep import processes
    >>> read = numbers(NetworkSpec(processes.Flow(), "flow", 1000.0), np.array([0.5, 0.25]))
    >>> read.network_times.tolist(), read.output.tolist()
    ([500.0, 250.0], [-0.5, -0.25])
    """
    if spec.prediction == "heads":
        raise InvalidModel("a network with two heads makes two outputs a call, which no scheduler of diffusers takes")
    read = reading(spec)
    t = torch.tensor(np.asarray(times), dtype=torch.float64)
    one = torch.ones(len(t), 1, dtype=torch.float64)
    zero = torch.zeros_like(one)
    scaled, network_times = read.inputs(one, t)
    state = read.data(zero, one, t).flatten()
    output = read.data(one, zero, t).flatten()
    if not bool(torch.isfinite(torch.stack([state, output])).all()):
        raise InvalidInput(
            f"a {spec.prediction} prediction says nothing about the data at alpha = 0 (t = {times[0]}): begin the "
            "schedule later, or use a network that predicts velocity, flow or data"
        )
    return Numbers(network_times.numpy(), scaled.flatten().numpy(), state.numpy(), output.numpy())
