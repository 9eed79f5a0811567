"""The recurrent ranker: it learns orders from steps, and only from its arguments."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from fewstep.predictor.dataset import Table
from fewstep.predictor.sequence import sequence

RNG = np.random.default_rng(0)


def table(count: int, width: int = 3) -> Table:
    """Random tokens of six steps, two numbers for the whole; features and prior are not looked at."""
    steps = RNG.normal(size=(count, 6, width))
    none, whole = np.zeros((count, 1)), RNG.normal(size=(count, 2))
    return Table(none, none[:, 0], steps, whole, np.zeros((count, 4)), np.zeros((count, 1)), none[:, :0], none[:, 0])


KNOWN, NEW = table(120), table(200)


def truth(given: Table) -> np.ndarray:
    """A number in which every step counts more than the one before, and the whole as well."""
    return given.steps[:, :, 0] @ np.linspace(0.2, 1.0, 6) + given.whole[:, 0]


def test_an_order_over_steps_is_learned() -> None:
    """Unseen tables are ranked well, and the forecast has the level and the spread of the targets."""
    forecast = sequence(KNOWN, 3 + truth(KNOWN), seed=0)(NEW)
    assert kendalltau(forecast, truth(NEW)).statistic > 0.7
    assert forecast.mean() == pytest.approx(3 + truth(NEW).mean(), abs=0.4)
    assert forecast.std() == pytest.approx(truth(NEW).std(), rel=0.3)


def test_when_a_step_comes_matters() -> None:
    """Where only the last step counts, swapping first and last turns the order into one of chance."""
    forecast = sequence(KNOWN, KNOWN.steps[:, -1, 0], seed=0)
    swapped = NEW._replace(steps=NEW.steps[:, ::-1])
    assert kendalltau(forecast(NEW), NEW.steps[:, -1, 0]).statistic > 0.7
    assert abs(kendalltau(forecast(swapped), NEW.steps[:, -1, 0]).statistic) < 0.3


def test_only_the_order_is_trained_for() -> None:
    """Targets in other units give the same forecasts in those units."""
    first, second = (sequence(KNOWN, a * truth(KNOWN) + b, seed=0)(NEW) for a, b in ((1.0, 0.0), (8.0, 3.0)))
    np.testing.assert_allclose(second, 8 * first + 3, rtol=1e-3, atol=1e-2)


def test_arguments_decide_and_nothing_else() -> None:
    """Same arguments, same numbers; another seed, others; the global random state and threads stay as they were."""
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first, again, other = (sequence(KNOWN, truth(KNOWN), seed)(NEW) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_targets_and_tokens_all_alike_are_survived() -> None:
    """Nothing to order: forecasts are the common target."""
    flat = KNOWN._replace(steps=np.zeros_like(KNOWN.steps), whole=np.zeros_like(KNOWN.whole))
    np.testing.assert_allclose(sequence(flat, np.full(120, 4.0), seed=0)(NEW), 4.0)
    assert np.all(np.isfinite(sequence(flat, truth(KNOWN), seed=0)(NEW)))
