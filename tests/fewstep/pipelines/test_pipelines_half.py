"""The scheduler in half precision: what is rounded is what the network sees and says, never the state kept inside."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from diffusers import StableDiffusionPipeline

from fewstep import models, sample, solvers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.processes import Discrete

STABLE = Discrete(tuple((1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2).cumprod(0).tolist()))


def noise(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(stable: dict[str, object], guided: Callable, dtype: torch.dtype) -> None:
    """A pipeline in half precision is nearer to the exact end than the same loop with its states rounded.

    Both see the same rounded network; only what is kept between calls differs. 20 calls, so that there is something to
    lose. The network is in half precision for these calls and in float64 for the truth.
    """
    schedule = solvers.named("dpmpp-2m").schedule(STABLE, 20)
    start = noise(4, 4, 8, 8, dtype=dtype)

    def half(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return guided(x.to(dtype).double(), t.double()).to(dtype)

    scheduler = FewstepScheduler.from_schedule(schedule)
    x = start
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(half(x, t.expand(4)), t, x).prev_sample
    assert x.dtype == dtype
    want = sample(models.from_callable(lambda x, t: half(x, t).to(x.dtype), STABLE), schedule, start.float())
    # the same up to float32 rounding that tips a rounding to half precision in the network, and the last rounding
    assert (x.float() - want).square().mean().sqrt() < 8 * torch.finfo(dtype).eps * want.square().mean().sqrt()


def test_a_pipeline_in_bfloat16_runs(stable: dict[str, object]) -> None:
    """The real pipeline with all of its parts in bfloat16; states stay bfloat16 between the parts."""
    parts = {  # copies: the weights are shared by other tests, and rounding is for good
        name: deepcopy(part).to(torch.bfloat16) if isinstance(part, torch.nn.Module) else part
        for name, part in stable.items()
    }
    schedule = solvers.named("dpmpp-2m").schedule(STABLE, 4)
    pipeline = StableDiffusionPipeline(**parts, scheduler=FewstepScheduler.from_schedule(schedule))
    pipeline.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": 4, "height": 16, "width": 16, "output_type": "latent"}
    latents = pipeline("fox", **settings, generator=torch.Generator().manual_seed(3)).images
    assert latents.dtype == torch.bfloat16
    assert latents.isfinite().all()
