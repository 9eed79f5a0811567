"""What a search may still spend: network sample-calls and seconds, and what the end of it wants kept back.

With a limit of calls, the confirmation is set aside first, then fits and the polish, each cut down until they fit; what
is left goes to trials.
"""

import time

from fewstep.errors import SearchFailed
from fewstep.problem import Problem
from search import closed_loop, confirm, polishing, teaching

__all__ = ["MOST_FITS", "Purse"]

MOST_FITS = 12  # the last trials of a budget, at most a quarter of it, are fitted and polished schedules
ENDING = 0.6  # share of what is left after the teacher that fits and confirmation may take
POLISHING = 0.4  # share of what is left after these that the polish may take


class Purse:
    """Limits of a problem's search; ``elapsed`` seconds were spent by earlier runs of it."""

    def __init__(self, problem: Problem, sets: teaching.Sets, nested: int, elapsed: float = 0.0) -> None:
        self._problem, self._sets, self._nested = problem, sets, nested
        self._until = None if problem.limits.seconds is None else time.monotonic() + problem.limits.seconds - elapsed
        self.fits = min(MOST_FITS, problem.budget // 4)
        self.polish = problem.budget * polishing.CALLS if self.fits > 2 else 0  # sample-calls, the closed loop's too
        most, least = problem.limits.calls, teaching.cost(sets)
        if most is not None and least + self._end(0) > most:
            raise SearchFailed(
                f"teacher and confirmation on {problem.noises} noises cost {least + self._end(0):,} sample-calls, and "
                f"{most:,} are allowed: allow more, or take fewer noises"
            )

    def plan(self, spent: int) -> None:
        """Set fits and polish by what is left after the first ``spent`` sample-calls."""
        most = self._problem.limits.calls
        if most is None:
            return
        while self.fits and self._end(self.fits) > ENDING * (most - spent):
            self.fits -= 1
        self.polish = min(self.polish, int(POLISHING * max(most - spent - self._end(self.fits), 0)))

    def short(self, spent: int, trials: int) -> str | None:
        """What ``trials`` more, each on all noises, would run out of: "calls" that the end wants, "seconds"; or
        None."""
        most, each = self._problem.limits.calls, self._problem.noises * self._problem.nfe
        if most is not None and spent + trials * each + self._end(self.fits) + self.polish > most:
            return "calls"
        return None if self.in_time() else "seconds"

    def affords_loop(self) -> bool:
        """Whether the closed loop may be begun: it takes at most half of what is set aside for it and the polish."""
        loop = closed_loop.cost(self._sets.followed.count, self._problem.nfe)
        return self.in_time() and self._problem.nfe > 1 and loop <= self.polish / 2

    def in_time(self) -> bool:
        """Whether something new may be begun."""
        return self._until is None or time.monotonic() < self._until

    def _end(self, fits: int) -> int:
        """Sample-calls of so many fits, their trials and the confirmation."""
        each = (self._sets.followed.count + self._problem.noises) * self._problem.nfe
        return fits * each + confirm.cost(self._problem, self._sets, fits, self._nested)
