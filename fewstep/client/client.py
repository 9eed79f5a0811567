"""HTTP client of the fewstep service: submit a search, follow it, fetch its schedule."""

import re
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack, overload
from urllib.parse import quote

from fewstep.client.connection import Connection, read_events
from fewstep.client.uploading import Progress, Upload, ignore
from fewstep.errors import InvalidInput, NotFound, ServiceError, UnknownName
from fewstep.grids.arc_length import BLEND
from fewstep.grids.measured import MeasuredGrid
from fewstep.schedule import Schedule
from fewstep.values.codec import decode, encode
from fewstep.values.estimate import Estimate
from fewstep.values.event import Event
from fewstep.values.metrics import Metrics
from fewstep.values.model import Model, ModelState
from fewstep.values.objective import DEFAULT
from fewstep.values.page import Page
from fewstep.values.problem import Options, Problem
from fewstep.values.publication import Publication
from fewstep.values.published import Published
from fewstep.values.search import Search

__all__ = ["Client", "Estimate", "Event", "Metrics", "Model", "Published", "Search"]

RECONNECTS = 8
PAGE = 200
RECONNECT_SECONDS = 0.2  # before the first reconnect
POLL_SECONDS = 0.3  # between two polls of a model under check
_part = partial(quote, safe="")  # of a path


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
        self._service = Connection(url, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def models(self) -> list[Model]:
        """Every model of the service."""
        return self._service.value(partial(decode, list[Model]), "GET", "/v1/models")

    def model(self, model: str) -> Model:
        """The model of that id, or the one added last under that name; raises `NotFound`."""
        return self._service.value(partial(decode, Model), "GET", f"/v1/models/{self._model_id(model)}")

    def add_model(
        self,
        name: str | Path,
        source: str = "zoo",
        *,
        commit: str | None = None,
        title: str | None = None,
        guidance: float | None = None,
        progress: Progress = ignore,
    ) -> Model:
        """Add a model to the service; nothing changes where it has the model already.

        ``source`` says what ``name`` is:

        | source | name |
        |---|---|
        | zoo | a model of the zoo, ready at once |
        | folder | a path on the service's machine, below a folder that its operator lists |
        | hub | "owner/name" of a repository, with its ``commit``, where the operator allows it |
        | upload | a model folder on this machine: its files are sent, and called ``title`` |

        An upload may have a ``guidance`` scale, and calls ``progress(sent, total)`` in bytes. All but the zoo's are
        first "submitted": `wait_for_model` waits until they are ready. Raises `InvalidInput` where it is refused.
        """
        if source == "upload":
            upload = Upload(Path(name), guidance)
            params = {} if title is None else {"name": title}
            with upload.files(progress) as files:
                return self._service.value(
                    partial(decode, Model), "POST", "/v1/models/upload", slow=True, files=files, params=params
                )
        body = {
            "zoo": {"source": "zoo", "name": str(name)},
            "folder": {"source": "folder", "name": str(name)},
            "hub": {"source": "hub", "repo": str(name), "commit": commit},
        }
        if source not in body:
            raise UnknownName("model source", source, (*body, "upload"))
        if guidance is not None or title is not None:
            raise InvalidInput(f"guidance and title are for uploads, not for the source {source}: write fewstep.json")
        return self._service.value(partial(decode, Model), "POST", "/v1/models", slow=True, json=body[source])

    def wait_for_model(self, model: str) -> Model:
        """The model once the service has checked it: its ``state`` is then ready or refused."""
        while True:
            current = self.model(model)
            if current.state is not ModelState.SUBMITTED:
                return current
            time.sleep(POLL_SECONDS)

    def remove_model(self, model: str) -> None:
        """Delete a model from the service with its searches and schedules; raises `Conflict` while a search is live."""
        self._service.value(lambda _: None, "DELETE", f"/v1/models/{self._model_id(model)}")

    def metrics(self) -> Metrics:
        """The metrics, features and references that a search may name."""
        return self._service.value(partial(decode, Metrics), "GET", "/v1/metrics")

    @overload
    def submit(self, model: str, nfe: int, *, key: str | None = None, **options: Unpack[Options]) -> Search: ...

    @overload
    def submit(
        self, model: str, nfe: Sequence[int], *, key: str | None = None, **options: Unpack[Options]
    ) -> list[Search]: ...

    def submit(
        self, model: str, nfe: int | Sequence[int], *, key: str | None = None, **options: Unpack[Options]
    ) -> Search | list[Search]:
        """Queue a search of ``nfe`` network calls per sample; of several numbers one search each, fewest calls first.

        The ``options`` are those of `fewstep.values.problem.Problem`: ``metric`` is the objective, ``effort`` how much
        is spent, ``limits`` end it earlier, and so on; `metrics` lists the names that a metric may consist of. A
        ``key`` of your choice makes the call safe to repeat: the same key gives the same search.
        """
        if key is not None and not (key.isascii() and key.isprintable()):
            raise InvalidInput(f"a key is made of printable ASCII characters, got {key!r}")
        headers = {} if key is None else {"Idempotency-Key": key}
        body = self._body(model, nfe, options)
        kind: Any = list[Search] if isinstance(body["nfe"], list) else Search
        submitted: Search | list[Search] = self._service.value(
            partial(decode, kind), "POST", "/v1/searches", json=body, headers=headers
        )
        return submitted

    @overload
    def estimate(self, model: str, nfe: int, **options: Unpack[Options]) -> Estimate: ...

    @overload
    def estimate(self, model: str, nfe: Sequence[int], **options: Unpack[Options]) -> list[Estimate]: ...

    def estimate(self, model: str, nfe: int | Sequence[int], **options: Unpack[Options]) -> Estimate | list[Estimate]:
        """What `submit` would cost with the same arguments, and the ratio to expect; nothing is queued."""
        body = self._body(model, nfe, options)
        kind: Any = list[Estimate] if isinstance(body["nfe"], list) else Estimate
        expected: Estimate | list[Estimate] = self._service.value(
            partial(decode, kind), "POST", "/v1/searches", json=body, params={"dry_run": True}
        )
        return expected

    def search(self, id: str) -> Search:
        """The search of that id."""
        return self._service.value(partial(decode, Search), "GET", f"/v1/searches/{_part(id)}")

    def searches(self, state: str | None = None, model: str | None = None, limit: int = 50) -> list[Search]:
        """The newest searches, at most ``limit``, newest first; of one state or one model, if set."""
        params: dict[str, str] = {}
        if state is not None:
            params["state"] = state
        if model is not None:
            params["model"] = self._model_id(model)
        searches: list[Search] = []
        while len(searches) < limit:
            params["limit"] = str(min(limit - len(searches), PAGE))
            page = self._service.value(partial(decode, Page[Search, str]), "GET", "/v1/searches", params=params)
            searches += page.items
            if page.next is None:
                break
            params["cursor"] = page.next
        return searches

    def watch(self, id: str, after: int = 0) -> Iterator[Event]:
        """Events of a search, from the first or from the one after id ``after``, until the one that ends it.

        Reconnects where the connection breaks; no event is lost or repeated.
        """
        has_ended = False
        failures = 0
        while True:
            try:
                for event in self._stream(id, after):
                    yield event
                    if event.final:
                        return
                    after = event.id
                    failures = 0
                if has_ended:  # before this stream began: there are no more events
                    return
                has_ended = self.search(id).done
                failures = 0
            except ServiceError as error:
                failures += 1
                if failures > RECONNECTS or (error.status or 500) < 500:
                    raise
            time.sleep(RECONNECT_SECONDS * 2 ** max(failures - 1, 0))

    def wait(self, id: str) -> Search:
        """The search once it has ended, well or not: its ``state`` says which."""
        for _ in self.watch(id):
            pass
        return self.search(id)

    def result(self, id: str) -> Published:
        """The published result of a search; raises `NotFound` until it has succeeded."""
        return self._service.value(partial(decode, Published), "GET", f"/v1/searches/{_part(id)}/result")

    def publish(self, publication: Publication) -> Published:
        """Publish the result of a search that ran elsewhere, as `fewstep.tuning.TuneResult.publish` does; the same one
        again changes nothing.

        Raises `InvalidInput` where the service finds something wrong in it, and `Conflict` where it has another model
        of that digest.
        """
        return self._service.value(partial(decode, Published), "POST", "/v1/results", json=encode(publication))

    def pause(self, id: str) -> Search:
        """Stop a search and keep its place."""
        return self._service.value(partial(decode, Search), "POST", f"/v1/searches/{_part(id)}/pause")

    def resume(self, id: str) -> Search:
        """Queue a paused search again."""
        return self._service.value(partial(decode, Search), "POST", f"/v1/searches/{_part(id)}/resume")

    def cancel(self, id: str) -> Search:
        """End a search for good."""
        return self._service.value(partial(decode, Search), "POST", f"/v1/searches/{_part(id)}/cancel")

    def best(self, model: str, nfe: int, metric: str = DEFAULT) -> Published:
        """The best schedule for a model with at most ``nfe`` calls by a metric; raises `NotFound` until there is one.

        It has fewer calls only where these are better by more than chance.
        """
        path = f"/v1/models/{self._model_id(model)}/schedules/best"
        params = {"nfe": nfe, "metric": metric}
        return self._service.value(partial(decode, Published), "GET", path, params=params)

    def schedules(self, model: str, metric: str | None = None) -> list[Published]:
        """The best schedule of a model for every number of calls, fewest first, by each metric or by one."""
        path = f"/v1/models/{self._model_id(model)}/schedules"
        params = {} if metric is None else {"metric": metric}
        return self._service.value(partial(decode, list[Published]), "GET", path, params=params)

    def schedule(self, digest: str) -> Schedule:
        """The published schedule of that digest."""
        return self._service.value(Schedule.from_dict, "GET", f"/v1/schedules/{_part(digest)}")

    def grid(self, model: str, nfe: int, blend: float = BLEND) -> MeasuredGrid:
        """The score-optimal grid that the first search of a model measured, for ``nfe`` calls; ``blend`` is 1 for it
        alone and 0 for even log-SNR. Raises `NotFound` until there is one."""
        path = f"/v1/models/{self._model_id(model)}/grid"
        params = {"nfe": nfe, "blend": blend}
        return self._service.value(MeasuredGrid.from_dict, "GET", path, params=params)

    def _body(self, model: str, nfe: int | Sequence[int], options: Options) -> dict[str, Any]:
        """The body of a submission, checked here first."""
        id = self._model_id(model)
        for calls in [nfe] if isinstance(nfe, int) else nfe:
            Problem(id, calls, **options)
        return {"model": id, "nfe": nfe if isinstance(nfe, int) else list(nfe), **encode(options)}

    def _model_id(self, model: str) -> str:
        if re.fullmatch("[0-9a-f]{16}", model):
            return model
        models = self.models()
        ids = [item.id for item in models if item.name == model]
        if not ids:
            names = ", ".join(sorted({item.name for item in models})) or "none"
            raise NotFound(f"the service knows no model {model!r}; known: {names}: call add_model first")
        return ids[-1]  # the last added of several with this name

    def _stream(self, id: str, after: int) -> Iterator[Event]:
        with self._service.lines(f"/v1/searches/{_part(id)}/events", {"Last-Event-ID": str(after)}) as lines:
            yield from read_events(id, lines)
