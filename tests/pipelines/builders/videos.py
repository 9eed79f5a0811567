"""Video pipelines: Wan, LTX and their kin."""

from typing import Any

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    WanPipeline,
    WanTransformer3DModel,
)

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = ["ltx", "wan"]

VIDEO = {"height": 16, "width": 16, "num_frames": 5, "output_type": "latent", "max_sequence_length": 16}

WAN = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": text.WIDTH,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}
LTX = {
    "in_channels": 8,
    "out_channels": 8,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "num_layers": 1,
    "caption_channels": text.WIDTH,
}


def wan_parts() -> dict[str, Any]:
    """The parts that Wan's pipelines share."""
    return {
        "tokenizer": text.t5_tokenizer(),
        "text_encoder": text.umt5(),
        "vae": autoencoders.wan(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
        "transformer": network(WanTransformer3DModel, WAN),
    }


def ltx_parts() -> dict[str, Any]:
    """The parts that LTX's pipelines share."""
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True,
            base_shift=0.95,
            max_shift=2.05,
            base_image_seq_len=1024,
            max_image_seq_len=4096,
            shift_terminal=0.1,
        ),
        "vae": autoencoders.ltx(),
        "text_encoder": text.t5(),
        "tokenizer": text.t5_tokenizer(128),
        "transformer": network(LTXVideoTransformer3DModel, LTX),
    }


def wan() -> Tiny:
    """Wan 2.1: static shift 7 on an Euler flow."""
    return tiny(WanPipeline(**wan_parts()), {**VIDEO, "guidance_scale": 5.0})


def ltx() -> Tiny:
    """LTX: packed states, dynamic shift stretched to a terminal time."""
    return tiny(LTXPipeline(**ltx_parts()), {**VIDEO, "height": 32, "width": 32, "guidance_scale": 3.0})
