"""``python -m search``: progress, a summary, a schedule file, errors in one line."""

from pathlib import Path

import pytest
import typer
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from typer.testing import CliRunner

from fewstep import Schedule, processes
from search import run as search_run
from search.__main__ import main
from search.noises import HELD_OUT, SEARCH, VALIDATION

APP = typer.Typer()
APP.command()(main)


def test_a_search_prints_its_result_and_writes_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule in the file has the calls asked for; the summary names the baseline and the held-out noises."""
    monkeypatch.setattr(search_run, "NOISES", {SEARCH: 16, VALIDATION: 16, HELD_OUT: 32})
    monkeypatch.setattr(search_run, "FOLLOWED", 24)
    out = tmp_path / "schedule.json"
    ran = CliRunner().invoke(APP, ["digits-mixture", "--nfe", "3", "--budget", "8", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert Schedule.from_json(out.read_text()).nfe == 3
    assert "on 32 held-out noises" in ran.output
    assert "baseline" in ran.output


def test_a_model_folder_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as diffusers saves it, in the place of a zoo's name."""
    monkeypatch.setattr(search_run, "NOISES", {SEARCH: 4, VALIDATION: 4, HELD_OUT: 8})
    monkeypatch.setattr(search_run, "FOLLOWED", 6)
    monkeypatch.setattr(search_run, "RANKED", 2)
    blocks = {"block_out_channels": (4, 4), "layers_per_block": 1, "norm_num_groups": 2, "attention_head_dim": 2}
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    network = UNet2DModel(sample_size=4, in_channels=1, out_channels=1, **blocks, **kinds)
    DDPMPipeline(network, DDPMScheduler(prediction_type="v_prediction")).save_pretrained(tmp_path / "saved")
    out = tmp_path / "schedule.json"
    ran = CliRunner().invoke(APP, [str(tmp_path / "saved"), "--nfe", "2", "--budget", "4", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert Schedule.from_json(out.read_text()).process == processes.Discrete.linear_betas()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "unknown zoo model 'no-such-model'; known: digits-mixture"),
        (["digits-mixture", "--nfe", "0"], "nfe is a whole number from 1 to 50, got 0"),
        (["digits-mixture", "--budget", "0"], "budget is a whole number from 1 to 100000, got 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: list[str], message: str) -> None:
    """What was given and what was wanted, exit code 1, no traceback."""
    ran = CliRunner().invoke(APP, arguments)
    assert ran.exit_code == 1
    assert message in ran.stderr
    assert "Traceback" not in ran.output
