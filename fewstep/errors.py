"""The error tree of fewstep: what went wrong, and who can mend it.

FewstepError
├── InvalidInput       the caller gave something unusable: mend the input, do not retry
│   ├── InvalidSchedule    a schedule, grid or tableau breaks a rule
│   ├── InvalidModel       weights or a model description cannot be used
│   └── UnknownName        a name is not in its registry (the message lists the known ones)
├── NotFound           the thing does not exist (yet)
├── Conflict           the thing is in a state that forbids the request
├── SearchFailed       a search could not finish: the message says at which trial and why
└── ServiceError       the HTTP service could not be reached or answered badly: may be retried
"""

from collections.abc import Iterable

__all__ = [
    "Conflict",
    "FewstepError",
    "InvalidInput",
    "InvalidModel",
    "InvalidSchedule",
    "NotFound",
    "SearchFailed",
    "ServiceError",
    "UnknownName",
]


class FewstepError(Exception):
    """Root of every error that fewstep raises on purpose."""


class InvalidInput(FewstepError, ValueError):
    """The caller gave something unusable; the message says what was given, what was wanted and what to do."""


class InvalidSchedule(InvalidInput):
    """A schedule, grid or tableau breaks a rule; the message says where and which."""


class InvalidModel(InvalidInput):
    """Weights or a model description cannot be used; the message says why."""


class UnknownName(InvalidInput):
    """A name is not in its registry."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self._arguments = kind, name, tuple(known)
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(self._arguments[2])}")

    def __reduce__(self) -> tuple[type["UnknownName"], tuple[str, object, tuple[str, ...]]]:
        return type(self), self._arguments  # the error is pickled between processes


class NotFound(FewstepError, LookupError):
    """The thing does not exist (yet)."""


class Conflict(FewstepError):
    """The thing is in a state that forbids the request; the message names the state."""


class SearchFailed(FewstepError):
    """A search could not finish; the message says at which trial and why."""


class ServiceError(FewstepError):
    """The HTTP service could not be reached or answered with an error; ``status`` is the HTTP status, if any."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
