"""The README: its code runs, its commands exist."""

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fewstep import models, processes, solvers
from fewstep.cli.app import app
from fewstep.diffusers import FewstepScheduler
from tests.pipelines.table import PIPELINES, WARNINGS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]

BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_a_fetched_schedule_samples_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example under "Use a schedule" runs on a schedule file and gives images."""
    monkeypatch.chdir(tmp_path)
    process = models.zoo.describe("digits-mixture").process
    Path("schedule.json").write_text(solvers.named("dpmpp-2m").schedule(process, 4).to_json())
    names: dict[str, object] = {}
    code = next(block for block in BLOCKS if "from_json" in block)
    exec(code, {}, names)
    assert isinstance(names["images"], torch.Tensor)
    assert names["images"].shape == (16, 1, 8, 8)


def test_a_model_of_ones_own_is_searched_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The example under "Search for your own model" runs, on smaller samples and at less effort."""
    process = processes.VPLinear()

    def my_network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:  # the noise of N(0, I/4) data
        alpha, sigma = (f(t).reshape(-1, 1, 1, 1) for f in (process.alpha, process.sigma))
        return sigma * x / (0.25 * alpha**2 + sigma**2)

    code = next(block for block in BLOCKS if "find(" in block)
    smaller = code.replace('nfe=8, shape=(3, 32, 32), effort="standard"', 'nfe=3, shape=(1, 2, 2), effort="quick"')
    assert smaller != code
    exec(smaller, {"my_network": my_network})
    ratio, baseline = capsys.readouterr().out.split(maxsplit=1)
    assert float(ratio) < 1
    assert baseline.split()[0] in solvers.names()


def test_a_pipeline_is_tuned_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example for pipelines runs on a Stable Diffusion of tiny networks, at less effort, and gives a picture."""
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path))
    pipe = PIPELINES["StableDiffusionPipeline"]().pipe
    code = next(block for block in BLOCKS if "tune(" in block)
    smaller = code.replace("nfe=8,", "nfe=3, budget=3, noises=8,")
    assert smaller != code
    names: dict[str, object] = {"pipe": pipe}
    exec(smaller, names)
    assert isinstance(pipe.scheduler, FewstepScheduler)
    assert getattr(names["image"], "size", None) is not None


def test_every_block_is_run() -> None:
    """Each python block is one of those that the tests above run."""
    assert [sum(word in block for word in ("from_json", "tune(", "find(")) for block in BLOCKS] == [1, 1, 1]


def test_every_command_shown_exists() -> None:
    """Each ``fewstep …`` and ``make …`` in the README is a command of the program or a target of the Makefile."""
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", shell, re.MULTILINE)) <= set(targets)
    help_text = CliRunner().invoke(app, ["--help"]).output
    commands = re.findall(r"^fewstep (\w+)", shell, re.MULTILINE)
    assert commands
    assert all(command in help_text for command in commands)


def test_the_table_is_whole() -> None:
    """Baseline and found schedule for each number of calls, with a ratio that is found / baseline; the README quotes
    the first typical errors."""

    def number(cell: str) -> float:
        return float(cell.split()[0])

    evidence = (ROOT / "docs" / "evidence.md").read_text()
    table = evidence.split("<!-- table: make demo -->")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    assert [(row[0], row[1] == "found") for row in rows] == [
        (n, found) for n in ("5", "8", "10") for found in (False, True)
    ]
    for baseline, found in zip(rows[::2], rows[1::2], strict=True):
        assert number(found[2]) / number(baseline[2]) == pytest.approx(float(found[6]), abs=0.01)
    typical = number(rows[1][3]) / number(rows[0][3])
    assert f"of {rows[0][0]} calls has {typical:.2f} of the typical error of the best baseline" in README


def test_it_is_short() -> None:
    """Fewer than 150 lines: tables of evidence have a page of their own."""
    assert len(README.splitlines()) < 150
