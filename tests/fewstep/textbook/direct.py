"""A schedule run step by step over states, straight from what every choice says: no rows, no φ functions.

A step integrates, against the exact kernel, the polynomial in its variable whose coefficients are estimated from the
outputs at hand. Here the coefficients come from linear solves and the integrals from panels in the step's own variable.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from fewstep import Schedule, Step
from fewstep.processes import Process
from tests.fewstep.textbook.common import Run

__all__ = ["run_directly"]

NODES, GAUSS = np.polynomial.legendre.leggauss(24)


def run_directly(run: Run, schedule: Schedule, x: torch.Tensor) -> torch.Tensor:
    """The end of a run from ``x``; corrections are made once the next call is there, and fresh noise is kept for them.

    ``run.law`` is the schedule's process; fresh noise is taken in order by the steps that add any.
    """
    law, times, steps = schedule.process, schedule.times, schedule.steps
    data: list[torch.Tensor] = []
    noise: list[torch.Tensor] = []
    states, drawn = [x], [torch.zeros_like(x)] * len(steps)
    for i, step in enumerate(steps):
        called = states[i]
        told = times[i] + step.offset
        data.append(run.data(called, told))
        noise.append((called - run.alpha(times[i]) * data[i]) / run.sigma(times[i]))
        if i and steps[i - 1].corrector:
            states[i] = _step(run, law, times, steps[i - 1], i - 1, states, data, noise, drawn[i - 1], corrects=True)
        if step.eta and run.sigma(times[i + 1]) > 0:
            drawn[i] = run.z()
        states.append(_step(run, law, times, step, i, states, data, noise, drawn[i], corrects=False))
    return states[-1]


def _step(
    run: Run,
    law: Process,
    times: Sequence[float],
    step: Step,
    i: int,
    states: list[torch.Tensor],
    data: list[torch.Tensor],
    noise: list[torch.Tensor],
    z: torch.Tensor,
    corrects: bool,
) -> torch.Tensor:
    """The state at times[i + 1], from the one at times[s]; with the output there too where it ``corrects``."""
    s, t = i + 1 + step.start, i + 1
    kept, added = _shares(run, step, times[s], times[t])
    forms = {"velocity": ("data", "noise")}.get(step.form, (step.form,))
    ends = run.sigma(times[t]) / run.sigma(times[s]), run.alpha(times[t])
    if step.form == "velocity":
        x = states[s]
    elif step.form == "data":
        x = kept * ends[0] * states[s]
    elif run.alpha(times[s]) > 0:
        x = run.alpha(times[t]) / run.alpha(times[s]) * states[s]
    else:  # at pure noise, the noise is the state
        forms, x = ("data",), kept * ends[0] * states[s]
    for form in forms:
        outputs = data if form == "data" else noise
        coefficients = _coefficients(run, times, step, s, t, outputs, corrects)
        moments = _moments(run, law, step, form, times[s], times[t], kept, len(coefficients))
        for moment, coefficient in zip(moments, coefficients, strict=True):
            x = x + moment * coefficient
    return x + run.sigma(times[t]) * added * z


def _shares(run: Run, step: Step, s: float, t: float) -> tuple[float, float]:
    """How much of the old noise is kept and how much is new, by the papers' formulas."""
    if not step.eta or run.sigma(t) == 0:
        return 1.0, 0.0
    squared = (run.sigma(t) / run.alpha(t)) ** 2 / (run.sigma(s) / run.alpha(s)) ** 2 if run.alpha(s) > 0 else 0.0
    new = {
        "ancestral": lambda: step.eta**2 * (1 - squared),  # Song et al. 2021, eq. 16, in units of σ_t
        "bridge": lambda: step.eta**2 * (1 - (run.sigma(t) / run.sigma(s)) ** 2),  # Huang et al. 2023, eq. 15
        "langevin": lambda: 1 - squared ** (step.eta**2),  # Xue et al. 2023, eq. 8
    }[step.noise]()
    return math.sqrt(1 - new), math.sqrt(new)


def _place(run: Run, step: Step, s: float) -> Callable[[float], float]:
    """Where a time lies in the step's variable, from its start."""
    if step.variable in ("t", "velocity"):
        return lambda t: t - s
    if step.variable == "lambda":
        return lambda t: run.lam(t) - run.lam(s)
    return lambda t: run.sigma(t) / run.alpha(t) - run.sigma(s) / run.alpha(s)


def _coefficients(
    run: Run,
    times: Sequence[float],
    step: Step,
    s: int,
    t: int,
    outputs: list[torch.Tensor],
    corrects: bool,
) -> list[torch.Tensor]:
    """f(s) and the coefficients of x, x², … that the step's choices estimate."""
    if step.weights:
        points = step.points[0] if step.points else range(-1, -step.order - 1, -1)
        return [sum((w * outputs[t + p] for p, w in zip(points, step.weights, strict=True)), torch.zeros(()))]
    place = _place(run, step, times[s])
    order = step.corrector if corrects else step.order
    others = [p for p in range(-1, -t - 1, -1) if p != step.start]
    sets = list(step.points) or [tuple(others[: step.order - 1])] * (step.order - 1)
    if corrects:  # each derivative gains the new point, and one more derivative is estimated: from all points
        if step.points:
            more = [tuple({p for each in step.points for p in each})]
        else:
            sets, more = [tuple(others[: order - 2])] * (order - 1), []
        sets = [(0, *each) for each in (*sets, *more)][: order - 1]
    found = [outputs[s]]
    for k, each in enumerate(sets, start=1):
        where = np.array([place(times[t + p]) for p in each])
        size = np.abs(where).max()
        table = np.linalg.solve((where[:, None] / size) ** np.arange(1, len(each) + 1), np.eye(len(each)))
        weights = table[k - 1] / size**k
        found.append(sum((w * (outputs[t + p] - outputs[s]) for w, p in zip(weights.tolist(), each, strict=True))))
    named, slope = (step.corrector_scale, step.corrector_slope) if corrects else (step.scale, step.slope)
    if len(found) > 1 and named != "none":
        found[1] = found[1] * _factor(run, step, named, slope, times[s], times[t])
    if len(found) > 2 and not corrects:
        found[2] = found[2] * step.second
    return found


