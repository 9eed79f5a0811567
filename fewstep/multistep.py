r"""Many multistep schedules at once, as arrays: their simplest form, their validity and their tableaus.

A step here starts from the latest state and extrapolates the nearest outputs in λ, with a corrector or without, and
adds no noise: the schedules of a search's space, of which it makes and forecasts thousands. The numbers are those of
`fewstep.steps` to rounding; schedules with other steps are compiled one by one.

| symbol | meaning | shape |
|---|---|---|
| M, N | schedules, and calls of each | |
| h | λ-gaps, 1 where infinite: such steps are of order 1 and use none | (M, N) |
| z | −h where data are extrapolated, h where noise is | (M, N) |
| m_k | moments h^{k+1} k! φ_{k+1}(z) of a step, times the factors of its derivatives | (R, n) |
| x_p | λ at output p, less λ at the step's start | (R, n − 1) |
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter

import numpy as np

from fewstep.processes import Process
from fewstep.schedule import Schedule, compile
from fewstep.steps.exponential import first_factors
from fewstep.steps.phi import phi
from fewstep.steps.rules import MAX_GAP, MIN_GAP
from fewstep.steps.step import MAX_ORDER, Step
from fewstep.steps.weights import Levels
from fewstep.tableau import Tableau
from fewstep.timeshift import TimeShift

__all__ = ["Multistep", "compile_all"]

CHOICES = ("prediction", "scale", "corrector_scale")
COUNTS = ("order", "corrector")
FACTORS = ("slope", "second", "corrector_slope")
FREE = (*CHOICES, *COUNTS, *FACTORS)
PLAIN = Step()
PARTS = dict(vars(PLAIN))
FIXED = attrgetter(*(field.name for field in fields(Step) if field.name not in FREE))


@dataclass(frozen=True, eq=False)
class Multistep:
    """M schedules of N calls on one process: ``times`` (M, N + 1), and (M, N) of every choice and factor of `Step` that
    is named here; ``corrector`` counts outputs as there."""

    process: Process
    times: np.ndarray
    prediction: np.ndarray
    order: np.ndarray
    scale: np.ndarray
    slope: np.ndarray
    second: np.ndarray
    corrector: np.ndarray
    corrector_scale: np.ndarray
    corrector_slope: np.ndarray

    @classmethod
    def of(cls, schedules: Sequence[Schedule]) -> "Multistep":
        """The table of schedules of one process and length, all of whose steps are multistep ones."""
        times = np.array([schedule.times for schedule in schedules])
        shape = times.shape[0], times.shape[1] - 1
        columns = (
            np.array([getattr(step, name) for schedule in schedules for step in schedule.steps]).reshape(shape)
            for name in FREE
        )
        return cls(schedules[0].process, times, **dict(zip(FREE, columns, strict=True)))

    def __len__(self) -> int:
        return len(self.times)

    def rows(self, picks: np.ndarray) -> "Multistep":
        """Some of its schedules."""
        return Multistep(self.process, *(getattr(self, field.name)[picks] for field in fields(self)[1:]))

    def settled(self) -> "Multistep":
        """Each in canonical form, with orders cut to the outputs that can be used, and without correctors where no call
        or no finite λ follows: what the same choices come to, one by one, in `fewstep.search.space.Space.build`."""
        levels = Levels(self.process, self.times)
        finite = np.isfinite(levels.lam)
        within = finite[:, :-1] & finite[:, 1:]
        noise = self.prediction == "noise"
        most = np.where(within & ~(noise & (levels.alpha[:, :-1] == 0.0)), np.cumsum(finite[:, :-1], axis=1), 1)
        order = np.minimum(self.order, most)
        corrects = (self.corrector > 0) & within
        corrects[:, -1] = False
        derived = order > 1
        moved = np.zeros_like(derived)
        moved[:, 1:] = corrects[:, :-1]
        scale, slope = _factor(self.scale, self.slope, derived)
        corrector_scale, corrector_slope = _factor(self.corrector_scale, self.corrector_slope, corrects)
        return replace(
            self,
            prediction=np.where(noise & (derived | corrects | moved), "noise", "data"),
            order=order,
            scale=scale,
            slope=slope,
            second=np.where(order > 2, self.second, 1.0),
            corrector=np.where(corrects, np.minimum(self.corrector, order + 1), 0),
            corrector_scale=corrector_scale,
            corrector_slope=corrector_slope,
        )

    def valid(self) -> np.ndarray:
        """Which of the settled schedules (M,) keep the rules of `fewstep.steps.rules`."""
        process, times = self.process, self.times
        levels = Levels(process, times)
        with np.errstate(invalid="ignore"):
            gaps = np.diff(levels.lam, axis=1)
        kept: np.ndarray = (
            (np.diff(times, axis=1) < 0).all(axis=1)
            & (times[:, 0] <= process.t_max)
            & (times[:, -1] >= process.t_zero)
            & (times[:, -2] > process.t_zero)
            & (levels.sigma[:, :-1] > 0).all(axis=1)
            & ((gaps >= MIN_GAP) & ((gaps <= MAX_GAP) | np.isinf(gaps))).all(axis=1)
        )
        return kept

    def schedules(self, shifts: Sequence[TimeShift | None]) -> list[Schedule]:
        """The settled table as schedules, with a time shift each; raises `InvalidSchedule` where a rule is broken."""
        valid = self.valid()
        times = self.times.tolist()
        columns = (getattr(self, name) + 0.0 if name in FACTORS else getattr(self, name) for name in FREE)  # no −0.0
        rows = zip(*(column.tolist() for column in columns), strict=True)
        made = list[Schedule]()
        for m, (row, shift) in enumerate(zip(rows, shifts, strict=True)):
            steps = tuple(map(_step, *row))
            if valid[m]:
                made.append(_schedule(self.process, tuple(times[m]), steps, shift))
            else:
                made.append(Schedule(self.process, tuple(times[m]), steps, shift=shift))
        return made

    def tableaus(self) -> list[Tableau]:
        """The tableaus of the valid, settled schedules."""
        return _Compiler(self).tableaus()


def compile_all(schedules: Sequence[Schedule]) -> list[Tableau]:
    """The tableaus of schedules of one process: of multistep schedules of one length all at once.

    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("dpmpp-2m").schedule(processes.VPLinear(), nfe=4)
    >>> compile_all([schedule])[0].close_to(compile(schedule))
    True
    """
    tableaus: dict[int, Tableau] = {}
    by_length: dict[int, list[int]] = {}
    for i, schedule in enumerate(schedules):
        if schedule.fitted is None and all(map(_multistep, schedule.steps)):
            by_length.setdefault(schedule.nfe, []).append(i)
        else:
            tableaus[i] = compile(schedule)
    for same in by_length.values():
        table = Multistep.of([schedules[i] for i in same]).settled()
        for i, tableau in zip(same, table.tableaus(), strict=True):
            scales = schedules[i].guidance
            tableaus[i] = tableau if scales is None else replace(tableau, guidance=np.array(scales))
    return [tableaus[i] for i in range(len(schedules))]


class _Compiler:
    """Weights of all steps of a table, then their states in the basis (y_0, D_0, …, D_{N−1})."""

    def __init__(self, table: Multistep) -> None:
        self._table = table
        self._levels = levels = Levels(table.process, table.times)
        with np.errstate(invalid="ignore"):
            gaps = np.diff(levels.lam, axis=1)
        self._gaps = np.where(np.isfinite(gaps), gaps, 1.0)
        self._noise = table.prediction == "noise"
        z = np.where(self._noise, self._gaps, -self._gaps)
        self._moments = [
            math.factorial(k) * self._gaps ** (k + 1) * phi(k + 1, z) for k in range(MAX_ORDER + 1)
        ]  # m_0 …, each (M, N)

    def tableaus(self) -> list[Tableau]:
        """The tableaus."""
        table, levels = self._table, self._levels
        count, n = table.prediction.shape
        factors = first_factors(self._gaps, table.prediction, table.scale, table.slope)
        predicted = self._weights(table.order, factors, table.second, new=False)  # (M, N, N)
        factors = first_factors(self._gaps, table.prediction, table.corrector_scale, table.corrector_slope)
        corrected = self._weights(table.corrector, factors, np.ones_like(factors), new=True)
        alpha, sigma = levels.alpha, levels.sigma
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.where(self._noise, alpha[:, 1:] / alpha[:, :-1], sigma[:, 1:] / sigma[:, :-1])
        outputs = np.zeros((count, n, 2, 1 + n))  # of each call: D and ε
        outputs[:, range(n), 0, range(1, 1 + n)] = 1.0
        rows = np.arange(count)
        kind = self._noise.astype(int)
        states, start = [], np.zeros((count, 1 + n))
        start[:, 0] = 1.0
        latest, before = start, start  # the state as the network gets it; that from which the last step started
        for i in range(n):
            outputs[:, i, 1] = (latest - alpha[:, i, None] * outputs[:, i, 0]) / sigma[:, i, None]
            if i:
                picked = outputs[rows, : i + 1, kind[:, i - 1]]  # (M, i + 1, 1 + N)
                better = kept[:, i - 1, None] * before + _sum(corrected[:, i - 1, : i + 1], picked)
                start = np.where(table.corrector[:, i - 1, None] > 0, better, start)
            picked = outputs[rows, : i + 1, kind[:, i]]
            before, start = start, kept[:, i, None] * start + _sum(predicted[:, i, : i + 1], picked)
            latest = start
            states.append(latest)
        found = np.stack(states, axis=1)
        times, network_times = table.times.copy(), table.times[:, :-1].copy()
        starts, weights, noise = found[:, :, 0].copy(), found[:, :, 1:].copy(), np.zeros((n, 0))
        for array in (times, network_times, starts, weights, noise):
            array.setflags(write=False)
        finite = np.isfinite(found).all(axis=(1, 2)).tolist()
        return [_tableau(times[m], network_times[m], starts[m], weights[m], noise, finite[m]) for m in range(count)]

    def _weights(self, orders: np.ndarray, first: np.ndarray, second: np.ndarray, new: bool) -> np.ndarray:
        """Weights (M, N, N) of the outputs; with ``new`` of corrected states, which use the output after as well."""
        lam, levels = self._levels.lam, self._levels
        weights = np.zeros((*orders.shape, orders.shape[1]))
        for n in np.unique(orders[orders > 0]).tolist():
            m, i = np.nonzero(orders == n)
            if n == 1:
                weights[m, i, i] = self._single(m, i, levels.alpha, levels.sigma)
                continue
            nodes = np.stack([i - p for p in range(1, n - new)] + ([i + 1] if new else []), axis=1)
            moments = np.stack([each[m, i] for each in self._moments[:n]], axis=1)
            moments *= np.where(self._noise[m, i], -levels.sigma[m, i + 1], levels.alpha[m, i + 1])[:, None]
            moments[:, 1] *= first[m, i]
            if n > 2:
                moments[:, 2] *= second[m, i]
            each = _combine(moments, lam[m[:, None], nodes] - lam[m, i][:, None])
            weights[m[:, None], i[:, None], nodes] = each
            weights[m, i, i] = moments[:, 0] - each.sum(axis=1)
        return weights

    def _single(self, m: np.ndarray, i: np.ndarray, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """The weights of steps of order 1, whose λ-gaps may be infinite."""
        with np.errstate(divide="ignore", invalid="ignore"):
            noise = sigma[m, i + 1] - alpha[m, i + 1] / alpha[m, i] * sigma[m, i]
            data = alpha[m, i + 1] - sigma[m, i + 1] / sigma[m, i] * alpha[m, i]
        single: np.ndarray = np.where(self._noise[m, i], noise, data)
        return single


def _combine(moments: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Weights (R, n − 1) of the outputs at ``places`` (R, n − 1), `fewstep.steps.difference.combine`."""
    count = places.shape[1]
    weights = np.zeros_like(places)
    for p in range(count):
        basis = np.zeros((len(places), count + 1))
        basis[:, 0] = 1.0
        size = places[:, p].copy()
        for q in range(count):
            if q != p:  # multiply by (x − x_q), lowest power first
                basis[:, 1:] = basis[:, :-1] - places[:, q, None] * basis[:, 1:]
                basis[:, 0] *= -places[:, q]
                size *= places[:, p] - places[:, q]
        weights[:, p] = (basis[:, :count] * moments[:, 1:]).sum(axis=1) / size
    return weights


