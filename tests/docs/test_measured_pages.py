"""docs/score-optimal.md and docs/time-shift.md, run as they stand, with a tiny pipeline in place of the reader's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import torch
from diffusers import DDPMPipeline

from api.settings import Settings
from fewstep.grids import logsnr
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from tests.api.support import add_model, claim, serving
from tests.docs.pages import DOCS, run
from tests.fewstep import tiny
from tests.storage.samples import arc


@pytest.fixture
def pipeline() -> DDPMPipeline:
    """An unconditional pipeline whose scheduler is to be replaced."""
    made = DDPMPipeline(tiny.unconditional().float(), None)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line's service is one where a search has measured the page's model."""
    with structlog.testing.capture_logs(), serving(Settings(data_dir=tmp_path / "data")) as service:
        search = service.store.submit(Problem(add_model(service.store).id, 4))
        Jobs(service.store).record_curve(claim(service.store, search), arc())
        monkeypatch.setenv("FEWSTEP_URL", service.url)
        yield


@pytest.mark.usefixtures("measured")
def test_the_page_on_grids_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library and the command line give grids of eight calls, and the default blend is not the even grid; a service
    that knows the model's curve is asked for it."""
    monkeypatch.chdir(tmp_path)
    names = run(DOCS / "score-optimal.md", {})
    assert torch.isfinite(names["images"]).all()
    assert names["schedule"].times == names["arc"].times(8)
    assert names["schedule"].times != logsnr(names["denoiser"].process, 8)
    assert len(json.loads((tmp_path / "grid.json").read_text())["times"]) == 9


def test_the_page_on_time_shift_runs(pipeline: DDPMPipeline) -> None:
    """Samples and the pipeline's image are there, and the hooks are off the network in the end."""
    names = run(DOCS / "time-shift.md", {"pipe": pipeline})
    assert torch.isfinite(names["images"]).all()
    assert names["image"].size == (8, 8)
    assert not pipeline.unet._forward_hooks
    assert not pipeline.scheduler.shifted


@pytest.mark.parametrize("page", ["score-optimal.md", "time-shift.md"])
def test_equations_are_numbered_in_order(page: str) -> None:
    """(1), (2), … without gap."""
    numbers = [int(part.split("}")[0]) for part in (DOCS / page).read_text().split("\\tag{")[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers
