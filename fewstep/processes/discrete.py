"""The process of a table of ᾱ, as in diffusers checkpoints, interpolated to continuous time."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidInput
from fewstep.processes.base import VariancePreserving, is_tensor, xp_of

__all__ = ["LAST_ALPHA", "Discrete"]

LAST_ALPHA = 2.0**-24  # ᾱ at the end in the place of zero, as in diffusers: the smallest number of half precision


@dataclass(frozen=True)
class Discrete(VariancePreserving):
    """A table ``alphas_cumprod`` (ᾱ_0 > … > ᾱ_{T−1}) in continuous time: t in [−1, T−1], log α linear between entries.

    Times are the network's own indices, 0 … T−1 as floats; t = −1 is clean data (α = 1), as in DPM-Solver (Lu et al.
    2022, appendix D.5). A last entry of 0 (zero terminal SNR) becomes 2⁻²⁴, or a quarter of the one before.

    >>> process = Discrete((0.9, 0.5, 0.1))
    >>> process.t_max, round(float(process.alpha(2.0)) ** 2, 6)
    (2.0, 0.1)
    """

    kind: ClassVar[str] = "discrete"
    alphas_cumprod: tuple[float, ...]
    t_zero: ClassVar[float] = -1.0
    t_min: ClassVar[float] = 0.0
    default_prediction: ClassVar[str | None] = "noise"
    default_time_scale: ClassVar[float | None] = 1.0
    whole_times: ClassVar[bool] = True

    def __post_init__(self) -> None:
        try:
            values = tuple(number(f"alphas_cumprod[{i}]", a) for i, a in enumerate(self.alphas_cumprod))
        except TypeError as error:
            raise InvalidInput(f"discrete wants alphas_cumprod as a sequence of numbers: {error}") from error
        if len(values) > 1 and values[-1] == 0.0:
            values = (*values[:-1], min(LAST_ALPHA, values[-2] / 4))
        object.__setattr__(self, "alphas_cumprod", values)
        table = np.asarray((1.0, *self.alphas_cumprod))
        if len(table) < 3 or not (np.all(np.diff(table) < 0) and table[-1] > 0):
            raise InvalidInput(
                "discrete wants at least two alphas_cumprod, strictly falling, all inside (0, 1); "
                f"got {len(values)} values: {str(values)[:60]}"
            )

    @classmethod
    def linear_betas(cls, first: float = 1e-4, last: float = 0.02, count: int = 1000) -> "Discrete":
        """The table of DDPM (Ho et al. 2020): β rises linearly from ``first`` to ``last`` in ``count`` entries.

        >>> Discrete.linear_betas().t_max
        999.0
        """
        return cls(tuple(np.cumprod(1 - np.linspace(first, last, count))))

    @property
    def t_max(self) -> float:
        """Index of the table's last entry."""
        return len(self.alphas_cumprod) - 1.0

    @property
    def knots(self) -> range:
        """The times of the table's entries: log α has a corner at each."""
        return range(len(self.alphas_cumprod))

    @cached_property
    def _table(self) -> np.ndarray:
        table: np.ndarray = 0.5 * np.log(np.asarray((1.0, *self.alphas_cumprod)))
        return table  # (T+1,), log α at t = −1, 0, …, T−1

    @cached_property
    def _tensors(self) -> dict[Any, Any]:
        return {}  # the table by dtype and device: an upload in every call would wait for the device

    def __getstate__(self) -> dict[str, Any]:
        """Without the tables on devices, which are of this process only."""
        return {name: value for name, value in self.__dict__.items() if name != "_tensors"}

    def _tensor(self, like: Any) -> Any:
        """The table on the device and in the dtype of a tensor."""
        table = self._tensors.get((like.dtype, like.device))
        if table is None:
            xp = xp_of(like)
            table = xp.as_tensor(self._table, dtype=like.dtype).to(like.device)  # some devices have no float64
            if type(table) is xp.Tensor and not table.is_inference():  # one of a tracer, say, is of use there only
                self._tensors[like.dtype, like.device] = table
        return table

    def _log_alpha(self, t: Any) -> Any:
        if is_tensor(t):
            xp = xp_of(t)
            t = t if t.is_floating_point() else t.to(xp.get_default_dtype())
            table = self._tensor(t)
            low = (t + 1).floor().clamp(0, len(table) - 2)
            left = table[low.long()]
            right = table[low.long() + 1]
            return left + (t + 1 - low) * (right - left)
        return np.interp(t, np.arange(len(self._table)) - 1.0, self._table)

    def _time(self, log_alpha: Any) -> Any:
        if is_tensor(log_alpha):
            xp = xp_of(log_alpha)
            falling = self._tensor(log_alpha)
            low = xp.searchsorted(-falling, -log_alpha.detach()).clamp(1, len(falling) - 1) - 1
            left = falling[low]
            right = falling[low + 1]
            return low - 1 + (log_alpha - left) / (right - left)
        return np.interp(-np.float64(log_alpha), -self._table, np.arange(len(self._table)) - 1.0)
