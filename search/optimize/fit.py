"""Closed-form fit: for given times, the rows that best lead the student's own path onto the teacher's states.

Walk the calls; at each, solve one ridge regression for the row (c, W_0 … W_i) of the teacher's state y*(t_{i+1}) on the
student's own (y_0, D_0, …, D_i), pulled towards the compiled row; then take the fitted state and call the network
there. No gradients; N calls per noise; works for any denoiser.

    min_w  mean ‖F w − y*‖² + ρ·s·‖w − w_compiled‖²,   F = (y_0, D_0, …, D_i),   s = mean diagonal of FᵀF

ρ is chosen for every row by cross-validation over noises, on the student's path so far: every strength sees the same
outputs, so the choice costs no network call. Where no strength beats the compiled row on noises left out, the compiled
row stays.

A few noises end in another mode than the teacher's and would steer an unweighted regression. A robust fit weighs each
by 1/(1 + r²/c²), r its residual and c² the median of r²: the Cauchy weights of iteratively reweighted least squares
(Holland and Welsch 1977), three rounds on the same outputs.

| symbol | meaning | shape |
|---|---|---|
| G_k | mean FᵀF over the noises of fold k | (i+2, i+2) |
| g_k | mean Fᵀ(y* − F w_compiled) over them | (i+2,) |
| δ | w − w_compiled | (i+2,) |
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

import fewstep
from fewstep import Schedule, Tableau
from fewstep.sampling import guidance
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.base import bounded
from fewstep.search.projection import projected
from fewstep.trajectory import Trajectories
from fewstep.values.objective import Objective

__all__ = ["ORDER", "STRENGTHS", "CrossFit", "Fit", "cross_fit", "fit"]

ORDER = 3  # of the steps on times that had none: their compiled rows are what the ridge pulls towards
STRENGTHS = (1e-10, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2)  # of the ridge, beside the mean diagonal
FOLDS = 4
ROUNDS = 3  # of reweighting
SMALLEST = 1e-20  # squared residual that counts as none


class Fit(NamedTuple):
    """A fitted schedule and, for each of its rows, how it came about.

    ``strengths`` are the ridges chosen, infinite where the compiled row stayed; ``conditions`` the condition numbers of
    the normal equations: rows of more than about 1e12 hang on rounding, and on the ridge.
    """

    schedule: Schedule
    strengths: tuple[float, ...]
    conditions: tuple[float, ...]


@torch.no_grad()
def fit(
    evaluator: Evaluator,
    noises: NoiseSet,
    trajectories: Trajectories,
    schedule: Schedule,
    strengths: Sequence[float] = STRENGTHS,
    robust: bool = False,
    picks: Sequence[int] | None = None,
) -> Fit:
    """The schedule with fitted rows. ``trajectories`` are the teacher's for the same ``noises``; with ``picks`` only
    these of them are used.

    Costs n·nfe network calls. Rows that a schedule carries already are where its fit starts from; rows from which on
    the path diverges stay as they are.
    """
    compiled = fewstep.compile(schedule)
    if picks is not None:
        trajectories = trajectories.of(picks)
    walk = _Walk(evaluator, noises, range(noises.count) if picks is None else picks, compiled)
    targets = trajectories.at(trajectories.states, trajectories.process.log_snr(compiled.times[1:]))
    features = [walk.begin()]
    starts, outputs = np.zeros(compiled.calls), np.zeros((compiled.calls, compiled.calls))
    ridges, conditions = [], []
    row = np.ones(1)  # the first state is the first of the basis
    for i in range(compiled.calls):
        features.append(walk.call(i, row))
        inputs = np.stack(features, axis=2)  # (n, p, i+2)
        row = np.array([compiled.start[i], *compiled.outputs[i, : i + 1]])
        residual = targets[i] - inputs @ row  # (n, p)
        strength, change, condition = _regress(inputs, residual, strengths)
        for _ in range(ROUNDS if robust and np.isfinite(strength) else 0):
            squares = np.mean((residual - inputs @ change) ** 2, axis=1)  # (n,)
            weights = (1 + squares / max(np.median(squares), SMALLEST)) ** -0.5
            weighted = inputs * weights[:, None, None], residual * weights[:, None]
            strength, change, condition = _regress(*weighted, strengths)
        row = row + change
        ridges.append(strength)
        conditions.append(condition)
        starts[i], outputs[i, : i + 1] = row[0], row[1:]
    rows = replace(compiled, start=starts, outputs=outputs)
    return Fit(replace(schedule, fitted=rows), tuple(ridges), tuple(conditions))


class _Walk:
    """The student's path of some noises along a tableau: y_0 and the outputs so far, of which projections are seen.

    Where these are large they are kept in the memory of the host, and only a batch of the noises is on the device.
    """

    def __init__(self, evaluator: Evaluator, noises: NoiseSet, picks: Sequence[int], tableau: Tableau) -> None:
        size = evaluator.at_once(tableau.calls + 3)
        self._parts = [list(picks[i : i + size]) for i in range(0, len(picks), size)]
        self._evaluator, self._noises, self._times = evaluator, noises, tableau.network_times
        self._calls = [guidance.denoisers(evaluator.under(noises, part), tableau) for part in self._parts]
        self._basis = list[list[torch.Tensor]]()  # of each part

    def begin(self) -> np.ndarray:
        """Projections (n, p) of y_0."""
        features = []
        for part in self._parts:
            singles = [replace(self._noises, first=self._noises.first + i, count=1) for i in part]
            noise = torch.cat([single.draw(self._evaluator.shape) for single in singles]).to(self._evaluator.device)
            start = self._evaluator.denoiser.process.prior_std * noise
            self._basis.append([self._kept(start)])
            features.append(projected(start))
        return np.concatenate(features)

    def call(self, i: int, row: np.ndarray) -> np.ndarray:
        """Projections (n, p) of the outputs of call i, at the state that ``row`` makes of the basis."""
        features = []
        for calls, basis in zip(self._calls, self._basis, strict=True):
            state = torch.zeros_like(basis[0], device=self._evaluator.device)
            for weight, value in zip(row, basis, strict=True):
                state = state + float(weight) * value.to(self._evaluator.device)
            output = calls[i](state, state.new_full((len(state),), float(self._times[i])))
            basis.append(self._kept(output))
            features.append(projected(output))
        return np.concatenate(features)

    def _kept(self, values: torch.Tensor) -> torch.Tensor:
        return values if len(self._parts) == 1 else values.cpu()


class CrossFit(NamedTuple):
    """A schedule whose rows are the mean of those fitted on either half of the noises, and the observations (n, F) of
    each half's noises under the rows of the other half."""

    schedule: Schedule
    observations: np.ndarray


