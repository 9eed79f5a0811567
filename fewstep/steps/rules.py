"""Validity of times and steps on a process; the error names the step, the rule and what to change."""

from collections.abc import Sequence

import numpy as np

from fewstep.errors import InvalidSchedule
from fewstep.steps.step import Step
from fewstep.steps.weights import Levels

__all__ = ["MIN_GAP", "check", "places", "reach"]

MAX_GAP = 300.0  # in λ, where finite: e^{2h} must be a float64
MIN_GAP = 1e-6  # in λ; closer outputs differ by rounding only, and their difference quotients are noise


def check(levels: Levels, steps: Sequence[Step]) -> None:
    """Raises `InvalidSchedule` where ``steps`` (N) are not valid at the times of ``levels`` (N+1)."""
    _check_times(levels, steps)
    for i, step in enumerate(steps):
        name = f"steps[{i}]"
        s = i + 1 + step.start
        t = i + 1
        _check_gap(levels, name, s, t)
        if levels.sigma[i] == 0.0:
            raise InvalidSchedule(f"times[{i}] = {levels.t[i]} is clean data, where a call learns nothing: end there")
        _check_network_time(levels, name, i, step.offset)
        where = places(levels, step)
        usable = reach(levels, step, i)
        if not step.weights and not step.points and step.order > usable:
            raise InvalidSchedule(
                f"{name} has order {step.order}, but only {usable} outputs can be used there (outputs so far at finite "
                f"{'log-SNR' if step.variable == 'lambda' else step.variable}; 1 where the step starts at alpha = 0 or "
                "ends at sigma = 0): lower the order"
            )
        outputs = {t + p for each in (*step.sets, *step.points) for p in each}
        if step.corrector:
            if t == len(steps):
                raise InvalidSchedule(f"{name} is the last: no call comes after it to correct with; set corrector to 0")
            outputs |= {t + p for each in step.corrector_sets for p in each}
        if step.weights and not step.points:
            outputs |= set(range(t - step.order, t))
        _check_outputs(levels, name, step, where, s, outputs)


def places(levels: Levels, step: Step) -> np.ndarray:
    """The step's variable at each time, (N+1,); may be infinite."""
    if step.variable in ("t", "velocity"):
        return levels.t
    if step.variable == "lambda":
        return levels.lam
    with np.errstate(over="ignore"):
        rho: np.ndarray = np.exp(-levels.lam)
        return rho


def reach(levels: Levels, step: Step, i: int) -> int:
    """The most outputs that step ``i`` can use; 1 where its variable is infinite at its start or target."""
    s = i + 1 + step.start
    t = i + 1
    finite = np.isfinite(places(levels, step)) | bool(step.weights)  # a fixed average has no variable
    if not (finite[s] and finite[t]) or (step.form == "noise" and levels.alpha[s] == 0.0):
        return 1
    return int(finite[:t].sum())


def _check_times(levels: Levels, steps: Sequence[Step]) -> None:
    low = levels.process.t_zero
    high = levels.process.t_max
    for i, t in enumerate(levels.t.tolist()):
        if not low <= t <= high:
            raise InvalidSchedule(f"times[{i}] = {t} is outside [{low}, {high}] of {levels.process.kind}")
        again = i > 0 and steps[i - 1].start < -1  # a step from further back may end where the last one did
        if i and (t > levels.t[i - 1] or (t == levels.t[i - 1] and not again)):
            raise InvalidSchedule(f"times[{i}] = {t} does not lie below times[{i - 1}] = {levels.t[i - 1]}")


def _check_gap(levels: Levels, name: str, s: int, t: int) -> None:
    if s < 0:
        raise InvalidSchedule(f"{name} starts {t - s} states back, but only {t} exist: start at {-t} or later")
    with np.errstate(invalid="ignore"):
        gap = levels.lam[t] - levels.lam[s]
    if not gap >= MIN_GAP:
        raise InvalidSchedule(
            f"times[{t}] = {levels.t[t]} raises log-SNR by {gap:.1e} over times[{s}], less than {MIN_GAP}, and {name} "
            "leads from there: leave one of them out"
        )
    if MAX_GAP < gap < np.inf:
        raise InvalidSchedule(
            f"times[{t}] = {levels.t[t]} raises log-SNR by {gap:.0f} over times[{s}], more than {MAX_GAP:.0f}, and "
            f"{name} leads from there: end at clean data, {levels.process.t_zero}, instead"
        )


def _check_network_time(levels: Levels, name: str, i: int, offset: float) -> None:
    network_time = float(levels.t[i]) + offset
    process = levels.process
    if not process.t_zero < network_time <= process.t_max:
        raise InvalidSchedule(
            f"{name} tells the network time {network_time} (offset {offset}), outside ({process.t_zero}, "
            f"{process.t_max}] of {process.kind}: change the offset"
        )


def _check_outputs(levels: Levels, name: str, step: Step, where: np.ndarray, s: int, outputs: set[int]) -> None:
    """Raises where an output of a step does not exist, or where no polynomial passes through its outputs."""
    if outputs and min(outputs) < 0:
        raise InvalidSchedule(f"{name} uses an output {s - step.start - min(outputs)} calls back, but there are fewer")
    if step.form == "noise" and levels.alpha[s] == 0.0 and (outputs - {s}):
        raise InvalidSchedule(
            f"{name} predicts noise from alpha = 0, where it does not determine the data: predict data"
        )
    if step.weights or not outputs:
        return
    target = s - step.start
    for p in sorted({s, target, *outputs}):
        if not np.isfinite(where[p]):
            raise InvalidSchedule(
                f"{name} interpolates in {step.variable}, which is infinite at times[{p}] = {levels.t[p]}: use order "
                "1, other points or another variable"
            )
    if not np.isfinite(levels.lam[target] - levels.lam[s]) and {step.scale, step.corrector_scale} != {"none"}:
        raise InvalidSchedule(f"{name} scales a derivative over an infinite log-SNR gap: set its scale to none")
    nodes = sorted({s, *outputs})
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.subtract.outer(levels.lam[nodes], levels.lam[nodes]))
    for a in range(len(nodes)):
        for b in range(a):
            if not apart[a, b] >= MIN_GAP:
                raise InvalidSchedule(
                    f"{name} uses the outputs of calls {nodes[b]} and {nodes[a]}, whose log-SNR differs by "
                    f"{apart[a, b]:.1e}, less than {MIN_GAP}: choose other points"
                )
