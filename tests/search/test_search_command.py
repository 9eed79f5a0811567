"""``python -m search``: progress, a summary, a schedule file, errors in one line."""

from pathlib import Path
from typing import Any

import pytest
import typer
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from optuna import load_study
from optuna.storages import RDBStorage
from typer.testing import CliRunner

from fewstep import Schedule, processes
from fewstep.search.__main__ import main
from fewstep.search.find import find
from fewstep.values.result import Result

APP = typer.Typer()
APP.command()(main)


def test_a_search_prints_its_result_and_writes_the_schedule(tmp_path: Path) -> None:
    """The schedule in the file has the calls asked for; the summary names the baseline and the test noises."""
    out = tmp_path / "schedule.json"
    ran = CliRunner().invoke(APP, ["digits-mixture", "--nfe", "3", "--budget", "8", "--noises", "8", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert Schedule.from_json(out.read_text()).nfe == 3
    assert "on 64 test noises" in ran.output
    assert "baseline" in ran.output


def test_a_model_folder_is_searched(tmp_path: Path) -> None:
    """A folder as diffusers saves it, in the place of a zoo's name."""
    blocks = {"block_out_channels": (4, 4), "layers_per_block": 1, "norm_num_groups": 2, "attention_head_dim": 2}
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    network = UNet2DModel(sample_size=4, in_channels=1, out_channels=1, **blocks, **kinds)
    DDPMPipeline(network, DDPMScheduler(prediction_type="v_prediction")).save_pretrained(tmp_path / "saved")
    out = tmp_path / "schedule.json"
    ran = CliRunner().invoke(
        APP, [str(tmp_path / "saved"), "--nfe", "2", "--budget", "4", "--noises", "8", "--out", str(out)]
    )
    assert ran.exit_code == 0, ran.output
    assert Schedule.from_json(out.read_text()).process == processes.Discrete.linear_betas()


def test_another_sampler_proposes_and_the_study_is_kept(tmp_path: Path) -> None:
    """All trials of the search are in the file, under a name that says which search it was."""
    file = tmp_path / "study.db"
    options = ["--nfe", "3", "--budget", "12", "--noises", "16", "--sampler", "random", "--study", str(file)]
    ran = CliRunner().invoke(APP, ["digits-mixture", *options])
    assert ran.exit_code == 0, ran.output
    storage = RDBStorage(f"sqlite:///{file}")
    trials = load_study(study_name="digits-mixture, 3 calls, mean, random, seed 0", storage=storage).trials
    storage.remove_session()
    storage.engine.dispose()
    assert [trial.number for trial in trials] == list(range(12))
    assert {trial.user_attrs["origin"].split()[0] for trial in trials} == {
        "baseline",
        "seed",
        "random",
        "fit",
        "polish",
    }


def test_several_numbers_of_calls_share_what_they_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewest calls first; each search has the trials of those before it, and as a seed what was found with one call
    less; every schedule is written under its number, and the second metric and the limit that ended it are told."""
    given: list[dict] = []

    def spied(*arguments: object, **options: Any) -> Result:
        given.append(options)
        return find(*arguments, **options)

    monkeypatch.setattr("fewstep.search.__main__.find", spied)
    out = tmp_path / "found.json"
    words = ["--nfe", "5", "--nfe", "3", "--nfe", "2", "--budget", "12", "--noises", "16", "--metric", "frechet:digits"]
    ran = CliRunner().invoke(APP, ["digits-mixture", *words, "--max-calls", "100000", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    plans = [Schedule.from_json((tmp_path / f"found-{nfe}.json").read_text()) for nfe in (2, 3, 5)]
    assert [plan.nfe for plan in plans] == [2, 3, 5]
    assert [options["warm"].schedules for options in given] == [[], plans[:1], []]
    assert [len(options["warm"].trials) for options in given] == [0, 12, 24]
    for words in ("2 calls by frechet:digits:teacher on 128", "mean: winner", "12 trials, its budget was spent"):
        assert words in ran.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits-mixture", "--max-calls", "50"], "50 are allowed: allow more, or take fewer noises"),
        (["digits-mixture", "--metric", "kid:coco"], "unknown features 'coco'; known: pixels, digits"),
        (["no-such-model"], "unknown zoo model 'no-such-model'; known: digits-mixture"),
        (["digits-mixture", "--nfe", "0"], "nfe is a whole number from 1 to 50, got 0"),
        (["digits-mixture", "--sampler", "luck"], "unknown sampler 'luck'; known: guided, evolution, tpe"),
        (["digits-mixture", "--noises", "3"], "noises is a whole number from 8 to 8192, got 3"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: list[str], message: str) -> None:
    """What was given and what was wanted, exit code 1, no traceback."""
    ran = CliRunner().invoke(APP, arguments)
    assert ran.exit_code == 1
    assert message in ran.stderr
    assert "Traceback" not in ran.output
