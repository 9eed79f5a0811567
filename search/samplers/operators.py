"""Ways to make new schedules of the space from old ones: mutation, crossover, uniform; many at once, or one."""

from collections.abc import Sequence

import numpy as np

from fewstep import Schedule
from fewstep.search.gaps import log_snrs
from fewstep.search.genes import CHOICES, FACTORS, GAP, Choice, Gene
from fewstep.search.genome import Genome
from fewstep.search.space import Space
from fewstep.steps.exponential import first_factors
from fewstep.steps.rules import MIN_GAP

__all__ = ["cross", "crossovers", "mutate", "mutations", "uniform", "uniforms"]

STRENGTHS = (0.03, 0.1, 0.3)  # of a mutation; one is drawn per child
TIMES_RATE, CHOICES_RATE, FACTORS_RATE = 0.7, 0.4, 0.6  # chance of a child to have those moved at all
GENE_RATE = 0.12  # chance of each choice of each step to change, where choices are mutated at all
FACTOR_RATE = 0.3  # chance of each continuous factor of each step to move, where factors are mutated at all
BLENDS = np.linspace(0.3, 1.0, 8)  # of score-optimal with even λ, in proposals
CLOSEST = 1e-3  # λ-gap of proposals
WIDTH = 0.7  # standard deviation of the log λ-gaps of a uniform proposal
MOVES = sorted(FACTORS, key=lambda factor: factor.scale is None)  # slopes first: they make their scales linear


def uniform(space: Space, rng: np.random.Generator) -> Schedule:
    """One of `uniforms`."""
    return uniforms(space, 1, rng)[0]


def mutate(space: Space, parent: Schedule, rng: np.random.Generator) -> Schedule:
    """One of `mutations`."""
    return mutations(space, [parent], np.zeros(1, dtype=int), rng)[0]


def cross(space: Space, first: Schedule, second: Schedule, rng: np.random.Generator) -> Schedule:
    """One of `crossovers`."""
    return crossovers(space, [first, second], np.array([[0, 1]]), rng)[0]


def uniforms(space: Space, count: int, rng: np.random.Generator) -> list[Schedule]:
    """Schedules whose genes are uniform and whose log λ-gaps are normal round an even grid in λ.

    Where the space has an arc length, about every other one has its times at quantiles of it instead, each one moved by
    up to half a gap: dense where the model's scores change. Where it has time shifts, one in four has one.
    """
    shape = (count, space.nfe)
    genes = {gene.name: _draws(gene, shape, rng) for gene in (*CHOICES, *FACTORS)}
    logits = GAP.clip(rng.normal(0, WIDTH, shape))
    if space.arc is not None:
        kicks = rng.uniform(-0.5, 0.5, (count, space.nfe - 1))
        shares = np.pad((np.arange(1, space.nfe) + kicks) / space.nfe, ((0, 0), (1, 0)))
        shares = np.pad(shares, ((0, 0), (0, 1)), constant_values=1.0)  # (M, N + 1)
        blends = rng.integers(len(BLENDS), size=count)
        measured = rng.random(count) < 0.5
        for i in np.unique(blends[measured]):
            picks = np.flatnonzero(measured & (blends == i))
            lam = space.arc.log_snr_at(shares[picks].ravel(), blend=float(BLENDS[i])).reshape(len(picks), -1)
            logits[picks] = [space.spread(row) for row in np.maximum(np.diff(lam), CLOSEST)]
    return Genome(logits, genes, [space.shifts.draw(rng) for _ in range(count)]).build(space)


def mutations(space: Space, parents: Sequence[Schedule], picks: np.ndarray, rng: np.random.Generator) -> list[Schedule]:
    """Children of the parents ``picks`` (M,), with moved times, changed choices or moved factors: any of the three, at
    least one; and now and then another time shift, where the space has any."""
    count, shape = len(picks), (len(picks), space.nfe)
    family = Genome.of(space, parents).rows(picks)
    rates = TIMES_RATE, CHOICES_RATE, FACTORS_RATE
    move_times, change, move = (rng.random((count, 1)) < rate for rate in rates)
    strength = np.array(STRENGTHS)[rng.integers(len(STRENGTHS), size=(count, 1))]
    kicks = rng.normal(0, strength, shape)
    order = rng.random(shape).argsort(axis=1)
    kicks[(rng.random((count, 1)) < 0.5) & (order > 1)] = 0.0  # half of the time only two gaps move
    logits = np.where(move_times | ~(change | move), GAP.clip(family.logits + kicks), family.logits)
    genes = dict(family.genes)
    for choice in CHOICES:
        drawn, changed = _draws(choice, shape, rng), change & (rng.random(shape) < GENE_RATE)
        genes[choice.name] = np.where(changed, drawn, genes[choice.name])
    lam = np.stack([log_snrs(space.process, np.array(parent.times)) for parent in parents])[picks]
    gaps = np.maximum(np.diff(lam), MIN_GAP)  # none between times beyond the ends
    for factor in MOVES:
        moved = move & factor.used(genes["order"], genes["corrector"]) & (rng.random(shape) < FACTOR_RATE)
        value = genes[factor.name]
        if factor.scale is not None:  # a named scale becomes the linear one of equal effect first
            value = (first_factors(gaps, genes["prediction"], genes[factor.scale], value) - 1) / gaps
            genes[factor.scale] = np.where(moved, "linear", genes[factor.scale])
        value = factor.clip(value + factor.move * rng.normal(0, strength, shape))
        genes[factor.name] = np.where(moved, value, genes[factor.name])
    shifts = [
        space.shifts.mutate(shift, float(each), rng) for shift, each in zip(family.shifts, strength[:, 0], strict=True)
    ]
    return Genome(logits, genes, shifts).build(space)


def crossovers(
    space: Space, parents: Sequence[Schedule], pairs: np.ndarray, rng: np.random.Generator
) -> list[Schedule]:
    """Children of pairs (M, 2) of parents: times blended between the two; each step comes whole from one of them, cut
    once or mixed step by step; so does the time shift."""
    count, shape = len(pairs), (len(pairs), space.nfe)
    family = Genome.of(space, parents)
    first, second = family.rows(pairs[:, 0]), family.rows(pairs[:, 1])
    blend = rng.uniform(-0.25, 1.25, (count, 1))
    cut = np.arange(space.nfe) < rng.integers(space.nfe + 1, size=(count, 1))
    from_first = np.where(rng.random((count, 1)) < 0.5, cut, rng.random(shape) < 0.5)
    genes = {name: np.where(from_first, values, second.genes[name]) for name, values in first.genes.items()}
    whose = rng.random(count) < 0.5
    shifts = [a if pick else b for a, b, pick in zip(first.shifts, second.shifts, whose, strict=True)]
    return Genome(GAP.clip((1 - blend) * first.logits + blend * second.logits), genes, shifts).build(space)


def _draws(gene: Gene, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Values of a gene, as `Gene.draw` draws them."""
    if isinstance(gene, Choice):
        return np.array(gene.values)[rng.integers(len(gene.values), size=shape)]
    return rng.uniform(*(gene.draws or (gene.low, gene.high)), size=shape)
