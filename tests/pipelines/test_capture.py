"""A captured pipeline is a denoiser like any other, and what cannot be one is refused with the reason."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import fewstep
from fewstep.diffusers import from_pipeline
from fewstep.diffusers.capture import checks
from fewstep.diffusers.capture.memo import Memory, content
from fewstep.diffusers.capture.own import own_schedule
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models.base import check_denoiser
from tests.pipelines.builders.tiny import Tiny
from tests.pipelines.table import PIPELINES, WARNINGS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    """A tiny Stable Diffusion 3."""
    return PIPELINES["StableDiffusion3Pipeline"]()


@pytest.fixture(scope="module")
def denoiser(tiny: Tiny):
    """The same, captured under its three prompts."""
    return from_pipeline(tiny.pipe, prompts=[each["prompt"] for each in tiny.conditions], **tiny.call)


def states(denoiser, count: int) -> torch.Tensor:
    """Start noises of so many samples."""
    return torch.randn((count, *denoiser.shape), generator=torch.Generator().manual_seed(0))


def test_it_is_a_denoiser(denoiser):
    """It has every member of the protocol, and knows shape, conditions and passes."""
    check_denoiser(denoiser)
    assert (denoiser.shape, denoiser.conditions, denoiser.passes) == ((4, 8, 8), 3, 2)


def test_nothing_of_the_pipeline_is_changed(tiny: Tiny):
    """Capture and calls leave the user's pipeline, its module and the global generator as they were."""
    before, scheduler = dict(vars(tiny.pipe)), dict(vars(tiny.pipe.scheduler))
    torch.manual_seed(5)
    drawn = torch.get_rng_state()
    captured = from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)
    captured(states(captured, 2), torch.tensor([0.5, 0.5]))
    assert dict(vars(tiny.pipe)) == before
    assert {name: value for name, value in vars(tiny.pipe.scheduler).items() if name != "timesteps"}.keys() == {
        name for name in scheduler if name != "timesteps"
    }
    assert torch.equal(torch.get_rng_state(), drawn)


def test_samples_of_a_batch_have_their_own_times_and_conditions(denoiser):
    """A sample's data prediction is the same in a batch of other times and conditions as alone."""
    x, t = states(denoiser, 4), torch.tensor([0.9, 0.2, 0.9, 0.5])
    together = denoiser.bound([2, 0, 1, 2])(x, t)
    alone = [denoiser.bound([c])(x[i : i + 1], t[i : i + 1]) for i, c in enumerate([2, 0, 1, 2])]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)
    assert not torch.allclose(together[:1], denoiser.bound([1])(x[:1], t[:1]), atol=1e-4)


def test_a_batch_larger_than_one_run(denoiser):
    """Micro-batches change nothing but rounding."""
    x, t = states(denoiser, 5), torch.full((5,), 0.6)
    small = replace(denoiser, batch=2)
    assert torch.allclose(small.bound(range(5))(x, t), denoiser.bound(range(5))(x, t), atol=1e-4)


def test_it_has_a_gradient(denoiser):
    """The gradient by the state agrees with a central difference."""
    x, along = states(denoiser, 1).double().float().requires_grad_(), states(denoiser, 2)[1:]
    t = torch.tensor([0.6])
    (gradient,) = torch.autograd.grad((denoiser(x, t) * along).sum(), x)
    step = 1e-2
    with torch.no_grad():
        ends = [float((denoiser(x + sign * step * along, t) * along).sum()) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float((gradient * along).sum()), rel=2e-2)


def test_prompts_are_encoded_once(tiny: Tiny):
    """Calls after the first encode nothing: the text encoders run for new sets of prompts only."""
    captured = from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)
    runs = []
    hook = tiny.pipe.text_encoder.register_forward_hook(lambda *_: runs.append(1))
    try:
        for t in (0.9, 0.5, 0.1):
            captured.bound([0, 1, 2])(states(captured, 3), torch.full((3,), t))
            if t == 0.9:
                first = len(runs)
    finally:
        hook.remove()
    assert len(runs) == first > 0


@pytest.mark.parametrize(
    ("name", "passes"),
    [("StableDiffusion3Pipeline", (2, 2, 1)), ("ZImagePipeline", (2, 2, 1)), ("FluxPipeline", (1, 1, 1))],
)
def test_guidance_costs_what_the_pipeline_makes_of_it(name: str, passes: tuple[int, ...]):
    """Passes at the user's scale, at another and at 1 are counted; Z-Image counts scales from 0, Flux embeds them."""
    tiny = PIPELINES[name]()
    captured = from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)
    assert (captured.passes, captured.guided(3.0).passes, captured.guided(1.0).passes) == passes
    x, t = states(captured, 1), torch.tensor([0.6])
    own = captured.guidance.own
    assert torch.equal(captured.guided(own)(x, t), captured(x, t))
    assert not torch.allclose(captured.guided(1.0)(x, t), captured(x, t), atol=1e-4)


def test_guidance_is_linear_in_the_scale(denoiser):
    """Classifier-free guidance: D(w) = D(1) + (w − 1) (D(2) − D(1))."""
    x, t = states(denoiser, 1), torch.tensor([0.6])
    without, twice, strong = (denoiser.guided(scale)(x, t) for scale in (1.0, 2.0, 6.0))
    assert torch.allclose(strong, without + 5 * (twice - without), atol=1e-3)


