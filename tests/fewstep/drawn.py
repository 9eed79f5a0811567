"""Hypothesis strategies for the whole schedule space: any noise law, any times, any strategy for every step.

A drawn schedule is valid: a step that a rule refuses where it stands loses its choices one after the other. What is
refused, and how, is tested apart from that (`test_step_refusals`).
"""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from fewstep import Schedule, Step
from fewstep.errors import InvalidSchedule
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, Process, VPLinear
from fewstep.steps.exponential import SCALES
from fewstep.steps.fresh import KINDS
from fewstep.steps.step import MAX_ORDER, PREDICTIONS, VARIABLES

__all__ = ["LAWS", "fields", "laws", "schedules"]

LAWS: tuple[Process, ...] = (
    VPLinear(),
    Cosine(t_min=0.0, t_max=1.0),
    Discrete.linear_betas(count=50),
    VE(t_min=0.0),
    Flow(shift=3.0),
    DDM(),
)
FURTHEST = 12.0  # in λ: noise at a hundred-thousandth of the data, or the other way round
laws = st.sampled_from(LAWS)
factors = st.floats(-0.5, 0.5).map(lambda value: round(value, 3))


@st.composite
def fields(draw: st.DrawFn, i: int = 7) -> dict:
    """Arguments of a step for call ``i``: each choice from its whole range, most of them fitting together."""
    start = draw(st.sampled_from([-1, -1, -2, -3, -4][: i + 2]))
    order = draw(st.sampled_from(range(min(MAX_ORDER, i + 1), 0, -1)))
    others = [p for p in range(-1, -i - 2, -1) if p != start]
    given = {
        "prediction": draw(st.sampled_from(PREDICTIONS)),
        "order": order,
        "scale": draw(st.sampled_from(sorted(SCALES))),
        "slope": draw(factors),
        "second": draw(factors) + 1,
        "start": start,
        "variable": draw(st.sampled_from(VARIABLES)),
    }
    kind = draw(st.sampled_from(["full", "full", "points", "weights"]))
    if kind == "points" and order > 1 and len(others) >= order - 1:
        sizes = [draw(st.integers(k, min(MAX_ORDER, len(others)))) for k in range(1, order)]
        given["points"] = tuple(tuple(draw(st.permutations(others))[:size]) for size in sizes)
    if kind == "weights":
        rest = tuple(draw(factors) for _ in range(order - 1))
        given["weights"] = (*rest, 1.0 - sum(rest))
        if draw(st.booleans()):
            given["points"] = (tuple(draw(st.permutations(range(-1, -i - 2, -1)))[:order]),)
    elif draw(st.booleans()):
        given["corrector"] = draw(st.integers(2, order + 1))
        given["corrector_scale"] = draw(st.sampled_from(sorted(SCALES)))
        given["corrector_slope"] = draw(factors)
    if kind != "weights" and draw(st.booleans()):
        given["noise"] = draw(st.sampled_from(sorted(KINDS)))
        given["eta"] = draw(st.sampled_from([0.0, 0.3, 1.0]))
        if given["eta"] and draw(st.booleans()):
            given |= {"prediction": "data", "variable": "lambda"}
    if draw(st.integers(0, 3)) == 0:
        given["offset"] = draw(factors) / 10
    return given


@st.composite
def schedules(draw: st.DrawFn, most: int = 7) -> Schedule:
    """A valid schedule of 1 to ``most`` calls, on times that are often at the very ends of time."""
    law = draw(laws)
    n = draw(st.sampled_from(range(most, 0, -1)))
    chosen = [draw(fields(i)) for i in range(n)]
    times = _times(draw, law, [step["start"] for step in chosen])
    steps = [_step(given) for given in chosen]
    plain = [Step(start=step.start, offset=step.offset) for step in steps]
    for i in range(n):  # the plain steps hold the times; one by one the drawn ones take their places
        plain[i] = _fitting(law, times, plain, i, steps[i])
    return Schedule(law, times, tuple(plain))


def _times(draw: st.DrawFn, law: Process, starts: list[int]) -> tuple[float, ...]:
    """Falling times from gaps in λ; a step that starts further back may end where the last one did."""
    ends = [max(float(law.log_snr(law.t_max)), -FURTHEST), FURTHEST]
    gaps = [draw(st.floats(0.02, 2.5)) for _ in starts]
    shift = draw(st.floats(0.0, 3.0))
    lam = ends[0] + min(shift, 0.2 * (ends[1] - ends[0])) + np.cumsum([0.0, *gaps])
    if lam[-1] > ends[1]:
        lam = ends[0] + (lam - ends[0]) * (ends[1] - ends[0]) / (lam[-1] - ends[0])
    times = [float(law.time(np.float64(each))) for each in lam]
    if draw(st.booleans()):
        times[0] = law.t_max
    for i, start in enumerate(starts):
        if i and start < -1 and times[i + 1 + start] > times[i] and draw(st.booleans()):
            times[i + 1] = times[i]
    if draw(st.booleans()) and times[-1] < times[-2]:
        times[-1] = law.t_zero
    return tuple(times)


def _step(given: dict) -> Step:
    """The step, without those choices that do not go together."""
    for less in ({}, {"eta": 0.0}, {"scale": "none", "corrector_scale": "none"}, {"points": (), "weights": ()}):
        given = given | less
        try:
            return Step(**given)
        except InvalidSchedule:
            continue
    return Step(given["prediction"], given["order"], start=given["start"], variable=given["variable"])


def _fitting(law: Process, times: tuple[float, ...], steps: list[Step], i: int, step: Step) -> Step:
    """The step as rich as the rules allow at its place, beside the others."""
    for less in (
        {},
        {"offset": 0.0},
        {"corrector": 0},
        {"scale": "none", "corrector_scale": "none"},
        {"points": (), "order": min(step.order, 2), "weights": ()},
        {"prediction": "data"},
        {"order": 1},
        {"offset": 0.0, "corrector": 0, "order": 1, "points": (), "weights": ()},
    ):
        try:
            fitting = replace(step, **less)
            Schedule(law, times, (*steps[:i], fitting, *steps[i + 1 :]))
        except InvalidSchedule:
            continue
        return fitting
    return replace(steps[i], offset=0.0)
