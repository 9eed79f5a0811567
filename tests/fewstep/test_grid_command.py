"""The grid command: times and the curve behind them, from the model's own flow, given samples or the service."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fewstep.cli.app import app
from fewstep.grids import score_optimal
from fewstep.grids.measured import MeasuredGrid
from fewstep.models import zoo
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from tests.api.support import Service, add_model, claim
from tests.fewstep.invoked import Fewstep, refused
from tests.storage.samples import arc


def run(*words: object) -> Any:
    """``fewstep grid`` with these words; an unexpected exception is raised."""
    result = CliRunner().invoke(app, ["grid", *map(str, words)], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_it_writes_what_the_library_measures(tmp_path: Path) -> None:
    """The file has the times of `ArcLength.times` and the curve; the terminal says where the states came from."""
    path = tmp_path / "grid.json"
    result = run("digits-mixture", "--nfe", 6, "--samples", 4, "--seed", 3, "--blend", 0.5, "-o", path)
    assert result.exit_code == 0
    noise = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    measured = score_optimal.measure(zoo.load("digits-mixture"), noise)
    told = json.loads(path.read_text())
    assert (told["format"], told["version"], told["model"], told["nfe"]) == ("fewstep.grid", 1, "digits-mixture", 6)
    assert told["times"] == list(measured.times(6, blend=0.5))
    assert told["curve"] == measured.to_dict()
    assert "the model's own flow" in result.stderr
    assert f"{measured.calls} network calls" in result.stderr


def test_it_measures_on_given_samples(tmp_path: Path) -> None:
    """An array of clean samples takes the place of the flow; standard output gets the JSON."""
    path = tmp_path / "clean.npy"
    np.save(path, np.zeros((3, 1, 8, 8)))
    result = run("digits-mixture", "--nfe", 2, "--data", path)
    assert json.loads(result.stdout)["curve"]["source"] == "data"
    assert json.loads(result.stdout)["curve"]["samples"] == 3


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), ()])
def test_samples_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """One line that says what was wanted."""
    path = tmp_path / "clean.npy"
    np.save(path, np.zeros(shape))
    result = run("digits-mixture", "--nfe", 2, "--data", path)
    assert result.exit_code == 1
    assert "(n, 1, 8, 8)" in result.stderr


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    """Missing files, files that are no arrays, folders that are not there, unknown kinds and models."""
    (tmp_path / "text.npy").write_text("no array")
    for words in (
        ("digits-mixture", "--nfe", 2, "--data", tmp_path / "missing.npy"),
        ("digits-mixture", "--nfe", 2, "--data", tmp_path / "text.npy"),
        ("digits-mixture", "--nfe", 2, "--samples", 2, "-o", tmp_path / "missing" / "grid.json"),
        ("digits-mixture", "--nfe", 2, "--kind", "magic"),
        ("no-model", "--nfe", 2),
    ):
        result = run(*words)
        assert result.exit_code == 1, words
        assert result.stderr.startswith("fewstep: ")
        assert result.stderr.count("\n") == 1


def test_the_service_is_asked_for_what_a_search_measured(fewstep: Fewstep, service: Service, tmp_path: Path) -> None:
    """The same document, from the curve of the model's first search; nothing is measured here."""
    known, path = add_model(service.store), tmp_path / "grid.json"
    asked = ("grid", "digits-mixture", "--nfe", 6, "--blend", 0.5, "--server", "--url", service.url, "-o", path)
    refused(fewstep(*asked), "has measured its curve yet")
    Jobs(service.store).record_curve(claim(service.store, service.store.submit(Problem(known.id, 4))), arc())
    result = fewstep(*asked)
    assert result.exit_code == 0
    assert json.loads(path.read_text()) == MeasuredGrid.of(arc(), known.id, 6, 0.5).to_dict()
    assert f"32 states a level from a search at {service.url}, 12345 network calls" in result.stderr


@pytest.mark.parametrize(
    "words", [("--samples", 8), ("--seed", 0), ("--kind", "corrector"), ("--data", "clean.npy", "--seed", 3)]
)
def test_the_service_is_not_told_how_to_measure(fewstep: Fewstep, words: tuple[object, ...]) -> None:
    """Options of measuring are refused by name, even where they say what is the default."""
    options = [str(word) for word in words if str(word).startswith("--")]
    refused(fewstep("grid", "digits-mixture", "--nfe", 6, "--server", *words), "measured already", *options)
