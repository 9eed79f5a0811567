"""Submitted models tried in a real worker: ready with what was measured, or refused with the reason."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from api import submission
from api.inspection import inspect
from api.model_checker import ModelChecker
from api.settings import Settings
from fewstep.errors import InvalidModel
from fewstep.search.evaluation.local_pool import LocalPool
from fewstep.values.model import Model, ModelState
from storage.folders import ModelFolders
from storage.lease import ModelClaim
from storage.model_checks import ModelChecks
from storage.store import Store
from tests.api.uploads import WEIGHTS, pipeline, tree

COMMIT = "0123456789" * 4


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    """One worker for all tests."""
    with LocalPool() as pool:
        yield pool


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "roots").mkdir()
    return Settings(data_dir=tmp_path / "data", model_roots=str(tmp_path / "roots"), lease_seconds=600.0)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    ModelFolders(settings.models_dir).sweep()
    with Store(settings.database_url) as store:
        store.migrate()
        yield store


@pytest.fixture
def folder(settings: Settings) -> Path:
    return pipeline(settings.model_roots[0] / "tiny")


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def fetch_nothing(repo: str, commit: str, folder: Path, most: int) -> None:
    raise AssertionError("no hub was to be asked")


@pytest.fixture
def tried(settings: Settings, store: Store, pool: LocalPool, stop: threading.Event) -> Callable[..., Model]:
    """``tried(model)``: the model submitted, tried once, and as the store has it then."""

    def work(model: Model, fetch: Callable[[str, str, Path, int], None] = fetch_nothing) -> Model:
        submitted = store.add_model(model)
        ModelChecker(settings, store, pool, stop, fetch).work(claimed(store))
        return store.model(submitted.id)

    return work


def claimed(store: Store) -> ModelClaim:
    claim = ModelChecks(store).claim("test runner", 600.0)
    assert claim is not None
    return claim


def described(folder: Path, name: str = "tiny") -> Model:
    return submission.of_inspected(inspect(folder), "folder", name)


def scaled(folder: Path, factor: float) -> None:
    """Multiply the last layer, so that inside the network all is well."""
    path = folder / "unet" / WEIGHTS
    tensors = load_file(path)
    tensors["conv_out.weight"] *= factor
    save_file(tensors, path)


def test_a_model_that_answers_is_ready(tried: Callable[..., Model], folder: Path) -> None:
    """Its call was measured, in seconds and passes; what was known before stays."""
    sent = described(folder)
    model = tried(sent)
    assert (model.state, model.reason) == (ModelState.READY, None)
    assert model.facts.passes == 1
    assert model.facts.seconds_per_call is not None
    assert 0 < model.facts.seconds_per_call < 60
    assert replace(model.facts, passes=None, seconds_per_call=None) == sent.facts


def test_answers_that_are_not_finite_are_refused(tried: Callable[..., Model], folder: Path) -> None:
    """Finite weights may still overflow: the reason says at which time."""
    scaled(folder, 1e38)
    model = tried(described(folder))
    assert model.state is ModelState.REFUSED
    assert model.reason is not None
    assert "its answer at time" in model.reason
    assert "not finite" in model.reason


def test_a_network_that_breaks_is_refused(tried: Callable[..., Model], folder: Path) -> None:
    """A manifest that promises samples which the network cannot take: the reason is the network's own."""
    (folder / "fewstep.json").write_text('{"format": 1, "shape": [1, 7, 7]}')
    model = tried(described(folder))
    assert model.state is ModelState.REFUSED
    assert model.reason
    assert model.facts.seconds_per_call is None


def test_a_folder_that_changed_is_refused_and_one_that_went_is_left_to_others(
    tried: Callable[..., Model], folder: Path
) -> None:
    """What is tried is what was sent: other weights are told by their digest. A missing folder another runner may have:
    the model stays submitted and says what is missed."""
    sent = described(folder)
    scaled(folder, 1.5)
    changed = tried(sent)
    assert changed.state is ModelState.REFUSED
    assert changed.reason is not None
    assert f"digest {sent.digest[:16]}" in changed.reason
    shutil.rmtree(folder)
    gone = tried(sent)
    assert gone.state is ModelState.SUBMITTED
    assert gone.reason is not None
    assert "'tiny' under the operator's roots" in gone.reason


def test_a_refused_model_that_was_mended_is_tried_again(tried: Callable[..., Model], folder: Path) -> None:
    """Sent again with the weights it had, it becomes ready under the same id."""
    sent, path = described(folder), folder / "unet" / WEIGHTS
    good = path.read_bytes()
    scaled(folder, 2.0)
    assert tried(sent).state is ModelState.REFUSED
    path.write_bytes(good)
    again = tried(sent)
    assert (again.id, again.state, again.reason) == (sent.id, ModelState.READY, None)


