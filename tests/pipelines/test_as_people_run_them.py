"""Networks with adapters, compiled, cast by layers and offloaded are captured as they are, and are other models."""

import pytest
import torch
from peft import LoraConfig

from fewstep.diffusers import from_pipeline
from fewstep.diffusers.capture.checks import deviation, record
from fewstep.diffusers.capture.networks import fingerprint
from tests.pipelines.table import PIPELINES, WARNINGS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in (*WARNINGS, "ignore::DeprecationWarning")]


def adapted(pipe) -> None:
    """A LoRA adapter with weights that are not zero."""
    pipe.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))


def compiled(pipe) -> None:
    """The network as ``torch.compile`` wraps it; its backend runs what it was given."""
    pipe.transformer = torch.compile(pipe.transformer, backend="eager")


def cast_by_layers(pipe) -> None:
    """Weights stored in eight bits, computed in 32."""
    pipe.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


def offloaded(pipe) -> None:
    """Weights that are moved in and out around each layer; here both places are the CPU."""
    cpu = torch.device("cpu")
    pipe.transformer.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")


@pytest.mark.parametrize(
    ("change", "another"), [(adapted, True), (compiled, False), (cast_by_layers, True), (offloaded, False)]
)
def test_captured_as_it_is(change, another: bool):
    """Captured outputs are those of the changed pipeline's own run; its fingerprint tells changed weights apart."""
    plain, tiny = (PIPELINES["StableDiffusion3Pipeline"]() for _ in range(2))
    change(tiny.pipe)
    denoiser = from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)
    assert max(deviation(denoiser, step) for step in record(denoiser)) < 1e-5
    assert (fingerprint(tiny.pipe) != fingerprint(plain.pipe)) == another


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision(dtype: torch.dtype):
    """A pipeline in half precision is captured; data predictions come in the type of the state."""
    tiny = PIPELINES["FluxPipeline"]()
    tiny.pipe.to(dtype)
    denoiser = from_pipeline(tiny.pipe, conditions=tiny.conditions, **tiny.call)
    x = torch.randn((1, *denoiser.shape), generator=torch.Generator().manual_seed(0))
    assert denoiser(x, torch.tensor([0.6])).dtype == torch.float32


def test_scales_of_adapters_tell_models_apart():
    """The same adapter at half its strength is another model."""
    prints = []
    for scale in (1.0, 0.5):
        tiny = PIPELINES["StableDiffusion3Pipeline"]()
        torch.manual_seed(0)
        adapted(tiny.pipe)
        tiny.pipe.transformer.set_adapters("default", scale)
        prints.append(fingerprint(tiny.pipe))
    assert prints[0] != prints[1]
