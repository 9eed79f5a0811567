"""docs/using.md, run as it stands: tiny pipelines, files and networks lie ready where the page takes them as given."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline
from diffusers.utils import logging

from fewstep import Schedule, export, models, sample, solvers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.processes import Discrete, Flow, Process, VPLinear
from tests.docs.pages import DOCS, ROOT, blocks, run
from tests.fewstep import tiny

PAGE = DOCS / "using.md"

pytestmark = pytest.mark.filterwarnings(  # diffusers' own, about itself
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names that the page leaves behind, with the folder that it ran in."""
    folder = tmp_path_factory.mktemp("using")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = PNDMScheduler(skip_prk_steps=True, steps_offset=1, **betas)
    parts = {
        name: part.float() if isinstance(part, torch.nn.Module) else part
        for name, part in tiny.stable_diffusion(tiny.autoencoder()).items()
    }
    StableDiffusionPipeline(**parts, scheduler=scheduler).save_pretrained(folder / "my-checkpoint")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "my-flow-scheduler")
    made = solvers.named("dpmpp-2m").schedule(Discrete.linear_betas(), 6)
    (folder / "schedule.json").write_text(made.to_json())
    flow = solvers.named("flow-euler").schedule(Flow(shift=3.0), 6)
    (folder / "flow.json").write_text(flow.to_json())
    unet = tiny.unconditional().float()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield run(PAGE, {"network": lambda x, t: unet(x, t).sample, "folder": folder})


def test_the_page_runs(after: dict[str, Any]) -> None:
    """Images, files and schedules are there and are what the text says."""
    assert after["images"].shape == (4, 1, 8, 8)
    assert torch.isfinite(after["images"]).all()
    assert after["image"].size == (16, 16)
    assert isinstance(after["pipe"].scheduler, FewstepScheduler)
    assert after["pipe"].scheduler.schedule == after["schedule"]
    assert export.samplers(after["flow"]) == ["euler"]
    assert torch.isfinite(after["x"] if isinstance(after["x"], torch.Tensor) else torch.tensor(after["x"])).all()


def test_the_files_that_the_commands_write(after: dict[str, Any]) -> None:
    """The command reads the pipeline's own scheduler; exports hold what the library exports."""
    folder: Path = after["folder"]
    assert Schedule.from_json((folder / "now.json").read_text()).nfe == 7  # PNDM calls twice for its first step
    assert FewstepScheduler.from_pretrained(folder).schedule == after["flow"]
    assert json.loads((folder / "numbers.json").read_text()) == export.portable(after["flow"])


@pytest.mark.parametrize("law", [VPLinear(), Discrete.linear_betas()], ids=lambda law: law.kind)
@pytest.mark.parametrize("name", ["ddim", "unipc-3-bh2", "dpm-3s", "heun", "sa-solver-3"])
def test_the_ten_lines_are_the_sampler(after: dict[str, Any], law: Process, name: str) -> None:
    """Run in NumPy and in torch, after a trip through JSON, they end where `sample` ends."""

    def predict(y: Any, t: Any) -> Any:
        return 0.5 * (np.sin(y) if isinstance(y, np.ndarray) else torch.sin(y))

    schedule = solvers.named(name).schedule(law, 6)
    table = json.loads(json.dumps(export.portable(schedule)))
    draw = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 3, generator=draw, dtype=torch.float64)
    fresh = torch.randn(len(table["noise"][0]), 2, 3, generator=draw, dtype=torch.float64)
    want = sample(models.from_callable(predict, law), schedule, noise, fresh=fresh)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(after["consume"](table, predict, noise, fresh), want, **close)
    np.testing.assert_allclose(after["consume"](table, predict, noise.numpy(), fresh.numpy()), want.numpy(), **close)


def test_the_consumer_is_ten_lines_and_imports_nothing() -> None:
    """As short as the page promises, its documentation left out."""
    code = next(code for _, code, _ in blocks(PAGE) if "def consume" in code)
    lines = [line for line in code.splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 10
    assert "import" not in code


def test_the_flow_line_is_right(after: dict[str, Any]) -> None:
    """The line for a flow network, put in place of the one for noise, samples from pure noise."""
    line = re.search(r"has `(data\.append\(.*?\))`, and", PAGE.read_text())[1]
    code = next(code for _, code, _ in blocks(PAGE) if "def consume" in code)
    names: dict[str, Any] = {}
    exec(re.sub(r"data\.append\(.*\)", line, code), names)
    law, noise = Flow(shift=3.0), torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    schedule = solvers.named("dpmpp-2m").schedule(law, 6)
    want = sample(models.from_callable(lambda x, t: torch.sin(x), law, "flow"), schedule, noise)
    got = names["consume"](export.portable(schedule), lambda y, t: torch.sin(y), noise)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_every_page_with_code_runs() -> None:
    """Whatever page holds Python is named by a test, which runs it."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    pages = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    coded = [page.relative_to(DOCS) for page in pages[1:] if any(kind == "python" for kind, _, _ in blocks(page))]
    assert coded
    assert [str(page) for page in coded if f'"{page}"' not in tests] == []
