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
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.batches import of_samples
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.base import Metric, bounded
from fewstep.search.optimize.paths import Path, Paths
from fewstep.trajectory import Trajectories
from fewstep.values.objective import Objective

__all__ = ["ORDER", "STRENGTHS", "CrossFit", "Fit", "cross_fit", "fit", "fits"]

ORDER = 3  # of the steps on times that had none: their compiled rows are what the ridge pulls towards
STRENGTHS = (1e-10, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2)  # of the ridge, beside the mean diagonal
FOLDS = 4
ROUNDS = 3  # of reweighting
SMALLEST = 1e-20  # squared residual that counts as none


class Fit(NamedTuple):
    """A fitted schedule and, for each of its rows, how it came about.

    ``strengths`` are the ridges chosen, infinite where the compiled row stayed.
    """

    schedule: Schedule
    strengths: tuple[float, ...]


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
    chosen = range(noises.count) if picks is None else picks
    return fits(evaluator, noises, trajectories, [(schedule, chosen)], strengths, robust)[0][0]


@torch.no_grad()
def fits(
    evaluator: Evaluator,
    noises: NoiseSet,
    trajectories: Trajectories,
    starts: Sequence[tuple[Schedule, Sequence[int]]],
    strengths: Sequence[float] = STRENGTHS,
    robust: bool = False,
) -> tuple[list[Fit], int]:
    """The `fit` of each schedule on its noises, side by side, and the network calls saved by it: the first outputs that
    schedules share. They have as many calls."""
    tableaus = [fewstep.compile(schedule) for schedule, _ in starts]
    paths = [Path(tableau, picks) for tableau, (_, picks) in zip(tableaus, starts, strict=True)]
    walk = Paths(evaluator, noises, paths)
    rows = [
        _Rows(tableau, trajectories.of(picks), features, strengths, robust)
        for (tableau, picks), features in zip(paths, walk.begin(), strict=True)
    ]
    for i in range(tableaus[0].calls):
        features = walk.call(i, [each.last for each in rows])
        for each, outputs in zip(rows, features, strict=True):
            each.add(i, outputs)
    return [each.of(schedule) for each, (schedule, _) in zip(rows, starts, strict=True)], walk.saved


class _Rows:
    """The rows of one path, fitted one after the other; ``last`` makes the state of the next call."""

    def __init__(
        self,
        tableau: Tableau,
        trajectories: Trajectories,
        start: np.ndarray,
        strengths: Sequence[float],
        robust: bool,
    ) -> None:
        self._compiled, self._strengths, self._robust = tableau, strengths, robust
        self._targets = trajectories.at(trajectories.states, trajectories.process.log_snr(tableau.times[1:]))
        self._features = [start]
        self._starts, self._outputs = np.zeros(tableau.calls), np.zeros((tableau.calls, tableau.calls))
        self._ridges = list[float]()
        self.last = np.ones(1)  # the first state is the first of the basis

    def add(self, i: int, outputs: np.ndarray) -> None:
        """Fit the row after call i, of which these are the outputs' projections (n, p)."""
        self._features.append(outputs)
        inputs = np.stack(self._features, axis=2)  # (n, p, i+2)
        row = np.array([self._compiled.start[i], *self._compiled.outputs[i, : i + 1]])
        residual = self._targets[i] - inputs @ row  # (n, p)
        strength, change = _regress(inputs, residual, self._strengths)
        for _ in range(ROUNDS if self._robust and np.isfinite(strength) else 0):
            squares = np.mean((residual - inputs @ change) ** 2, axis=1)  # (n,)
            weights = (1 + squares / max(np.median(squares), SMALLEST)) ** -0.5
            weighted = inputs * weights[:, None, None], residual * weights[:, None]
            strength, change = _regress(*weighted, self._strengths)
        self.last = row + change
        self._ridges.append(strength)
        self._starts[i], self._outputs[i, : i + 1] = self.last[0], self.last[1:]

    def of(self, schedule: Schedule) -> Fit:
        """The schedule with these rows."""
        rows = replace(self._compiled, start=self._starts, outputs=self._outputs)
        return Fit(replace(schedule, fitted=rows), tuple(self._ridges))