def cross_fit(
    evaluator: Evaluator,
    noises: NoiseSet,
    trajectories: Trajectories,
    schedule: Schedule,
    objective: Objective,
    robust: bool = True,
) -> CrossFit:
    """Two fits, each on half of the first n noises and measured on the other half: a score on noises that the rows do
    not know. ``trajectories`` are the teacher's of these n.

    Costs 2·n·nfe network calls. On paths that hardly differ the rows are all but linear in the targets, so their mean
    does as well as a fit on all noises. The observations are not finite where a path diverges.
    """
    count = trajectories.states.shape[1]
    whole, noises = noises, replace(noises, count=count)
    halves = [list(range(k, count, 2)) for k in (0, 1)]
    tableaus, parts = [], []
    for picks, others in (halves, halves[::-1]):
        fitted = fit(evaluator, noises, trajectories, schedule, robust=robust, picks=picks).schedule
        samples, targets = evaluator.samples(fitted, whole, others), evaluator.picked(whole, others, teacher.CALLS)[1]
        parts.append(bounded(evaluator.metric(objective).observe(samples, targets)))
        tableaus.append(fewstep.compile(fitted))
    observations = np.empty((count, parts[0].shape[1]))
    for others, part in zip(halves[::-1], parts, strict=True):
        observations[others] = part
    one, two = tableaus
    rows = replace(one, start=(one.start + two.start) / 2, outputs=(one.outputs + two.outputs) / 2)
    return CrossFit(replace(schedule, fitted=rows), observations)


def _regress(inputs: np.ndarray, residual: np.ndarray, strengths: Sequence[float]) -> tuple[float, np.ndarray, float]:
    """Strength, δ and the condition number of FᵀF, for ``inputs`` F (n, p, m) and a ``residual`` (n, p) to explain."""
    if not (np.isfinite(inputs).all() and np.isfinite(residual).all()):
        return np.inf, np.zeros(inputs.shape[2]), np.inf
    folds = [slice(k, None, FOLDS) for k in range(min(FOLDS, len(inputs)))]
    flat = [(inputs[fold].reshape(-1, inputs.shape[2]), residual[fold].reshape(-1)) for fold in folds]
    grams, sides = np.stack([f.T @ f for f, _ in flat]), np.stack([f.T @ y for f, y in flat])
    gram, side = grams.sum(0), sides.sum(0)
    unit = np.eye(len(gram)) * gram.trace() / len(gram)
    best, strength = float((residual**2).sum()), np.inf  # the compiled row's own
    for ridge in strengths if len(folds) > 1 else ():
        changes = [np.linalg.solve(gram - g + ridge * unit, side - s) for g, s in zip(grams, sides, strict=True)]
        error = sum(float(((y - f @ change) ** 2).sum()) for (f, y), change in zip(flat, changes, strict=True))
        if error < best:
            best, strength = error, ridge
    change = np.zeros(len(gram)) if strength == np.inf else np.linalg.solve(gram + strength * unit, side)
    return strength, change, float(np.linalg.cond(gram))
