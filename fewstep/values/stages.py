"""The registry of stages: label and colour of each, and its functions.

A stage is a generator of batches of candidates over the state of a search (`fewstep.search.state`); it may state its
cost, which is then reserved for it. Labels and colours are in this table, so that pages need not import the search.
`docs/extending.md` shows how a package adds one.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fewstep.errors import InvalidInput
from fewstep.registry import Registry

__all__ = ["BOUNDED", "BUILT_IN", "GUIDED", "STAGES", "Look", "Stage", "look", "order"]

COLOUR = re.compile("#[0-9a-f]{6}")
GUIDED = "guided"  # the stage that takes what the shares of the others leave
NEUTRAL = "#8d7f73"  # of stages that are not registered here


@dataclass(frozen=True)
class Stage:
    """One stage: its ``name`` in origins, a ``label`` and a ``colour`` for people, and its work.

    ``propose(state)`` yields batches; ``cost(state, left)`` says the share of the budget reserved for it, of what
    is ``left``. Without a cost it uses what the reserves of the others leave. Both are functions, or their places as
    "module:function". ``final`` stages come last, on their reserves; ``optional`` ones get a
    share only where all others have theirs. ``phase`` is what its progress is reported under.

    The colour is written #rrggbb; one with a contrast of 3 to white and to #1a1e25 is seen in both themes of the
    dashboard. Raises `InvalidInput` where it is written otherwise.
    """

    name: str
    label: str
    colour: str
    propose: Callable[..., Any] | str
    cost: Callable[..., Any] | str | None = None
    final: bool = False
    optional: bool = False
    phase: str = "search"

    def __post_init__(self) -> None:
        if not COLOUR.fullmatch(self.colour):
            raise InvalidInput(f"stage {self.name!r} has the colour {self.colour!r}: write it as #rrggbb in lower case")

    def __call__(self, state: Any) -> Any:
        """The stage's batches."""
        return _function(self.propose)(state)

    def share(self, state: Any, left: Any) -> Any:
        """The stage's reserve of what is left; None for a stage without a cost."""
        return _function(self.cost)(state, left) if self.cost is not None else None


def _function(place: Callable[..., Any] | str) -> Callable[..., Any]:
    if not isinstance(place, str):
        return place
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _builtin(name: str, label: str, colour: str, module: str, cost: bool = True, **facts: Any) -> Stage:
    place = f"fewstep.search.stages.{module}"
    return Stage(name, label, colour, f"{place}:propose", f"{place}:cost" if cost else None, **facts)


_TABLE = (
    _builtin("baselines", "baselines", "#7a828e", "baselines"),
    _builtin("arc-length", "arc-length seeds", "#a87a12", "arc_length", optional=True),
    _builtin("cross-fit", "cross-fitted times", "#bf40a0", "cross_fit"),
    _builtin("guidance", "guidance call by call", "#227788", "guidance"),
    _builtin(GUIDED, "guided", "#3f7de0", "guided", cost=False),
    _builtin("warm-start", "warm start", "#1f9a93", "warm_start", final=True, phase="fit"),
    _builtin("fit", "fit", "#4a9a2b", "fit", final=True, phase="fit"),
    _builtin("time-search", "time search", "#9b62d0", "time_search", final=True, phase="fit"),
    _builtin("polish", "polish", "#e0483c", "polish", final=True, phase="fit"),
)
STAGES: Registry[Stage] = Registry("stage", "fewstep.stages", {stage.name: stage for stage in _TABLE})
BOUNDED = ("baselines", "guidance", "warm-start", "polish")
"""The built-in stages of a search with a bound of passes: those that know of each call's guidance."""
BUILT_IN = tuple(stage.name for stage in _TABLE)


def order(stages: Sequence[Stage] = ()) -> tuple[Stage, ...]:
    """Stages in the order in which a search runs them: those with shares, those that take the rest, the final ones.

    Without an argument, all that are registered.

    >>> [stage.name for stage in order()][:3]
    ['baselines', 'arc-length', 'cross-fit']
    """
    chosen = stages or [STAGES[name] for name in STAGES]
    return tuple(sorted(chosen, key=lambda stage: (stage.final, not stage.final and stage.cost is None)))


class Look(NamedTuple):
    """How a stage is shown to people: its label, and the colour of its marks."""

    label: str
    colour: str


def look(name: str) -> Look:
    """How the stage of that name is shown; one that is not registered here has its name and a neutral colour.

    >>> look("time-search").label, look("from-elsewhere").label
    ('time search', 'from-elsewhere')
    """
    if name not in STAGES:
        return Look(name, NEUTRAL)
    stage = STAGES[name]
    return Look(stage.label, stage.colour)
