"""Model folders as diffusers saves them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Fresh networks are the same in every run."""
    torch.manual_seed(0)


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """``save(network, scheduler, **conditions)``: a model folder as pipelines save it."""

    def write(network, scheduler, name: str = "model", **conditions: torch.Tensor) -> Path:  # type: ignore[no-untyped-def]
        folder = tmp_path / name
        network.save_pretrained(folder / ("transformer" if "Transformer" in type(network).__name__ else "unet"))
        scheduler.save_pretrained(folder / "scheduler")
        if conditions:
            save_file(conditions, folder / "conditions.safetensors")
        return folder

    return write