def test_a_pipeline_without_guidance_says_so():
    """Guidance cannot be set where the pipeline has none."""
    tiny = PIPELINES["DDIMPipeline"]()
    captured = from_pipeline(tiny.pipe, **tiny.call)
    assert captured.conditions == 0
    with pytest.raises(InvalidInput, match="runs without"):
        captured.guided(2.0)


@pytest.mark.parametrize(
    ("name", "most"),
    [("StableDiffusion3Pipeline", 2e-4), ("FluxPipeline", 2e-4), ("StableDiffusionXLPipeline", 5e-3)],
)  # Euler's scheduler starts from σ ε, 0.2 % less than the state of its table
def test_its_own_schedule_makes_its_own_picture(name: str, most: float):
    """The scheduler of today as a schedule, its samples finished by the pipeline's code: what the pipeline makes."""
    tiny = PIPELINES[name]()
    captured = from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)
    own = own_schedule(captured, 5)
    noise = states(captured, 1)
    made = captured.finish(fewstep.sample(captured.bound([1]), own, noise), [1], output_type="np")[0]
    call = {**tiny.call, **tiny.conditions[1], "output_type": "np", "num_inference_steps": 5}
    expected = tiny.pipe(**call, latents=noise, generator=torch.Generator().manual_seed(0))[0]
    assert own.nfe == 5
    assert np.abs(np.asarray(made) - np.asarray(expected)).max() < most


def test_guidance_that_ends_midway_is_refused():
    """Lumina 2 can leave guidance out after a share of its steps: then a step is no function of state and time."""
    tiny = PIPELINES["Lumina2Pipeline"]()
    with pytest.raises(InvalidModel, match="no function of state and time"):
        from_pipeline(tiny.pipe, conditions=tiny.conditions, **{**tiny.call, "cfg_trunc_ratio": 0.5})


def test_a_cache_over_steps_is_refused(tiny: Tiny):
    """A network that reuses outputs of earlier steps is refused by name."""
    pipe = PIPELINES["FluxPipeline"]().pipe
    pipe.transformer._cache_config = object()  # what enable_cache sets
    with pytest.raises(InvalidModel, match="disable_cache"):
        from_pipeline(pipe, prompts=["a fox"])


def test_states_that_are_a_part_are_refused():
    """LTX from an image steps a part of its latents only: no way in leads there."""
    tiny = PIPELINES["LTXImageToVideoPipeline"]()
    with pytest.raises(InvalidModel, match="no way to give LTXImageToVideoPipeline its states"):
        from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)


def test_arguments_are_checked_at_the_door(tiny: Tiny):
    """Unknown arguments, one string for prompts, both kinds of conditions and none of them get clear errors."""
    with pytest.raises(InvalidInput, match="takes no 'widht'"):
        from_pipeline(tiny.pipe, prompts=["a fox"], widht=16)
    with pytest.raises(InvalidInput, match="a list of prompts"):
        from_pipeline(tiny.pipe, prompts="a fox")
    with pytest.raises(InvalidInput, match="not both"):
        from_pipeline(tiny.pipe, prompts=["a fox"], conditions=[{"prompt": "a fox"}])
    with pytest.raises(InvalidInput, match="one entry at least"):
        from_pipeline(tiny.pipe, prompts=[])
    with pytest.raises(InvalidInput, match="same arguments as the first"):
        from_pipeline(tiny.pipe, conditions=[{"prompt": "a fox"}, {"negative_prompt": "a dog"}])


def test_a_denoiser_bound_to_others_says_so(denoiser):
    """A batch of another size than it is bound to is refused."""
    with pytest.raises(InvalidInput, match="bound to 2 samples, got 3"):
        denoiser.bound([0, 1])(states(denoiser, 3), torch.full((3,), 0.5))


def test_the_recorded_run_ends_early(tiny: Tiny, denoiser):
    """The comparison costs its few steps and no decoding."""
    decoded = []
    hook = tiny.pipe.vae.decoder.register_forward_hook(lambda *_: decoded.append(1))
    try:
        assert len(checks.record(denoiser, 3)) == 3
    finally:
        hook.remove()
    assert not decoded


def test_memory_knows_content_and_identity():
    """Equal tensors are one key, two objects that look alike are two, and results may be changed by who gets them."""
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert content(torch.ones(2)) == content(torch.ones(2)) != content(torch.ones(2).double())
    assert content(one) != content(other)
    assert content(np.array([1.0, 2.0])) != content(np.array([1.0, 3.0]))
    memory = Memory(most=2)
    remembered = memory.remembering(lambda x: [x + 1])
    first = remembered(torch.zeros(1))
    first[0] += 5
    first.append(None)
    assert remembered(torch.zeros(1)) == [torch.ones(1)]
    for i in range(5):
        remembered(torch.full((1,), float(i)))
    assert len(memory) == 2


def test_memory_leaves_a_generator_as_the_first_run_did():
    """A hit draws nothing, but the generator goes on from where the first run left it."""
    memory = Memory()
    draw = memory.remembering(lambda generator: torch.randn(3, generator=generator))
    first, second = (torch.Generator().manual_seed(1) for _ in range(2))
    assert torch.equal(draw(first), draw(second))
    assert torch.equal(first.get_state(), second.get_state())
    assert not torch.equal(first.get_state(), torch.Generator().manual_seed(1).get_state())
