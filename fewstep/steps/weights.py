r"""Weights of one step: the next state as a sum of its start state, outputs and fresh noise.

    x_t = a·x_s + Σ_p d_p·D_p + Σ_p e_p·ε_p + f·z

| form | a | first moments M_0 of the outputs | in λ | in t | in ρ = σ/α |
|---|---|---|---|---|---|
| data | κ σ_t/σ_s | α_t − a·α_s | φ functions | quadrature | quadrature |
| noise | α_t/α_s | κ σ_t − a·σ_s | φ functions | quadrature | closed form |
| velocity | 1 | α_t − α_s of D, κ σ_t − σ_s of ε | | quadrature | |

A corrected state is the same step with the new output added (UniC, Zhao et al. 2023, section 3.2), from
the same start and with the same z.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fewstep.processes import Process
from fewstep.steps import quadrature
from fewstep.steps.difference import combine
from fewstep.steps.exponential import first_factor, moments
from fewstep.steps.fresh import shares
from fewstep.steps.step import Step

__all__ = ["Levels", "Weights", "correct", "predict"]


@dataclass(frozen=True)
class Levels:
    """Noise levels of a process at the times of a schedule: ``t``, ``alpha``, ``sigma`` and ``lam`` = λ, all (N+1,)."""

    process: Process
    t: np.ndarray

    @cached_property
    def alpha(self) -> np.ndarray:
        """α of each time, (N+1,)."""
        return np.asarray(self.process.alpha(self.t), dtype=np.float64)

    @cached_property
    def sigma(self) -> np.ndarray:
        """σ of each time, (N+1,)."""
        return np.asarray(self.process.sigma(self.t), dtype=np.float64)

    @cached_property
    def lam(self) -> np.ndarray:
        """λ of each time, (N+1,); infinite where α or σ is 0."""
        return np.asarray(self.process.log_snr(self.t), dtype=np.float64)

    @cached_property
    def knots(self) -> np.ndarray:
        """λ of the process's knots."""
        return np.asarray(self.process.log_snr(np.asarray(self.process.knots, dtype=np.float64)))


@dataclass(frozen=True)
class Weights:
    """Weights of a step: ``state`` of x_s, ``data`` and ``noise`` of D and ε by call, ``fresh`` of new noise z."""

    state: float
    data: dict[int, float] = field(default_factory=dict)
    noise: dict[int, float] = field(default_factory=dict)
    fresh: float = 0.0


def predict(levels: Levels, step: Step, i: int) -> Weights:
    """Step ``i``, from state y_s with s = i + 1 + step.start to y_{i+1}."""
    s = i + 1 + step.start
    t = i + 1
    if step.weights:
        points = step.points[0] if step.points else range(-1, -step.order - 1, -1)
        state, integrals = _moments(levels, step, s, t, 1)
        by_kind = {kind: {t + p: w * m[0] for p, w in zip(points, step.weights, strict=True)} for kind, m in integrals}
        return Weights(state, by_kind.get("data", {}), by_kind.get("noise", {}))
    return _taylor(levels, step, s, t, step.sets, (step.scale, step.slope, step.second))


def correct(levels: Levels, step: Step, i: int) -> Weights:
    """Step ``i`` corrected: with the output of call i + 1 too."""
    scale = (step.corrector_scale, step.corrector_slope, 1.0)
    return _taylor(levels, step, i + 1 + step.start, i + 1, step.corrector_sets, scale)


