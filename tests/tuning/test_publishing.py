"""A tuned result published to a running service, from Python and from the shell, and fetched back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import torch
from typer.testing import CliRunner

from api.inspection import Inspector
from api.settings import Settings
from fewstep import Schedule
from fewstep.cli.app import app
from fewstep.client import Client
from fewstep.diffusers import install, uninstall
from fewstep.errors import Conflict, InvalidInput, ServiceError
from fewstep.tuning import TuneResult, tune
from fewstep.tuning.commands import open_pipeline, read_prompts
from fewstep.values.codec import dump
from fewstep.values.publication import Publication
from tests.api.support import Service, prepared, serving
from tests.pipelines.table import PIPELINES, WARNINGS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]

NAME = "PixArtAlphaPipeline"  # the quickest of the table on a table of betas
SIZE = ["--nfe", "3", "--effort", "quick", "--budget", "3", "--noises", "8"]
NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Tuned:
    """A tuned pipeline, its result, and the command that tunes it again: with that cache, at no cost."""

    pipe: Any
    result: TuneResult
    command: list[str]
    cache: Path


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A tiny pipeline that was saved, opened and tuned."""
    folder, cache = tmp_path_factory.mktemp("pipe"), tmp_path_factory.mktemp("cache")
    tiny = PIPELINES[NAME]()
    tiny.pipe.save_pretrained(folder)
    prompts = folder / "prompts.txt"
    prompts.write_text("a fox\nat sea\n")
    pipe = open_pipeline(str(folder))
    result = tune(pipe, 3, read_prompts(prompts), call=tiny.call, cache=cache, budget=3, noises=8)
    call = [part for key, value in tiny.call.items() for part in ("--call", f"{key}={value}")]
    return Tuned(pipe, result, ["tune", str(folder), "--prompts", str(prompts), *SIZE, *call], cache)


@pytest.fixture
def service(tmp_path: Path, inspector: Inspector) -> Iterator[Service]:
    """A service in a thread, without a runner."""
    with structlog.testing.capture_logs(), serving(prepared(Settings(data_dir=tmp_path / "data")), 0, inspector) as it:
        yield it


