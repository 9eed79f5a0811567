"""HTTP client of the fewstep service: submit a search, follow it, fetch the schedule it found."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from fewstep.errors import Conflict, FewstepError, InvalidInput, NotFound, ServiceError
from fewstep.problem import Problem
from fewstep.replies import Event, Model, Published, Search, to_events, to_model, to_published, to_search
from fewstep.schedule import Schedule

__all__ = ["Client", "Event", "Model", "Published", "Search"]

SILENCE = 60.0  # seconds without even a keep-alive (the service sends one every 15) before a stream counts as dead
RECONNECTS = 8
PAGE = 200
PAUSE = 0.2  # seconds before a stream that ended early is opened again
ERRORS: dict[int, type[FewstepError]] = {400: InvalidInput, 404: NotFound, 409: Conflict, 422: InvalidInput}

Value = TypeVar("Value")


class Client:
    """A connection to the service at ``url``; ``timeout`` in seconds holds for every answer but a followed stream.

    Models are named by id or by name. Raises `NotFound`, `Conflict` and `InvalidInput` as the service says, and
    `ServiceError` where it cannot be reached or fails.

        with Client() as client:
            client.add_model("digits-mixture")
            search = client.submit("digits-mixture", nfe=8)
            client.wait(search.id)
            schedule = client.best("digits-mixture", nfe=8).schedule
    """

    def __init__(self, url: str = "http://127.0.0.1:8471", timeout: float = 30.0) -> None:
        if not re.match(r"https?://[^\s/]", url):
            raise InvalidInput(f"the service's address looks like http://127.0.0.1:8471, got {url!r}")
        try:
            self._http = httpx.Client(base_url=url, timeout=timeout)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"the service's address {url!r} cannot be used: {error}") from error
        self.url, self.timeout = url, timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> list[Model]:
        """Every model the service knows."""
        return self._value(lambda data: [to_model(item) for item in data], "GET", "/v1/models")

    def add_model(self, name: str) -> Model:
        """Make a model of the zoo known to the service; nothing changes where it is known."""
        return self._value(to_model, "POST", "/v1/models", json={"source": "zoo", "name": name})

    def submit(
        self,
        model: str,
        nfe: int,
        *,
        metric: str = "endpoint",
        budget: int = 400,
        seed: int = 0,
        key: str | None = None,
    ) -> Search:
        """Queue a search. A ``key`` of your own makes the call safe to repeat: the same key gives the same search."""
        if key is not None and not (key.isascii() and key.isprintable()):
            raise InvalidInput(f"a key is made of printable ASCII characters, got {key!r}")
        headers = {} if key is None else {"Idempotency-Key": key}
        problem = Problem(self._model_id(model), nfe, metric, budget, seed)
        return self._value(to_search, "POST", "/v1/searches", json=asdict(problem), headers=headers)

    def search(self, id: str) -> Search:
        """The search of that id."""
        return self._value(to_search, "GET", f"/v1/searches/{_part(id)}")

    def searches(self, state: str | None = None, model: str | None = None, limit: int = 50) -> list[Search]:
        """The newest searches, at most ``limit``, newest first; of one state or one model, if named."""
        asked = {"state": state, "model": None if model is None else self._model_id(model)}
        params: dict[str, str] = {name: value for name, value in asked.items() if value is not None}
        found: list[Search] = []
        while len(found) < limit:
            params["limit"] = str(min(limit - len(found), PAGE))
            page = self._value(dict, "GET", "/v1/searches", params=params)
            found += [to_search(item) for item in page["items"]]
            if page["next"] is None:
                break
            params["cursor"] = page["next"]
        return found

    def watch(self, id: str, after: int = 0) -> Iterator[Event]:
        """Events of a search, from the first or from the one after id ``after``, until the one that ends it.

        Reconnects where the connection breaks; no event is lost or repeated.
        """
        over, failures = False, 0
        while True:
            try:
                for event in self._stream(id, after):
                    yield event
                    if event.final:
                        return
                    after, failures = event.id, 0
                if over:  # it had ended before this stream began: there was nothing left to tell
                    return
                over = self.search(id).done
                failures = 0
            except ServiceError as error:
                failures += 1
                if failures > RECONNECTS or (error.status or 500) < 500:
                    raise
            time.sleep(PAUSE * 2 ** max(failures - 1, 0))

    def wait(self, id: str) -> Search:
        """The search once it has ended, well or not: its ``state`` says which."""
        for _ in self.watch(id):
            pass
        return self.search(id)

    def pause(self, id: str) -> Search:
        """Stop a search and keep its place."""
        return self._value(to_search, "POST", f"/v1/searches/{_part(id)}/pause")

    def resume(self, id: str) -> Search:
        """Queue a paused search again."""
        return self._value(to_search, "POST", f"/v1/searches/{_part(id)}/resume")

    def cancel(self, id: str) -> Search:
        """End a search for good."""
        return self._value(to_search, "POST", f"/v1/searches/{_part(id)}/cancel")

    def best(self, model: str, nfe: int, metric: str = "endpoint") -> Published:
        """The best schedule found for a model with at most ``nfe`` calls; raises `NotFound` until there is one."""
        path, params = f"/v1/models/{self._model_id(model)}/schedules/best", {"nfe": nfe, "metric": metric}
        return self._value(to_published, "GET", path, params=params)

    def schedules(self, model: str) -> list[Published]:
        """The best schedule found for every number of calls, fewest first."""
        path = f"/v1/models/{self._model_id(model)}/schedules"
        return self._value(lambda data: [to_published(item) for item in data], "GET", path)

    def schedule(self, digest: str) -> Schedule:
        """The published schedule of that digest."""
        return self._value(Schedule.from_dict, "GET", f"/v1/schedules/{_part(digest)}")

    def _model_id(self, model: str) -> str:
        if re.fullmatch("[0-9a-f]{16}", model):
            return model
        known = self.models()
        ids = [item.id for item in known if item.name == model]
        if not ids:
            names = ", ".join(sorted({item.name for item in known})) or "none"
            raise NotFound(f"the service knows no model {model!r}; known: {names}: call add_model first")
        return ids[-1]  # the one added last, where several share the name

    def _value(self, read: Callable[[Any], Value], method: str, path: str, **request: Any) -> Value:
        try:
            response = self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        _check(response)
        try:
            return read(response.json())
        except (LookupError, TypeError, ValueError) as error:
            raise ServiceError(
                f"{method} {path} gave an answer that this client cannot read ({error!r}): "
                "use the service's version of fewstep",
                response.status_code,
            ) from error

    def _stream(self, id: str, after: int) -> Iterator[Event]:
        path, headers = f"/v1/searches/{_part(id)}/events", {"Last-Event-ID": str(after)}
        timeout = httpx.Timeout(self.timeout, read=SILENCE)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                _check(response)
                yield from to_events(id, response.iter_lines())
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> ServiceError:
        return ServiceError(f"cannot reach {self.url}: {error or type(error).__name__}; is the service running there?")


def _part(value: str) -> str:
    return quote(value, safe="")


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
