"""Time shift in diffusers' own pipelines: the image that `sample` makes, or a refusal that says what to do."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL, DDPMPipeline, StableDiffusionPipeline, UNet2DModel

from fewstep import Schedule, models, sample, solvers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.diffusers.shift_hook import attach
from fewstep.errors import InvalidInput
from fewstep.processes import Discrete, Flow, Process
from fewstep.timeshift import TimeShift
from tests.fewstep.isotropic import Isotropic

CLOSE = {"rtol": 1e-6, "atol": 1e-6}  # time steps are float32
DDPM = Discrete.linear_betas()
STABLE = Discrete(tuple((1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2).cumprod(0).tolist()))
SHIFT = TimeShift(150, 0.0, "calibrated", variance=0.2)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def noise(*shape: int) -> torch.Tensor:
    """What a pipeline draws for that shape from `seeded`."""
    return torch.randn(*shape, generator=seeded(), dtype=torch.float64)


def plan(process: Process, nfe: int) -> Schedule:
    """A multistep schedule with time shift, at whole time steps where the process has them."""
    schedule = solvers.named("dpmpp-2m").schedule(process, nfe, "time")
    return replace(schedule, shift=SHIFT)


class Network(torch.nn.Module):
    """An exact denoiser as a network that predicts something else, and says it in one of diffusers' ways."""

    def __init__(self, process: Process, prediction: str, scale: float, answer: Callable) -> None:
        super().__init__()
        self.process, self.prediction, self.scale, self.answer = process, prediction, scale, answer
        self.told: list[torch.Tensor] = []

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> object:
        self.told.append(timestep)
        t = (timestep / self.scale).double().reshape(-1).expand(len(sample))  # flow networks are told sigma, here = t
        alpha, sigma = (of(t).reshape(-1, 1, 1, 1) for of in (self.process.alpha, self.process.sigma))
        data = Isotropic(self.process, 0.2)(sample, t)
        made = (sample - alpha * data) / sigma
        outputs = {"epsilon": made, "sample": data, "v_prediction": alpha * made - sigma * data}
        return self.answer((outputs | {"flow_prediction": made - data})[self.prediction])


@pytest.mark.parametrize("answer", [lambda y: y, lambda y: (y, None), lambda y: torch.cat([y, 7 + y], 1)])
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_every_prediction_and_answer_makes_the_samples_of_sample(prediction: str, answer: Callable) -> None:
    """Tensors, tuples and learned variances; each sample is told a time of its own."""
    network, schedule = Network(DDPM, prediction, 1.0, answer), plan(DDPM, 6)
    scheduler = FewstepScheduler.from_schedule(schedule, prediction)
    attached = attach(network, scheduler)
    x = noise(3, 1, 8, 8)
    for t in scheduler.timesteps:
        output = network(x, timestep=t)
        x = scheduler.step(output[0] if isinstance(output, tuple) else output, t, x).prev_sample
    torch.testing.assert_close(x, sample(Isotropic(DDPM, 0.2), schedule, noise(3, 1, 8, 8)), **CLOSE)
    assert len({float(t) for t in network.told[3]}) > 1
    assert torch.equal(network.told[0], torch.full((3,), 999.0).double())
    attached.remove()
    scheduler.set_timesteps(6)
    with pytest.raises(InvalidInput, match="attach"):
        scheduler.step(x, scheduler.timesteps[0], x)


def test_flow_networks_are_told_sigma() -> None:
    """The flow's own units, 0 to 1000, there and back; the first call, at pure noise, is not shifted."""
    process = Flow()
    schedule = replace(plan(process, 6), shift=TimeShift(0.15, 0.0, "calibrated", variance=0.2))
    network = Network(process, "flow_prediction", 1000.0, lambda y: y)
    scheduler = FewstepScheduler.from_schedule(schedule)
    attach(network, scheduler)
    x = noise(3, 1, 8, 8)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x).prev_sample
    torch.testing.assert_close(x, sample(Isotropic(process, 0.2), schedule, noise(3, 1, 8, 8)), rtol=1e-5, atol=1e-5)


def test_ddpm_pipeline(unet: UNet2DModel) -> None:
    """A network of diffusers in its own pipeline."""
    schedule = plan(DDPM, 6)
    pipeline = DDPMPipeline(unet, FewstepScheduler.from_schedule(schedule))
    pipeline.set_progress_bar_config(disable=True)
    attached = attach(unet, pipeline.scheduler)
    try:
        got = pipeline(batch_size=3, generator=seeded(), num_inference_steps=6, output_type="pt").images
    finally:
        attached.remove()  # the network is shared by other tests
    denoiser = models.from_callable(lambda x, t: unet(x, t).sample, DDPM)
    want = sample(denoiser, schedule, noise(3, 1, 8, 8))
    torch.testing.assert_close(got, (want / 2 + 0.5).clamp(0, 1), **CLOSE)


def test_guided_pipelines(stable: dict[str, object], guided: Callable, vae: AutoencoderKL) -> None:
    """Both halves of a guided batch have the same state, so the same times: guidance is as without pipeline."""
    schedule = plan(STABLE, 5)
    pipeline = StableDiffusionPipeline(**stable, scheduler=FewstepScheduler.from_schedule(schedule))
    pipeline.set_progress_bar_config(disable=True)
    attached = attach(stable["unet"], pipeline.scheduler)
    settings = {"guidance_scale": 5.0, "num_inference_steps": 5, "num_images_per_prompt": 2, "height": 16, "width": 16}
    try:
        got = pipeline("fox", **settings, generator=seeded(), output_type="latent").images
    finally:
        attached.remove()
    want = sample(models.from_callable(guided, STABLE), schedule, noise(2, 4, 8, 8))
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_shifted_is_refused() -> None:
    """Schedules without shift, steps from shifted times, rescaled time steps, inputs with more than the state."""
    schedule = plan(DDPM, 4)
    with pytest.raises(InvalidInput, match="nothing to attach"):
        attach(torch.nn.Identity(), FewstepScheduler.from_schedule(replace(schedule, shift=None)))
    with pytest.raises(InvalidInput, match="mode 'network'"):
        FewstepScheduler.from_schedule(replace(schedule, shift=TimeShift(40, 300, mode="start")))
    scheduler = FewstepScheduler.from_schedule(schedule)
    network = Network(DDPM, "epsilon", 1.0, lambda y: y[:, :1])
    attach(network, scheduler)
    with pytest.raises(InvalidInput, match="change them on the way"):
        network(noise(1, 1, 8, 8), scheduler.timesteps[1] / 1000)
    with pytest.raises(InvalidInput, match="the state alone"):
        network(noise(1, 4, 8, 8), scheduler.timesteps[1])
    with pytest.raises(InvalidInput, match="called as"):
        network(noise(1, 1, 8, 8))
