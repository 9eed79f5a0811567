"""A network as denoiser: its inputs, the reading of its output, and the condition of each sample.

With guidance w (Ho and Salimans 2021) a call makes one pass over 2B samples: F = F_uncond + w (F_cond − F_uncond). A
reading is linear in F, so this is D = D_uncond + w (D_cond − D_uncond). At w = 1 that is F_cond, and a call is one pass
over B samples. A distilled network takes w as an input, and a call is always one pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from fewstep.checks import number
from fewstep.errors import InvalidInput
from fewstep.models.reading import Plain, Reading
from fewstep.processes import Process

__all__ = ["NetworkDenoiser", "Plain", "Reading"]

EMBEDDED = "guidance"  # name of the condition that holds the scale, where it is an input of the network

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """A `fewstep.models.Denoiser` of ``network(x, network_times, conditions)``, which runs in ``dtype``.

    ``positive`` holds the conditions by name, each (n or 1, ...), ``negative`` those that guidance leads away from;
    without these there is no guidance, at any ``guidance``, unless "guidance" is among the positive ones: the scale as
    an input of a distilled network. ``indices`` are the conditions of the samples of a batch; None: sample i has
    condition i.
    """

    network: Callable[[torch.Tensor, torch.Tensor, Tensors], torch.Tensor]
    reading: Reading
    dtype: torch.dtype = torch.float32
    positive: Tensors | None = None
    negative: Tensors | None = None
    conditions: int = 0
    guidance: float = 1.0
    indices: tuple[int, ...] | None = None

    @property
    def process(self) -> Process:
        """The noise process."""
        return self.reading.process

    @property
    def passes(self) -> int:
        """2 with guidance at another scale than 1, else 1."""
        return 2 if self.negative is not None and self.guidance != 1.0 else 1

    def bound(self, conditions: Sequence[int]) -> "NetworkDenoiser":
        """The same for a batch whose sample i runs under condition ``conditions[i]``, modulo their number."""
        return replace(self, indices=tuple(int(i) for i in conditions)) if self.conditions else self

    def guided(self, scale: float) -> "NetworkDenoiser":
        """The same at another guidance scale; raises `InvalidInput` where it was opened without guidance."""
        scale = number("guidance scale", scale)
        if self.positive is not None and EMBEDDED in self.positive:
            same = torch.full_like(self.positive[EMBEDDED], scale)
            return replace(self, guidance=scale, positive={**self.positive, EMBEDDED: same})
        if self.negative is None:
            raise InvalidInput(
                f"guidance at scale {scale} wants a model with classifier-free guidance, but this one was opened "
                "without: open a conditional one whose fewstep.json has a guidance other than 1"
            )
        return replace(self, guidance=scale)

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x] for ``x`` (B, ...) and ``t`` (B,), in the dtype of ``x``.

        Raises `InvalidInput` where it is bound to another number of samples.
        """
        if self.indices is not None and len(self.indices) != len(x):
            raise InvalidInput(f"this denoiser is bound to {len(self.indices)} samples, got {len(x)}: bind it anew")
        inputs, times = self.reading.inputs(x, t)
        inputs = inputs.to(self.dtype)
        times = times.float()
        indices = torch.tensor(self.indices or range(len(x)), device=x.device)
        positive = _select(self.positive or {}, indices)
        if self.negative is None or self.guidance == 1.0:
            output = self.network(inputs, times, positive)
        else:
            negative = _select(self.negative, indices)
            both = {name: torch.cat([negative[name], tensor]) for name, tensor in positive.items()}
            outputs = self.network(torch.cat([inputs, inputs]), torch.cat([times, times]), both).to(x.dtype)
            unconditional, conditional = outputs.chunk(2)
            output = unconditional + self.guidance * (conditional - unconditional)
        return self.reading.data(output.to(x.dtype), x, t)


def _select(tensors: Tensors, indices: torch.Tensor) -> dict[str, torch.Tensor]:
    """The conditions with these ``indices``, modulo their number."""
    return {name: table[indices % len(table)] for name, table in tensors.items()}
