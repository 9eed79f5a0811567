"""Which of several results is the best."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import pytest

from fewstep.values.published import Published, best_of
from fewstep.values.score import Interval, Score
from tests.storage import samples

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Row = tuple[int, float, float, float]  # calls, value, and the ends of its interval


def published(nfe: int, value: float, between: Interval | None, error: float = 0.0) -> Published:
    result = samples.result(samples.problem(nfe=nfe), value)
    winner = replace(result.winner, score=Score(value, error, 64, 256), interval=between)
    return Published(result.schedule.digest, "a" * 16, f"{nfe} {value}", NOW, replace(result, winner=winner))


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([(5, 0.5, 0.4, 0.6)], 0),
        ([(5, 0.50, 0.45, 0.55), (8, 0.52, 0.51, 0.53)], 1),
        ([(5, 0.50, 0.45, 0.55), (8, 0.60, 0.55, 0.65)], 1),
        ([(5, 0.50, 0.45, 0.55), (8, 0.60, 0.56, 0.65)], 0),
        ([(5, 0.10, 0.05, 0.2), (6, 0.4, 0.3, 0.5), (8, 0.5, 0.4, 0.6)], 0),
        ([(5, 0.35, 0.3, 0.39), (6, 0.2, 0.1, 0.35), (8, 0.5, 0.4, 0.6)], 1),
        ([(8, 0.3, 0.1, 0.9), (8, 0.2, 0.15, 0.25), (5, 0.14, 0.12, 0.16)], 1),
    ],
)
def test_fewer_calls_are_best_only_beyond_chance(rows: list[Row], best: int) -> None:
    """A whole 95 % interval below the other's; of equal calls the lowest value; in whatever order they come."""
    results = [published(nfe, value, Interval(low, high)) for nfe, value, low, high in rows]
    for order in permutations(results):
        assert best_of(order) is results[best]


def test_results_without_an_interval() -> None:
    """Theirs reaches 1.96 standard errors to either side."""
    more = published(8, 1.0, None, error=0.1)
    for value, better in ((0.60, True), (0.61, False)):
        fewer = published(5, value, None, error=0.1)
        assert best_of([fewer, more]) is (fewer if better else more)


def test_of_equal_results_the_first_is_the_best() -> None:
    """So that it does not change with a search that finds as much again."""
    first, second = (published(5, 0.5, Interval(0.4, 0.6)) for _ in range(2))
    assert best_of([first, second]) is first
