"""Rankers by name: the built-in ones and one from outside; what a search does with an unknown name."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from fewstep import Schedule
from fewstep.errors import UnknownName
from fewstep.models import GaussianMixture
from fewstep.search.find import find
from fewstep.trajectory import Trajectories
from fewstep.values.forecast import Forecasts
from fewstep.values.rankers import RANKERS
from fewstep.values.trial import Rank, Trial


@pytest.fixture
def asked() -> Iterator[list[Schedule]]:
    """What a ranker that is known by the name "steady" was asked to rank."""
    schedules: list[Schedule] = []

    def steady(trajectories: Trajectories) -> Rank:
        def rank(trials: Sequence[Trial], candidates: Sequence[Schedule]) -> Forecasts:
            schedules.extend(candidates)
            spread = [np.diff(candidate.times).std() for candidate in candidates]
            return Forecasts(np.log1p(spread), np.ones(len(candidates)))

        return rank

    RANKERS.add("steady", steady)
    yield schedules
    RANKERS.remove("steady")


def test_a_ranker_from_outside_ranks_by_its_name(blobs: GaussianMixture, asked: list[Schedule]) -> None:
    """A search that names it asks it, and ends as one that is handed what the name stands for."""
    named = find(blobs, 3, (4,), rank="steady", budget=24, noises=16)
    assert asked
    assert named.schedule == find(blobs, 3, (4,), rank=RANKERS["steady"], budget=24, noises=16).schedule


def test_unknown_rankers_are_refused(blobs: GaussianMixture) -> None:
    """Before anything is evaluated, with the known names."""
    with pytest.raises(UnknownName, match="replay, learned"):
        find(blobs, 3, (4,), rank="tea leaves")


def test_built_in_rankers_are_there() -> None:
    """Each name leads to what makes a ranker."""
    assert {name: callable(RANKERS[name]) for name in ("replay", "learned")} == {"replay": True, "learned": True}
