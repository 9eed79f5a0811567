"""What a network's output must become, from the definitions; files of model folders rewritten."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DDIMScheduler

from fewstep.models import Denoiser
from fewstep.models.base import per_sample
from fewstep.processes import Process

__all__ = ["LATENT", "Save", "agree", "data", "manifest", "rewrite"]

Save = Callable[..., Path]
LATENT = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def manifest(path: Path, text: str) -> Path:
    (path / "fewstep.json").write_text(text)
    return path


def rewrite(path: Path, change: Callable[[dict], dict]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def data(denoiser: Denoiser, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor, kind: str) -> torch.Tensor:
    """x_0 from a network's output, from the definitions x = α x_0 + σ ε and v = α ε − σ x_0, F = ε − x_0."""
    law: Process = denoiser.process
    alpha, sigma = per_sample(law.alpha(t.double()), x), per_sample(law.sigma(t.double()), x)
    x, output = x.double(), output.double()
    found = {
        "epsilon": lambda: (x - sigma * output) / alpha,
        "sample": lambda: output,
        "v_prediction": lambda: alpha * x - sigma * output,
        "flow": lambda: (x - sigma * output) / (alpha + sigma),
    }[kind]()
    return found.float()


def agree(got: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal to float32, relative to the largest value of each sample."""
    size = wanted.flatten(1).abs().amax(1).clamp_min(1)
    torch.testing.assert_close(got / per_sample(size, got), wanted / per_sample(size, got), rtol=1e-5, atol=2e-6)
