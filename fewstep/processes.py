"""Noise laws: x_t = α(t) x_0 + σ(t) ε, with λ(t) = log(α/σ), the half log signal-to-noise ratio.

Every formula is written once and works on Python floats, NumPy arrays (float64) and torch tensors alike.

| symbol | name in code | meaning |
|---|---|---|
| t | ``t`` | time in the process's own units; sampling runs from ``t_max`` down |
| α, σ | ``alpha(t)``, ``sigma(t)`` | scale of the data and of the noise |
| λ | ``log_snr(t)`` | log(α/σ); −∞ where α = 0, +∞ where σ = 0 |
| t(λ) | ``time(lam)`` | the inverse of λ |

``t_zero`` is the time where σ = 0 (the earliest time a schedule may name); ``t_min`` is where sampling ends by default.
"""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch

from fewstep.errors import InvalidInput, UnknownName

__all__ = ["Cosine", "Discrete", "Process", "VPLinear", "from_dict", "names", "to_dict"]

Number = TypeVar("Number", float, np.ndarray, torch.Tensor)


@runtime_checkable
class Process(Protocol):
    """A noise law. Values are frozen, hashable and comparable."""

    kind: ClassVar[str]

    @property
    def t_zero(self) -> float: ...
    @property
    def t_min(self) -> float: ...
    @property
    def t_max(self) -> float: ...
    @property
    def prior_std(self) -> float: ...
    def alpha(self, t: Number) -> Number: ...
    def sigma(self, t: Number) -> Number: ...
    def log_snr(self, t: Number) -> Number: ...
    def time(self, lam: Number) -> Number: ...


def _xp(value: Any) -> Any:
    """The module whose functions fit ``value``: torch for tensors, NumPy for the rest."""
    module: ModuleType = torch if isinstance(value, torch.Tensor) else np
    return module


class _VariancePreserving:
    """α² + σ² = 1, so that everything follows from log α."""

    prior_std: ClassVar[float] = 1.0

    def _log_alpha(self, t: Any) -> Any:
        raise NotImplementedError

    def _time(self, log_alpha: Any) -> Any:
        raise NotImplementedError

    def alpha(self, t: Number) -> Number:
        """α(t), same shape as ``t``."""
        return _xp(t).exp(self._log_alpha(t))  # type: ignore[no-any-return]

    def sigma(self, t: Number) -> Number:
        """σ(t) = √(1 − α²), same shape as ``t``."""
        return _xp(t).sqrt(-_xp(t).expm1(2 * self._log_alpha(t)))  # type: ignore[no-any-return]

    def log_snr(self, t: Number) -> Number:
        """λ(t) = log(α/σ), same shape as ``t``; +∞ at ``t_zero``."""
        xp, log_alpha = _xp(t), self._log_alpha(t)
        with np.errstate(divide="ignore"):
            return log_alpha - 0.5 * xp.log(-xp.expm1(2 * log_alpha))  # type: ignore[no-any-return]

    def time(self, lam: Number) -> Number:
        """The time whose log-SNR is ``lam``; same shape."""
        xp = _xp(lam)
        zero = lam * 0.0 if isinstance(lam, torch.Tensor) else 0.0
        time: Number = self._time(-0.5 * xp.logaddexp(zero, -2 * lam))
        return time


@dataclass(frozen=True)
class VPLinear(_VariancePreserving):
    """Variance-preserving SDE with linear β(t), t in [0, 1] (Song et al. 2021, eq. 32).

    >>> round(float(VPLinear().log_snr(1.0)), 3)
    -5.025
    """

    kind: ClassVar[str] = "vp-linear"
    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0
    t_zero: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.beta_min < self.beta_max < math.inf:
            raise InvalidInput(f"vp-linear wants 0 < beta_min < beta_max, got {self.beta_min} and {self.beta_max}")
        _check_range(self)

    def _log_alpha(self, t: Any) -> Any:
        return -0.25 * t * t * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def _time(self, log_alpha: Any) -> Any:
        # the positive root of the quadratic above, in the form that does not cancel for small |log α|
        root = _xp(log_alpha).sqrt(self.beta_min**2 - 4 * (self.beta_max - self.beta_min) * log_alpha)
        return -4 * log_alpha / (self.beta_min + root)


