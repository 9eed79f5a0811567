"""Physics forecasts: errors of a tableau without a network call, from stored teacher trajectories alone.

Three forecasts for each row of the tableau, and one for its end, all logarithms of root mean square errors:

- open loop: the residuals of `Trajectories.replay`, where the teacher's outputs stand in for the student's;
- closed loop: the same, but the student's own errors act back on its outputs through the Jacobian of a Gaussian
  denoiser, D_j ≈ D*(t_j) + g J_j (y_j − y*(t_j)), for several gains g;
- Gaussian: the tableau's exact error on a centred Gaussian with the data's eigenvalues v, over all start noises, by a
  scalar recursion for each v, against the exact flow y ∝ √(α² v + σ²);
- modes: the error at the end on one-dimensional mixtures of two modes (`fewstep.predictor.modes`).

| symbol | meaning | shape |
|---|---|---|
| v | eigenvalues of the data's covariance, from the end states; means of G groups | (G,) |
| J | α v / (α² v + σ²), slope of the Gaussian's data prediction along an eigenvector | (M, N, G) |
| y*, D* | teacher's states and outputs in the eigenbasis, each group compressed to r numbers | (K, r, G) |
"""

from collections.abc import Sequence

import numpy as np

from fewstep.predictor import modes
from fewstep.tableau import Tableau
from fewstep.trajectory import Trajectories

__all__ = ["GAINS", "Physics"]

GAINS = (0.9, 1.0, 1.15, 1.3)  # above 1: between the modes of real data the denoiser is steeper than a Gaussian's
GROUPS = 16
MODES = (4.0, 1.0)  # variances of the two-mode mixtures, in units of the data's mean eigenvalue
RANK = 12  # numbers for each group: trajectories are smooth in λ, so few describe them
FLOOR = 1e-12
BLOCK = 48  # tableaus at a time, so that the work stays in the processor's cache


class Physics:
    """Physics forecasts from ``trajectories``, prepared once: call it with tableaus of one length."""

    def __init__(self, trajectories: Trajectories) -> None:
        states, outputs = trajectories.states, trajectories.outputs
        count, noises, d = states.shape
        ends = states[-1] - states[-1].mean(axis=0)
        spectrum, basis = np.linalg.eigh(ends.T @ ends / max(noises - 1, 1))
        last = trajectories.process.time(trajectories.log_snrs[-1])
        spectrum = (spectrum - trajectories.process.sigma(last) ** 2) / trajectories.process.alpha(last) ** 2
        groups = [group for group in np.array_split(np.arange(d)[::-1], GROUPS) if len(group)]
        self._shares = np.array([len(group) / d for group in groups])
        self._spectrum = np.array([max(spectrum[group].mean(), 0.0) for group in groups])  # (G,)
        both = np.concatenate([states, outputs]) / np.sqrt(noises * d)  # (2K, n, d)
        rotated = both @ basis
        kept = np.stack([_compress(rotated[:, :, group].reshape(2 * count, -1), RANK) for group in groups], axis=2)
        self._closed = Trajectories(trajectories.process, trajectories.log_snrs, kept[:count], kept[count:])
        flat = _compress(both.reshape(2 * count, -1), 2 * count)[:, None] * np.sqrt(2 * count)  # replay takes the mean
        self._open = Trajectories(trajectories.process, trajectories.log_snrs, flat[:count], flat[count:])

    def __call__(self, tableaus: Sequence[Tableau]) -> np.ndarray:
        """Log errors (M, C, N): channel 0 is open loop, then closed loop for each of `GAINS`, last the Gaussian."""
        blocks = [tableaus[i : i + BLOCK] for i in range(0, len(tableaus), BLOCK)]
        with np.errstate(over="ignore", invalid="ignore"):  # a tableau may diverge: that is a forecast too
            errors = np.concatenate([self._block(block) for block in blocks])
        return _log(errors)

    def modes(self, tableaus: Sequence[Tableau]) -> np.ndarray:
        """Log end errors (M, 2) on two-mode mixtures of variances `MODES`."""
        process, variance = self._closed.process, max(float(self._shares @ self._spectrum), FLOOR)
        with np.errstate(over="ignore", invalid="ignore"):
            errors = [modes.errors(process, tableaus, factor * variance) for factor in MODES]
        return _log(np.stack(errors, axis=1))

    def _block(self, tableaus: Sequence[Tableau]) -> np.ndarray:
        process, times = self._closed.process, np.array([tableau.times for tableau in tableaus])
        starts = np.array([tableau.start for tableau in tableaus])  # (M, N)
        weights = np.array([tableau.outputs for tableau in tableaus])  # (M, N, N)
        alpha, sigma = process.alpha(times)[..., None], process.sigma(times)[..., None]
        spread = alpha**2 * self._spectrum + sigma**2  # (M, N+1, G)
        jacobian = np.divide(alpha * self._spectrum, spread, out=np.zeros_like(spread), where=spread > 0)
        states = self._closed.at(self._closed.states, process.log_snr(times))  # (M, N+1, r, G)
        outputs = self._closed.at(self._closed.outputs, process.log_snr(times[:, :-1]))
        residuals = (weights @ outputs.reshape(*weights.shape[:2], -1)).reshape(outputs.shape) - states[:, 1:]
        residuals += starts[:, :, None, None] * states[:, :1]
        channels = [self._open.replay(tableaus)]
        for gain in GAINS:
            errors = _feed_back(weights, gain * jacobian[:, :-1, None], residuals)
            channels.append(np.sqrt(np.sum(errors**2, axis=(2, 3))))
        kept = np.broadcast_to(starts[:, :, None], spread[:, 1:].shape)
        factors = _feed_back(weights, jacobian[:, :-1], kept, first=1.0)  # state over start state
        wrong = factors - np.sqrt(spread[:, 1:] / spread[:, :1])
        channels.append(process.prior_std * np.sqrt(np.sum(self._shares * wrong**2, axis=2)))
        return np.stack(channels, axis=1)


def _log(errors: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.log(np.clip(np.nan_to_num(errors, nan=1 / FLOOR), FLOOR, 1 / FLOOR))
    return logs


def _compress(rows: np.ndarray, rank: int) -> np.ndarray:
    """``rows`` (R, p) as (R, rank) with the same inner products, as nearly as ``rank`` allows; zeros fill up."""
    left, values, _ = np.linalg.svd(rows, full_matrices=False)
    kept = left[:, :rank] * values[:rank]
    return np.pad(kept, ((0, 0), (0, rank - kept.shape[1])))


def _feed_back(weights: np.ndarray, slopes: np.ndarray, added: np.ndarray, first: float = 0.0) -> np.ndarray:
    """x_{i+1} = added_i + Σ_{j≤i} W_ij slopes_j x_j from x_0 = ``first``; ``added`` (M, N, ...) -> x_1 … x_N."""
    result = np.empty_like(added)
    fed = np.zeros_like(added)
    state = np.full_like(added[:, 0], first)
    for i in range(added.shape[1]):
        fed[:, i] = slopes[:, i] * state
        past = fed[:, : i + 1].reshape(len(fed), i + 1, -1)
        state = added[:, i] + (weights[:, i, None, : i + 1] @ past).reshape(state.shape)
        result[:, i] = state
    return result
