"""The scheduler in diffusers' own pipelines, with tiny networks: the image that `sample` makes of the same noise.

Networks have random weights and run in float64, and so do the states: pipeline and `sample` do the same sums in another
order, and agree to 1e-9 (a network amplifies rounding by less than 1e5 over a handful of calls).
"""

from collections.abc import Callable

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDPMPipeline,
    DiffusionPipeline,
    DiTPipeline,
    DiTTransformer2DModel,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DModel,
)

from fewstep import Schedule, Step, models, sample, solvers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.errors import InvalidInput
from fewstep.processes import Discrete

EXACT = {"rtol": 1e-9, "atol": 1e-9}
DDPM = Discrete.linear_betas()
STABLE = Discrete(tuple((1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2).cumprod(0).tolist()))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def noise(*shape: int) -> torch.Tensor:
    """What a pipeline draws for that shape from `seeded`."""
    return torch.randn(*shape, generator=seeded(), dtype=torch.float64)


def quiet(pipeline: DiffusionPipeline) -> DiffusionPipeline:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("name", ["ddim", "dpm-2m", "dpmpp-3m"])
def test_ddpm_pipeline(unet: UNet2DModel, name: str) -> None:
    """The unconditional pipeline in pixel space."""
    schedule = solvers.named(name).schedule(DDPM, 6, "quadratic")
    pipeline = quiet(DDPMPipeline(unet, FewstepScheduler.from_schedule(schedule)))
    got = pipeline(batch_size=3, generator=seeded(), num_inference_steps=6, output_type="pt").images
    denoiser = models.from_callable(lambda x, t: unet(x, t).sample, DDPM)
    want = sample(denoiser, schedule, noise(3, 1, 8, 8))
    torch.testing.assert_close(got, (want / 2 + 0.5).clamp(0, 1), **EXACT)


def test_the_usual_number_of_steps_is_refused(unet: UNet2DModel) -> None:
    """A pipeline called without the schedule's number of calls says which one it wants."""
    pipeline = quiet(DDPMPipeline(unet, FewstepScheduler.from_schedule(solvers.named("ddim").schedule(DDPM, 6))))
    with pytest.raises(InvalidInput, match="num_inference_steps=6, not 1000"):
        pipeline()


def test_stable_diffusion_pipeline(stable: dict[str, object], guided: Callable, vae: AutoencoderKL) -> None:
    """Text, guidance, latents, decoder: the same image as `sample` with the guided network."""
    schedule = solvers.named("dpmpp-2m").schedule(STABLE, 5)
    pipeline = quiet(StableDiffusionPipeline(**stable, scheduler=FewstepScheduler.from_schedule(schedule)))
    settings = {"guidance_scale": 5.0, "num_inference_steps": 5, "num_images_per_prompt": 2, "height": 16, "width": 16}
    got = pipeline("fox", **settings, generator=seeded(), output_type="pt").images
    latents = sample(models.from_callable(guided, STABLE), schedule, noise(2, 4, 8, 8))
    with torch.no_grad():
        want = vae.decode(latents / vae.config.scaling_factor).sample
    torch.testing.assert_close(got, (want / 2 + 0.5).clamp(0, 1), **EXACT)


def test_a_callback_may_change_the_latents(stable: dict[str, object]) -> None:
    """What callback_on_step_end returns is what the run goes on with: here, back to the same noise after the first."""
    schedule = solvers.named("ddim").schedule(STABLE, 3)
    pipeline = quiet(StableDiffusionPipeline(**stable, scheduler=FewstepScheduler.from_schedule(schedule)))
    fixed, seen = noise(1, 4, 8, 8), []

    def callback(_: object, i: int, t: torch.Tensor, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(given["latents"])
        return {"latents": fixed} if i == 0 else {}

    settings = {"height": 16, "width": 16, "output_type": "latent", "num_inference_steps": 3}
    ends = [pipeline(text, **settings, latents=start, guidance_scale=1.0, callback_on_step_end=callback).images
            for text, start in (("fox", fixed), ("fox", -fixed))]  # fmt: skip
    assert not torch.equal(seen[0], seen[3])
    assert torch.equal(ends[0], ends[1])


def test_image_to_image(stable: dict[str, object], guided: Callable, vae: AutoencoderKL) -> None:
    """strength 0.5 of 6 calls starts at the fourth time, from the image's latents with noise of that level."""
    schedule = solvers.named("dpmpp-2m").schedule(STABLE, 6)
    pipeline = quiet(StableDiffusionImg2ImgPipeline(**stable, scheduler=FewstepScheduler.from_schedule(schedule)))
    clean = noise(1, 4, 8, 8).flip(2)
    settings = {"strength": 0.5, "num_inference_steps": 6, "guidance_scale": 5.0, "output_type": "latent"}
    got = pipeline("fox", image=clean, **settings, generator=seeded()).images
    later = Schedule(STABLE, schedule.times[3:], (Step(), *schedule.steps[4:]))
    alpha, sigma = STABLE.alpha(later.times[0]), STABLE.sigma(later.times[0])
    start = alpha * clean + sigma * noise(1, 4, 8, 8)
    want = sample(models.from_callable(guided, STABLE), later, start)
    # add_noise takes alpha at the float32 time step that the pipeline hands it
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_dit_pipeline(vae: AutoencoderKL, guidance: float) -> None:
    """Class labels, guidance on stacked states, and a learned variance that the pipeline cuts off."""
    torch.manual_seed(4)
    sizes = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "sample_size": 8, "patch_size": 2}
    transformer = DiTTransformer2DModel(**sizes, in_channels=4, out_channels=8, num_embeds_ada_norm=1000)
    transformer.double().eval()
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # some of them start at zero
    schedule = solvers.named("dpmpp-2m").schedule(DDPM, 5, "quadratic")
    pipeline = quiet(DiTPipeline(transformer, vae, FewstepScheduler.from_schedule(schedule)))
    settings = {"guidance_scale": guidance, "num_inference_steps": 5, "generator": seeded(), "output_type": "pt"}
    got = pipeline([7, 3], **settings).images

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        def of(labels: list[int]) -> torch.Tensor:
            return transformer(x, timestep=t, class_labels=torch.tensor(labels)).sample[:, :4]

        return of([7, 3]) if guidance == 1.0 else of([1000, 1000]) + guidance * (of([7, 3]) - of([1000, 1000]))

    with torch.no_grad():
        latents = sample(models.from_callable(network, DDPM), schedule, noise(2, 4, 8, 8))
        want = vae.decode(latents / vae.config.scaling_factor).sample
    torch.testing.assert_close(got, (want / 2 + 0.5).clamp(0, 1), **EXACT)
