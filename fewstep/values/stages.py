"""The registry of stages: label and colour of each, and its functions.

A stage is a generator of batches of candidates over the state of a search (`fewstep.search.state`); it may state its
cost, which is then reserved for it. Labels and colours are in this table, so that pages need not import the search.
`docs/extending.md` shows how a package adds one.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fewstep.registry import Registry

__all__ = ["STAGES", "Stage", "order"]


@dataclass(frozen=True)
class Stage:
    """One stage: its ``name`` in origins, a ``label`` and a ``colour`` for people, and its work.

    ``propose(state)`` yields batches; ``cost(state, left)`` says the share of the budget reserved for it, of what
    is ``left``. Without a cost it uses what the reserves of the others leave. Both are functions, or their places as
    "module:function". ``final`` stages come last, on their reserves; ``optional`` ones get a
    share only where all others have theirs. ``phase`` is what its progress is reported under.
    """

    name: str
    label: str
    colour: str
    propose: Callable[..., Any] | str
    cost: Callable[..., Any] | str | None = None
    final: bool = False
    optional: bool = False
    phase: str = "search"

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


STAGES: Registry[Stage] = Registry(
    "stage",
    "fewstep.stages",
    {
        stage.name: stage
        for stage in (
            _builtin("baselines", "baselines", "#8c8c8c", "baselines"),
            _builtin("arc-length", "arc-length seeds", "#c9a227", "arc_length", optional=True),
            _builtin("guided", "guided", "#2f6fb0", "guided", cost=False),
            _builtin("warm-start", "warm start", "#5b9f8f", "warm_start", final=True, phase="fit"),
            _builtin("fit", "fit", "#3a8f4d", "fit", final=True, phase="fit"),
            _builtin("time-search", "time search", "#8a5fb3", "time_search", final=True, phase="fit"),
            _builtin("polish", "polish", "#c4512d", "polish", final=True, phase="fit"),
        )
    },
)


def order(stages: Sequence[Stage] = ()) -> tuple[Stage, ...]:
    """Stages in the order in which a search runs them: those with shares, those that take the rest, the final ones.

    Without an argument, all that are registered.

    >>> [stage.name for stage in order()][:3]
    ['baselines', 'arc-length', 'guided']
    """
    chosen = stages or [STAGES[name] for name in STAGES]
    return tuple(sorted(chosen, key=lambda stage: (stage.final, not stage.final and stage.cost is None)))
