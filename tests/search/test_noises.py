"""Noise sets: reproducible, independent of how they are cut, disjoint between roles."""

import torch

from fewstep.search.evaluation.noises import SEARCH, TEST, VALIDATION, NoiseSet


def test_chunks_hold_the_same_noises() -> None:
    """A set cut into chunks of any size draws the very same numbers."""
    whole = NoiseSet(3, SEARCH, 10)
    for size in (1, 3, 4, 10, 99):
        chunks = whole.chunks(size)
        assert sum(chunk.count for chunk in chunks) == 10
        assert torch.equal(torch.cat([chunk.draw((2, 3)) for chunk in chunks]), whole.draw((2, 3)))


def test_roles_and_seeds_share_no_noise() -> None:
    """No sample of one role or seed occurs in another."""
    sets = [NoiseSet(seed, role, 50) for seed in (0, 1) for role in (SEARCH, VALIDATION, TEST)]
    rows = {tuple(row.tolist()) for noises in sets for row in noises.draw((4,))}
    assert len(rows) == 50 * len(sets)


def test_noise_is_standard_normal() -> None:
    """Mean 0 and variance 1, within five standard errors of 16 000 numbers."""
    values = NoiseSet(0, SEARCH, 1000).draw((16,))
    assert abs(float(values.mean())) < 5 / 16_000**0.5
    assert abs(float(values.var()) - 1) < 5 * (2 / 16_000) ** 0.5
