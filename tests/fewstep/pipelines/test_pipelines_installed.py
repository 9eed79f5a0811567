"""`install` in diffusers' own pipelines: no number of steps, the samples of `sample`, everything put back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    EDMDPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionLatentUpscalePipeline,
    StableDiffusionPipeline,
    UNet2DModel,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.pipelines.latent_consistency_models.pipeline_latent_consistency_text2img import retrieve_timesteps

from fewstep import models, sample, solvers
from fewstep.diffusers import FewstepScheduler, from_diffusers, install, read_law, uninstall
from fewstep.errors import InvalidInput, UnknownName
from fewstep.models.reading import reading
from fewstep.processes import VE, Discrete, Flow
from fewstep.timeshift import TimeShift
from tests.fewstep import tiny

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers'
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
SETTINGS = {"guidance_scale": 5.0, "height": 16, "width": 16, "output_type": "latent"}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def noise(*shape: int) -> torch.Tensor:
    """What a pipeline draws for that shape from `seeded`."""
    return torch.randn(*shape, generator=seeded(), dtype=torch.float64)


def test_a_pipeline_needs_no_number_of_steps(stable: dict[str, Any], guided: Callable) -> None:
    """Its own default stands for the schedule's number; another one is refused; what was there comes back."""
    old = PNDMScheduler(skip_prk_steps=True, **BETAS)
    pipe = quiet(StableDiffusionPipeline(**stable, scheduler=old))
    before = pipe("fox", **SETTINGS, generator=seeded(), num_inference_steps=3).images
    schedule = solvers.named("dpmpp-2m").schedule(read_law(pipe).process, 4)
    assert install(pipe, schedule) is pipe.scheduler
    got = pipe("fox", **SETTINGS, generator=seeded()).images
    want = sample(models.from_callable(guided, schedule.process), schedule, noise(1, 4, 8, 8))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    assert torch.equal(pipe("fox", **SETTINGS, generator=seeded(), num_inference_steps=4).images, got)
    with pytest.raises(InvalidInput, match="pass num_inference_steps=4, not 7"):
        pipe("fox", **SETTINGS, num_inference_steps=7)
    uninstall(pipe)
    assert pipe.scheduler is old
    assert torch.equal(pipe("fox", **SETTINGS, generator=seeded(), num_inference_steps=3).images, before)


def test_a_share_of_the_steps_wants_their_number(stable: dict[str, Any]) -> None:
    """Strength counts in steps: of the default 50 it would leave out too many calls, or all."""
    pipe = quiet(StableDiffusionImg2ImgPipeline(**stable, scheduler=PNDMScheduler(**BETAS)))
    install(pipe, solvers.named("dpmpp-2m").schedule(read_law(pipe).process, 8))
    image = noise(1, 4, 8, 8)
    settings = {"guidance_scale": 5.0, "output_type": "latent", "image": image, "generator": seeded()}
    for strength in (0.95, 0.3):
        with pytest.raises(InvalidInput, match=r"pipeline's own 50.*pass num_inference_steps=8"):
            pipe("fox", **settings, strength=strength)
    with pytest.raises(InvalidInput, match="calls 0 to 7, got begin index 8"):
        pipe("fox", **settings, strength=0.1, num_inference_steps=8)
    assert pipe("fox", **settings, strength=0.5, num_inference_steps=8).images.shape == (1, 4, 8, 8)
    assert pipe("fox", **settings, strength=1.0).images.shape == (1, 4, 8, 8)


def test_the_networks_facts_come_from_the_pipeline(unet: UNet2DModel) -> None:
    """A v-prediction, zero terminal SNR: nothing of it is said again, and nothing is lost over a saved pipeline."""
    old = DDPMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    pipe = quiet(DDPMPipeline(unet, old))
    spec = read_law(pipe)
    schedule = solvers.named("dpmpp-2m").schedule(spec.process, 4)
    install(pipe, schedule)
    got = pipe(batch_size=2, generator=seeded(), output_type="pt").images
    denoiser = models.from_callable(lambda x, t: unet(x, t).sample, spec.process, "velocity")
    want = sample(denoiser, schedule, noise(2, 1, 8, 8))
    torch.testing.assert_close(got, (want / 2 + 0.5).clamp(0, 1), rtol=1e-6, atol=1e-6)


