"""Teacher trajectories: states and outputs along the exact flow, and the residuals of a tableau replayed on them.

Replay takes no network call: it uses the teacher's outputs for the student's. The residual of row i is

    r_i = ‖ c_i·y_0 + Σ_{j≤i} W_ij·D*(t_j) − y*(t_{i+1}) ‖ / √d,   root mean square over the noises

| symbol | field | shape | meaning |
|---|---|---|---|
| λ_k | ``log_snrs`` | (K,) | rising log-SNRs of the points |
| y* | ``states`` | (K, n, d) | teacher's states |
| D* | ``outputs`` | (K, n, d) | teacher's data predictions |
| D¹ | ``unguided`` | (K, n, d) | the model's at guidance scale 1, at the same states; None: not recorded |
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.processes import Process
from fewstep.tableau import Tableau

__all__ = ["Trajectories"]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Teacher trajectories of n noises at K log-SNRs; d is the size of a state or of a linear projection of it.

    Raises `InvalidInput` where the shapes do not fit, a number is not finite or the log-SNRs do not rise.
    """

    process: Process
    log_snrs: np.ndarray
    states: np.ndarray
    outputs: np.ndarray
    unguided: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("log_snrs", "states", "outputs", *(() if self.unguided is None else ("unguided",))):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
            if not np.all(np.isfinite(getattr(self, name))):
                raise InvalidInput(f"trajectories want finite {name}, got NaN or infinity")
        if self.log_snrs.ndim != 1 or len(self.log_snrs) < 4 or np.any(np.diff(self.log_snrs) <= 0):
            raise InvalidInput(f"trajectories want at least 4 rising log-SNRs (K,), got {str(self.log_snrs)[:80]}")
        count = len(self.log_snrs)
        if self.states.shape != self.outputs.shape or self.states.ndim != 3 or len(self.states) != count:
            raise InvalidInput(
                f"trajectories want states and outputs (K, n, d) with K = {count}, got {self.states.shape} and "
                f"{self.outputs.shape}"
            )
        if self.unguided is not None and self.unguided.shape != self.outputs.shape:
            raise InvalidInput(
                f"trajectories want unguided outputs of the shape of the others, got {self.unguided.shape} beside "
                f"{self.outputs.shape}"
            )

    @cached_property
    def gram(self) -> np.ndarray:
        """Mean inner products of all states, outputs and unguided outputs, (2K, 2K) or (3K, 3K): all that replay of
        times knows of the noises."""
        parts = [self.states, self.outputs, *(() if self.unguided is None else (self.unguided,))]
        stored = np.concatenate(parts).reshape(len(parts) * len(self.log_snrs), -1)
        products: np.ndarray = stored @ stored.T / stored.shape[1]
        return products

    def first(self, count: int) -> "Trajectories":
        """The trajectories of the first ``count`` noises."""
        return self.of(range(count))

    def of(self, picks: Sequence[int]) -> "Trajectories":
        """The trajectories of some of the noises."""
        chosen = slice(0, len(picks)) if picks == range(len(picks)) else list(picks)
        unguided = None if self.unguided is None else self.unguided[:, chosen]
        return replace(self, states=self.states[:, chosen], outputs=self.outputs[:, chosen], unguided=unguided)

    def at(self, values: np.ndarray, log_snrs: np.ndarray) -> np.ndarray:
        """``values`` (K, n, d), one of the fields, interpolated to ``log_snrs`` (...,) -> (..., n, d); cubic in λ.

        Outside the stored log-SNRs the nearest end is taken.
        """
        knots = self.log_snrs
        where = np.clip(log_snrs, knots[0], knots[-1])
        first = np.clip(np.searchsorted(knots, where) - 2, 0, len(knots) - 4)
        result = np.zeros((*np.shape(log_snrs), *values.shape[1:]))
        for a in range(4):  # Lagrange basis on the four knots around each point
            weight = np.ones_like(where)
            for b in range(4):
                if b != a:
                    weight = weight * (where - knots[first + b]) / (knots[first + a] - knots[first + b])
            result += weight[..., None, None] * values[first + a]
        return result

    def replay(self, tableaus: Sequence[Tableau]) -> np.ndarray:
        """Residuals (M, N) of M tableaus of N calls each, in the units of the data; the last column is the end.

        Raises `InvalidInput` where the tableaus differ in their number of calls.
        """
        if len({tableau.calls for tableau in tableaus}) != 1:
            raise InvalidInput(
                f"replay wants tableaus of one length, got {[tableau.calls for tableau in tableaus]} calls"
            )
        times = np.array([tableau.times for tableau in tableaus])  # (M, N+1)
        log_snrs = self.process.log_snr(times)
        states = self.at(self.states, log_snrs)
        outputs = self.at(self.outputs, log_snrs[:, :-1])  # (M, N, n, d)
        starts = np.array([tableau.start for tableau in tableaus])  # (M, N)
        weights = np.array([tableau.outputs for tableau in tableaus])  # (M, N, N)
        replayed = starts[:, :, None, None] * states[:, :1] + np.einsum("mij,mjnd->mind", weights, outputs)
        residuals: np.ndarray = np.sqrt(np.mean((replayed - states[:, 1:]) ** 2, axis=(2, 3)))
        return residuals
