"""What may end a search before its evaluations are spent."""

import math
from dataclasses import dataclass

from fewstep.errors import InvalidInput

__all__ = ["MAX_CALLS", "MAX_SECONDS", "Limits"]

MAX_CALLS = 10**12
MAX_SECONDS = 1e9


@dataclass(frozen=True)
class Limits:
    """Limits of a search beside its number of evaluations; None: no limit.

    - ``calls``: network sample-calls of all phases together, the teacher's included. Trials stop where what is left is
      wanted for fits and confirmation; these two are cut down too where they would not fit.
    - ``seconds``: after which no trial and no polish is begun any more. What runs ends; fits and confirmation follow.
    - ``failures``: trials that may fail; with one more the search fails.
    - ``improvement``: a share of the best error. Trials stop when for two generations no proposal's forecast interval
      (95 %, one-sided) reaches down to an error lower than the best by that share.

    Raises `InvalidInput` where a number is out of range.

    >>> Limits(calls=100_000).seconds is None
    True
    """

    calls: int | None = None
    seconds: float | None = None
    failures: int | None = None
    improvement: float | None = None

    def __post_init__(self) -> None:
        for name, low in (("calls", 1), ("failures", 0)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not low <= value <= MAX_CALLS):
                raise InvalidInput(f"a limit of {name} is a whole number from {low} to {MAX_CALLS}, got {value!r}")
        for name, most in (("seconds", MAX_SECONDS), ("improvement", 1.0)):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise InvalidInput(f"a limit of {name} is a finite number, got {value!r}")
            if not 0 < value <= most:
                raise InvalidInput(f"a limit of {name} is above 0 and at most {most:g}, got {value!r}")
            object.__setattr__(self, name, float(value))
