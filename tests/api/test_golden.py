"""What version 1 of the API has answered since its first release: fields may be added, none may go or mean another.

The golden file holds whole answers of a filled service, with ids and times masked. It was written by the code of the
first release and is never written anew.
"""

import json
import re
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fewstep.values.objective import ALIASES
from storage import Jobs, Store
from tests.api.support import add_model, claim, publish
from tests.storage import samples

GOLDEN = Path(__file__).parent / "golden" / "answers.json"
ID = re.compile(r"\b[0-9a-f]{32}\b")
DIGEST = re.compile("[0-9a-f]{64}")
NUMBERS = re.compile(r"\.tableau_digest$|<running>.*\.digest$")  # digests of numbers; that one is fitted
TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def fill(store: Store) -> dict[str, str]:
    """Models and searches in every state; the searches' ids by name."""
    model, jobs, ids = add_model(store).id, Jobs(store), {}
    for other in (samples.submitted("b"), samples.on_hub("c")):
        store.add_model(other)
    plain, all_fields = (
        replace(p, model=model) for p in (samples.problem(nfe=5, metric="endpoint"), samples.limited())
    )
    ids["plain"] = publish(store, plain).id
    ids["all fields"] = publish(store, all_fields, value=0.04).id
    ids["failed"] = store.submit(replace(plain, seed=1)).id
    held = claim(store, store.search(ids["failed"]))
    jobs.record_curve(held, samples.arc())
    jobs.fail(held, "no memory")
    ids["cancelled"] = store.submit(replace(plain, seed=2)).id
    jobs.cancel(ids["cancelled"])
    ids["running"] = store.submit(replace(plain, seed=3), priority=7).id
    held = claim(store, store.search(ids["running"]))
    jobs.phase(held, "search", 1, 20)
    jobs.record(held, samples.trial(0, 0.25, samples.fitted()))
    ids["queued"] = store.submit(replace(all_fields, seed=4), priority=-3).id
    return ids


def answers(client: TestClient, store: Store) -> dict[str, Any]:
    """Every kind of answer, by what was asked, with ids and times masked."""
    ids = fill(store)
    model = next(model.id for model in store.models() if model.source == "zoo")
    asked: list[tuple[str, Any]] = [
        *((f"/v1/models{rest}", None) for rest in ("", f"/{model}", f"/{model}/schedules", f"/{model}/grid?nfe=3")),
        *(
            (f"/v1/models/{model}/schedules{rest}", None)
            for rest in ("?metric=endpoint", "/best?nfe=8&metric=endpoint")
        ),
        (f"/v1/models/{model}/schedules/best?nfe=8&metric=frechet:digits", None),
        *((f"/v1/searches{rest}", None) for rest in ("", "?limit=2", "?state=running")),
        *((f"/v1/searches/{id}", None) for id in ids.values()),
        *((f"/v1/searches/{ids[name]}/result", None) for name in ("plain", "all fields", "running")),
        *((f"/v1/searches/{ids['plain']}/trials{rest}", None) for rest in ("", "?limit=2")),
        (f"/v1/searches/{ids['running']}/trials", None),
        *((f"/v1/searches/{ids[name]}/events", None) for name in ("plain", "failed", "cancelled")),
        (f"/v1/schedules/{store.result(ids['plain']).digest}", None),
        ("/v1/metrics", None),
        *((path, None) for path in ("/v1/models/0000000000000000", "/v1/searches/none", "/v1/searches?limit=0")),
        ("/v1/models", {"name": "digits-mixture"}),
        ("/v1/models", {"name": "no-such-model"}),
        ("/v1/searches", {"model": model, "nfe": 6}),
        ("/v1/searches", {"model": model, "nfe": 6, "limits": {"calls": 10**6}, "metric": "kid", "priority": 5}),
        ("/v1/searches", {"model": model, "nfe": 0}),
        ("/v1/searches", {"model": model, "nfe": 6, "colour": "red"}),
        ("/v1/searches", {"model": "b" * 16, "nfe": 6}),
        *((f"/v1/searches/{ids['queued']}/{verb}", {}) for verb in ("pause", "resume", "cancel")),
        (f"/v1/searches/{ids['plain']}/cancel", {}),
    ]
    found = {}
    for path, body in asked:
        answer = client.get(path) if body is None else client.post(path, json=body)
        events = answer.headers.get("content-type", "").startswith("text/event-stream")
        content = _events(answer.text) if events else answer.json()
        key = f"{path} {'' if body is None else json.dumps(body)}".strip()
        if answer.is_error:
            content["detail"] = type(content["detail"]).__name__  # its words may change
        found[key] = {"status": answer.status_code, "location": answer.headers.get("location"), "content": content}
    names, numbers = {id: f"<{name}>" for name, id in ids.items()}, count()
    masked = ID.sub(lambda id: names.setdefault(id[0], f"<new {next(numbers)}>"), json.dumps(found))
    return json.loads(TIME.sub("<time>", masked))


def _events(text: str) -> list[dict[str, Any]]:
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in text.replace("\r\n", "\n").split("\n\n")
    ]
    return [{"event": block["event"], "data": json.loads(block["data"])} for block in blocks if "id" in block]


def kept(golden: Any, now: Any, path: str = "") -> list[str]:
    """Where an answer has lost or changed something; a renamed metric is the same one, and the last bits of compiled
    numbers are those of the machine."""
    if isinstance(golden, dict) and isinstance(now, dict):
        lost = [f"{path}.{key} is gone" for key in golden.keys() - now.keys()]
        return lost + [
            line for key in golden.keys() & now.keys() for line in kept(golden[key], now[key], f"{path}.{key}")
        ]
    if path.startswith("./v1/metrics.content.") and isinstance(golden, list) and isinstance(now, list):
        return [f"{path} no longer names {name!r}" for name in golden if ALIASES.get(name, name) not in now]
    if isinstance(golden, list) and isinstance(now, list) and len(golden) == len(now):
        if path.endswith("/schedules.content"):  # of several metrics, whose order follows their names
            golden, now = (sorted(items, key=lambda item: item["search"]) for items in (golden, now))
        return [line for i, pair in enumerate(zip(golden, now, strict=True)) for line in kept(*pair, f"{path}[{i}]")]
    if isinstance(golden, float) and type(now) in (int, float) and now == pytest.approx(golden, rel=1e-9, abs=1e-15):
        return []
    if NUMBERS.search(path) and isinstance(now, str) and DIGEST.fullmatch(now):
        return []
    same = type(golden) is type(now) and now in (golden, ALIASES.get(golden))
    return [] if same else [f"{path} was {golden!r}, is {now!r}"]


def test_no_answer_loses_a_field(client: TestClient, store: Store) -> None:
    """Models, searches, trials, events, results, metrics, grids, errors: everything that was there is there.

    Two defaults have changed: the objective, also of the best schedule, and the size of a search that names none.
    """
    golden = json.loads(GOLDEN.read_text())
    golden = {f"{key}&metric=endpoint" if key.endswith("best?nfe=8") else key: part for key, part in golden.items()}
    changed = kept(golden, answers(client, store))
    size = [("budget", "400", "24"), ("noises", "64", "32")]
    of = "./v1/searches {"
    assert {line.removeprefix(of).split("}.content.")[1] for line in changed if line.startswith(of)} == {
        *(f"{name} was {old}, is {new}" for name, old, new in size),
        *(f"{name} was 'endpoint', is 'mean'" for name in ("metric", "report")),
        "limits.calls was None, is 15000",
    }
    assert [line for line in changed if not line.startswith(of)] == []
