"""The registry of samplers, with the properties of each; an installed package may add its own.

Names and facts are here, where a problem is checked; the samplers themselves are imported by the search that uses one.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fewstep.registry import Registry

__all__ = ["SAMPLERS", "Sampler"]


@dataclass(frozen=True)
class Sampler:
    """A method that proposes schedules. ``factory`` builds it for one study, from a
    `fewstep.search.samplers.base.Setting`; it is a callable, or "module:attribute" of one.

    ``forecasts``: its proposals come with forecasts of their scores, on which a limit of improvement rests.
    ``generations``: it proposes as many schedules at once as the search evaluates in parallel; others do best when
    they see each score before the next proposal. ``times_only``: an Optuna sampler that moves the times and
    keeps everything else of the best trial before its first proposal.

    >>> SAMPLERS["guided"].forecasts, SAMPLERS["random"].forecasts
    (True, False)
    """

    factory: Callable[[Any], Any] | str
    forecasts: bool = False
    generations: bool = False
    times_only: bool = False

    def build(self, setting: Any) -> Any:
        """The sampler for one study: a proposer or an Optuna sampler."""
        factory = pkgutil.resolve_name(self.factory) if isinstance(self.factory, str) else self.factory
        return factory(setting)


HOME = "fewstep.search.samplers"
SAMPLERS: Registry[Sampler] = Registry(
    "sampler",
    "fewstep.samplers",
    {
        "guided": Sampler(f"{HOME}.guided:Guided", forecasts=True, generations=True),
        "evolution": Sampler(f"{HOME}.evolution:Evolution"),
        "tpe": Sampler(f"{HOME}.optuna:tpe"),
        "gp": Sampler(f"{HOME}.optuna:gp"),
        "cmaes": Sampler(f"{HOME}.optuna:cmaes", times_only=True),
        "nsga2": Sampler(f"{HOME}.optuna:nsga2"),
        "random": Sampler(f"{HOME}.optuna:random"),
    },
)
