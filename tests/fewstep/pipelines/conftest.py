"""Tiny networks in diffusers' pipelines (`tests.fewstep.tiny`), made once."""

from collections.abc import Callable

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DModel

from tests.fewstep import tiny


@pytest.fixture(scope="package")
def unet() -> UNet2DModel:
    return tiny.unconditional()


@pytest.fixture(scope="package")
def vae() -> AutoencoderKL:
    return tiny.autoencoder()


@pytest.fixture(scope="package")
def stable(vae: AutoencoderKL) -> dict[str, object]:
    return tiny.stable_diffusion(vae)


@pytest.fixture(scope="package")
def guided(stable: dict[str, object]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The network as the pipeline uses it for the prompt "fox" with guidance scale 5."""
    pipeline = StableDiffusionPipeline(**stable, scheduler=None)
    with torch.no_grad():
        prompt, nothing = pipeline.encode_prompt("fox", "cpu", 1, True)

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        without, with_prompt = (
            stable["unet"](x, t, encoder_hidden_states=text.expand(len(x), -1, -1)).sample for text in (nothing, prompt)
        )
        return without + 5.0 * (with_prompt - without)

    return network