class CrossFit(NamedTuple):
    """A schedule whose rows are the mean of those fitted on either half of the noises, and the observations (n, F) of
    each half's noises under the rows of the other half."""

    schedule: Schedule
    observations: np.ndarray


def cross_fit(
    evaluator: Evaluator,
    noises: NoiseSet,
    trajectories: Trajectories,
    schedules: Sequence[Schedule],
    objective: Objective,
    robust: bool = True,
) -> tuple[list[CrossFit], int]:
    """For each schedule two fits, each on half of the first n noises and measured on the other half: a score on noises
    that the rows do not know; and the network calls saved by working on the schedules side by side.
    ``trajectories`` are the teacher's of these n.

    Costs 2·n·nfe network calls a schedule. On paths that hardly differ the rows are all but linear in the targets, so
    their mean does as well as a fit on all noises. The observations are not finite where a path diverges.
    """
    count = trajectories.states.shape[1]
    halves = [list(range(k, count, 2)) for k in (0, 1)]
    starts = [(schedule, picks) for picks in halves for schedule in schedules]
    fitted, saved = fits(evaluator, replace(noises, count=count), trajectories, starts, robust=robust)
    parts = list[list[np.ndarray]]()  # of either half of the noises, each schedule's
    for half, others in ((fitted[: len(schedules)], halves[1]), (fitted[len(schedules) :], halves[0])):
        metric, targets = evaluator.metric(objective), evaluator.picked(noises, others, teacher.CALLS)[1]

        def observed(samples: torch.Tensor, metric: Metric = metric, targets: torch.Tensor = targets) -> np.ndarray:
            return bounded(metric.observe(samples, targets))

        found, shared = of_samples(evaluator, [each.schedule for each in half], noises, others, observed)
        parts.append(found)
        saved += shared
    results = []
    for number, schedule in enumerate(schedules):
        one, two = (fewstep.compile(fitted[k].schedule) for k in (number, len(schedules) + number))
        mean = replace(one, start=(one.start + two.start) / 2, outputs=(one.outputs + two.outputs) / 2)
        observations = np.empty((count, parts[0][number].shape[1]))
        observations[halves[1]], observations[halves[0]] = parts[0][number], parts[1][number]
        results.append(CrossFit(replace(schedule, fitted=mean), observations))
    return results, saved


def _regress(inputs: np.ndarray, residual: np.ndarray, strengths: Sequence[float]) -> tuple[float, np.ndarray]:
    """Strength and δ, for ``inputs`` F (n, p, m) and a ``residual`` (n, p) to explain."""
    nothing = np.inf, np.zeros(inputs.shape[2])
    if not (np.isfinite(inputs).all() and np.isfinite(residual).all()):
        return nothing
    folds = [slice(k, None, FOLDS) for k in range(min(FOLDS, len(inputs)))]
    if len(folds) == 1:
        return nothing
    flat = [(inputs[fold].reshape(-1, inputs.shape[2]), residual[fold].reshape(-1)) for fold in folds]
    grams, sides = np.stack([f.T @ f for f, _ in flat]), np.stack([f.T @ y for f, y in flat])
    gram, side = grams.sum(0), sides.sum(0)
    unit = np.eye(len(gram)) * gram.trace() / len(gram)
    others = (gram - grams)[:, None] + np.multiply.outer(strengths, unit)  # (folds, strengths, m, m)
    changes = np.linalg.solve(others, (side - sides)[:, None, :, None])[..., 0]
    errors = sum(((y[:, None] - f @ c.T) ** 2).sum(0) for (f, y), c in zip(flat, changes, strict=True))
    least = int(np.argmin(errors))
    if errors[least] >= (residual**2).sum():  # the compiled row's own
        return nothing
    return strengths[least], np.linalg.solve(gram + strengths[least] * unit, side)