@dataclass(frozen=True)
class Cosine(_VariancePreserving):
    """Cosine process: α(t) = cos(π/2·(t+s)/(1+s)) / cos(π/2·s/(1+s)) (Nichol and Dhariwal 2021, eq. 17)."""

    kind: ClassVar[str] = "cosine"
    s: float = 0.008
    t_min: float = 1e-3
    t_max: float = 0.9946
    t_zero: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.s < 1:
            raise InvalidInput(f"cosine wants 0 <= s < 1, got {self.s}")
        _check_range(self)

    @property
    def _log_alpha_zero(self) -> float:
        return math.log(math.cos(math.pi / 2 * self.s / (1 + self.s)))

    def _log_alpha(self, t: Any) -> Any:
        xp = _xp(t)
        return xp.log(xp.cos(math.pi / 2 * (t + self.s) / (1 + self.s))) - self._log_alpha_zero

    def _time(self, log_alpha: Any) -> Any:
        xp = _xp(log_alpha)
        return 2 * (1 + self.s) / math.pi * xp.arccos(xp.exp(log_alpha + self._log_alpha_zero)) - self.s


@dataclass(frozen=True)
class Discrete(_VariancePreserving):
    """A table ``alphas_cumprod`` (ᾱ_0 > … > ᾱ_{T−1}) made continuous: t in [−1, T−1], log α linear between entries.

    Times are the network's own indices, 0 … T−1 as floats; t = −1 is clean data (α = 1), as in DPM-Solver (Lu et al.
    2022, appendix D.5).
    """

    kind: ClassVar[str] = "discrete"
    alphas_cumprod: tuple[float, ...]
    t_zero: ClassVar[float] = -1.0
    t_min: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas_cumprod", tuple(float(a) for a in self.alphas_cumprod))
        table = np.asarray((1.0, *self.alphas_cumprod))
        if len(table) < 3 or not (np.all(np.diff(table) < 0) and table[-1] > 0):
            raise InvalidInput(
                "discrete wants at least two alphas_cumprod, strictly falling, all inside (0, 1); "
                f"got {len(table) - 1} values, first {table[1:2]}, last {table[-1:]}"
            )

    @classmethod
    def linear_betas(cls, first: float = 1e-4, last: float = 0.02, count: int = 1000) -> "Discrete":
        """The table of DDPM (Ho et al. 2020): β rises linearly from ``first`` to ``last`` in ``count`` entries."""
        return cls(tuple(np.cumprod(1 - np.linspace(first, last, count))))

    @property
    def t_max(self) -> float:
        return len(self.alphas_cumprod) - 1.0

    @cached_property
    def _table(self) -> np.ndarray:
        return 0.5 * np.log(np.asarray((1.0, *self.alphas_cumprod)))  # (T+1,), log α at t = −1, 0, …, T−1

    def _log_alpha(self, t: Any) -> Any:
        if isinstance(t, torch.Tensor):
            table = torch.as_tensor(self._table, device=t.device)
            low = (t + 1).floor().clamp(0, len(table) - 2)
            left, right = table[low.long()].to(t.dtype), table[low.long() + 1].to(t.dtype)
            return left + (t + 1 - low) * (right - left)
        return np.interp(t, np.arange(len(self._table)) - 1.0, self._table)

    def _time(self, log_alpha: Any) -> Any:
        if isinstance(log_alpha, torch.Tensor):
            falling = torch.as_tensor(self._table, device=log_alpha.device, dtype=log_alpha.dtype)
            low = torch.searchsorted(-falling, -log_alpha.detach()).clamp(1, len(falling) - 1) - 1
            left, right = falling[low], falling[low + 1]
            return low - 1 + (log_alpha - left) / (right - left)
        return np.interp(-np.float64(log_alpha), -self._table, np.arange(len(self._table)) - 1.0)


KINDS: dict[str, type[Any]] = {cls.kind: cls for cls in (VPLinear, Cosine, Discrete)}


def names() -> list[str]:
    """Names of the process kinds."""
    return sorted(KINDS)


def to_dict(process: Process) -> dict[str, Any]:
    """A process as plain JSON values: its kind and its parameters."""
    return {"kind": process.kind, **asdict(process)}  # type: ignore[call-overload]


def from_dict(data: Any) -> Process:
    """The process that `to_dict` described; raises `InvalidInput` where the description is wrong."""
    if not isinstance(data, dict) or "kind" not in data:
        raise InvalidInput(f'a process is an object with a "kind" ({", ".join(names())}), got {str(data)[:80]}')
    kind, parameters = data["kind"], {k: v for k, v in data.items() if k != "kind"}
    if kind not in KINDS:
        raise UnknownName("process", kind, names())
    parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
    try:
        process: Process = KINDS[kind](**parameters)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"process {kind!r} cannot be made from {sorted(parameters)}: {error}") from error
    return process


def _check_range(process: Process) -> None:
    if not process.t_zero <= process.t_min < process.t_max < math.inf:
        raise InvalidInput(
            f"{process.kind} wants {process.t_zero} <= t_min < t_max, got {process.t_min} and {process.t_max}"
        )
