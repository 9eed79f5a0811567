"""What a search may still spend: network sample-calls and seconds, and what the end of it wants kept back.

With a limit of calls, the confirmation and one generation of trials are set aside first, then fits, the closed loop and
the polish, each cut down until they fit; what is left goes to more trials, which gain less for a call.
"""

import time

from fewstep.errors import SearchFailed
from fewstep.problem import Problem
from search import closed_loop, confirm, polishing, teaching

__all__ = ["MOST_FITS", "Purse"]

MOST_FITS, FEWEST_FITS = 8, 2  # the last trials of a budget, at most a quarter of it, are fitted and polished schedules
LOOPED = 8  # calls up to which the closed loop pays: its fits on few noises learn longer rows by heart
LEAST = 8  # trials of the first generation, which meet all noises
ENDING = 0.5  # share of what is left after the teacher that confirmation and more than the fewest fits may take


class Purse:
    """Limits of a problem's search; ``elapsed`` seconds were spent by earlier runs of it."""

    def __init__(self, problem: Problem, sets: teaching.Sets, nested: int, elapsed: float = 0.0) -> None:
        self._problem, self._sets, self._nested = problem, sets, nested
        self._until = None if problem.limits.seconds is None else time.monotonic() + problem.limits.seconds - elapsed
        self.fits = min(MOST_FITS, problem.budget // 4)
        self.polish = min(problem.budget * polishing.CALLS, polishing.MOST_CALLS) if self.fits > 2 else 0
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
        left = most - spent - min(LEAST, self._problem.budget) * self._problem.noises * self._problem.nfe
        while self.fits > FEWEST_FITS and self._end(self.fits) > ENDING * left:
            self.fits -= 1
        while self.fits and self._end(self.fits) > left:
            self.fits -= 1
        self.polish = min(self.polish, max(left - self._end(self.fits), 0))
        if not (polishing.count(self._problem, self._sets.followed, self.polish) or self.affords_loop()):
            self.polish = 0

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
        return self.in_time() and 1 < self._problem.nfe <= LOOPED and loop <= self.polish / 2

    def in_time(self) -> bool:
        """Whether something new may be begun."""
        return self._until is None or time.monotonic() < self._until

    def _end(self, fits: int) -> int:
        """Sample-calls of so many fits, their trials and the confirmation."""
        each = (self._sets.followed.count + self._problem.noises) * self._problem.nfe
        return fits * each + confirm.cost(self._problem, self._sets, fits, self._nested)
