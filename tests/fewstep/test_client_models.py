"""Models through the client, against a real service: every source, progress, and what is refused."""

from pathlib import Path

import pytest
import structlog

from api.settings import Settings
from fewstep.client import Client
from fewstep.client.uploading import Upload
from fewstep.errors import Conflict, InvalidInput, InvalidModel, NotFound, ServiceError, UnknownName
from fewstep.models.manifest import Manifest
from fewstep.values.model import Facts
from fewstep.values.problem import Problem
from storage.model_checks import ModelChecks
from tests.api.support import Service, serving
from tests.api.uploads import WEIGHTS, parts_of, pipeline


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    (tmp_path / "roots").mkdir()
    return tmp_path / "roots"


@pytest.fixture
def settings(tmp_path: Path, roots: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", model_roots=str(roots), allow_hub=True)


@pytest.fixture
def folder(roots: Path) -> Path:
    return pipeline(roots / "tiny")


def test_every_source_reaches_the_service(client: Client, folder: Path) -> None:
    """Zoo, folder and upload give models of the library's own digest, a hub one to be fetched; a second time nothing
    changes."""
    digest = Manifest.read(folder).digest
    sent = {
        "upload": lambda: client.add_model(folder, "upload", title="mine"),
        "folder": lambda: client.add_model("tiny", "folder"),
        "zoo": lambda: client.add_model("digits-mixture"),
        "hub": lambda: client.add_model("owner/tiny", "hub", commit="0" * 40),
    }
    models = {source: add() for source, add in sent.items()}
    assert {source: add() for source, add in sent.items()} == models
    assert models["upload"].digest == models["folder"].digest == digest
    assert (models["folder"].name, models["zoo"].state, models["hub"].shape) == ("mine", "ready", ())
    assert {model.id for model in client.models()} == {model.id for model in models.values()}
    assert client.model("mine") == client.model(models["upload"].id) == models["upload"]
    with pytest.raises(UnknownName, match="zoo, folder, hub, upload"):
        client.add_model("x", "pickle")
    with pytest.raises(InvalidInput, match="for uploads"):
        client.add_model("tiny", "folder", guidance=2.0)


def test_progress_counts_every_byte(client: Client, folder: Path) -> None:
    """Rising, from some bytes to all of them, of all files together."""
    told: list[tuple[int, int]] = []
    client.add_model(folder, "upload", progress=lambda sent, total: told.append((sent, total)))
    whole = sum(len(content) for content in parts_of(folder).values())
    assert told[-1] == (whole, whole)
    assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)
    assert {total for _, total in told} == {whole}


def test_what_was_found_out_is_shown(client: Client, service: Service, folder: Path) -> None:
    """A model that was tried shows its facts, and one that was refused its reason; waiting ends either way."""
    model = client.add_model(folder, "upload")
    held = ModelChecks(service.store).claim("test runner", 60)
    assert held is not None
    ModelChecks(service.store).ready(held, Facts("UNet2DModel", "noise", 44_969, passes=1, seconds_per_call=0.25))
    ready = client.wait_for_model(model.id)
    assert (ready.state, ready.facts.network, ready.facts.parameters) == ("ready", "UNet2DModel", 44_969)
    assert (ready.facts.passes, ready.facts.seconds_per_call) == (1, 0.25)
    other = client.add_model(pipeline(folder.parent / "other", seed=1), "upload")
    held = ModelChecks(service.store).claim("test runner", 60)
    assert held is not None
    ModelChecks(service.store).refuse(held, "its answer is not finite")
    refused = client.wait_for_model(other.id)
    assert (refused.state, refused.reason) == ("refused", "its answer is not finite")
    with pytest.raises(Conflict, match="refused: its answer is not finite"):
        client.submit(other.id, nfe=4)


def test_a_model_is_removed(client: Client, service: Service) -> None:
    """By id or by name, unless a search of it is live."""
    model = client.add_model("digits-mixture")
    search = service.store.submit(Problem(model.id, 4))
    with pytest.raises(Conflict, match=search.id):
        client.remove_model("digits-mixture")
    client.cancel(search.id)
    client.remove_model("digits-mixture")
    assert client.models() == []
    with pytest.raises(NotFound):
        client.remove_model(model.id)


def test_a_refused_upload_says_why(client: Client, folder: Path) -> None:
    """The service's reason comes through; what is no model is told before anything is sent."""
    (folder / "unet" / WEIGHTS).write_bytes(b"a pickle, perhaps")
    with pytest.raises(InvalidInput, match="no safetensors file"):
        client.add_model(folder, "upload")
    with pytest.raises(InvalidModel, match="wants either a network"):
        client.add_model(folder / "scheduler", "upload")
    assert client.models() == []


def test_an_operators_word_comes_through(tmp_path: Path) -> None:
    """What the operator does not allow is a `ServiceError` with its status, which names the setting."""
    with structlog.testing.capture_logs(), serving(Settings(data_dir=tmp_path)) as service:
        with Client(service.url) as client, pytest.raises(ServiceError, match="FEWSTEP_ALLOW_HUB") as refused:
            client.add_model("owner/tiny", "hub", commit="0" * 40)
        assert refused.value.status == 403


def test_shards_and_halves(folder: Path, tmp_path: Path) -> None:
    """Weights in half precision are sent under the one name that uploads know; shards are refused."""
    weights = folder / "unet" / WEIGHTS
    half = weights.with_name(WEIGHTS.replace(".safetensors", ".fp16.safetensors"))
    weights.rename(half)
    assert Upload(folder).paths[WEIGHTS] == half
    half.rename(weights.with_name(WEIGHTS.replace(".safetensors", "-00001-of-00002.safetensors")))
    index = '{"weight_map": {"a": "%s-00001-of-00002.safetensors", "b": "%s-00002-of-00002.safetensors"}}'
    stem = WEIGHTS.removesuffix(".safetensors")
    (folder / "unet" / f"{WEIGHTS}.index.json").write_text(index % (stem, stem))
    with pytest.raises(InvalidModel, match="2 shards"):
        Upload(folder)
