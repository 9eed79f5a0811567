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
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
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


def test_posted_lists_are_imported(tmp_path: Path) -> None:
    """A list with the scheduler's own method, with a solver on its process, or on a process that is named."""
    EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").save_pretrained(tmp_path)
    line = "[14.6, 7.9, 2.1, 0.5, 0]"
    by_scheduler = Schedule.from_json(fewstep("import", tmp_path, "--sigmas", line).stdout)
    by_solver = Schedule.from_json(fewstep("import", tmp_path, "--sigmas", line, "--solver", "euler").stdout)
    assert by_scheduler.times[1:] == pytest.approx(by_solver.times[1:], abs=1e-2)
    assert by_solver.times[0] == 999.0
    done = fewstep("import", "--process", "flow", "--solver", "flow-heun", "--timesteps", "1000 750 500")
    assert Schedule.from_json(done.stdout).times == (1.0, 0.75, 0.75, 0.5, 0.5, 0.0)
    assert "flow-heun, a list: 5 calls on flow" in done.stderr
    shifted = fewstep("import", "--process", '{"kind": "flow", "shift": 3}', "--solver", "euler", "--sigmas", "1,.75,0")
    assert Schedule.from_json(shifted.stdout).times == (1.0, 0.5, 0.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sigmas", "1,0"), "the folder of a scheduler, or a list with --solver and --process"),
        (("--sigmas", "1,0", "--steps", "3"), "one of --steps, --sigmas and --timesteps"),
        (("--sigmas", "1,x", "--solver", "euler", "--process", "flow"), "list of numbers, got '1,x'"),
        (("--sigmas", "1,0", "--solver", "euler"), "folder of a scheduler, or with --process"),
        (("--sigmas", "1,0", "--process", "flow"), "--process goes with --solver"),
        (("--steps", "3", "--solver", "euler", "--process", "flow"), "--solver goes with a list"),
        (("--sigmas", "1,0", "--solver", "euler", "--process", "{"), "--process is a kind"),
        (("--sigmas", "1,0", "--solver", "nonesuch", "--process", "flow"), "nonesuch"),
        (("--sigmas", "1,0", "--solver", "euler", "--process", "flow", "--mu", "1"), "leave --solver out"),
    ],
)
def test_lists_that_say_too_little_are_refused(words: tuple[str, ...], message: str) -> None:
    """One line says what goes with what."""
    refused(fewstep("import", *words), message)


def test_a_clipping_scheduler_is_imported_with_a_note(tmp_path: Path) -> None:
    """What is left out is said beside the result."""
    DDPMScheduler().save_pretrained(tmp_path)
    done = fewstep("import", tmp_path, "--timesteps", "999,749,499,249")
    assert "note: this DDPMScheduler clips data predictions" in done.stderr
    assert Schedule.from_json(done.stdout).times == (999.0, 749.0, 499.0, 249.0, -1.0)
    refused(fewstep("import", tmp_path, "--timesteps", "999.5,3"), "whole numbers, got 999.5")


def test_a_pipeline_with_our_scheduler_is_imported(tmp_path: Path) -> None:
    """The schedule that it was saved with comes back."""
    schedule = solvers.named("unipc-2-bh2").schedule(processes.Flow(shift=3.0), 4)
    FewstepScheduler.from_schedule(schedule).save_pretrained(tmp_path)
    assert Schedule.from_json(fewstep("import", tmp_path, "--steps", 4).stdout) == schedule
    refused(fewstep("import", tmp_path, "--steps", 5), "a schedule of 4 calls, got 5 steps")


def test_a_comfyui_node_is_a_folder_of_one_file(saved: Saved, euler: Schedule, tmp_path: Path) -> None:
    """Its file is what the library writes; without a folder it is refused."""
    folder = tmp_path / "custom_nodes" / "mine"
    done = fewstep("export", saved(euler), "--format", "comfyui-node", "-o", folder)
    assert done.exit_code == 0
    assert [path.name for path in folder.iterdir()] == ["__init__.py"]
    assert (folder / "__init__.py").read_text() == export.comfyui_node(euler)
    refused(fewstep("export", saved(euler), "--format", "comfyui-node"), "--output")
    refused(fewstep("export", saved(euler), "--format", "comfyui-node", "-o", saved(euler)), "cannot make the folder")


def test_sigmas_for_a_scheduler_that_shifts_by_size(saved: Saved, tmp_path: Path) -> None:
    """--mu is the pipeline's; without, the refusal says so."""
    plan = solvers.named("flow-euler").schedule(FLOW, 4)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    scheduler.save_pretrained(tmp_path / "flux")
    words = ("export", saved(plan), "--format", "sigmas", "--scheduler", tmp_path / "flux")
    refused(fewstep(*words), "pass mu")
    got = json.loads(fewstep(*words, "--mu", 1.15).stdout)
    np.testing.assert_allclose(got, export.diffusers_sigmas(plan, scheduler, mu=1.15))
    refused(fewstep("export", saved(plan), "--format", "sigmas", "--mu", 1.15), "--mu goes with --scheduler")
