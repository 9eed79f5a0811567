"""Efforts: how much a search may spend, on how many noises, in which stages.

Calls are network sample-calls of the search: teacher, trials, fits, polishes, selection. The test on unseen noises is
beside them. `docs/decisions/effort.md` has the measurements behind the numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["CUSTOM", "EFFORTS", "STANDARD", "Effort"]


@dataclass(frozen=True)
class Effort:
    """An effort: at most so many ``calls`` (None: without a limit of its own), in ``stages`` by name.

    ``noises`` are those of a trial, ``budget`` the most trials. The other sets are in units of a trial's noises:
    ``train`` for fits and polishes, ``validation`` for the selection, ``test`` for what is published. ``baselines``
    limits the baselines, ``starts`` the schedules that are polished; None leaves both to the stage.
    """

    calls: int | None
    noises: int
    budget: int
    train: int
    validation: float
    test: int
    stages: tuple[str, ...]
    baselines: int | None = None
    starts: int | None = None


STANDARD, CUSTOM = "standard", "custom"
WHOLE = ("baselines", "arc-length", "guidance", "guided", "warm-start", "fit", "time-search", "polish")
EFFORTS: Mapping[str, Effort] = MappingProxyType(
    {
        "quick": Effort(
            calls=3_000,
            noises=16,
            budget=12,
            train=1,
            validation=0,
            test=2,
            stages=("baselines", "cross-fit", "guidance", "warm-start"),
            baselines=3,
        ),
        STANDARD: Effort(
            calls=15_000,
            noises=32,
            budget=24,
            train=1,
            validation=0.5,
            test=4,
            stages=("baselines", "cross-fit", "guidance", "warm-start", "polish"),
            baselines=3,
            starts=2,
        ),
        "thorough": Effort(
            calls=100_000,
            noises=64,
            budget=400,
            train=4,
            validation=2,
            test=8,
            stages=("baselines", "cross-fit", *WHOLE[1:]),
            starts=2,
        ),
        CUSTOM: Effort(calls=None, noises=64, budget=400, train=4, validation=2, test=8, stages=WHOLE),
    }
)
"""By name. "custom" is a search of given size: what a submission of noises or a budget without an effort means."""
