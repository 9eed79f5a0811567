"""HTTP to the service: requests, event streams, and the exceptions of its error responses."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from fewstep.errors import Conflict, FewstepError, InvalidInput, NotFound, ServiceError
from fewstep.values.event import Event

__all__ = ["Connection", "read_events"]

STREAM_TIMEOUT = 60.0  # seconds without even a keep-alive (the service sends one every 15)
SLOW_TIMEOUT = 900.0  # seconds, of a request for which the service inspects a whole model
ERRORS: dict[int, type[FewstepError]] = {
    400: InvalidInput,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    422: InvalidInput,
}

Value = TypeVar("Value")


class Connection:
    """A connection to the service at ``url``; ``timeout`` in seconds holds for every request that is not ``slow``.

    Raises `InvalidInput` where the address is invalid, and the service's own errors as ours: `NotFound`, `Conflict`,
    `InvalidInput`, or `ServiceError` where it cannot be reached or fails.
    """

    def __init__(self, url: str, timeout: float) -> None:
        if not re.match(r"https?://[^\s/]", url):
            raise InvalidInput(f"the service's address looks like http://127.0.0.1:8471, got {url!r}")
        try:
            self._http = httpx.Client(base_url=url, timeout=timeout)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"the service's address {url!r} cannot be used: {error}") from error
        self.url = url
        self.timeout = timeout

    def close(self) -> None:
        """Close the HTTP client."""
        self._http.close()

    def value(
        self, read: Callable[[Any], Value], method: str, path: str, *, slow: bool = False, **request: Any
    ) -> Value:
        """The value that ``read`` returns for the JSON of the answer, or for None where the answer is empty."""
        if slow:
            request["timeout"] = httpx.Timeout(self.timeout, read=SLOW_TIMEOUT)
        try:
            response = self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        _check(response)
        try:
            return read(response.json() if response.content else None)
        except (LookupError, TypeError, ValueError) as error:
            raise ServiceError(
                f"{method} {path} gave an answer that this client cannot read ({error!r}): "
                "use the service's version of fewstep",
                response.status_code,
            ) from error

    @contextmanager
    def lines(self, path: str, headers: dict[str, str]) -> Iterator[Iterator[str]]:
        """The lines of a streamed answer, as they arrive."""
        timeout = httpx.Timeout(self.timeout, read=STREAM_TIMEOUT)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                _check(response)
                yield response.iter_lines()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> ServiceError:
        return ServiceError(f"cannot reach {self.url}: {error or type(error).__name__}; is the service running there?")


def _check(response: httpx.Response) -> None:
    """Raise the exception of an error response."""
    if response.is_success:
        return
    try:
        detail = response.json()["detail"]
    except (ValueError, LookupError, TypeError):
        detail = f"answered {response.status_code} {response.reason_phrase}: {response.text[:200]!r}"
    kind = ERRORS.get(response.status_code)
    raise kind(detail) if kind else ServiceError(detail, response.status_code)


def read_events(search: str, lines: Iterable[str]) -> Iterator[Event]:
    """The events of a search from the lines of a stream of server-sent events.

    Comments and events without an id are ignored.
    """
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "id" in fields:
            yield Event(int(fields["id"]), search, fields["event"], json.loads(fields["data"]))
        fields = {}
