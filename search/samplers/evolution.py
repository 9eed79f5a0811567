"""Plain evolution with true evaluations only, the operators of the search that USF's authors released.

A child has two parents, uniform among the best 15 trials. With probability 0.3 it is crossed: whole (each of times,
orders and factors, predictions, correctors comes from one parent) or, as often, step by step; else it copies one. Then
it is always mutated: each time moves with probability 0.3 by N(0, 0.03) of the time range (N(0, 0.08) of itself where
times are noise levels) and the times are sorted; each choice of each step is drawn anew with probability 0.3, each
derivative factor moved by N(0, 0.05) with probability 0.09. Orders are drawn 1: 0.2, 2: 0.4, 3: 0.3, 4: 0.1. The time
shift, which that search had not, is inherited whole and mutated as in `fewstep.search.genes`.

Left out, being no part of the space: children with one step more or fewer, a moving last time, free first steps, and
factors on the network's skip connections.
"""

import numpy as np

from fewstep import Schedule
from fewstep.search.gaps import log_snrs
from fewstep.search.genes import CHOICES, FACTORS, GAP, KINDS, STEP_GENES
from fewstep.search.samplers import operators
from fewstep.search.samplers.base import Draw, Exhausted, Setting, candidate, elite
from fewstep.search.space import Space
from fewstep.values.trial import Candidate

__all__ = ["Evolution", "cross", "mutate"]

PARENTS = 15
CROSSED, DEEP = 0.3, 0.5
RATE, FACTOR_RATE = 0.3, 0.09
TIME_STEP, LEVEL_STEP, FACTOR_STEP = 0.03, 0.08, 0.05
ODDS = {"order": (0.2, 0.4, 0.3, 0.1)}  # of a choice's values, where they are not all equally likely
ATTEMPTS = 200  # at a child that was not tried before


class Evolution:
    """Proposes children of the best trials."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._pending: set[Schedule] = set()  # proposed, without an outcome yet

    def propose(self, number: int, draw: Draw) -> Candidate:
        """A child that was neither tried nor proposed yet; a uniform one without parents. Raises `Exhausted`."""
        space, trials = self._setting.space, self._setting.trials
        rng = np.random.default_rng([self._setting.seed, number])
        parents = elite(space, trials, PARENTS)
        tried = {trial.schedule for trial in trials}
        self._pending -= tried
        for _ in range(ATTEMPTS):
            child = operators.uniform(space, rng)
            if parents:
                first, second = (parents[rng.integers(len(parents))] for _ in range(2))
                child = mutate(space, cross(space, first, second, rng) if rng.random() < CROSSED else first, rng)
            if child not in tried and child not in self._pending:
                self._pending.add(child)
                return candidate(child, "evolution" if parents else "uniform")
        raise Exhausted


def cross(space: Space, first: Schedule, second: Schedule, rng: np.random.Generator) -> Schedule:
    """A child of two parents: whole kinds of genes from either, or a pick of each kind for every step."""
    pair, child = (space.encode(first), space.encode(second)), {}
    whole, each = rng.integers(2, size=len(KINDS)), rng.integers(2, size=(space.nfe, len(KINDS)))
    deep, times = rng.random() < DEEP, rng.integers(2)
    for i in range(space.nfe):
        child[f"{GAP.name}_{i}"] = pair[times][f"{GAP.name}_{i}"]
        picks = dict(zip(KINDS, each[i] if deep else whole, strict=True))
        for gene in STEP_GENES:
            child[f"{gene.name}_{i}"] = pair[picks[gene.kind]][f"{gene.name}_{i}"]
    shift = first.shift if first.shift == second.shift or rng.random() < DEEP else second.shift
    return space.decode(child | space.shifts.encode(shift))


def mutate(space: Space, parent: Schedule, rng: np.random.Generator) -> Schedule:
    """The parent with moved times, choices drawn anew and moved factors, each with its rate."""
    gaps = _moved(space, parent, rng)
    child = space.encode(parent) | {f"{GAP.name}_{i}": float(gap) for i, gap in enumerate(gaps)}
    for i in range(space.nfe):
        for choice in CHOICES:
            if rng.random() < RATE:
                pick = rng.choice(len(choice.values), p=ODDS.get(choice.name))
                child[f"{choice.name}_{i}"] = choice.values[pick]
        for factor in FACTORS:
            if rng.random() < FACTOR_RATE:
                child[f"{factor.name}_{i}"] = factor.clip(child[f"{factor.name}_{i}"] + rng.normal(0, FACTOR_STEP))
    return space.decode(child | space.shifts.encode(space.shifts.mutate(parent.shift, FACTOR_STEP, rng)))


def _moved(space: Space, parent: Schedule, rng: np.random.Generator) -> np.ndarray:
    """Log λ-gaps (N,) of the parent's times, some of them moved; no gap so small that it leaves the space."""
    times, process = np.array(parent.times), space.process
    kicks = rng.normal(0, 1, space.nfe - 1) * (rng.random(space.nfe - 1) < RATE)
    if process.times_are_levels:
        inner = times[1:-1] * (1 + LEVEL_STEP * kicks)
    else:
        inner = times[1:-1] + TIME_STEP * np.ptp(times) * kicks
    inner = np.where((inner > times[-1]) & (inner < times[0]), inner, times[1:-1])
    gaps = np.diff(log_snrs(process, np.concatenate([times[:1], np.sort(inner)[::-1], times[-1:]])))
    logits = np.log(np.maximum(gaps, gaps.max() * np.exp(GAP.low - GAP.high)))
    return GAP.clip(logits - logits.mean())
