"""What a search may still spend: network sample-calls and seconds, and what the end of it wants kept back.

With a limit of calls, the confirmation and a few generations of hand-made solvers are set aside first, then fits, the
closed loop and the polish, each cut down until they fit; what is left goes to more trials, which gain less for a call.
"""

import time

from fewstep.errors import SearchFailed
from fewstep.search.optimize import gradient_check as gradient
from fewstep.search.stages import arc_length as arc
from fewstep.search.stages import polish as polishing
from fewstep.search.stages import selection as confirm
from fewstep.search.stages import teacher as teaching
from fewstep.search.stages import time_search as closed_loop
from fewstep.values.problem import Problem

__all__ = ["BATCH", "MOST_FITS", "Purse"]

MOST_FITS = 8  # the last trials of a budget, at most a quarter of it, are fitted and polished schedules
FEW_FITS = 4  # of them with a limit of calls: on replayed times, on a trial's own, the closed loop's, the polished one
LOOPED = 8  # calls up to which the closed loop pays: its fits on few noises learn longer rows by heart
SWEEP = 18  # trials' calls that hand-made solvers may take of a limit: three generations, of which most lose
BATCH = 8  # trials of a generation; fixed, so that results do not depend on the number of workers


class Purse:
    """Limits of a problem's search; ``elapsed`` seconds were spent by earlier runs of it."""

    def __init__(self, problem: Problem, sets: teaching.Sets, nested: int, elapsed: float = 0.0) -> None:
        self._problem, self._sets, self._nested = problem, sets, nested
        self._until = None if problem.limits.seconds is None else time.monotonic() + problem.limits.seconds - elapsed
        self.fits = min(MOST_FITS, problem.budget // 4)
        self.polish = min(problem.budget * polishing.CALLS, polishing.MOST_CALLS) if self.fits > 2 else 0
        self._size, self._blind = 1, False
        most, first = problem.limits.calls, min(BATCH, problem.budget) * problem.noises * problem.nfe
        self._least = teaching.cost(sets) + first
        if most is not None and self._least + self._end(0) > most:
            raise SearchFailed(
                f"teacher, first trials and confirmation on {problem.noises} noises cost {self._least + self._end(0):,}"
                f" sample-calls, and {most:,} are allowed: allow more, or take fewer noises"
            )

    def plan(self, spent: int, size: int) -> None:
        """Set fits and polish by what ``spent`` sample-calls leave; a sample has ``size`` numbers."""
        self._size = size
        most = self._problem.limits.calls
        if most is None:
            return
        left = most - spent
        self.fits = min(self.fits, FEW_FITS)
        while self.fits and self._end(self.fits) > left:
            self.fits -= 1
        self.polish = min(self.polish, max(left - self._end(self.fits), 0))
        if not self._polishes(self.polish - gradient.PROBE_CALLS):
            self.polish = 0

    def probed(self, obstacle: str | None) -> None:
        """The model's gradient was probed; where an ``obstacle`` was found, the polish leaves its calls to trials, but
        for the closed loop's."""
        self.polish -= gradient.PROBE_CALLS
        self._blind = obstacle is not None
        if self._blind:
            loop = self._loop() if 1 < self._problem.nfe <= LOOPED else 0
            self.polish = loop if loop <= self.polish else 0

    def polishes(self) -> int:
        """How many schedules are to be polished."""
        return self._polishes(self.polish) if self.in_time() and not self._blind else 0

    def short(self, spent: int, trials: int, swept: int | None = None) -> str | None:
        """What ``trials`` more, each on all noises, would run out of: "calls" that the end wants, "seconds"; or None.

        ``swept`` sample-calls of the ``spent`` were hand-made solvers', and so are these trials: until these have had
        what is set aside for them, the confirmation alone is kept back.
        """
        most, each = self._problem.limits.calls, self._problem.noises * self._problem.nfe
        early = swept is not None and swept + trials * each <= SWEEP * each
        kept = self._end(0) if early else self._end(self.fits) + self.polish
        if most is not None and spent + trials * each + kept > most:
            return "calls"
        return None if self.in_time() else "seconds"

    def affords_arc(self) -> bool:
        """Whether the model's arc length may be measured: with it, fits and polish still have all their calls."""
        most = self._problem.limits.calls
        return most is None or self._least + arc.COST + self._end(self.fits) + self.polish <= most

    def affords_loop(self) -> bool:
        """Whether the closed loop may be begun: what is set aside for it and the polish leaves a polish beside it."""
        rest = self.polish - self._loop()
        fits = rest >= 0 and (self._blind or self._polishes(rest) > 0)
        return self.in_time() and 1 < self._problem.nfe <= LOOPED and fits

    def in_time(self) -> bool:
        """Whether something new may be begun."""
        return self._until is None or time.monotonic() < self._until

    def _polishes(self, calls: int) -> int:
        return polishing.count(self._problem, self._sets.followed, self._size, calls)

    def _loop(self) -> int:
        return closed_loop.cost(self._sets.followed.count, self._problem.nfe)

    def _end(self, fits: int) -> int:
        """Sample-calls of so many fits, their trials and the confirmation."""
        each = (self._sets.followed.count + self._problem.noises) * self._problem.nfe
        return fits * each + confirm.cost(self._problem, self._sets, fits, self._nested)