def _taylor(
    levels: Levels, step: Step, s: int, t: int, sets: Sequence[Sequence[int]], scale: tuple[str, float, float]
) -> Weights:
    gap = float(levels.lam[t] - levels.lam[s])
    kappa, new = shares(step.noise, step.eta, gap, float(levels.sigma[t] / levels.sigma[s]))
    state, integrals = _moments(levels, step, s, t, len(sets) + 1, kappa)
    named, slope, second = scale
    first = 1.0 if named == "none" else first_factor(gap, step.form, named, slope, _rate(kappa, gap))
    factors = [1.0, first, second, *[1.0] * len(sets)]
    outputs = [[t + p for p in each] for each in sets]
    places = {p: _place(levels, step, s, p) for each in outputs for p in each}
    by_kind = {
        kind: combine([factor * m for factor, m in zip(factors, each, strict=False)], outputs, places, s)
        for kind, each in integrals
    }
    return Weights(state, by_kind.get("data", {}), by_kind.get("noise", {}), float(levels.sigma[t]) * new)


def _rate(kappa: float, gap: float) -> float:
    """c = 1 + τ² from κ = e^{−τ²h}."""
    return 1.0 - math.log(max(kappa, 1e-300)) / gap if kappa < 1 else 1.0


def _place(levels: Levels, step: Step, s: int, p: int) -> float:
    """The step's variable at output p, minus its value at the start; ρ in units of ρ_s."""
    if step.variable in ("t", "velocity"):
        return float(levels.t[p] - levels.t[s])
    apart = float(levels.lam[p] - levels.lam[s])
    return apart if step.variable == "lambda" else math.expm1(-apart)


def _moments(
    levels: Levels, step: Step, s: int, t: int, count: int, kappa: float = 1.0
) -> tuple[float, list[tuple[str, list[float]]]]:
    """Weight of x_s, and M_0 … M_{count−1} in the step's variable for the kinds of outputs that the form takes."""
    alpha_s = float(levels.alpha[s])
    alpha_t = float(levels.alpha[t])
    sigma_s = float(levels.sigma[s])
    sigma_t = float(levels.sigma[t])
    gap = float(levels.lam[t] - levels.lam[s])
    if step.form == "velocity":
        if count == 1:
            return 1.0, [("data", [alpha_t - alpha_s]), ("noise", [kappa * sigma_t - sigma_s])]
        data, noise = quadrature.by_time(levels.process, float(levels.t[s]), float(levels.t[t]), count)
        return 1.0, [("data", data), ("noise", noise)]
    if step.form == "data":
        state = kappa * sigma_t / sigma_s
        if count == 1:
            return state, [("data", [alpha_t - state * alpha_s])]
        if step.variable == "lambda":
            rate = _rate(kappa, gap)
            return state, [("data", [alpha_t * rate * m for m in moments(gap, -rate, count)])]
        first = alpha_t - state * alpha_s
        whole = alpha_t
    else:
        state = alpha_t / alpha_s
        if count == 1:
            return state, [("noise", [kappa * sigma_t - state * sigma_s])]
        if step.variable == "lambda":
            return state, [("noise", [-sigma_t * m for m in moments(gap, 1.0, count)])]
        first = sigma_t - state * sigma_s
        whole = -state * sigma_s
        if step.variable == "rho":
            fall = math.expm1(-gap)  # (ρ_t − ρ_s)/ρ_s
            return state, [("noise", [state * sigma_s * fall ** (k + 1) / (k + 1) for k in range(count)])]
    rest = _in_log_snr(levels, step, s, t, count)
    return state, [(step.form, [first, *(whole * m for m in rest[1:])])]


def _in_log_snr(levels: Levels, step: Step, s: int, t: int, count: int) -> list[float]:
    """Moments of the data or noise form in t or ρ, without their factors α_t or −α_t ρ_s."""
    if step.form == "data" and levels.sigma[t] == 0.0:  # all weight of σ_t e^λ lies at the target
        return [_place(levels, step, s, t) ** k for k in range(count)]
    start = float(levels.t[s]) if step.variable == "t" else float(levels.lam[s])

    def place(lam: np.ndarray) -> np.ndarray:
        x: np.ndarray = levels.process.time(lam) - start if step.variable == "t" else np.expm1(start - lam)
        return x

    bounds = float(levels.lam[s]), float(levels.lam[t])
    return quadrature.by_log_snr(place, bounds, levels.knots, step.form == "data", count)
