"""One behavioural suite over all metrics: the rows they keep, the values they give, what they refuse."""

import numpy as np
import pytest
import torch

from fewstep.errors import InvalidInput, UnknownName
from fewstep.search import metrics
from fewstep.search.evaluation import teacher
from fewstep.search.metrics import bootstrap
from fewstep.search.metrics.base import Metric
from fewstep.search.metrics.reference import from_rows
from fewstep.values.objective import METRICS

RNG = np.random.default_rng(0)
KNOWN = RNG.normal(size=(300, 4))
ONCE = np.ones((1, 200), dtype=int)


@pytest.fixture(params=METRICS)
def metric(request: pytest.FixtureRequest) -> Metric:
    """Each metric in turn, on pixels of four numbers."""
    return metrics.named(request.param, from_rows(KNOWN))


def rows(metric: Metric, shift: float = 0.0, count: int = 200, seed: int = 1) -> np.ndarray:
    """What the metric keeps of normal samples moved by ``shift``; their partners are the same samples unmoved."""
    clean = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 2, 2)))
    return metric.observe(clean + shift, clean if metric.paired else None)


def test_one_row_for_each_noise_whatever_the_batch(metric: Metric) -> None:
    """Rows of all samples are the rows of their parts, one after the other, in double precision."""
    samples, ends = torch.randn(7, 1, 2, 2), torch.zeros(7, 1, 2, 2)
    whole = metric.observe(samples, ends)
    parts = [metric.observe(samples[part], ends[part]) for part in (slice(0, 3), slice(3, 7))]
    assert whole.shape[0] == 7
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_worse_samples_score_worse(metric: Metric) -> None:
    """The further the samples are moved from the law they should have, the larger the value."""
    assert metric.smaller_is_better
    values = [metric.values(rows(metric, shift), ONCE)[0] for shift in (0.0, 0.3, 1.0)]
    assert values[0] < values[1] < values[2]


def test_counting_a_noise_twice_is_having_it_twice(metric: Metric) -> None:
    """Values for counts are the values of the rows repeated; but a kernel distance leaves out pairs of copies."""
    kept = rows(metric, 0.3)
    counts = bootstrap.resample(200, 3, seed=2)
    repeated = [metric.values(np.repeat(kept, row, axis=0), ONCE)[0] for row in counts]
    if metric.name == "kernel":
        assert np.all(metric.values(kept, counts) < repeated)  # a copy is as near as can be
    else:
        np.testing.assert_allclose(metric.values(kept, counts), repeated, rtol=1e-9)


def test_the_order_of_the_noises_does_not_matter(metric: Metric) -> None:
    """Shuffled rows have the same value."""
    kept = rows(metric, 0.3)
    shuffled = kept[np.random.default_rng(3).permutation(200)]
    np.testing.assert_allclose(metric.values(shuffled, ONCE), metric.values(kept, ONCE), rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e200])
def test_samples_that_diverged_are_refused(metric: Metric, bad: float) -> None:
    """The message says how many rows are not finite."""
    kept = rows(metric)
    kept[5, 0] = kept[9, 0] = bad
    with pytest.raises(InvalidInput, match="2 of 200 noises are not finite"):
        metric.values(kept, ONCE)


def test_no_noises_are_refused(metric: Metric) -> None:
    """An empty table has no value; a single noise has one only where no spread is asked for."""
    with pytest.raises(InvalidInput, match="noises, got an array"):
        metric.values(rows(metric)[:0], ONCE[:, :0])
    if metric.name in ("frechet", "kernel"):
        with pytest.raises(InvalidInput, match="n >= 2 noises"):
            bootstrap.score(metric, rows(metric)[:1], calls=4)
    else:
        assert bootstrap.score(metric, rows(metric)[:1], calls=4).standard_error == 0


def test_rows_of_another_width_are_refused(metric: Metric) -> None:
    """Features that do not fit the reference's are told."""
    with pytest.raises(InvalidInput, match=r"wants rows \(n, [14]\)"):
        metric.values(np.zeros((200, 3)), ONCE)


def test_the_standard_error_is_the_spread_over_fresh_noises(metric: Metric) -> None:
    """The mean stated error is right to a quarter against the spread of 150 scores on noises of their own."""
    paired = np.random.default_rng(4).chisquare(4, size=(150, 200, 1))
    tables = paired if metric.paired else [rows(metric, 0.5, seed=10 + i) for i in range(150)]
    values = [metric.values(table, ONCE)[0] for table in tables]
    stated = [bootstrap.score(metric, table, 0, seed=i, times=100).standard_error for i, table in enumerate(tables[:8])]
    assert np.mean(stated) == pytest.approx(np.std(values, ddof=1), rel=0.25)


def test_an_interval_holds_its_value(metric: Metric) -> None:
    """Also with few rows of a good schedule, where a resample's distance is far above that of the rows themselves; the
    interval is about four standard errors wide."""
    kept = np.random.default_rng(4).chisquare(4, size=(40, 1)) if metric.paired else rows(metric, 0.1)[:40]
    found = bootstrap.score(metric, kept, calls=0)
    low, high = bootstrap.interval(metric, kept, seed=0, times=400)
    assert low < found.value < high
    assert high - low == pytest.approx(4 * found.standard_error, rel=0.4)


def test_pairs_are_compared_on_the_same_noises(metric: Metric) -> None:
    """A table against itself leaves no width, and a much worse one lies above."""
    good, worse = (rows(metric, shift) for shift in (0.3, 1.5))
    assert bootstrap.difference_interval(metric, good, good, seed=0, times=50) == (0.0, 0.0)
    low, high = bootstrap.difference_interval(metric, worse, good, seed=0, times=50)
    assert 0 < low < high
    low, high = bootstrap.ratio_interval(metric, worse, good, seed=0, times=50)
    assert 1 < low < high
    with pytest.raises(InvalidInput, match="rows of the same noises"):
        bootstrap.ratio_interval(metric, good, good[:50], seed=0)


def test_the_cost_is_the_noises_times_their_calls() -> None:
    """The teacher's ends are paid once, and only where they are compared with."""
    assert metrics.cost(metrics.named("endpoint"), 100, 5) == (100 * teacher.CALLS, 500)
    assert metrics.cost(metrics.named("kid", from_rows(KNOWN)), 100, 5) == (0, 500)


def test_names_are_checked() -> None:
    """An unknown name lists the known ones; a missing reference is asked for."""
    with pytest.raises(UnknownName, match="frechet, kid"):
        metrics.named("beauty")
    with pytest.raises(InvalidInput, match="give the reference"):
        metrics.named("frechet")
    with pytest.raises(InvalidInput, match="got none"):
        metrics.named("endpoint").observe(torch.zeros(1, 2), None)
