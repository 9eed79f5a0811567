"""The scheduler in flow-matching pipelines: Stable Diffusion 3 and Flux, with tiny networks and given embeddings.

Flux hands sigmas and a time shift to its scheduler and tells the network σ; SD 3 tells it 1000·σ. Float64 all through,
so that pipeline and `sample` agree to 1e-9; diffusers' own scheduler rounds states and σ to float32, so 1e-5 there.
"""

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3Pipeline,
)

from fewstep import Schedule, Step, compile, models, sample, solvers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.processes import Flow

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SHIFTED = Flow(shift=3.0)


def noise(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(network: torch.nn.Module) -> torch.nn.Module:
    """Random weights everywhere: some of them start at zero."""
    torch.manual_seed(6)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.double().eval()


@pytest.fixture(scope="module")
def third(vae: AutoencoderKL) -> StableDiffusion3Pipeline:
    """Stable Diffusion 3 without its text encoders."""
    sizes = {"num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 8, "caption_projection_dim": 16}
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        joint_attention_dim=12,
        pooled_projection_dim=6,
        **sizes,
    )
    texts = {f"{part}{n}": None for part in ("text_encoder", "tokenizer") for n in ("", "_2", "_3")}
    vae.register_to_config(shift_factor=0.0)
    pipeline = StableDiffusion3Pipeline(
        transformer=filled(transformer), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae, **texts
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


THIRD = {
    "prompt_embeds": noise(1, 5, 12, seed=8),
    "negative_prompt_embeds": noise(1, 5, 12, seed=9),
    "pooled_prompt_embeds": noise(1, 6, seed=10),
    "negative_pooled_prompt_embeds": noise(1, 6, seed=11),
}


def run(pipeline: DiffusionPipeline, **settings: object) -> torch.Tensor:
    """The pipeline's latents."""
    return pipeline(**settings, generator=torch.Generator().manual_seed(3), output_type="latent").images


def run_third(pipeline: StableDiffusion3Pipeline, nfe: int, guidance: float = 3.0, **more: object) -> torch.Tensor:
    sizes = {} if "image" in more else {"height": 16, "width": 16}
    return run(pipeline, **THIRD, **sizes, **more, num_inference_steps=nfe, guidance_scale=guidance)


def guided(pipeline: StableDiffusion3Pipeline) -> models.Denoiser:
    """The denoiser of its transformer with guidance scale 3."""

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        told = 1000 * SHIFTED.sigma(t)

        def under(prompt: str) -> torch.Tensor:
            texts = {
                "encoder_hidden_states": THIRD[f"{prompt}prompt_embeds"],
                "pooled_projections": THIRD[f"{prompt}pooled_prompt_embeds"],
            }
            return pipeline.transformer(hidden_states=x, timestep=told, **texts, return_dict=False)[0]

        without, with_prompt = under("negative_"), under("")
        return without + 3.0 * (with_prompt - without)

    return models.from_callable(network, SHIFTED, "flow")


@pytest.mark.parametrize("name", ["ddim", "dpmpp-2m", "dpm-2m"])
def test_stable_diffusion_3(third: StableDiffusion3Pipeline, name: str) -> None:
    """From pure noise at t = 1 to clean data at t = 0, told 1000·σ of the shifted times."""
    schedule = solvers.named(name).schedule(SHIFTED, 4, "time")
    third.scheduler = FewstepScheduler.from_schedule(schedule)
    # whole σ·1000 here, so that float32 time steps are exact
    assert third.scheduler.timesteps.tolist() == [1000.0, 900.0, 750.0, 500.0]
    got = run_third(third, 4)
    torch.testing.assert_close(got, sample(guided(third), schedule, noise(1, 4, 8, 8)), **EXACT)


def test_flow_euler_is_what_the_pipeline_ran_before(third: StableDiffusion3Pipeline) -> None:
    """First order on the times of FlowMatchEulerDiscreteScheduler makes its image."""
    third.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    before = run_third(third, 4)
    sigmas = third.scheduler.sigmas.double()
    times = SHIFTED.time(torch.log(1 - sigmas) - torch.log(sigmas)).tolist()
    schedule = Schedule(SHIFTED, tuple(times), (Step(),) * 4)
    third.scheduler = FewstepScheduler.from_schedule(schedule)
    torch.testing.assert_close(run_third(third, 4), before, rtol=1e-5, atol=1e-5)


def test_stable_diffusion_3_image_to_image(third: StableDiffusion3Pipeline) -> None:
    """strength 0.5 of 4 calls starts at the third time; scale_noise makes its state."""
    schedule = solvers.named("dpmpp-2m").schedule(SHIFTED, 4, "time")
    pipeline = StableDiffusion3Img2ImgPipeline(**third.components | {"scheduler": FewstepScheduler(schedule)})
    pipeline.set_progress_bar_config(disable=True)
    clean = noise(1, 4, 8, 8, seed=5)
    got = run_third(pipeline, 4, image=clean, strength=0.5)
    later = Schedule(SHIFTED, schedule.times[2:], (Step(), *schedule.steps[3:]))
    sigma = SHIFTED.sigma(later.times[0])
    want = sample(guided(third), later, (1 - sigma) * clean + sigma * noise(1, 4, 8, 8))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)  # scale_noise goes by float32 time steps


def test_flux(vae: AutoencoderKL) -> None:
    """Packed latents, σ filled in by the pipeline and a shift by image size: the schedule's own times hold."""
    sizes = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2}
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, joint_attention_dim=12, pooled_projection_dim=6, axes_dims_rope=(2, 2, 4), **sizes
    )
    vae.register_to_config(shift_factor=0.0)
    schedule = solvers.named("dpmpp-2m").schedule(SHIFTED, 4, "time")
    texts = {f"{part}{n}": None for part in ("text_encoder", "tokenizer") for n in ("", "_2")}
    pipeline = FluxPipeline(
        transformer=filled(transformer), scheduler=FewstepScheduler.from_schedule(schedule), vae=vae, **texts
    )
    pipeline.set_progress_bar_config(disable=True)
    prompt, pooled = noise(1, 5, 12, seed=8), noise(1, 6, seed=10)
    embeds = {"prompt_embeds": prompt, "pooled_prompt_embeds": pooled}
    got = run(pipeline, **embeds, height=16, width=16, num_inference_steps=4)
    text_ids = torch.zeros(5, 3, dtype=torch.float64)
    image_ids = pipeline._prepare_latent_image_ids(1, 4, 4, "cpu", torch.float64)

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        told = {"timestep": SHIFTED.sigma(t), "guidance": None, "txt_ids": text_ids, "img_ids": image_ids}
        texts = {"encoder_hidden_states": prompt, "pooled_projections": pooled}
        return transformer(hidden_states=x, **told, **texts, return_dict=False)[0]

    start = pipeline._pack_latents(noise(1, 4, 8, 8), 1, 4, 8, 8)
    torch.testing.assert_close(got, sample(models.from_callable(network, SHIFTED, "flow"), schedule, start), **EXACT)


def test_unshifted_flow_networks_are_told_the_time_itself() -> None:
    """Without a shift σ is t."""
    schedule = solvers.named("ddim").schedule(Flow(), 4, "time")
    assert FewstepScheduler.from_schedule(schedule).timesteps.tolist() == [1000.0, 750.0, 500.0, 250.0]
    assert compile(schedule).network_times.tolist() == [1.0, 0.75, 0.5, 0.25]
