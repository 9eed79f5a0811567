"""`tune` end to end on tiny real pipelines: search, test on unseen prompts, resumption, pages, commands."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler
from typer.testing import CliRunner

import fewstep
from fewstep import Schedule
from fewstep.cli.app import app
from fewstep.diffusers import install
from fewstep.errors import InvalidInput
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, SEARCHED, TEST, NoiseSet
from fewstep.tuning import default_prompts, pipeline, tune
from fewstep.tuning.journal import Journal
from tests.pipelines.table import PIPELINES, WARNINGS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]

WORDS = ("a fox", "two boats", "snow", "red roof", "old tree", "at sea", "green hill", "one dog")
FULL = ("StableDiffusionXLPipeline", "FluxPipeline", "WanPipeline", "QwenImagePipeline")


def conditions(tiny):
    """Eight conditions: those of the pipeline, in turn."""
    return [tiny.conditions[i % len(tiny.conditions)] for i in range(8)]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A tuned tiny Stable Diffusion 3, and where its journal is."""
    tiny = PIPELINES["StableDiffusion3Pipeline"]()
    cache = tmp_path_factory.mktemp("cache")
    phases = []
    result = tune(
        tiny.pipe,
        4,
        conditions=conditions(tiny),
        call=tiny.call,
        cache=cache,
        progress=lambda phase, done, total: phases.append(phase),
    )
    return tiny, result, cache, phases


def test_the_result_is_on_unseen_prompts_and_noises(tuned):
    """A quarter of the prompts is for the test alone; the ratio on the searched ones stands beside, and costs show."""
    _, result, _, phases = tuned
    assert result.result.problem.effort == "quick"
    assert result.result.cost.search_calls <= 3000
    assert result.searched_ratio > 0
    assert result.searched_interval.low <= result.searched_ratio <= result.searched_interval.high
    assert {"teacher", "confirm"} <= set(phases)


def test_prompts_are_split_as_noises_are(tuned):
    """Test noises run under the last conditions, all others under the first."""
    _, result, _, _ = tuned
    evaluator = Evaluator(result.denoiser, result.denoiser.shape, unseen=2)
    under = {role: evaluator.under(NoiseSet(0, role, 9)).indices for role in (SEARCH, TEST, SEARCHED)}
    assert set(under[TEST]) == {6, 7}
    assert set(under[SEARCH]) == set(under[SEARCHED]) == set(range(6))


def test_what_runs_today_is_the_first_baseline(tuned):
    """The pipeline's own scheduler with as many steps is the first trial."""
    _, result, _, _ = tuned
    first = Journal(result.folder).log().trials[0]
    assert str(first.origin) == "baseline own FlowMatchEulerDiscreteScheduler"
    assert first.schedule == result.own
    assert first.score is not None


def test_the_schedule_can_be_installed(tuned):
    """The pipeline runs what was found, in as many calls."""
    tiny, result, _, _ = tuned
    calls = []
    install(tiny.pipe, result.schedule)
    hook = tiny.pipe.transformer.register_forward_hook(lambda *_: calls.append(1))
    try:
        latents = tiny.pipe(**{**tiny.call, **tiny.conditions[0]})[0]
    finally:
        hook.remove()
        fewstep.diffusers.uninstall(tiny.pipe)
    assert len(calls) == 4
    assert torch.isfinite(latents).all()


def test_the_same_call_returns_what_is_there(tuned, monkeypatch):
    """A finished search is not run again, nor what is measured beside it."""
    tiny, result, cache, _ = tuned
    for name in ("run", "_searched"):
        monkeypatch.setattr(pipeline, name, None)
    again = tune(tiny.pipe, 4, conditions=conditions(tiny), call=tiny.call, cache=cache)
    assert again.result == result.result
    assert again.folder == result.folder
    assert again.on_searched == result.on_searched


