"""The tableau of a schedule: every few-step solver is linear in the start state and the network's past outputs.

    y_{i+1} = c_i·y_0 + Σ_{j≤i} W_ij·D_j (+ Σ_k S_ik·z_k),    i = 0 … N−1

| symbol | field | shape | meaning |
|---|---|---|---|
| t_i | ``times`` | (N+1,) | time of state y_i |
| τ_i | ``network_times`` | (N,) | the network's time in call i |
| c | ``start`` | (N,) | weight of the start state y_0 = prior_std · noise |
| W | ``outputs`` | (N, N) | weight of call j's data prediction D_j in state i+1; lower triangular |
| S | ``noise`` | (N, K) | weight of fresh noise z_k; K = 0 for deterministic solvers |
| w | ``guidance`` | (N,) | guidance scale of each call; None: every call at the model's own |
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from fewstep.errors import InvalidSchedule

__all__ = ["MAX_CALLS", "Tableau"]

MAX_CALLS = 1000  # a schedule longer than any teacher's is a mistake

FIELDS = ("times", "network_times", "start", "outputs", "noise")
OPTIONAL = "guidance"  # left out of the stored form, and of its digest, where it is None


@dataclass(frozen=True, eq=False)
class Tableau:
    """A solver schedule as numbers, float64 and read-only; raises `InvalidSchedule` where a shape or value is wrong.

    >>> one_call = Tableau([1.0, 0.0], [1.0], [0.0], [[1.0]], [[]])  # the first data prediction itself
    >>> one_call.calls
    1
    """

    times: np.ndarray
    network_times: np.ndarray
    start: np.ndarray
    outputs: np.ndarray
    noise: np.ndarray
    guidance: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in self._fields:
            try:
                values = np.array(getattr(self, name))
            except (TypeError, ValueError) as error:
                raise InvalidSchedule(f"tableau {name} is not a regular table of numbers: {error}") from error
            if values.dtype.kind not in "fiu":
                raise InvalidSchedule(f"tableau {name} holds something else than numbers: {str(values)[:80]}")
            array = values.astype(np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        n = len(self.times) - 1 if self.times.ndim == 1 else 0
        shapes = {"times": (n + 1,), "network_times": (n,), "start": (n,), "outputs": (n, n)}
        for name, shape in shapes.items():
            if n < 1 or getattr(self, name).shape != shape:
                raise InvalidSchedule(
                    f"tableau {name} has shape {getattr(self, name).shape}, wanted {shape} for {n} calls (times has "
                    "one entry more than there are calls): rows are missing or left over"
                )
        if self.noise.ndim != 2 or self.noise.shape[0] != n:
            raise InvalidSchedule(f"tableau noise has shape {self.noise.shape}, wanted ({n}, K) for {n} calls")
        if self.guidance is not None and self.guidance.shape != (n,):
            raise InvalidSchedule(
                f"tableau guidance has shape {self.guidance.shape}, wanted ({n},) for {n} calls: one scale for each"
            )
        for name in self._fields:
            if not np.all(np.isfinite(getattr(self, name))):
                raise InvalidSchedule(f"tableau {name} holds NaN or infinity; every number must be finite")
        if np.any(np.triu(self.outputs, 1)):
            raise InvalidSchedule("tableau outputs uses a network output before it exists (not lower triangular)")

    @property
    def _fields(self) -> tuple[str, ...]:
        """The names of the arrays that it has."""
        return FIELDS if self.guidance is None else (*FIELDS, OPTIONAL)

    @property
    def calls(self) -> int:
        """Network calls for one sample."""
        return len(self.network_times)

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse, exactly."""
        return {name: getattr(self, name).tolist() for name in self._fields}

    @classmethod
    def from_dict(cls, data: Any) -> "Tableau":
        """The tableau that `to_dict` described; raises `InvalidSchedule`."""
        if not isinstance(data, dict) or set(data) - {OPTIONAL} != set(FIELDS) or data.get(OPTIONAL, ()) is None:
            received = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
            raise InvalidSchedule(f"a tableau is an object with {', '.join(FIELDS)} (and {OPTIONAL}); got {received}")
        return cls(**data)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Tableau)
            and self._fields == other._fields
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in self._fields)
        )

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name).tobytes() for name in self._fields))

    def close_to(self, other: "Tableau", tolerance: float = 1e-9) -> bool:
        """Whether both have the same shape and agree to ``tolerance`` (absolute and relative)."""
        return (
            self.noise.shape == other.noise.shape
            and self.calls == other.calls
            and self._fields == other._fields
            and all(
                np.allclose(getattr(self, name), getattr(other, name), rtol=tolerance, atol=tolerance)
                for name in self._fields
            )
        )