def _sum(weights: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Σ_j w_j·output_j: (M, J) and (M, J, B) -> (M, B)."""
    total: np.ndarray = (weights[:, None, :] @ outputs)[:, 0]
    return total


def _factor(scale: np.ndarray, slope: np.ndarray, effective: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    linear = scale == "linear"
    used = effective & ~(linear & (slope == 0.0))
    return np.where(used, scale, "none"), np.where(used & linear, slope, 0.0)


def _multistep(step: Step) -> bool:
    """Whether the step is one of those that a table holds."""
    return bool(FIXED(step) == FIXED(PLAIN))


def _step(
    prediction: str,
    scale: str,
    corrector_scale: str,
    order: int,
    corrector: int,
    slope: float,
    second: float,
    corrector_slope: float,
) -> Step:
    """The step of settled values, in the order of `FREE`; it needs no check."""
    step = object.__new__(Step)
    values = PARTS.copy()
    values["prediction"], values["scale"], values["corrector_scale"] = prediction, scale, corrector_scale
    values["order"], values["corrector"] = order, corrector
    values["slope"], values["second"], values["corrector_slope"] = slope, second, corrector_slope
    object.__setattr__(step, "__dict__", values)
    return step


def _schedule(process: Process, times: tuple[float, ...], steps: tuple[Step, ...], shift: TimeShift | None) -> Schedule:
    """The schedule of valid parts; they need no check."""
    schedule = object.__new__(Schedule)
    parts = {"process": process, "times": times, "steps": steps, "fitted": None, "shift": shift, "guidance": None}
    schedule.__dict__.update(parts)
    return schedule


def _tableau(
    times: np.ndarray,
    network_times: np.ndarray,
    start: np.ndarray,
    outputs: np.ndarray,
    noise: np.ndarray,
    finite: bool,
) -> Tableau:
    """The tableau of arrays of the right shapes; only non-finite ones need the check."""
    if not finite:
        return Tableau(times, network_times, start, outputs, noise)
    tableau = object.__new__(Tableau)
    parts = {"times": times, "network_times": network_times, "start": start, "outputs": outputs, "noise": noise}
    tableau.__dict__.update(parts, guidance=None)
    return tableau
