"""A pipeline's own scheduler read into a schedule and put back as `FewstepScheduler`: the image stays the same.

diffusers' schedulers round coefficients and states to float32 even in a float64 pipeline: 1e-4 of latents of size one.
"""

from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)

from fewstep.diffusers.importer import from_diffusers
from fewstep.diffusers.scheduler import FewstepScheduler

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # diffusers'

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False}),
        (PNDMScheduler, {"skip_prk_steps": True}),
        (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
        (UniPCMultistepScheduler, {}),
        (EulerDiscreteScheduler, {"timestep_spacing": "leading"}),
        (HeunDiscreteScheduler, {"timestep_spacing": "leading"}),
    ],
)
def test_the_image_stays_the_same(stable: dict[str, object], kind: type, settings: dict[str, Any]) -> None:
    """From what a pipeline runs now to the same thing as a schedule, calls counted."""
    scheduler = kind(**settings, **SD)
    pipeline = StableDiffusionPipeline(**stable, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)

    def latents(steps: int) -> torch.Tensor:
        given = {"guidance_scale": 5.0, "height": 16, "width": 16, "output_type": "latent"}
        generator = torch.Generator().manual_seed(3)
        return pipeline("fox", **given, num_inference_steps=steps, generator=generator).images

    before = latents(6)
    schedule = from_diffusers(scheduler, 6)
    pipeline.scheduler = FewstepScheduler.from_schedule(schedule)
    torch.testing.assert_close(latents(schedule.nfe), before, rtol=1e-4, atol=1e-4)
