"""docs/tuning.md, run as it stands on a tiny Stable Diffusion."""

from pathlib import Path

import numpy as np
import pytest
import structlog

from api.inspection import Inspector
from api.settings import Settings
from fewstep.diffusers import FewstepScheduler
from tests.api.support import prepared, serving
from tests.docs.pages import DOCS, run
from tests.pipelines.table import PIPELINES, WARNINGS

PAGE = DOCS / "tuning.md"

pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inspector: Inspector) -> None:
    """Search, installed schedule, commands, publication, comparison and conditions do what the text says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "cache"))
    pipe = PIPELINES["StableDiffusionPipeline"]().pipe
    pipe.save_pretrained("my-pipeline")
    Path("prompts.txt").write_text("a fox\nat sea\nred car\nblue sky\n")
    settings = prepared(Settings(data_dir=tmp_path / "data"))
    with structlog.testing.capture_logs(), serving(settings, inspector=inspector) as service:
        monkeypatch.setenv("FEWSTEP_URL", service.url)
        after = run(PAGE, {"pipe": pipe, "url": service.url})
        assert [model.name for model in service.store.models()] == ["my-pipeline"] * 2  # by Python, by the shell
    assert after["tuned"].schedule.nfe == 6
    assert after["schedule"] == after["tuned"].schedule
    assert after["tuned"].searched_ratio is not None
    assert np.asarray(after["image"]).ndim == 3
    assert len(after["images"]) == 2
    assert not isinstance(pipe.scheduler, FewstepScheduler)
    assert [each.calls for each in after["comparison"].schedules] == [20, 6, 6]
    for name in ("before-after.html", "compare.html", "schedule.json", "my-pipeline/conditions.safetensors"):
        assert Path(name).stat().st_size > 0
