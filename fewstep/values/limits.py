"""Limits that end a search before its budget of evaluations is spent."""

from dataclasses import dataclass
from typing import Annotated

from fewstep.values.fields import About, check

__all__ = ["MAX_CALLS", "MAX_SECONDS", "Limits"]

MAX_CALLS = 10**12
MAX_SECONDS = 1e9


@dataclass(frozen=True)
class Limits:
    """Limits of a search beside its number of evaluations; None: no limit.

    - ``calls``: network sample-calls of all stages together, the teacher's included. Trials stop where only the reserve
      of fits and selection is left; these two are cut down too where they would not fit.
    - ``seconds``: after which no trial and no polish begins. Running ones end; fits and selection follow.
    - ``failures``: trials that may fail; with one more the search fails.
    - ``improvement``: a share of the incumbent's error. Trials stop when for two generations no proposal's forecast
      interval (95 %, one-sided) reaches an error lower than it by that share.

    Raises `InvalidInput` where a number is out of range.

    >>> Limits(calls=100_000).seconds is None
    True
    """

    calls: Annotated[
        int | None,
        About(
            "Network sample-calls that may be spent, the teacher's included", low=1, high=MAX_CALLS, option="max_calls"
        ),
    ] = None
    seconds: Annotated[
        float | None,
        About(
            "Seconds after which no trial is begun any more", unit="s", above=0, high=MAX_SECONDS, option="max_seconds"
        ),
    ] = None
    failures: Annotated[int | None, About("Trials that may fail", low=0, high=MAX_CALLS, option="max_failures")] = None
    improvement: Annotated[
        float | None, About("Stop when forecasts promise no error lower than the best by this share", above=0, high=1)
    ] = None

    def __post_init__(self) -> None:
        check(self, "a limit of ")
