"""A network as denoiser: what it is given, what its output means, under which condition each sample runs.

With guidance w (Ho and Salimans 2021) a call makes one pass over 2B samples: F = F_uncond + w (F_cond − F_uncond). A
reading is linear in F, so this is D = D_uncond + w (D_cond − D_uncond).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from fewstep.errors import InvalidInput
from fewstep.models.base import to_data
from fewstep.models.decoupled import TwoHeads
from fewstep.models.edm import Edm
from fewstep.models.manifest import Manifest
from fewstep.processes import VE, Process

__all__ = ["NetworkDenoiser", "Plain", "Reading", "reading"]

Tensors = Mapping[str, torch.Tensor]


class Reading(Protocol):
    """How a network is asked and read, where states and times are a process's."""

    @property
    def process(self) -> Process: ...

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network is given in the place of ``x`` (B, ...) and ``t`` (B,)."""

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The data prediction (B, ...) that its output means."""


@dataclass(frozen=True)
class Plain:
    """The state itself goes in, with the time (a flow's σ) times ``time_scale``; out comes a ``prediction``.

    A second half of the channels is a learned variance (Nichol and Dhariwal 2021) and is left out.

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

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """See `fewstep.models.base.to_data`."""
        if output.ndim == x.ndim and output.shape[1] == 2 * x.shape[1]:
            output = output[:, : x.shape[1]]
        return to_data(self.prediction, output, x, t, self.process)


def reading(manifest: Manifest) -> Reading:
    """How a manifest's network is asked and read."""
    if manifest.preconditioning == "edm" and isinstance(manifest.process, VE):
        return Edm(manifest.process, manifest.sigma_data, -1.0 if manifest.prediction == "velocity" else 1.0)
    if manifest.prediction == "heads":
        return TwoHeads(manifest.process)
    return Plain(manifest.process, manifest.prediction, manifest.time_scale)


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """A `fewstep.models.Denoiser` of ``network(x, told, conditions)``, which runs in ``dtype``.

    ``given`` holds the conditions by name, each (n or 1, ...), ``negative`` those that guidance leads away from.
    ``indices`` says under which condition each sample of a batch runs; None counts the samples of the batch.
    """

    network: Callable[[torch.Tensor, torch.Tensor, Tensors], torch.Tensor]
    reading: Reading
    dtype: torch.dtype = torch.float32
    given: Tensors | None = None
    negative: Tensors | None = None
    conditions: int = 0
    guidance: float = 1.0
    indices: tuple[int, ...] | None = None

    @property
    def process(self) -> Process:
        """The noise law."""
        return self.reading.process

    @property
    def passes(self) -> int:
        """2 with guidance, else 1."""
        return 2 if self.negative is not None else 1

    def bound(self, indices: Sequence[int]) -> "NetworkDenoiser":
        """The same for a batch whose sample i runs under condition ``indices[i]``, modulo their number."""
        return replace(self, indices=tuple(int(index) for index in indices))

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x] for ``x`` (B, ...) and ``t`` (B,), in the dtype of ``x``.

        Raises `InvalidInput` where it is bound to another number of samples.
        """
        if self.indices is not None and len(self.indices) != len(x):
            raise InvalidInput(f"this denoiser is bound to {len(self.indices)} samples, got {len(x)}: bind it anew")
        fed, told = self.reading.inputs(x, t)
        fed, told = fed.to(self.dtype), told.float()
        indices = torch.tensor(self.indices or range(len(x)), device=x.device)
        given = _rows(self.given or {}, indices)
        if self.negative is None:
            output = self.network(fed, told, given)
        else:
            negative = _rows(self.negative, indices)
            both = {name: torch.cat([negative[name], rows]) for name, rows in given.items()}
            without, under = self.network(torch.cat([fed, fed]), torch.cat([told, told]), both).to(x.dtype).chunk(2)
            output = without + self.guidance * (under - without)
        return self.reading.data(output.to(x.dtype), x, t)


def _rows(tensors: Tensors, indices: torch.Tensor) -> dict[str, torch.Tensor]:
    """The row of each tensor for each index, modulo the number of rows."""
    return {name: table[indices % len(table)] for name, table in tensors.items()}