def test_a_runner_that_stops_gives_the_model_back(
    settings: Settings, store: Store, pool: LocalPool, stop: threading.Event, folder: Path
) -> None:
    """A model that waits for a slot is submitted again as soon as the runner is told to stop."""
    store.add_model(described(folder))
    free = threading.Event()
    blocker = threading.Thread(target=lambda: pool._free.put((pool._free.get(), free.wait(60))[0]))
    blocker.start()
    worker = threading.Thread(
        target=ModelChecker(settings, store, pool, stop, fetch_nothing).work, args=(claimed(store),)
    )
    worker.start()
    stop.set()
    worker.join(60)
    free.set()
    blocker.join()
    assert not worker.is_alive()
    (model,) = store.models()
    assert model.state is ModelState.SUBMITTED
    assert claimed(store).model == model


def test_a_deleted_model_is_left(
    settings: Settings, store: Store, pool: LocalPool, stop: threading.Event, folder: Path
) -> None:
    """A model that is forgotten while it is tried leaves nothing, and the runner goes on."""
    model = store.add_model(described(folder))
    claim = claimed(store)
    store.delete_model(model.id)
    ModelChecker(settings, store, pool, stop, fetch_nothing).work(claim)
    assert store.models() == []


def test_a_runner_works_until_it_is_told_to_stop(
    settings: Settings, store: Store, pool: LocalPool, stop: threading.Event, tmp_path: Path
) -> None:
    """Every submitted model is tried, good or bad, whatever came before it."""
    for number in range(3):
        folder = pipeline(settings.model_roots[0] / str(number), seed=number)
        if number == 1:
            scaled(folder, 1e38)
        store.add_model(described(folder, str(number)))
    checker = ModelChecker(settings, store, pool, stop, fetch_nothing)
    thread = threading.Thread(target=checker.run, args=("test runner", tmp_path / "alive"))
    thread.start()
    while any(model.state is ModelState.SUBMITTED for model in store.models()):
        assert thread.is_alive()
        stop.wait(0.05)
    stop.set()
    thread.join(60)
    states = {model.name: model.state.value for model in store.models()}
    assert states == {"0": "ready", "1": "refused", "2": "ready"}


def from_hub(folder: Path) -> Callable[[str, str, Path, int], None]:
    """A hub that has the folder's model at one commit."""

    def fetch(repo: str, commit: str, into: Path, most: int) -> None:
        assert (repo, commit, most) == ("owner/tiny", COMMIT, 2**32)
        shutil.copytree(folder, into, dirs_exist_ok=True)

    return fetch


def test_a_model_of_a_hub_is_fetched_and_kept(
    tried: Callable[..., Model], folder: Path, settings: Settings, store: Store
) -> None:
    """It is looked through like an upload and kept under its digest; then it is a model like any other."""
    model = tried(submission.of_hub("owner/tiny", COMMIT), from_hub(folder))
    assert (model.state, model.reason) == (ModelState.READY, None)
    assert (model.digest, model.shape) == (inspect(folder).digest, (1, 8, 8))
    assert tree(settings.models_dir / model.digest) == tree(folder)
    assert submission.reference(model, settings).open()[1] == (1, 8, 8)
    assert store.add_model(submission.of_inspected(inspect(folder), "upload", "again")) == model


def test_a_model_of_a_hub_that_is_here_already_is_named(
    tried: Callable[..., Model], folder: Path, settings: Settings
) -> None:
    """The refusal says which model it is, and no second copy is kept."""
    known = tried(described(folder))
    model = tried(submission.of_hub("owner/tiny", COMMIT), from_hub(folder))
    assert model.state is ModelState.REFUSED
    assert known.id in (model.reason or "")
    assert set(tree(settings.models_dir)) == {"incoming", ".lock"}


@pytest.mark.parametrize("what", ["refused by the hub", "not finite", "no model"])
def test_what_a_hub_gives_is_not_trusted(
    tried: Callable[..., Model], folder: Path, settings: Settings, what: str
) -> None:
    """What cannot be fetched or does not pass is refused with the reason, and nothing is kept."""

    def fetch(repo: str, commit: str, into: Path, most: int) -> None:
        if what == "refused by the hub":
            raise InvalidModel("owner/tiny cannot be fetched: 404")
        if what == "not finite":
            shutil.copytree(folder, into, dirs_exist_ok=True)
            scaled(into, float("nan"))

    model = tried(submission.of_hub("owner/tiny", COMMIT), fetch)
    assert (model.state, model.shape) == (ModelState.REFUSED, ())
    words = {"refused by the hub": "404", "not finite": "NaN", "no model": "wants either a network"}[what]
    assert words in (model.reason or "")
    assert tree(settings.models_dir) == {"incoming": None}
