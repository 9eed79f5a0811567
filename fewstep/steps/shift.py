"""Time shift of a schedule: the network's time is the one that fits each state's noise.

A few-step sampler's state does not have exactly the noise level of its time. For each sample, the shifted time is the
one near t whose expected pixel variance is nearest to the state's (Li et al. 2024, "Alleviating exposure bias",
algorithm 3, lines 6-9):

    t_s = argmin_{|τ − t| ≤ w/2} | Var(x) − v(τ) |   where t > t_c, else t

| target | v(τ) | |
|---|---|---|
| ``paper`` | σ_τ² | leaves the data's own variance out, hence the cut-off t_c |
| ``calibrated`` | σ_τ² + α_τ² V | V: mean pixel variance of a clean sample |

Var(x) is the unbiased variance over all numbers of one sample. A time shift adds no network calls.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.processes import Process
from fewstep.processes.base import xp_of

if TYPE_CHECKING:
    import torch

__all__ = ["MODES", "TARGETS", "TimeShift"]

TARGETS = ("paper", "calibrated")
MODES = ("network", "start")
CANDIDATES = 128  # on either side, for processes without a table of times
MIN_CHANGE = 0.05  # a target whose relative range is smaller does not determine a time


@dataclass(frozen=True)
class TimeShift:
    """``window`` w and ``cutoff`` t_c in the process's units · ``target`` one of `TARGETS` · ``mode`` one of `MODES`.

    ``variance`` V belongs to "calibrated" (`pixel_variance` measures it). Mode "network" changes only the network's
    time; "start" takes the step from the shifted time too. Raises `InvalidSchedule`.

    >>> TimeShift(window=100.0, cutoff=300.0)
    TimeShift(window=100.0, cutoff=300.0, target='paper', mode='network', variance=None)
    """

    window: float
    cutoff: float
    target: str = "paper"
    mode: str = "network"
    variance: float | None = None

    def __post_init__(self) -> None:
        for name in ("window", "cutoff", "variance"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, number(f"time shift {name}", value, InvalidSchedule))
        if self.window is None or not self.window > 0:
            raise InvalidSchedule(f"a time shift's window is above 0, got {self.window}: leave the shift out for none")
        if self.cutoff is None:
            raise InvalidSchedule("a time shift wants a cutoff: the time from which on nothing is shifted")
        for name, allowed in (("target", TARGETS), ("mode", MODES)):
            if getattr(self, name) not in allowed:
                raise InvalidSchedule(f"a time shift's {name} is {' or '.join(allowed)}, got {getattr(self, name)!r}")
        if (self.target == "calibrated") != (self.variance is not None) or (self.variance or 0.0) < 0:
            raise InvalidSchedule(
                f"the target 'calibrated' wants the data's variance >= 0 and 'paper' none, got {self.target!r} with "
                f"variance {self.variance}"
            )

    def expected(self, process: Process, t: Any) -> Any:
        """v(t), same shape as ``t``."""
        data = process.alpha(t) ** 2 * self.variance if self.variance is not None else 0.0
        return process.sigma(t) ** 2 + data

    def check(self, process: Process) -> None:
        """Raises `InvalidSchedule` where v hardly changes over the process, so that no variance determines a time.

        This is so on variance-preserving processes where the data have variance 1.
        """
        values = self.expected(process, np.linspace(process.t_min, process.t_max, 2 * CANDIDATES))
        if np.ptp(values) < MIN_CHANGE * values.max():
            raise InvalidSchedule(
                f"with variance {self.variance} on {process.kind} the expected pixel variance lies between "
                f"{values.min():.4g} and {values.max():.4g} at all times and tells none: take the target 'paper'"
            )

    def network_times(
        self, process: Process, x: "torch.Tensor", t: "torch.Tensor", within: tuple[float, float] | None = None
    ) -> "torch.Tensor":
        """Shifted times t_s (B,), for the network, of states ``x`` (B, ...) at times ``t`` (B,).

        Candidates are the table's times t ± 0, 1, 2 … on a discrete process, a fine grid on others, inside
        [t_min, t_max] or ``within``. At t_max, the start of sampling, t stays. Raises `InvalidInput` for
        samples of fewer than two numbers.

        >>> import torch
        >>> from fewstep.processes import VE
        >>> shift = TimeShift(window=1.0, cutoff=0.5)
        >>> round(float(shift.network_times(VE(), torch.tensor([[-1.5, 0.0, 1.5]]), torch.tensor([1.2]))), 2)
        1.5
        """
        xp = xp_of(x)
        if x[:1].numel() < 2 * len(x[:1]):
            raise InvalidInput(f"a time shift wants samples of two numbers or more, got states {tuple(x.shape)}")
        low, high = (process.t_min, process.t_max) if within is None else within
        lowest = t.clamp(max=low)[:, None]  # t may lie below t_min already
        candidates = (t[:, None] + self._offsets(process, t)).clamp(max=high).maximum(lowest)  # (B, M), nearest first
        spread = x.flatten(1).to(xp.promote_types(x.dtype, xp.float32)).var(1)
        nearest = (self.expected(process, candidates) - spread.to(t)[:, None]).abs().argmin(1, keepdim=True)
        active = (t > self.cutoff) & (t < process.t_max)
        shifted: torch.Tensor = xp.where(active, candidates.gather(1, nearest)[:, 0], t)
        return shifted

    def _offsets(self, process: Process, t: "torch.Tensor") -> "torch.Tensor":
        xp = xp_of(t)
        if process.whole_times:
            most = int(self.window // 2)
            steps = xp.arange(-most, most + 1, device=t.device, dtype=t.dtype)
        else:
            steps = xp.linspace(-self.window / 2, self.window / 2, 2 * CANDIDATES + 1, device=t.device, dtype=t.dtype)
        nearest_first: torch.Tensor = steps[steps.abs().argsort(stable=True)]
        return nearest_first

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: Any) -> "TimeShift":
        """The time shift that `to_dict` described; raises `InvalidSchedule`."""
        names = list(cls.__dataclass_fields__)
        if not isinstance(data, dict) or not {"window", "cutoff"} <= set(data) <= set(names):
            raise InvalidSchedule(
                f"a time shift is an object with window, cutoff and optionally {', '.join(names[2:])}; got "
                f"{str(data)[:80]}"
            )
        return cls(**data)