def test_a_saved_pipeline_is_a_model_to_search(tmp_path: Path) -> None:
    """A folder with our scheduler opens as the model that it was, and loads with its schedule, default steps too."""
    from fewstep.scheduler import FewstepScheduler as First  # the module that saved pipelines name

    net = tiny.unconditional().float()
    pipe = DDPMPipeline(net, DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"))
    pipe.save_pretrained(tmp_path / "before")
    schedule = solvers.named("dpmpp-2m").schedule(read_law(pipe).process, 4)
    install(pipe, schedule)
    pipe.save_pretrained(tmp_path / "after")
    before, after = (models.folder.open(tmp_path / name) for name in ("before", "after"))
    assert after.process == before.process
    assert after.reading == before.reading
    loaded = quiet(DDPMPipeline.from_pretrained(tmp_path / "after"))
    assert isinstance(loaded.scheduler, First)
    assert loaded(generator=seeded(), output_type="pt").images.shape == (1, 1, 8, 8)
    uninstall(loaded)
    assert type(loaded.scheduler) is DDPMScheduler
    by_hand = DDPMPipeline(net, FewstepScheduler.from_schedule(schedule, "v_prediction"))
    by_hand.save_pretrained(tmp_path / "by hand")
    assert models.folder.open(tmp_path / "by hand").process == schedule.process


def test_a_preconditioned_stable_diffusion(stable: dict[str, Any]) -> None:
    """Playground 2.5's way: the pipeline's input is scaled, its network told ln σ/4, its latents end as data."""
    pipe = quiet(StableDiffusionPipeline(**stable, scheduler=EDMDPMSolverMultistepScheduler(sigma_max=80.0)))
    spec = read_law(pipe)
    schedule = solvers.named("dpmpp-2m").schedule(spec.process, 4)
    install(pipe, schedule)
    got = pipe("fox", **{**SETTINGS, "guidance_scale": 1.0}, generator=seeded()).images
    told = reading(spec)
    with torch.no_grad():
        prompt, _ = pipe.encode_prompt("fox", "cpu", 1, False)

    def data(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        inputs, times = told.inputs(x, t)
        return told.data(stable["unet"](inputs, times, encoder_hidden_states=prompt).sample, x, t)

    want = sample(models.from_callable(data, spec.process, "data"), schedule, noise(1, 4, 8, 8))
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_wan_reads_sigmas(vae: AutoencoderKL) -> None:
    """WanPipeline takes scheduler.sigmas[i] at every step: latents equal those of its own UniPC."""
    torch.manual_seed(0)
    video = AutoencoderKLWan(
        base_dim=3,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )
    network = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=32,
        freq_dim=256,
        ffn_dim=32,
        num_layers=1,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    old = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipe = quiet(WanPipeline(tokenizer=None, text_encoder=None, transformer=network, vae=video, scheduler=old))
    embeds = torch.randn(1, 8, 32, generator=torch.Generator().manual_seed(1))

    def run(**steps: int) -> torch.Tensor:
        texts = {"prompt_embeds": embeds, "negative_prompt_embeds": 0 * embeds}
        sizes = {"height": 16, "width": 16, "num_frames": 5, "guidance_scale": 3.0, "output_type": "latent"}
        return pipe(**texts, **sizes, **steps, generator=seeded()).frames

    want = run(num_inference_steps=4)
    install(pipe, from_diffusers(old, 4))
    torch.testing.assert_close(run(), want, rtol=1e-5, atol=1e-5)


def test_arguments_that_pipelines_always_pass(unet: UNet2DModel) -> None:
    """DDIMPipeline hands over eta and a flag, LCM's original_inference_steps; LCM's strength leaves out first calls."""
    pipe = quiet(DDIMPipeline(unet, DDIMScheduler(clip_sample=False)))
    schedule = solvers.named("ddim").schedule(read_law(pipe).process, 4)
    scheduler = install(pipe, schedule)
    assert pipe(generator=seeded(), output_type="pt").images.shape == (1, 1, 8, 8)
    with pytest.raises(InvalidInput, match="no clipping"):
        pipe(generator=seeded(), use_clipped_model_output=True)
    times, _ = retrieve_timesteps(scheduler, 4, "cpu", None, original_inference_steps=50)
    assert len(times) == 4
    x = noise(1, 1, 8, 8)
    _, denoised = scheduler.step(0 * x, times[0], x, return_dict=False)  # LCM takes both
    torch.testing.assert_close(denoised, x / schedule.process.alpha(schedule.times[0]))
    times, _ = retrieve_timesteps(scheduler, 4, "cpu", None, original_inference_steps=50, strength=0.5)
    assert times.tolist() == pytest.approx(list(schedule.times[2:4]))
    for t in times:
        x = scheduler.step(0 * x, t, x).prev_sample
    assert scheduler.step_index == 4
    with pytest.raises(InvalidInput, match=r"strength 0\.1 leaves none of 4 calls"):
        scheduler.set_timesteps(4, strength=0.1)


def test_a_time_shift_is_put_on_the_network_and_taken_off(unet: UNet2DModel) -> None:
    """`install` attaches its hooks, `uninstall` removes them."""
    pipe = quiet(DDPMPipeline(unet, DDPMScheduler()))
    plain = solvers.named("dpmpp-2m").schedule(read_law(pipe).process, 4, "time")
    schedule = replace(plain, shift=TimeShift(150, 0.0, "calibrated", variance=0.2))
    install(pipe, schedule)
    got = pipe(generator=seeded(), output_type="pt").images
    install(pipe, schedule)  # once again: the first hooks are gone
    torch.testing.assert_close(pipe(generator=seeded(), output_type="pt").images, got)
    uninstall(pipe)
    assert not unet._forward_hooks
    denoiser = models.from_callable(lambda x, t: unet(x, t).sample, schedule.process)
    want = sample(denoiser, schedule, noise(1, 1, 8, 8))
    torch.testing.assert_close(got, (want / 2 + 0.5).clamp(0, 1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("scheduler", "process", "message"),
    [
        (PNDMScheduler(**BETAS), Flow(), "the pipeline's is discrete, the schedule's flow"),
        (
            PNDMScheduler(**BETAS),
            Discrete.linear_betas(),
            r"at time step \d+ the pipeline's ᾱ is 0\.\d+, the schedule's",
        ),
        (PNDMScheduler(**BETAS), Discrete.linear_betas(count=500), "has 1000 entries, the schedule's 500"),
        (EDMDPMSolverMultistepScheduler(sigma_max=80.0), VE(0.002, 40.0), "begins at σ = 80, the schedule at 40"),
    ],
)
def test_a_schedule_of_another_process_is_refused(
    stable: dict[str, Any], scheduler: Any, process: Any, message: str
) -> None:
    """With what the pipeline has and what the schedule has; the pipeline stays as it is."""
    pipe = StableDiffusionPipeline(**stable, scheduler=scheduler)
    schedule = solvers.named("ddim").schedule(process, 4)
    with pytest.raises(InvalidInput, match=message):
        install(pipe, schedule)
    assert pipe.scheduler is scheduler


def test_tables_in_float32_and_ends_in_the_dark_are_one_process(stable: dict[str, Any]) -> None:
    """The recipe Discrete(tuple(alphas_cumprod)) makes a float32 table, with an end at zero for DDIM and LCM."""
    for old in (
        DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction", clip_sample=False, **BETAS),
        LCMScheduler(rescale_betas_zero_snr=True, **BETAS),
        EulerDiscreteScheduler(**BETAS),
    ):
        pipe = StableDiffusionPipeline(**stable, scheduler=old)
        table = Discrete(tuple(old.alphas_cumprod.tolist()))
        assert install(pipe, solvers.named("ddim").schedule(table, 4)).schedule.process == table


def test_what_no_schedule_can_do_is_refused(stable: dict[str, Any]) -> None:
    """A pipeline that scales its latents itself; one without scheduler; a scheduler whose law is not known."""
    schedule = solvers.named("ddim").schedule(Discrete.linear_betas(), 4)
    upscale = object.__new__(StableDiffusionLatentUpscalePipeline)
    with pytest.raises(InvalidInput, match="scales its latents itself"):
        install(upscale, schedule)
    with pytest.raises(InvalidInput, match="has none"):
        install(torch.nn.Identity(), schedule)
    pipe = StableDiffusionPipeline(**stable, scheduler=None)
    with pytest.raises(InvalidInput, match="got NoneType"):
        install(pipe, schedule)

    class Unknown:
        config = {"_class_name": "Unknown"}  # noqa: RUF012

    pipe.scheduler = Unknown()
    with pytest.raises(UnknownName, match="'Unknown'"):
        install(pipe, schedule)


def test_calls_are_announced_before_the_network_is_called(stable: dict[str, Any]) -> None:
    """`on_call` gets the index of the next call: at the start of a run, at a later start, after each step."""
    pipe = quiet(StableDiffusionPipeline(**stable, scheduler=PNDMScheduler(**BETAS)))
    scheduler = install(pipe, solvers.named("ddim").schedule(read_law(pipe).process, 3))
    calls: list[int] = []
    scheduler.on_call = calls.append
    pipe("fox", **SETTINGS)
    assert calls == [0, 1, 2]
    scheduler.set_timesteps(3)
    scheduler.set_begin_index(1)
    assert calls[3:] == [0, 1]
