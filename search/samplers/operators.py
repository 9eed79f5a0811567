"""Ways to make a new schedule of the space from old ones: mutation, crossover, uniform."""

from dataclasses import replace
from typing import Any

import numpy as np

from fewstep import Schedule, Step
from fewstep.search.gaps import log_snrs
from fewstep.search.genes import CHOICES, FACTORS, GAP, STEP_GENES, with_genes
from fewstep.search.space import Space
from fewstep.steps.exponential import first_factor
from fewstep.steps.rules import MIN_GAP

__all__ = ["cross", "mutate", "uniform"]

STRENGTHS = (0.03, 0.1, 0.3)  # of a mutation; one is drawn per child
GENE_RATE = 0.12  # chance of each choice of each step to change, where choices are mutated at all
FACTOR_RATE = 0.3  # chance of each continuous factor of each step to move, where factors are mutated at all
LEAST_BLEND = 0.3  # of score-optimal with even λ, in proposals
CLOSEST = 1e-3  # λ-gap of proposals
WIDTH = 0.7  # standard deviation of the log λ-gaps of a uniform proposal
MOVES = sorted(FACTORS, key=lambda factor: factor.scale is None)  # in the order of their random draws: slopes first


def uniform(space: Space, rng: np.random.Generator) -> Schedule:
    """A schedule whose genes are uniform and whose log λ-gaps are normal round an even grid in λ.

    Where the space has an arc length, every other one has its times at quantiles of it instead, each one moved by up to
    half a gap: dense where the model's scores change. Where it has time shifts, one in four has one.
    """
    steps = [with_genes(Step(), {gene.name: gene.draw(rng) for gene in STEP_GENES}) for _ in range(space.nfe)]
    logits = GAP.clip(rng.normal(0, WIDTH, space.nfe))
    if space.arc is not None and rng.random() < 0.5:
        shares = (np.arange(1, space.nfe) + rng.uniform(-0.5, 0.5, space.nfe - 1)) / space.nfe
        lam = space.arc.log_snr_at(np.concatenate([[0.0], shares, [1.0]]), blend=rng.uniform(LEAST_BLEND, 1.0))
        logits = space.spread(np.maximum(np.diff(lam), CLOSEST))
    return space.build(logits, steps, space.shifts.draw(rng))


def mutate(space: Space, parent: Schedule, rng: np.random.Generator) -> Schedule:
    """The parent with moved times, changed choices or moved factors: any of the three, at least one; and now and then
    another time shift, where the space has any."""
    move_times, change_genes, move_factors = rng.random(3) < (0.7, 0.4, 0.6)
    strength = STRENGTHS[rng.integers(len(STRENGTHS))]
    logits = space.logits(parent)
    if move_times or not (change_genes or move_factors):
        kicks = rng.normal(0, strength, space.nfe)
        if rng.random() < 0.5:  # half of the time only two gaps move
            kicks[rng.permutation(space.nfe)[2:]] = 0.0
        logits = GAP.clip(logits + kicks)
    lam = log_snrs(space.process, np.array(parent.times))
    gaps = np.maximum(np.diff(lam), MIN_GAP)  # none between times beyond the ends
    steps = []
    for step, gap in zip(parent.steps, gaps, strict=True):
        if change_genes:
            values = {choice.name: choice.draw(rng) for choice in CHOICES}
            step = with_genes(step, {name: value for name, value in values.items() if rng.random() < GENE_RATE})
        if move_factors:
            step = _moved(step, float(gap), strength, rng)
        steps.append(step)
    return space.build(logits, steps, space.shifts.mutate(parent.shift, strength, rng))


def _moved(step: Step, gap: float, strength: float, rng: np.random.Generator) -> Step:
    """The step with its derivative factors kicked; a named scale becomes the linear one of equal effect first."""
    for factor in MOVES:
        if not factor.used(step) or rng.random() >= FACTOR_RATE:
            continue
        value, changes = getattr(step, factor.name), dict[str, Any]()
        if factor.scale is not None:
            value = (first_factor(gap, step.prediction, getattr(step, factor.scale), value) - 1) / gap
            changes[factor.scale] = "linear"
        changes[factor.name] = factor.clip(value + rng.normal(0, factor.move * strength))
        step = replace(step, **changes)
    return step


def cross(space: Space, first: Schedule, second: Schedule, rng: np.random.Generator) -> Schedule:
    """Times blended between two parents; each step comes whole from one of them, cut once or mixed step by step;
    so does the time shift."""
    blend = rng.uniform(-0.25, 1.25)
    logits = (1 - blend) * space.logits(first) + blend * space.logits(second)
    if rng.random() < 0.5:
        from_first = np.arange(space.nfe) < rng.integers(space.nfe + 1)
    else:
        from_first = rng.random(space.nfe) < 0.5
    steps = [a if pick else b for a, b, pick in zip(first.steps, second.steps, from_first, strict=True)]
    shift = first.shift if first.shift == second.shift or rng.random() < 0.5 else second.shift
    return space.build(GAP.clip(logits), steps, shift)