def _factor(run: Run, step: Step, named: str, slope: float, s: float, t: float) -> float:
    h = run.lam(t) - run.lam(s)
    kept, _ = _shares(run, step, s, t)
    z = h if step.form == "noise" else -(h - math.log(kept) if kept < 1 else h)
    rest = math.expm1(z) - z if abs(z) > 0.3 else sum(z**k / math.factorial(k) for k in range(2, 20))
    return {
        "bh1": lambda: 0.5 * z * z / rest,
        "bh2": lambda: 0.5 * z * math.expm1(z) / rest,
        "0.5exp": lambda: 1 + 0.5 * math.expm1(z),
        "-0.5exp": lambda: 1 - 0.5 * math.expm1(z),
        "linear": lambda: 1 + slope * h,
    }[named]()


def _moments(run: Run, law: Process, step: Step, form: str, s: float, t: float, kept: float, count: int) -> list[float]:
    """Integrals of 1, x, x², … in the step's variable against the kernel of its form.

    velocity: ∫ x^k dα and ∫ x^k dσ. noise: α_t ∫ x^k dρ. data: ∫ x^k dw with w = κ-tilted σ_t·e^λ, w_t = α_t.
    """
    first = {
        ("data", False): run.alpha(t) - kept * run.sigma(t) / run.sigma(s) * run.alpha(s),
        ("noise", False): kept * run.sigma(t) - run.alpha(t) / (run.alpha(s) or 1.0) * run.sigma(s),
        ("data", True): run.alpha(t) - run.alpha(s),
        ("noise", True): kept * run.sigma(t) - run.sigma(s),
    }[form, step.form == "velocity"]
    if count == 1:
        return [first]
    if form == "data" and step.form != "velocity" and kept * run.sigma(t) == 0:  # all weight lies at the end
        return [run.alpha(t) * _place(run, step, s)(t) ** k for k in range(count)]
    if step.variable == "rho" and form == "noise":  # the kernel is the variable
        fall = run.rho(t) - run.rho(s)
        return [first, *(run.alpha(t) * fall ** (k + 1) / (k + 1) for k in range(1, count))]
    if step.variable == "lambda":
        return [first, *_against_exponential(run, form, s, t, kept, count)]
    return [first, *_by_parts(run, law, step, form, s, t, count)]


def _against_exponential(run: Run, form: str, s: float, t: float, kept: float, count: int) -> list[float]:
    """x = λ − λ_s: Gauss panels in λ."""
    h = run.lam(t) - run.lam(s)
    rate = 1 - math.log(kept) / h if kept < 1 else 1.0
    x, weights = _panels(np.linspace(0.0, h, max(math.ceil(2 * h), 1) + 1))
    kernel = run.alpha(t) * rate * np.exp(rate * (x - h)) if form == "data" else -run.sigma(t) * np.exp(h - x)
    return [float(np.sum(weights * kernel * x**k)) for k in range(1, count)]


def _by_parts(run: Run, law: Process, step: Step, form: str, s: float, t: float, count: int) -> list[float]:
    """∫ x^k dw = x_t^k w_t − ∫ w·k·x^{k−1} dx, over times, in panels that crowd at both ends of time."""
    low = max(t - law.t_zero, 1e-18 * (s - law.t_zero))
    edges = np.geomspace(low, s - law.t_zero, 150) + law.t_zero
    edges = np.concatenate([[t, s], edges, [k for k in law.knots if t < k < s]])
    if law.t_max < 1.5:  # α may vanish at t = 1
        edges = np.concatenate([edges, 1 - np.geomspace(max(1 - s, 1e-18), 1 - t, 60)])
    at, weights = _panels(np.unique(edges[(edges >= t) & (edges <= s)]))
    whole, scale = _kernel(run, law, step, form, s, t)
    if step.variable == "rho":  # dx = ρ'(t) dt, or: integrate over ρ itself
        here, there = run.rho(s), run.rho(t)
        rho, weights = _panels(np.geomspace(there, here, 120))
        at, x, end = law.time(-np.log(rho)), rho - here, there - here
    else:
        x, end = at - s, t - s
    values = whole(at)
    return [
        scale * float(end**k * whole(np.float64(t)) + np.sum(weights * values * k * x ** (k - 1)))
        for k in range(1, count)
    ]


def _kernel(
    run: Run, law: Process, step: Step, form: str, s: float, t: float
) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """w as a function of time, and the factor before the integral."""
    if step.form == "velocity":
        return (law.alpha if form == "data" else law.sigma), 1.0
    if form == "data":
        return (lambda at: np.exp(law.log_snr(at) - run.lam(t))), run.alpha(t)
    return (lambda at: np.exp(-law.log_snr(at))), run.alpha(t)


def _panels(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gauss nodes and weights of all panels between ``edges``."""
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * NODES).ravel(), (half[:, None] * GAUSS).ravel()
