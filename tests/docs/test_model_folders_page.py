"""docs/model-folders.md, run as it stands, with a network of the zoo in place of the reader's."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from fewstep import models, processes
from fewstep.models import zoo
from tests.docs.pages import DOCS, run


class Halved(torch.nn.Module):
    """A network that depends on the state and the time."""

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """A smaller state, the later the smaller."""
        return x / (2 + t[:, None, None, None])


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved folder opens; the exported program, with a manifest beside it, is a model for any batch."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(zoo.describe("digits-unet").path, tmp_path / "saved" / "my-model")
    (tmp_path / "my-model").mkdir()
    names = run(DOCS / "model-folders.md", {"network": Halved()})
    assert names["denoiser"](torch.ones(2, 1, 8, 8), torch.full((2,), 500.0)).isfinite().all()
    own = {"shape": [3, 32, 32], "process": processes.to_dict(processes.Flow()), "prediction": "data"}
    (tmp_path / "my-model" / "fewstep.json").write_text(json.dumps(own))
    x, t = torch.randn(5, 3, 32, 32), torch.rand(5)
    torch.testing.assert_close(models.folder.open(tmp_path / "my-model")(x, t), Halved()(x, t))
