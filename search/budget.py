"""Budget of one search: trials, network calls and seconds, with a reserve for the final stages.

It knows no stage. Each states its cost and gets a share of what is left, in their order; a stage without a cost takes
what the shares leave. Shares are planned anew before every stage until the one that takes the rest has begun. Before
the first trial nobody knows what will be left, so all but the first stage are asked what they could use at most.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from fewstep.values.limits import Limits
from fewstep.values.stages import Stage

__all__ = ["ON_TEST", "Budget", "Share"]

ON_TEST = "test"  # the name under which calls are booked that no limit counts


class Share(NamedTuple):
    """So many ``trials`` and network ``calls`` (one sample once through the denoiser); calls may be infinite."""

    trials: int
    calls: float


class Budget:
    """What a search of so many ``trials`` may spend within ``limits``; earlier runs of it took ``elapsed`` seconds.

    The limit of calls is that of the search; those of the test are booked beside it, as `ON_TEST`. Calls that an
    earlier search has paid for are booked like others, so that a search is the same with and without them.
    """

    def __init__(self, trials: int, limits: Limits, elapsed: float = 0.0) -> None:
        self._most = Share(trials, math.inf if limits.calls is None else limits.calls)
        self._seconds = math.inf if limits.seconds is None else limits.seconds
        self._began = time.monotonic() - elapsed
        self._calls, self._trials = Counter[str](), Counter[str]()
        self._unmade = Counter[str]()  # of the calls, those that were there already
        self._reserves: dict[str, int] = {}
        self._shares: dict[str, Share] = {}

    @property
    def calls(self) -> int:
        """Network calls of the search so far."""
        return self._calls.total() - self._calls[ON_TEST]

    @property
    def trials(self) -> int:
        """Trials so far."""
        return self._trials.total()

    @property
    def elapsed(self) -> float:
        """Seconds spent, those of earlier runs included."""
        return time.monotonic() - self._began

    @property
    def in_time(self) -> bool:
        """Whether something new may begin."""
        return self.elapsed < self._seconds

    def spend(self, name: str, calls: int, trials: int = 0, made: int | None = None) -> None:
        """Book calls and trials under the name of a stage, or as "teacher", "selection" or `ON_TEST`; of the calls
        only so many were ``made``, by default all."""
        self._calls[name] += calls
        self._trials[name] += trials
        self._unmade[name] += 0 if made is None else calls - made

    def share_calls(self, name: str, calls: int) -> None:
        """Of the calls that are booked under a name, so many need not be made."""
        self._unmade[name] += calls

    def made(self, *names: str) -> int:
        """Network calls that were made under these names, under all where none is named."""
        return sum(self._calls[name] - self._unmade[name] for name in names or self._calls)

    @property
    def shared(self) -> int:
        """Network calls that were there already, and not made."""
        return self._unmade.total()

    def spent(self, name: str) -> Share:
        """What was booked under a name."""
        return Share(self._trials[name], self._calls[name])

    def reserve(self, name: str, calls: int) -> None:
        """Keep calls back, which no stage may touch."""
        self._reserves[name] = calls

    def plan(self, stages: Sequence[Stage], state: Any) -> None:
        """Ask every stage what it costs and set that aside, those that are optional last."""
        self._shares = {}
        for stage in sorted(stages, key=lambda each: each.optional):
            if stage.cost is not None:
                begins = self.trials > 0 or stage is stages[0]
                left = self.left if begins else self.left._replace(calls=math.inf)
                self._shares[stage.name] = stage.share(state, left)

    def share(self, name: str) -> Share:
        """What is set aside for a stage, nothing where it has no share."""
        return self._shares.get(name, Share(0, 0))

    def move(self, calls: int, giver: str, taker: str) -> None:
        """Give calls of one stage's share to another's."""
        for name, change in ((giver, -calls), (taker, calls)):
            share = self.share(name)
            self._shares[name] = share._replace(calls=share.calls + change)

    @property
    def allowed(self) -> float:
        """Calls for all stages together: what the limit leaves beside the teacher and the reserves."""
        return self._most.calls - self._calls["teacher"] - sum(self._reserves.values())

    @property
    def left(self) -> Share:
        """What neither is spent nor set aside."""
        trials, calls = self._most.trials - self.trials, self._most.calls - self.calls - sum(self._reserves.values())
        for name, share in self._shares.items():
            trials -= max(share.trials - self._trials[name], 0)
            calls -= max(share.calls - self._calls[name], 0)
        return Share(trials, calls)

    def stops(self, stage: Stage, calls: int) -> str | None:
        """What a stage would run out of with so many calls more: "calls", "seconds" or nothing.

        It may spend its own share and what no other share holds.
        """
        unspent = max(self.share(stage.name).calls - self._calls[stage.name], 0)
        if calls > unspent + max(self.left.calls, 0):
            return "calls"
        return None if self.in_time else "seconds"
