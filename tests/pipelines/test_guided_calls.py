"""A schedule with a guidance scale for every call runs in pipelines that take one scale, at the passes it says."""

from dataclasses import replace

import pytest
import torch

import fewstep
from fewstep import solvers
from fewstep.diffusers import FewstepScheduler, from_pipeline, install, uninstall
from fewstep.diffusers.capture.networks import counting
from fewstep.errors import InvalidInput
from tests.pipelines.table import PIPELINES, WARNINGS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]

SCALES = (1.0, 5.0, 5.0, 3.0, 1.0, 1.0)
FULL = ("WanPipeline", "StableDiffusionXLPipeline", "PixArtSigmaPipeline", "CosmosTextToWorldPipeline", "MochiPipeline")


def run(tiny, noise: torch.Tensor, condition: int) -> torch.Tensor:
    """The latents of the pipeline as it is now, without a number of steps."""
    call = {**tiny.call, **tiny.conditions[condition], "output_type": "latent"}
    latents: torch.Tensor = tiny.pipe(**call, latents=noise, generator=torch.Generator().manual_seed(0))[0]
    return latents


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionPipeline",
        "ZImagePipeline",
        "FluxPipeline",
        *(pytest.param(name, marks=pytest.mark.full) for name in FULL),
    ],
)
def test_the_pipeline_runs_it_at_its_passes(name: str):
    """Samples are those of `fewstep.sample`, and calls at scale 1 pass the network once; then all is as before."""
    tiny = PIPELINES[name]()
    denoiser = from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)
    plain = solvers.named("dpmpp-2m").schedule(denoiser.process, nfe=6)
    schedule = replace(plain, guidance=SCALES)
    noise = torch.randn((1, *denoiser.shape), generator=torch.Generator().manual_seed(0))
    wanted = fewstep.sample(denoiser.bound([1]), schedule, noise)
    own, there = type(tiny.pipe), tiny.pipe.scheduler
    install(tiny.pipe, schedule)
    run(tiny, noise, 0)  # the first run finds out how states get in
    with counting(tiny.pipe) as passes:
        made = run(tiny, noise, 1)
    if made.shape == wanted.shape:  # Mochi and its kin scale what they return
        assert float((made - wanted).abs().max() / wanted.abs().max()) < 1e-4
    assert passes == [sum(denoiser.guided(scale).passes for scale in SCALES)]
    uninstall(tiny.pipe)
    assert type(tiny.pipe) is own
    assert tiny.pipe.scheduler is there


def test_what_sets_the_guidance_depends_on_the_arguments():
    """Flux embeds its scale, and guides by a second pass where it gets a negative prompt: each call by its own."""
    tiny = PIPELINES["FluxPipeline"]()
    guided = {**tiny.call, "negative_prompt": "rain", "true_cfg_scale": 4.0}
    captured = [from_pipeline(tiny.pipe, conditions=tiny.conditions, **call) for call in (tiny.call, guided)]
    assert [each.guidance.argument for each in captured] == ["guidance_scale", "true_cfg_scale"]
    schedule = replace(solvers.named("ddim").schedule(captured[0].process, nfe=3), guidance=(1.0, 3.0, 1.0))
    install(tiny.pipe, schedule)
    for call, denoiser in zip((tiny.call, guided), captured, strict=True):
        tiny.pipe(**call, **tiny.conditions[0])  # the first run of the kind finds out how states get in
        with counting(tiny.pipe) as passes:
            tiny.pipe(**call, **tiny.conditions[0])
        assert passes == [sum(denoiser.guided(scale).passes for scale in schedule.guidance)]
    assert passes == [4]


def test_a_scheduler_put_in_by_hand_refuses():
    """Guidance is never passed over in silence: a scheduler that cannot set it says who can."""
    tiny = PIPELINES["StableDiffusionPipeline"]()
    process = from_pipeline(tiny.pipe, conditions=tiny.conditions, check=False, **tiny.call).process
    schedule = replace(solvers.named("ddim").schedule(process, nfe=2), guidance=(1.0, 3.0))
    tiny.pipe.scheduler = FewstepScheduler.from_schedule(schedule)
    with pytest.raises(InvalidInput, match="install"):
        tiny.pipe(**tiny.call, **tiny.conditions[0], num_inference_steps=2)


def test_a_pipeline_called_without_guidance_says_so():
    """Without a guidance scale in the pipeline, a schedule that sets one is refused when it runs."""
    tiny = PIPELINES["DDIMPipeline"]()
    denoiser = from_pipeline(tiny.pipe, **tiny.call)
    install(tiny.pipe, replace(solvers.named("ddim").schedule(denoiser.process, nfe=2), guidance=(1.0, 3.0)))
    with pytest.raises(InvalidInput, match="runs without guidance"):
        tiny.pipe(**tiny.call)
