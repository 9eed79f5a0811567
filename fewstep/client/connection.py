"""HTTP to the service: requests whose answers are read, streams of lines, and what its errors become."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from fewstep.errors import Conflict, FewstepError, InvalidInput, NotFound, ServiceError

__all__ = ["Connection"]

SILENCE = 60.0  # seconds without even a keep-alive (the service sends one every 15) before a stream counts as dead
PATIENCE = 900.0  # seconds for an answer that takes the service long: it looks through a whole model first
ERRORS: dict[int, type[FewstepError]] = {
    400: InvalidInput,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    422: InvalidInput,
}

Value = TypeVar("Value")


class Connection:
    """The service at ``url``; ``timeout`` in seconds holds for every answer that is not said to be slow.

    Raises `InvalidInput` where the address is none, and the service's own errors as ours: `NotFound`, `Conflict`,
    `InvalidInput`, or `ServiceError` where it cannot be reached or fails.
    """

    def __init__(self, url: str, timeout: float) -> None:
        if not re.match(r"https?://[^\s/]", url):
            raise InvalidInput(f"the service's address looks like http://127.0.0.1:8471, got {url!r}")
        try:
            self._http = httpx.Client(base_url=url, timeout=timeout)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"the service's address {url!r} cannot be used: {error}") from error
        self.url, self.timeout = url, timeout

    def close(self) -> None:
        """Close it."""
        self._http.close()

    def value(
        self, read: Callable[[Any], Value], method: str, path: str, *, slow: bool = False, **request: Any
    ) -> Value:
        """What ``read`` makes of the JSON that is answered; of None where nothing is."""
        if slow:
            request["timeout"] = httpx.Timeout(self.timeout, read=PATIENCE)
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
        """The lines of an answer that goes on, as they come."""
        timeout = httpx.Timeout(self.timeout, read=SILENCE)
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
    """Raise what the service says is wrong, if anything."""
    if response.is_success:
        return
    try:
        detail = response.json()["detail"]
    except (ValueError, LookupError, TypeError):
        detail = f"answered {response.status_code} {response.reason_phrase}: {response.text[:200]!r}"
    kind = ERRORS.get(response.status_code)
    raise kind(detail) if kind else ServiceError(detail, response.status_code)
