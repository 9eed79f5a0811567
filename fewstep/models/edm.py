"""EDM's preconditioned networks (Karras et al. 2022, table 1 and eq. 7), as one reading of a network.

    D = c_skip·x + c_out·F(c_in·x, c_noise),  x = x_0 + σ ε

| symbol | value |
|---|---|
| c_in | 1/√(σ² + d²), with d = ``sigma_data`` |
| c_skip | d²/(σ² + d²) |
| c_out | σ·d/√(σ² + d²) |
| c_noise | log(σ)/4, or atan(σ)·2/π (Stable Audio) |
"""

import math
from dataclasses import dataclass

import torch

from fewstep.models.base import per_sample
from fewstep.processes import VE

__all__ = ["Edm"]


@dataclass(frozen=True)
class Edm:
    """Inputs and data prediction of a preconditioned network; a `fewstep.models.reading.Reading`.

    ``sign`` is −1 where it predicts a velocity, else 1; ``arctan`` chooses the second c_noise.

    >>> reading = Edm(VE(), sigma_data=0.5)
    >>> states, times = reading.inputs(torch.ones(1, 2), torch.tensor([1.0]))
    >>> times.item(), reading.data(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([1.0])).tolist()
    (0.0, [[0.20000000298023224, 0.20000000298023224]])
    """

    process: VE
    sigma_data: float = 0.5
    sign: float = 1.0
    arctan: bool = False

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """c_in·x and c_noise, for ``x`` (B, ...) and ``t`` (B,)."""
        sigma = self.process.sigma(t)
        noise = sigma.atan() * (2 / math.pi) if self.arctan else sigma.log() / 4
        return x * per_sample((sigma**2 + self.sigma_data**2).rsqrt(), x), noise

    def time(self, network_time: torch.Tensor) -> torch.Tensor:
        """The σ whose c_noise is ``network_time``; same shape."""
        return (network_time * (math.pi / 2)).tan() if self.arctan else (4 * network_time).exp()

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """c_skip·x + c_out·F, shaped as ``x``."""
        sigma = per_sample(self.process.sigma(t), x)
        total = sigma**2 + self.sigma_data**2
        return self.sigma_data**2 / total * x + self.sign * self.sigma_data * sigma * total.rsqrt() * output
