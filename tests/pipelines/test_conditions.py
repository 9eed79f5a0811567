"""`fewstep conditions` makes a model of a saved pipeline, whose calls are those of the pipeline itself."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fewstep.cli.app import app
from fewstep.diffusers import from_pipeline
from fewstep.diffusers.capture.conditions import network_conditions
from fewstep.errors import InvalidModel
from fewstep.models import folder
from tests.pipelines.table import PIPELINES, WARNINGS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]

PROMPTS = ("a fox", "two red boats at sea", "snow")


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"])
def test_a_folder_with_conditions_is_the_pipeline(name: str, tmp_path: Path):
    """The folder's denoiser, opened by its manifest, predicts what the captured pipeline predicts, with guidance."""
    tiny = PIPELINES[name]()
    tiny.pipe.save_pretrained(tmp_path)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    call = {key: value for key, value in tiny.call.items() if key not in ("output_type", "guidance_scale")}
    options = [part for key, value in call.items() for part in ("--call", f"{key}={value}")]
    command = ["conditions", str(tmp_path), str(tmp_path / "prompts.txt"), "--guidance", "5", *options]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    opened = folder.open(tmp_path)
    captured = from_pipeline(tiny.pipe, PROMPTS, check=False, guidance_scale=5.0, **call)
    assert (opened.conditions, opened.passes) == (captured.conditions, captured.passes) == (3, 2)
    x = torch.randn((3, *captured.shape), generator=torch.Generator().manual_seed(0))
    t = torch.full((3,), 0.6 * captured.process.t_max)
    wanted = captured.bound([0, 1, 2])(x, t)
    assert torch.allclose(
        opened.bound([0, 1, 2])(x, t), wanted, rtol=1e-4, atol=1e-4 * float(wanted.detach().abs().max())
    )


def test_a_network_called_twice_is_refused():
    """Folders run prompt and negative prompt together; a pipeline that does not is refused with the remedy."""
    tiny = PIPELINES["WanPipeline"]()
    with pytest.raises(InvalidModel, match="fewstep tune"), torch.no_grad():
        network_conditions(tiny.pipe, PROMPTS, **tiny.call)