@pytest.fixture
def run(tuned: Tuned, service: Service, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``run("publish", path)``: a command of the shell against that service."""
    monkeypatch.setenv("FEWSTEP_CACHE", str(tuned.cache))
    monkeypatch.setenv("FEWSTEP_URL", service.url)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_what_was_tuned_is_what_is_fetched(tuned: Tuned, service: Service) -> None:
    """By its address or by a client; `best` gives the very schedule, and the pipeline runs it."""
    published = tuned.result.publish(service.url, name="tiny-pixart")
    with Client(service.url) as client:
        assert tuned.result.publish(client, name="tiny-pixart") == published
        assert client.best("tiny-pixart", 8) == published
        model = client.model("tiny-pixart")
        with pytest.raises(Conflict, match="run fewstep tune there"):
            client.submit("tiny-pixart", nfe=3)
    assert published.schedule == tuned.result.schedule
    assert published.result.winner == tuned.result.result.winner
    assert published.result.baseline == tuned.result.result.baseline
    assert (model.id, model.source, model.shape) == (published.model, "pipeline", tuned.result.denoiser.shape)
    assert (model.digest, model.summary.split(",")[0]) == (tuned.result.digest, NAME)
    facts = model.facts
    assert (facts.network, facts.prediction, facts.conditions, facts.passes) == (
        "PixArtTransformer2DModel",
        "noise",
        2,
        2,
    )
    install(tuned.pipe, published.schedule)
    try:
        latents = tuned.pipe("a fox", **tuned.result.denoiser.call)[0]
    finally:
        uninstall(tuned.pipe)
    assert torch.isfinite(latents).all()


def test_results_of_one_pipeline_share_their_model(tuned: Tuned, service: Service) -> None:
    """Weights, arguments and conditions say which model it is, not the number of calls."""
    more = tune(
        tuned.pipe,
        2,
        ["a fox", "at sea"],
        call=tuned.result.denoiser.call,
        cache=tuned.cache,
        budget=2,
        noises=8,
    )
    with Client(service.url) as client:
        models = {each.publish(client, name="tiny").model for each in (tuned.result, more)}
        assert len(models) == 1
        assert [each.nfe for each in client.schedules("tiny")] == [2, 3]
        assert client.best("tiny", 2).schedule == more.schedule


def test_names(tuned: Tuned, service: Service) -> None:
    """By default a model is called after its pipeline; a name that is none is refused here, the zoo's over there."""
    assert tuned.result.publication().model.name == f"{NAME}-{tuned.result.digest[:8]}"
    with pytest.raises(InvalidInput, match="'my model'"):
        tuned.result.publish(NOBODY, "my model")
    with pytest.raises(InvalidInput, match="of the zoo"):
        tuned.result.publish(service.url, "digits-mixture")
    assert service.store.models() == []


def test_the_shell_tunes_publishes_and_fetches(tuned: Tuned, run: Any, service: Service, tmp_path: Path) -> None:
    """`fewstep tune --publish` sends what `--result` writes and `fewstep publish` sends again; `fetch` brings it."""
    out, whole, fetched = tmp_path / "schedule.json", tmp_path / "result.json", tmp_path / "fetched.json"
    done = run(*tuned.command, "-o", out, "--result", whole, "--publish", "--name", "tiny")
    assert done.exit_code == 0, done.output
    (model,) = service.store.models()
    assert done.stdout.split() == [model.id]
    assert f"fewstep fetch {model.id} --nfe 3" in done.stderr
    assert Publication.from_json(whole.read_bytes()).result.winner == tuned.result.result.winner
    again = run("publish", whole, "--name", "another")
    assert again.exit_code == 0, again.output
    assert again.stdout == done.stdout
    assert f"{service.url}/searches/{service.store.searches().items[0].id}" in again.stderr
    assert [each.name for each in service.store.models()] == ["tiny"]
    assert run("fetch", "tiny", "--nfe", 3, "-o", fetched).exit_code == 0
    assert Schedule.from_json(fetched.read_text()) == Schedule.from_json(out.read_text()) == tuned.result.schedule
    assert "pipeline" in run("models", "show", "tiny").stdout


def test_a_file_that_is_no_result(tuned: Tuned, run: Any, service: Service, tmp_path: Path) -> None:
    """One line says what the file lacks; nothing is published."""
    path = tmp_path / "result.json"
    whole = json.loads(tuned.result.publication("tiny").to_json())
    for text, words in (
        (dump(tuned.result.result), "cannot be published: it has no"),
        (json.dumps(whole | {"model": {**whole["model"], "digest": "0" * 64}}), "the first 16 digits"),
        (json.dumps(whole)[:-9], "is JSON text"),
    ):
        path.write_text(text)
        done = run("publish", path)
        assert done.exit_code == 1
        assert words in done.stderr
    assert "cannot read" in run("publish", tmp_path / "none.json").stderr
    path.write_text(json.dumps(whole))
    assert "a model's name is" in run("publish", path, "--name", "my model").stderr
    assert "cannot reach" in run("publish", path, "--url", NOBODY).stderr
    assert service.store.models() == []


def test_a_service_that_does_not_answer_is_found_out_first(tuned: Tuned, run: Any, tmp_path: Path) -> None:
    """Before the search, not after it; from Python the result stays, to be published later."""
    out = tmp_path / "schedule.json"
    assert "cannot reach" in run(*tuned.command, "-o", out, "--publish", "--url", NOBODY).stderr
    assert "a model's name is" in run(*tuned.command, "-o", out, "--publish", "--name", "my model").stderr
    assert not out.exists()
    with pytest.raises(ServiceError, match="cannot reach"):
        tuned.result.publish(NOBODY)
