"""Batches in pipelines: a generator for each image, fresh noise, and what pipelines ask of a scheduler."""

from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, StableDiffusionPipeline

from fewstep import models, sample, solvers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.errors import InvalidInput
from fewstep.processes import Discrete

STABLE = Discrete(tuple((1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2).cumprod(0).tolist()))
SETTINGS = {"guidance_scale": 5.0, "num_inference_steps": 4, "height": 16, "width": 16, "output_type": "latent"}


def seeds(*which: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in which]


def latents(stable: dict[str, object], name: str, generator: object, count: int, **more: object) -> torch.Tensor:
    """What the pipeline makes of "fox" with that solver."""
    schedule = solvers.named(name).schedule(STABLE, 4)
    pipeline = StableDiffusionPipeline(**stable, scheduler=FewstepScheduler.from_schedule(schedule))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline("fox", **SETTINGS, num_images_per_prompt=count, generator=generator, **more).images


@pytest.mark.parametrize("name", ["dpmpp-2m", "sde-dpmpp-2m"])
def test_a_generator_for_each_image(stable: dict[str, object], guided: Callable, name: str) -> None:
    """Start noise and fresh noise of an image come from its own generator: alone, in a batch, in `sample`."""
    together = latents(stable, name, seeds(3, 4), 2)
    alone = latents(stable, name, seeds(4), 1)
    torch.testing.assert_close(together[1:], alone, rtol=1e-9, atol=1e-9)
    each = seeds(3, 4)
    start = torch.cat([torch.randn(1, 4, 8, 8, generator=one, dtype=torch.float64) for one in each])
    schedule = solvers.named(name).schedule(STABLE, 4)
    want = sample(models.from_callable(guided, STABLE), schedule, start, each)
    torch.testing.assert_close(together, want, rtol=1e-9, atol=1e-9)


def test_eta_is_no_part_of_a_schedule(stable: dict[str, object]) -> None:
    """Pipelines hand over the eta of their signature, 0; another one, which a schedule does not have, is refused."""
    assert latents(stable, "dpmpp-2m", seeds(3), 1, eta=0.0).shape == (1, 4, 8, 8)
    with pytest.raises(InvalidInput, match=r"its own noise and no clipping, got eta=0\.7"):
        latents(stable, "dpmpp-2m", seeds(3), 1, eta=0.7)


def test_times_of_ones_own_are_refused(stable: dict[str, object]) -> None:
    """A schedule has its own times: others are refused, its own are not."""
    schedule = solvers.named("ddim").schedule(STABLE, 4)
    scheduler = FewstepScheduler.from_schedule(schedule)
    pipeline = StableDiffusionPipeline(**stable, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    settings = SETTINGS | {"num_inference_steps": 50}
    for times, message in (([999, 500], "makes 4 network calls"), ([999, 800, 500, 100], "leave timesteps out")):
        with pytest.raises(InvalidInput, match=message):
            pipeline("fox", **settings, timesteps=times)
    pipeline("fox", **settings, timesteps=scheduler.timesteps.tolist())


def test_what_pipelines_look_for() -> None:
    """The attributes and config keys that diffusers' pipelines read have the values that leave a run as it is."""
    scheduler = FewstepScheduler.from_schedule(solvers.named("ddim").schedule(STABLE, 4))
    assert len(scheduler) == scheduler.config.num_train_timesteps == 1000
    assert (scheduler.order, scheduler.init_noise_sigma) == (1, 1.0)
    assert getattr(scheduler.config, "steps_offset", 1) == 1  # else Stable Diffusion rewrites the config
    assert not getattr(scheduler.config, "clip_sample", False)
    assert not scheduler.config.get("use_dynamic_shifting")  # no shift by image size
    assert scheduler.config.variance_type == "fixed_small"  # DeepFloyd IF
    assert (scheduler.config.base_image_seq_len, scheduler.config.max_shift) == (256, 1.15)  # Bria
    assert {FewstepScheduler, DDIMScheduler, FlowMatchEulerDiscreteScheduler} <= set(scheduler.compatibles)
    assert len(repr(scheduler)) < 100
