"""Encoding of schedules as feature vectors: λ-gaps, choices, tableau entries; equivalent schedules give equal vectors.

| columns | count | meaning |
|---|---|---|
| log gap | N | log(λ_{i+1} − λ_i), λ clipped to ±`REACH` where it is infinite |
| order, noise | 2 N | order of each step; 1 where it extrapolates noise, 0 for data (canonical: 0 at order 1) |
| c/σ | N | weight of the start state, ``start``/σ(t_{i+1}); 0 where σ = 0 |
| W/α | N (N+1)/2 | weights of the outputs in state i+1 over α(t_{i+1}), row by row |
| log Σ_j abs(W_ij)/α | N | how far the row can amplify an error of the outputs |

The time shift leaves the tableau as it is; it has columns of its own (`encode_shifts`):

| columns | count | meaning |
|---|---|---|
| paper, calibrated | 2 | 1 for the target of the shift, else 0 |
| window | 1 | share of one step of the time range |
| shifted | 1 | share of the time range, from t_max down to the cut-off |

So does the guidance of each call (`encode_guidance`), zeros where the schedule sets none:

| columns | count | meaning |
|---|---|---|
| lacking | N | 1 − (w_i − 1)/(max w − 1): 0 at the schedule's largest scale, 1 where there is no guidance |
| scale | 1 | log of the largest scale, at least 1 |
"""

from collections.abc import Sequence

import numpy as np

from fewstep.schedule import Schedule
from fewstep.tableau import Tableau

__all__ = ["REACH", "encode", "encode_guidance", "encode_shifts"]

REACH = 12.0  # in λ; beyond it a state is noise or data to float32
LIMIT = 1e6  # of any entry; a schedule with larger weights diverges anyway


def encode(schedules: Sequence[Schedule], tableaus: Sequence[Tableau]) -> np.ndarray:
    """Features (M, F) of M schedules of one process and one NFE, ``tableaus`` being theirs compiled.

    >>> from fewstep import compile, processes, solvers
    >>> schedule = solvers.named("ddim").schedule(processes.VPLinear(), nfe=4)
    >>> encode([schedule], [compile(schedule)]).shape
    (1, 30)
    """
    gaps, orders, noise, starts, weights, amplification = _columns(schedules, tableaus)
    lower = weights[:, *np.tril_indices(weights.shape[1])]
    rows: np.ndarray = np.concatenate([gaps, orders, noise, starts, lower, amplification], axis=1)
    return np.clip(rows, -LIMIT, LIMIT, out=rows)


def encode_shifts(schedules: Sequence[Schedule]) -> np.ndarray:
    """The time shifts (M, 4) of M schedules; zeros where there is none."""
    rows = np.zeros((len(schedules), 4))
    for row, schedule in zip(rows, schedules, strict=True):
        if (shift := schedule.shift) is not None:
            first, last = schedule.process.t_max, schedule.process.t_min
            window, cutoff = shift.window * schedule.nfe / (first - last), (first - shift.cutoff) / (first - last)
            row[:] = shift.target == "paper", shift.target == "calibrated", window, cutoff
    return rows


def encode_guidance(schedules: Sequence[Schedule]) -> np.ndarray:
    """The guidance (M, N + 1) of M schedules of N calls; zeros where none is set.

    >>> from dataclasses import replace
    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("ddim").schedule(processes.VPLinear(), nfe=2)
    >>> encode_guidance([schedule, replace(schedule, guidance=(1.0, 5.0))]).round(2).tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 1.61]]
    """
    rows = np.zeros((len(schedules), schedules[0].nfe + 1))
    for row, schedule in zip(rows, schedules, strict=True):
        if schedule.guidance is not None:
            largest = max(*schedule.guidance, 1.0)
            above = np.array(schedule.guidance) - 1.0
            row[:-1] = 1.0 - above / max(largest - 1.0, 1e-6)
            row[-1] = np.log(largest)
    return np.clip(rows, -LIMIT, LIMIT, out=rows)


def _columns(schedules: Sequence[Schedule], tableaus: Sequence[Tableau]) -> tuple[np.ndarray, ...]:
    """The columns of the table above: each (M, N), the weights (M, N, N)."""
    process = schedules[0].process
    times = np.array([tableau.times for tableau in tableaus])  # (M, N+1)
    gaps = np.diff(np.clip(process.log_snr(times), -REACH, REACH))
    steps = [[step.canonical() for step in schedule.steps] for schedule in schedules]
    orders = np.array([[float(step.order) for step in row] for row in steps])
    noise = np.array([[float(step.prediction == "noise") for step in row] for row in steps])
    alpha, sigma = process.alpha(times[:, 1:]), process.sigma(times[:, 1:])  # (M, N)
    starts = np.array([tableau.start for tableau in tableaus])
    starts = np.divide(starts, sigma, out=np.zeros_like(starts), where=sigma > 0)
    weights = np.array([tableau.outputs for tableau in tableaus]) / alpha[:, :, None]  # (M, N, N)
    amplification = np.abs(weights).sum(axis=2)
    gaps, amplification = (np.log(np.maximum(part, 1e-12)) for part in (gaps, amplification))
    return gaps, orders, noise, starts, weights, amplification
