"""Networks of decoupled diffusion models: two heads, one for the attenuation of the data and one for the noise.

    x_t = x_0 + t·C + √t·ε with C = −x_0  (Huang et al. 2023, "Decoupled diffusion models", constant attenuation)

| symbol | shape | meaning |
|---|---|---|
| F_1, F_2 | (B, C, ...) each | outputs of the network for x_t/√(1 + t) at network time TIME_SCALE·log t |
| C | (B, C, ...) | attenuation, (t − 1)·x_t + t/√(1 + t)·F_1: exact for any F_1 at t = 0 |
| ε | (B, C, ...) | noise, √t·x_t + √((1 − t)/(1 + t))·F_2: exact for any F_2 at t = 1 |
| D | (B, C, ...) | data, x_t − t·C − √t·ε: finite at both ends, where C alone or ε alone determines it |
"""

from dataclasses import dataclass, field

import torch

from fewstep.errors import InvalidModel
from fewstep.models.base import per_sample
from fewstep.processes import DDM, Process

__all__ = ["TIME_FLOOR", "TIME_SCALE", "TwoHeads"]

TIME_SCALE = 100.0  # log t fills the range 0 … −920, for which time embeddings are made
TIME_FLOOR = 1e-4  # networks are trained down to here: log t is never lower


@dataclass(frozen=True)
class TwoHeads:
    """Inputs and data prediction of a network with two heads; a `fewstep.models.reading.Reading`.

    >>> heads, x, t = TwoHeads(), torch.ones(1, 1, 3), torch.tensor([0.25])
    >>> [round(value, 4) for value in (heads.inputs(x, t)[0][0, 0, 0].item(), heads.inputs(x, t)[1].item())]
    [0.8944, -138.6294]
    >>> heads.data(torch.zeros(1, 2, 3), x, t)[0, 0, 0].item()
    0.9375
    """

    process: Process = field(default_factory=DDM)

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The network's inputs for states ``x`` (B, C, ...) at times ``t`` (B,) in [0, 1]."""
        return x * per_sample((1 + t).rsqrt(), x), TIME_SCALE * t.clamp_min(TIME_FLOOR).log()

    def time(self, network_time: torch.Tensor) -> torch.Tensor:
        """The time t of ``network_time``, at least TIME_FLOOR; same shape."""
        return (network_time / TIME_SCALE).exp()

    def estimates(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Attenuation C and noise ε, each shaped as ``x``, from the network's ``output`` (B, 2C, ...).

        F_1 comes before F_2. Raises `InvalidModel` where the output has another shape.
        """
        shape = (len(x), 2 * x.shape[1], *x.shape[2:])
        if output.shape != shape:
            raise InvalidModel(
                f"a network with two heads makes {shape} of states {tuple(x.shape)}, got {tuple(output.shape)}"
            )
        first, second = output.chunk(2, 1)
        s = per_sample(t, x)
        return (s - 1) * x + s * (1 + s).rsqrt() * first, s.sqrt() * x + ((1 - s) / (1 + s)).sqrt() * second

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x], shaped as ``x``, from the network's ``output`` (B, 2C, ...)."""
        attenuation, noise = self.estimates(output, x, t)
        s = per_sample(t, x)
        return x - s * attenuation - s.sqrt() * noise