def test_a_search_goes_on_after_it_was_cut_off(tuned, tmp_path):
    """With some of its trials recorded, the last of them cut off amid a line, it ends with the same result."""
    tiny, result, _, _ = tuned
    begun = tmp_path / "tune" / result.folder.name
    begun.mkdir(parents=True)
    lines = (result.folder / "trials.jsonl").read_text().splitlines(keepends=True)
    (begun / "trials.jsonl").write_text("".join(lines[:5]) + lines[5][:40])
    resumed = tune(tiny.pipe, 4, conditions=conditions(tiny), call=tiny.call, cache=tmp_path)
    assert resumed.schedule == result.schedule
    assert resumed.result.winner == result.result.winner
    assert [trial.digest for trial in Journal(begun).log().trials] == [
        trial.digest for trial in Journal(result.folder).log().trials
    ]


@pytest.mark.parametrize("missing", [1, 40])
def test_a_trial_goes_on_a_line_of_its_own_after_a_cut(tuned, tmp_path, missing):
    """A line that lacks its end, be it the newline alone, is dropped before the next trial is added."""
    _, result, _, _ = tuned
    lines = (result.folder / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_text("".join(lines[:3])[:-missing])
    journal, whole = Journal(tmp_path), Journal(result.folder).log().trials
    assert journal.log().trials == whole[:2]
    journal.add(whole[2])
    assert journal.log().trials == whole[:3]


def test_another_weight_adapter_or_argument_is_another_search(tuned, tmp_path):
    """Journals are kept apart by what a search depends on."""
    from fewstep.diffusers.capture.networks import fingerprint

    tiny, _, _, _ = tuned
    before = fingerprint(tiny.pipe)
    weight = next(iter(tiny.pipe.transformer.parameters()))
    with torch.no_grad():
        weight.view(-1)[0] += 1.0
    try:
        assert fingerprint(tiny.pipe) != before
    finally:
        with torch.no_grad():
            weight.view(-1)[0] -= 1.0


def test_few_prompts_are_all_searched(tmp_path):
    """With fewer than four conditions none is kept, and the result says so."""
    tiny = PIPELINES["FluxPipeline"]()
    result = tune(tiny.pipe, 3, conditions=tiny.conditions, call=tiny.call, cache=tmp_path, budget=4, noises=8)
    assert result.searched_ratio is None
    assert any("fewer than 4 conditions" in note for note in result.notes)


def test_a_scheduler_that_adds_noise_is_no_baseline(tmp_path):
    """An ancestral scheduler's samples are other pictures than the teacher's: the result says that it is left out."""
    tiny = PIPELINES["StableDiffusionPipeline"]()
    tiny.pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(tiny.pipe.scheduler.config)
    result = tune(tiny.pipe, 3, conditions=tiny.conditions, call=tiny.call, cache=tmp_path, budget=3, noises=8)
    assert result.own is None
    assert any("adds fresh noise" in note for note in result.notes)


def test_there_are_64_prompts_of_our_own():
    """Those who bring none have 64 different ones."""
    assert len(set(default_prompts())) == 64


def test_options_are_checked_before_anything_runs(tmp_path):
    """A number of calls out of range is refused, and nothing is written."""
    tiny = PIPELINES["FluxPipeline"]()
    with pytest.raises(InvalidInput, match="nfe"):
        tune(tiny.pipe, 0, conditions=tiny.conditions, call=tiny.call, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_page_shows_before_and_after(tuned, tmp_path):
    """The same seeds, from the pipeline as it is, its scheduler with as few calls, and what was found."""
    _, result, _, _ = tuned
    comparison = result.compare(noises=2)
    assert [each.name for each in comparison.schedules] == ["as it is", "own, 4 calls", "found"]
    page = tmp_path / "page.html"
    comparison.write_html(page)
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 2 * 4 + 2 * 3
    assert "as it is" in text
    assert "<script" not in text
    assert "http" not in text


def saved(name: str, folder: Path) -> Path:
    """A tiny pipeline as a user has it on disk, and prompts beside it."""
    PIPELINES[name]().pipe.save_pretrained(folder)
    (folder / "prompts.txt").write_text("\n".join(WORDS) + "\n")
    return folder


BOUNDED = ("StableDiffusionXLPipeline", "WanPipeline")  # searched for fewer passes than calls with guidance take


def arguments(name: str, folder: Path, out: Path) -> list[str]:
    """The command that tunes a saved pipeline as the table calls it."""
    bound = ["--max-passes", "6"] if name in BOUNDED else []
    options = {**PIPELINES[name]().call, "output_type": None}
    call = [part for key, value in options.items() if value is not None for part in ("--call", f"{key}={value}")]
    return ["tune", str(folder), "--nfe", "4", "--prompts", str(folder / "prompts.txt"), "-o", str(out), *call, *bound]


@pytest.mark.parametrize("name", ["StableDiffusion3Pipeline", *(pytest.param(n, marks=pytest.mark.full) for n in FULL)])
def test_the_command_is_killed_and_goes_on(name: str, tmp_path: Path):
    """`fewstep tune`, killed with -9 amid its trials and started again, keeps them and writes the schedule."""
    folder, out = saved(name, tmp_path / "pipe"), tmp_path / "schedule.json"
    environment = {**os.environ, "FEWSTEP_CACHE": str(tmp_path / "cache"), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", "from fewstep.cli.app import app; app()", *arguments(name, folder, out)]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    trials, deadline = tmp_path / "cache" / "tune", time.monotonic() + 300
    while time.monotonic() < deadline and first.poll() is None:
        if any("\n" in path.read_text() for path in trials.glob("*/trials.jsonl")):  # a whole trial stands
            break
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (journal,) = trials.glob("*")
    kept = (journal / "trials.jsonl").read_text().splitlines()
    assert kept
    assert not out.exists()
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert second.returncode == 0, second.stderr
    found = Schedule.from_json(out.read_text())
    assert found.nfe == 4
    assert (found.guidance is not None) == (name in BOUNDED)
    assert (journal / "trials.jsonl").read_text().splitlines()[: len(kept) - 1] == kept[:-1]
    assert "on the prompts of the search" in second.stderr


def test_commands_compare_and_list(tuned, tmp_path, monkeypatch):
    """`fewstep compare` takes files and what runs today; `fewstep cache` lists and drops."""
    _, result, _, _ = tuned
    folder = saved("StableDiffusion3Pipeline", tmp_path / "pipe")
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "found.json").write_text(result.schedule.to_json())
    numbers, page = tmp_path / "numbers.json", tmp_path / "page.html"
    call = ["--call", "height=16", "--call", "width=16", "--call", "max_sequence_length=16", "--noises", "4"]
    command = ["compare", str(folder), str(tmp_path / "found.json"), f"now:{folder}@6", "now@4", *call]
    run = CliRunner().invoke(app, [*command, "--json", str(numbers), "--html", str(page)])
    assert run.exit_code == 0, run.output
    rows = json.loads(numbers.read_text())["schedules"]
    assert [row["calls"] for row in rows] == [4, 6, 4]
    assert rows[0]["ratio"] == 1.0
    assert page.exists()
    journal = Journal(tmp_path / "cache" / "tune" / "abc")
    journal.begin({"pipeline": "FluxPipeline", "nfe": 4, "effort": "quick"})
    listed = CliRunner().invoke(app, ["cache", "list"])
    assert "FluxPipeline, 4 calls, quick" in listed.output
    assert CliRunner().invoke(app, ["cache", "prune", "--days", "0"]).exit_code == 0
    assert not journal.folder.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tune", "nowhere"], "no folder with a model_index.json"),
        (["compare", "digits-mixture", "now@5"], "reads now:PIPELINE@20"),
        (["tune", "{folder}", "--dtype", "int8"], "dtype is one of"),
        (["tune", "{folder}", "--prompts", "{folder}/none.txt"], "cannot read prompts"),
        (["tune", "{folder}", "--call", "height"], "takes name=value"),
    ],
)
def test_commands_say_what_is_wrong(arguments: list[str], words: str, tmp_path: Path):
    """Errors are one line."""
    folder = tmp_path / "pipe"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    run = CliRunner().invoke(app, [part.format(folder=folder) for part in arguments])
    assert run.exit_code == 1
    assert words in run.output
