"""Pipelines saved with the scheduler inside: what diffusers loads by itself, and what it wants to be told."""

import json
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DiffusionPipeline, UNet2DModel

from fewstep import solvers
from fewstep.processes import Discrete
from fewstep.scheduler import FewstepScheduler

SCHEDULE = solvers.named("dpmpp-2m").schedule(Discrete.linear_betas(), 4, "quadratic")


@pytest.fixture
def saved(unet: UNet2DModel, tmp_path: Path) -> Path:
    """A pipeline with our scheduler, on disk."""
    DDPMPipeline(unet, FewstepScheduler.from_schedule(SCHEDULE)).save_pretrained(tmp_path)
    return tmp_path


def image(pipeline: DiffusionPipeline) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(generator=torch.Generator().manual_seed(3), num_inference_steps=4, output_type="pt").images


@pytest.mark.parametrize("loader", [DDPMPipeline, DiffusionPipeline])
def test_a_saved_pipeline_loads_where_fewstep_is_imported(saved: Path, loader: type, unet: UNet2DModel) -> None:
    """The pipeline's own from_pretrained finds the class by its module, once somebody has imported it."""
    assert json.loads((saved / "model_index.json").read_text())["scheduler"] == [
        "fewstep.scheduler",
        "FewstepScheduler",
    ]
    pipeline = loader.from_pretrained(saved, dtype=torch.float64)
    assert isinstance(pipeline.scheduler, FewstepScheduler)
    assert pipeline.scheduler.schedule == SCHEDULE
    assert torch.equal(image(pipeline), image(DDPMPipeline(unet, FewstepScheduler.from_schedule(SCHEDULE))))


def test_diffusers_imports_nothing_by_itself(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``import fewstep.scheduler`` it refuses and says what to import: its rule for classes of others."""
    monkeypatch.delitem(sys.modules, "fewstep.scheduler")
    with pytest.raises(ValueError, match=r"import fewstep.scheduler before calling `from_pretrained`"):
        DDPMPipeline.from_pretrained(saved)


def test_a_scheduler_may_be_handed_over_while_loading(unet: UNet2DModel, tmp_path: Path) -> None:
    """A pipeline saved with another scheduler takes ours as an argument, from its own folder."""
    DDPMPipeline(unet, DDIMScheduler()).save_pretrained(tmp_path / "pipeline")
    FewstepScheduler.from_schedule(SCHEDULE).save_pretrained(tmp_path / "scheduler")
    scheduler = FewstepScheduler.from_pretrained(tmp_path / "scheduler")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "pipeline", scheduler=scheduler, dtype=torch.float64)
    assert torch.equal(image(pipeline), image(DDPMPipeline(unet, FewstepScheduler.from_schedule(SCHEDULE))))
