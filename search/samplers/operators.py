"""Ways to make a new schedule of the space from old ones: mutation, crossover, uniform."""

from dataclasses import replace
from typing import Any

import numpy as np

from fewstep import Schedule, Step
from fewstep.search.ends import log_snrs
from fewstep.search.space import FACTORS, GAP_RANGE, GENES, Space, with_genes
from fewstep.steps.exponential import first_factor

__all__ = ["cross", "mutate", "uniform"]

STRENGTHS = (0.03, 0.1, 0.3)  # of a mutation; one is drawn per child
GENE_RATE = 0.12  # chance of each choice of each step to change, where choices are mutated at all
FACTOR_RATE = 0.3  # chance of each continuous factor of each step to move, where factors are mutated at all
LEAST_BLEND = 0.3  # of score-optimal with even λ, in proposals
CLOSEST = 1e-3  # λ-gap of proposals
WIDTH = 0.7  # standard deviation of the log λ-gaps of a uniform proposal


def uniform(space: Space, rng: np.random.Generator) -> Schedule:
    """A schedule whose genes are uniform and whose log λ-gaps are normal round an even grid in λ.

    Where the space has an arc length, every other one has its times at quantiles of it instead, each one moved by up to
    half a gap: dense where the model's scores change. Where it has time shifts, one in four has one.
    """
    steps = []
    for _ in range(space.nfe):
        genes: dict[str, Any] = {gene: values[rng.integers(len(values))] for gene, values in GENES.items()}
        genes |= {gene: rng.uniform(*bounds) for gene, bounds in FACTORS.items()}
        steps.append(with_genes(Step(), genes))
    logits = np.clip(rng.normal(0, WIDTH, space.nfe), -GAP_RANGE, GAP_RANGE)
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
        logits = np.clip(logits + kicks, -GAP_RANGE, GAP_RANGE)
    gaps = np.diff(log_snrs(space.process, np.array(parent.times)))
    steps = []
    for step, gap in zip(parent.steps, gaps, strict=True):
        if change_genes:
            changed = {gene: values[rng.integers(len(values))] for gene, values in GENES.items()}
            step = with_genes(step, {gene: value for gene, value in changed.items() if rng.random() < GENE_RATE})
        if move_factors:
            step = _moved(step, float(gap), strength, rng)
        steps.append(step)
    return space.build(logits, steps, space.shifts.mutate(parent.shift, strength, rng))


def _moved(step: Step, gap: float, strength: float, rng: np.random.Generator) -> Step:
    """The step with its derivative factors kicked; a named scale becomes the linear one of equal effect first."""
    if step.order > 1 and rng.random() < FACTOR_RATE:
        slope = (first_factor(gap, step.prediction, step.scale, step.slope) - 1) / gap
        step = replace(step, scale="linear", slope=np.clip(slope + rng.normal(0, strength), *FACTORS["slope"]))
    if step.corrector and rng.random() < FACTOR_RATE:
        slope = (first_factor(gap, step.prediction, step.corrector_scale, step.corrector_slope) - 1) / gap
        slope = np.clip(slope + rng.normal(0, strength), *FACTORS["corrector_slope"])
        step = replace(step, corrector_scale="linear", corrector_slope=slope)
    if step.order > 2 and rng.random() < FACTOR_RATE:
        step = replace(step, second=np.clip(step.second + rng.normal(0, 3 * strength), *FACTORS["second"]))
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
    return space.build(np.clip(logits, -GAP_RANGE, GAP_RANGE), steps, shift)
