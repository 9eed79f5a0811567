"""The arc length of a diffusion path in score cost: one measurement gives the grids of every NFE."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fewstep import processes
from fewstep.errors import InvalidInput, UnknownName
from fewstep.grids.even import Grid
from fewstep.grids.monotone import interpolate, invert_length
from fewstep.processes import Process
from fewstep.tableau import MAX_CALLS

__all__ = ["BLEND", "KINDS", "MAX_RATIO", "ArcLength"]

BLEND = 0.7  # best for second-order solvers from 6 to 20 calls; 1 is the paper's grid
MAX_RATIO = 1.2  # of σ/α between two levels
KINDS = {"corrector": 0.5, "predictor": 0.25}  # power of the cost that is a length: costs fall with gap² and gap⁴


@dataclass(frozen=True, eq=False)
class ArcLength:
    """Λ over log-SNR, measured on a fine probe; gives the score-optimal grid of every NFE.

    ``log_snrs`` (K+1,) rising · ``lengths`` (K+1,) from 0, not falling · ``samples`` states at each level · ``source``
    of the states, "data" or "flow" (the model's own trajectories) · ``calls`` of the network, counted for each sample.

    Raises `UnknownName` for a kind that is not in `KINDS`; `InvalidInput` where the numbers do not fit, and where the
    levels lie further apart than `MAX_RATIO`: costs of few, long steps saturate, and a grid made of them collapses.

    >>> from fewstep import processes
    >>> arc = ArcLength(processes.VE(1.0, 2.0), "corrector", -np.log([2.0, 1.8, 1.6, 1.4, 1.2, 1.0]), np.arange(6.0))
    >>> [round(t, 2) for t in arc.times(5, blend=1.0)]
    [2.0, 1.8, 1.6, 1.4, 1.2, 1.0]
    """

    process: Process
    kind: str
    log_snrs: np.ndarray
    lengths: np.ndarray
    samples: int = 1
    source: str = "data"
    calls: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownName("kind of cost", self.kind, KINDS)
        for name in ("log_snrs", "lengths"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        lam = self.log_snrs
        lengths = self.lengths
        if lam.ndim != 1 or len(lam) < 2 or lengths.shape != lam.shape or not np.all(np.isfinite([lam, lengths])):
            raise InvalidInput(
                f"an arc length wants finite log-SNRs (K+1,) and lengths of the same shape, got {lam.shape} and "
                f"{lengths.shape}"
            )
        gaps = np.diff(lam)
        if not np.all(gaps > 0) or gaps.max() > np.log(MAX_RATIO) * (1 + 1e-9):
            raise InvalidInput(
                f"an arc length wants rising log-SNRs at most log({MAX_RATIO}) apart, got gaps from {gaps.min():.3g} "
                f"to {gaps.max():.3g}: costs of long steps make a grid collapse; measure on a finer probe"
            )
        if lengths[0] != 0 or np.any(np.diff(lengths) < 0) or lengths[-1] <= 0:
            raise InvalidInput(f"lengths start at 0, never fall and end above 0, got {str(lengths)[:80]}")

    @property
    def total(self) -> float:
        """Λ of the whole path; N steps of equal length cost total²/N together."""
        return float(self.lengths[-1])

    def log_snr_at(self, shares: np.ndarray, blend: float = BLEND) -> np.ndarray:
        """Log-SNRs (M,) up to which the blended length is ``shares`` (M,) in [0, 1] of the whole.

        Raises `InvalidInput` where ``blend`` is outside [0, 1].
        """
        return invert_length(self.log_snrs, np.diff(self._blended(blend)), np.asarray(shares, dtype=np.float64))

    def times(self, nfe: int, blend: float = BLEND, end: float | None = None) -> tuple[float, ...]:
        """nfe + 1 falling times from t_max to ``end`` (t_min by default), even in the blended length.

        Raises `InvalidInput` for a bad ``nfe``, ``blend`` or end.
        """
        process = self.process
        last = process.t_min if end is None else end
        if type(nfe) is not int or not 1 <= nfe <= MAX_CALLS:
            raise InvalidInput(f"a grid wants 1 <= nfe <= {MAX_CALLS} calls, got {nfe!r}")
        if not process.t_zero <= last < process.t_max:
            raise InvalidInput(f"a grid's end lies in [{process.t_zero}, {process.t_max}), got {last}")
        until = float(np.clip(process.log_snr(np.float64(last)), self.log_snrs[0], self.log_snrs[-1]))
        share = interpolate(self.log_snrs, self._blended(blend), np.array([until]))[0]
        inner = process.time(self.log_snr_at(share * np.linspace(0, 1, nfe + 1)[1:-1], blend))
        return (float(process.t_max), *(float(t) for t in inner), float(last))

    def grid(self, blend: float = BLEND) -> Grid:
        """The grid in the form that solvers take: a function of a process and a number of calls.

        >>> from fewstep import processes, solvers
        >>> process = processes.Flow()
        >>> arc = ArcLength(process, "corrector", np.linspace(-5, 5, 101), np.linspace(0, 2, 101))
        >>> schedule = solvers.named("dpmpp-2m").schedule(process, nfe=4, grid=arc.grid())
        >>> [round(t, 3) for t in schedule.times]
        [1.0, 0.924, 0.5, 0.076, 0.0]
        """

        def place(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
            if process != self.process:
                raise InvalidInput(f"this grid was measured on {self.process}, but is wanted on {process}")
            return self.times(nfe, blend, end)

        return place

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: process, kind, the curve's columns, how it was measured; `from_dict` is the inverse."""
        return {
            "process": processes.to_dict(self.process),
            "kind": self.kind,
            "log_snrs": self.log_snrs.tolist(),
            "lengths": self.lengths.tolist(),
            "samples": self.samples,
            "source": self.source,
            "calls": self.calls,
        }

    @classmethod
    def from_dict(cls, data: Any) -> "ArcLength":
        """The arc length that `to_dict` described; raises `InvalidInput`."""
        names = list(cls.__dataclass_fields__)
        required = names[:4]
        if not isinstance(data, dict) or not set(required) <= set(data) <= set(names):
            raise InvalidInput(
                f"an arc length is an object with {', '.join(required)} and optionally {', '.join(names[4:])}; got "
                f"{str(data)[:80]}"
            )
        try:
            return cls(**{**data, "process": processes.from_dict(data["process"])})
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"an arc length's columns are lists of numbers: {error}") from error

    def _blended(self, blend: float) -> np.ndarray:
        """The blended length (K+1,), from 0 to 1."""
        if not 0 <= blend <= 1:
            raise InvalidInput(f"blend lies in [0, 1] (0 even in log-SNR, 1 score-optimal alone), got {blend}")
        even = (self.log_snrs - self.log_snrs[0]) / (self.log_snrs[-1] - self.log_snrs[0])
        blended: np.ndarray = blend * self.lengths / self.total + (1 - blend) * even
        return blended
