"""`fewstep export` and `fewstep import`, run as a user runs them: what they write is what the library makes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DModel,
)
from typer.testing import CliRunner

from fewstep import Schedule, export, processes, solvers
from fewstep.cli.app import app
from fewstep.diffusers.importer import from_diffusers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.models.scheduler_config import STORED

pytestmark = pytest.mark.filterwarnings(  # diffusers' own, about itself
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

FLOW = processes.Flow(shift=3.0)
Saved = Callable[[Schedule], Path]


def fewstep(*words: object) -> Any:
    """Run a command; an error that was not expected is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(result: Any, *words: str) -> None:
    """The command failed with one line on stderr that holds the words."""
    assert result.exit_code == 1
    assert re.fullmatch(r"fewstep: [^\n]+\n", result.stderr), result.stderr
    assert all(word in result.stderr for word in words), result.stderr


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """``saved(schedule)``: a file with it."""

    def write(schedule: Schedule) -> Path:
        path = tmp_path / f"{schedule.digest[:8]}.json"
        path.write_text(schedule.to_json())
        return path

    return write


@pytest.fixture
def euler() -> Schedule:
    return solvers.named("flow-euler").schedule(FLOW, 3)


def test_sigmas_and_the_line_for_comfyui(saved: Saved, euler: Schedule, tmp_path: Path) -> None:
    """The first sampler that runs the schedule is found and named; the file holds what stdout would."""
    done = fewstep("export", saved(euler), "--format", "sigmas")
    assert json.loads(done.stdout) == list(export.sigmas(euler, "euler"))
    assert done.stderr == "for the sampler euler\n"
    line = fewstep("export", saved(euler), "--format", "comfyui").stdout
    assert line == "1.0, 0.85714287, 0.6, 0.0\n"
    fewstep("export", saved(euler), "--format", "comfyui", "-o", tmp_path / "line.txt")
    assert (tmp_path / "line.txt").read_text() == line


def test_a_sampler_that_runs_something_else_is_refused(saved: Saved, euler: Schedule) -> None:
    """A sampler that is named but does not fit is refused with the reason, as is a schedule that fits none."""
    refused(fewstep("export", saved(euler), "--format", "sigmas", "--sampler", "heun"), "heun", "calls")
    refused(fewstep("export", saved(euler), "--format", "comfyui", "--sampler", "nonesuch"), "nonesuch", "dpmpp_2m")
    third = saved(solvers.named("unipc-3-bh2").schedule(processes.VPLinear(), 5))
    refused(fewstep("export", third, "--format", "comfyui"), "--sampler", "--format tableau")


def test_sigmas_for_a_diffusers_scheduler(saved: Saved, euler: Schedule, tmp_path: Path) -> None:
    """The target's own shift is undone, so that it comes out as the schedule's levels."""
    target = FlowMatchEulerDiscreteScheduler(shift=2.0)
    target.save_pretrained(tmp_path)
    words = ("export", saved(euler), "--format", "sigmas", "--scheduler", tmp_path)
    given = json.loads(fewstep(*words).stdout)
    target.set_timesteps(sigmas=given)
    np.testing.assert_allclose(target.sigmas, FLOW.sigma(np.array(euler.times)), atol=1e-6)
    refused(fewstep(*words, "--sampler", "euler"), "--scheduler", "--sampler")
    refused(fewstep("export", saved(euler), "--format", "tableau", "--scheduler", tmp_path), "--format sigmas")


def test_the_diffusers_form_is_a_scheduler_on_disk(saved: Saved, euler: Schedule, tmp_path: Path) -> None:
    """Saved as scheduler_config.json, from_pretrained reads it; units that the process leaves open are asked for."""
    fewstep("export", saved(euler), "--format", "diffusers", "-o", tmp_path / "scheduler_config.json")
    loaded = FewstepScheduler.from_pretrained(tmp_path)
    assert loaded.schedule == euler
    assert loaded.config.prediction_type == "flow_prediction"
    linear = saved(solvers.named("ddim").schedule(processes.VPLinear(), 4))
    refused(fewstep("export", linear, "--format", "diffusers"), "prediction_type", "time_scale")
    more = ("--prediction-type", "epsilon", "--time-scale", 1000)
    assert json.loads(fewstep("export", linear, "--format", "diffusers", *more).stdout)[STORED]["time_scale"] == 1000.0


def test_the_tableau_is_plain_numbers(saved: Saved, euler: Schedule) -> None:
    """What `portable` makes, as JSON."""
    assert json.loads(fewstep("export", saved(euler), "--format", "tableau").stdout) == export.portable(euler)


def test_an_unknown_format_is_a_wrong_use(saved: Saved, euler: Schedule) -> None:
    """The message lists the known ones."""
    result = fewstep("export", saved(euler), "--format", "pickle")
    assert result.exit_code == 2
    assert "tableau" in result.stderr


def test_import_writes_what_a_saved_scheduler_runs(tmp_path: Path) -> None:
    """From its folder or its file, to stdout or a file; a summary stands on stderr."""
    scheduler = DPMSolverMultistepScheduler(timestep_spacing="trailing")
    scheduler.save_pretrained(tmp_path)
    want, output = from_diffusers(scheduler, 6), tmp_path / "schedule.json"
    done = fewstep("import", tmp_path, "--steps", 6)
    assert Schedule.from_json(done.stdout) == want
    assert "DPMSolverMultistepScheduler, 6 steps: 6 calls on discrete" in done.stderr
    assert "its steps say all of it" in done.stderr
    assert fewstep("import", tmp_path / "scheduler_config.json", "--steps", 6, "-o", output).stdout == ""
    assert Schedule.from_json(output.read_text()) == want
    assert f"digest {want.digest[:16]}" in fewstep("show", output).stdout


def test_import_finds_the_scheduler_of_a_pipeline(tmp_path: Path) -> None:
    """The pipeline's folder is enough; numbers that no steps say come along."""
    kinds = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = UNet2DModel(8, 1, 1, block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, **kinds)
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="linspace")
    DDPMPipeline(unet, scheduler).save_pretrained(tmp_path)
    done = fewstep("import", tmp_path, "--steps", 5)
    assert Schedule.from_json(done.stdout) == from_diffusers(scheduler, 5)
    assert "its numbers overrule its steps" in done.stderr


def test_import_takes_the_shift_that_a_pipeline_computes(tmp_path: Path) -> None:
    """Dynamic shifting needs mu: without it diffusers' own words say so."""
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    scheduler.save_pretrained(tmp_path)
    refused(fewstep("import", tmp_path, "--steps", 4), "mu")
    got = Schedule.from_json(fewstep("import", tmp_path, "--steps", 4, "--mu", 1.15).stdout)
    assert got == from_diffusers(scheduler, 4, mu=1.15)


def test_import_names_what_is_not_there(tmp_path: Path) -> None:
    """No folder, no scheduler in it, no JSON, no class that is known: one line each."""
    refused(fewstep("import", tmp_path / "none", "--steps", 4), "none", "scheduler_config.json")
    config = tmp_path / "scheduler_config.json"
    for text, words in (
        ("{", ("not JSON",)),
        ("[]", ("None", "DDIMScheduler")),
        ('{"_class_name": "os"}', ("'os'", "DDIMScheduler")),
    ):
        config.write_text(text)
        refused(fewstep("import", tmp_path, "--steps", 4), *words)
