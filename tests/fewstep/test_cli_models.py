"""The commands on models, run as a user runs them, against a real service."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from api.inspection import Inspector
from api.settings import Settings
from fewstep.models import zoo
from fewstep.models.manifest import Manifest
from fewstep.values.model import ModelState
from storage.model_checks import ModelChecks
from tests.api.support import Service, add_model, serving
from tests.api.uploads import pipeline
from tests.fewstep.invoked import Fewstep, refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pipeline(tmp_path / "tiny")


def answering(service: Service, verb: Callable[[ModelChecks], object]) -> threading.Thread:
    """A runner that waits for a submitted model and says what it is worth."""

    def work() -> None:
        verb(ModelChecks(service.store))

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def claimed(checks: ModelChecks):  # type: ignore[no-untyped-def]
    while (claim := checks.claim("test runner", 600.0)) is None:
        time.sleep(0.02)
    return claim


def test_models_lists_with_and_without_saying_so(fewstep: Fewstep, service: Service) -> None:
    """``fewstep models`` and ``fewstep models list`` say the same, states included."""
    add_model(service.store)
    listed = fewstep("models", "--url", service.url).stdout
    assert fewstep("models", "list", "--url", service.url).stdout == listed
    assert "ready" in listed


def test_a_zoo_model_is_added_shown_and_removed(fewstep: Fewstep, service: Service) -> None:
    """The id alone stands on stdout; the model is found by id and by name; removed, it is gone."""
    done = fewstep("models", "add", "digits-mixture", "--wait", "--url", service.url)
    assert done.exit_code == 0
    assert done.stdout.strip() == zoo.describe("digits-mixture").digest[:16]
    assert "digits-mixture is ready" in done.stderr
    for name in (done.stdout.strip(), "digits-mixture"):
        shown = fewstep("models", "show", name, "--url", service.url).stdout
        assert "1×8×8" in shown
        assert "vp-linear" in shown
    assert fewstep("models", "remove", "digits-mixture", "--url", service.url).exit_code == 0
    refused(fewstep("models", "show", "digits-mixture", "--url", service.url), "digits-mixture")
    refused(fewstep("models", "remove", "0" * 16, "--url", service.url), "0" * 16)


def test_a_folder_here_is_uploaded(fewstep: Fewstep, service: Service, folder: Path) -> None:
    """The files arrive as they are, under the name given, with the guidance asked for; --wait returns once it is
    ready."""
    worker = answering(service, lambda checks: (held := claimed(checks)) and checks.ready(held, held.model.facts))
    words = ("models", "add", folder, "--upload", "--name", "mine", "--wait", "--url", service.url)
    done = fewstep(*words)
    worker.join()
    assert done.exit_code == 0, done.stderr
    model = service.store.model(done.stdout.strip())
    assert (model.digest, model.name, model.state) == (Manifest.read(folder).digest, "mine", ModelState.READY)
    assert "mine is ready" in done.stderr
    assert "44,969" in fewstep("models", "show", "mine", "--url", service.url).stdout


def test_an_upload_may_be_guided(fewstep: Fewstep, service: Service, tmp_path: Path) -> None:
    """The scale given is that of its manifest, whatever else is written there; the service shows it."""
    folder = pipeline(tmp_path / "classes", num_class_embeds=3)
    (folder / "fewstep.json").write_text('{"format": 1, "guidance": 4.0, "prediction": "data"}')
    done = fewstep("models", "add", folder, "--upload", "--guidance", "1.5", "--url", service.url)
    assert done.exit_code == 0, done.stderr
    (folder / "fewstep.json").write_text('{"format": 1, "guidance": 1.5, "prediction": "data"}')
    model = service.store.model(done.stdout.strip())
    assert model.digest == Manifest.read(folder).digest
    assert (model.facts.guidance, model.facts.conditions) == (1.5, 3)
    shown = fewstep("models", "show", model.id, "--url", service.url).stdout
    assert "1.5" in shown


def test_a_refused_model_fails_the_command(fewstep: Fewstep, service: Service, folder: Path) -> None:
    """With --wait the reason stands in the last line, and the exit code says so."""
    worker = answering(service, lambda checks: checks.refuse(claimed(checks), "its answer is not finite"))
    done = fewstep("models", "add", folder, "--upload", "--wait", "--url", service.url)
    worker.join()
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].endswith("was refused: its answer is not finite")


def test_what_cannot_be_added_is_named(fewstep: Fewstep, service: Service, tmp_path: Path, folder: Path) -> None:
    """No folder, no model in it, no root on the service, options that do not go together: one line each."""
    add = ("models", "add", "--url", service.url)
    refused(fewstep(*add, tmp_path / "nonesuch", "--upload"), "nonesuch")
    refused(fewstep(*add, tmp_path, "--upload"), "wants either a network")
    refused(fewstep(*add, "team/tiny"), "FEWSTEP_MODEL_ROOTS")
    refused(fewstep(*add, "owner/tiny", "--commit", "0" * 40), "FEWSTEP_ALLOW_HUB")
    refused(fewstep(*add, "owner/tiny", "--commit", "main"), "commit")
    refused(fewstep(*add, "owner/tiny", "--commit", "0" * 40, "--upload"), "not from both")
    refused(fewstep(*add, "digits-mixture", "--guidance", 2), "for uploads")
    taken = fewstep(*add, folder, "--upload", "--name", "digits-mixture")
    assert taken.exit_code == 1
    assert "fewstep: digits-mixture is the name of a model of the zoo" in taken.stderr
    assert service.store.models() == []


def test_a_folder_of_the_service_is_named_by_its_path(
    fewstep: Fewstep, folder: Path, tmp_path: Path, inspector: Inspector
) -> None:
    """What is neither of the zoo nor uploaded lies below a root of the service's."""
    settings = Settings(data_dir=tmp_path / "rooted", model_roots=str(tmp_path))
    with structlog.testing.capture_logs(), serving(settings, inspector=inspector) as service:
        done = fewstep("models", "add", "tiny", "--url", service.url)
        model = service.store.model(done.stdout.strip())
        assert (model.name, model.source, model.digest) == ("tiny", "folder", Manifest.read(folder).digest)
        service.store.add_model(replace(model, id="0" * 16, digest="0" * 64, name="old", state=ModelState.READY))
        assert "submitted" in fewstep("models", "--url", service.url).stdout


def test_samples_of_a_model_folder(fewstep: Fewstep, folder: Path, tmp_path: Path) -> None:
    """A schedule made for the folder's process draws samples of the folder's network."""
    from fewstep import solvers

    plan, path, out = tmp_path / "plan.json", folder, tmp_path / "out.png"
    plan.write_text(solvers.named("ddim").schedule(Manifest.read(path).process, 3, "time").to_json())
    done = fewstep("sample", path, plan, "-n", 4, "-o", out)
    assert done.exit_code == 0, done.stderr
    assert out.read_bytes().startswith(b"\x89PNG")
    refused(fewstep("sample", tmp_path, plan), "wants either a network")
