"""Picture pipelines of transformers that predict a flow: SD 3, Flux, Qwen-Image, Sana, Z-Image."""

from typing import Any

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import CLIPTextModelWithProjection

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.text import WIDTH
from tests.pipelines.builders.tiny import PROMPTS, Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = ["flux", "qwen_image", "sana", "stable_diffusion_3", "z_image"]

SIDES = {"height": 16, "width": 16}
PLAIN = {**SIDES, "output_type": "latent"}
DYNAMIC = {
    "use_dynamic_shifting": True,
    "shift": 3.0,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
NEGATIVE = tuple({**condition, "negative_prompt": "blurred"} for condition in PROMPTS)


SD3: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 2 * WIDTH,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 2 * WIDTH,
    "pos_embed_max_size": 16,
    "qk_norm": "rms_norm",
}
FLUX: dict[str, Any] = {
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": WIDTH,
    "pooled_projection_dim": WIDTH,
    "axes_dims_rope": (4, 6, 6),
}
QWEN: dict[str, Any] = {
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": WIDTH,
    "axes_dims_rope": (4, 6, 6),
}
SANA: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 2,
    "num_cross_attention_heads": 2,
    "cross_attention_head_dim": 8,
    "cross_attention_dim": 16,
    "caption_channels": WIDTH,
    "sample_size": 8,
}
SANA_CALL = {
    "height": 32,
    "width": 32,
    "output_type": "latent",
    "guidance_scale": 4.5,
    "use_resolution_binning": False,
    "complex_human_instruction": None,
    "max_sequence_length": 16,
}


def sd3_parts(channels: int = 4) -> dict[str, Any]:
    """The parts of Stable Diffusion 3, its latents `channels` deep."""
    return {
        "transformer": network(SD3Transformer2DModel, {**SD3, "in_channels": channels, "out_channels": channels}),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "vae": autoencoders.picture(channels),
        "text_encoder": text.clip(CLIPTextModelWithProjection),
        "tokenizer": text.clip_tokenizer(),
        "text_encoder_2": text.clip(CLIPTextModelWithProjection, seed=1),
        "tokenizer_2": text.clip_tokenizer(),
        "text_encoder_3": text.t5(width=2 * WIDTH),
        "tokenizer_3": text.t5_tokenizer(),
    }


def flux_parts(channels: int = 16) -> dict[str, Any]:
    """The parts of Flux with embedded guidance, its transformer's input `channels` deep."""
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(**DYNAMIC),
        "vae": autoencoders.picture(4),
        "text_encoder": text.clip(),
        "tokenizer": text.clip_tokenizer(),
        "text_encoder_2": text.t5(),
        "tokenizer_2": text.t5_tokenizer(),
        "transformer": network(FluxTransformer2DModel, {**FLUX, "in_channels": channels, "guidance_embeds": True}),
    }


def qwen_parts() -> dict[str, Any]:
    """The parts of Qwen-Image."""
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(**DYNAMIC),
        "vae": autoencoders.qwen(),
        "text_encoder": text.qwen_vision(),
        "tokenizer": text.byte_tokenizer(1024),
        "transformer": network(QwenImageTransformer2DModel, QWEN),
    }


def stable_diffusion_3() -> Tiny:
    """Stable Diffusion 3: three text encoders, static shift 3."""
    call = {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 16}
    return tiny(StableDiffusion3Pipeline(**sd3_parts()), call)


def flux() -> Tiny:
    """Flux.1: packed states, embedded guidance, dynamic shift."""
    return tiny(FluxPipeline(**flux_parts()), {**PLAIN, "guidance_scale": 3.5, "max_sequence_length": 16})


def qwen_image() -> Tiny:
    """Qwen-Image: packed states, guidance by a second pass when there is a negative prompt."""
    call = {"height": 32, "width": 32, "output_type": "latent", "true_cfg_scale": 4.0, "max_sequence_length": 512}
    return tiny(QwenImagePipeline(**qwen_parts()), call, NEGATIVE)


def sana_parts() -> dict[str, Any]:
    """The parts that Sana's pipelines share."""
    return {
        "tokenizer": text.gemma_tokenizer(),
        "text_encoder": text.gemma(),
        "vae": autoencoders.deep(),
        "transformer": network(SanaTransformer2DModel, SANA),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
    }


def sana() -> Tiny:
    """Sana: linear attention, Gemma 2 for text."""
    return tiny(SanaPipeline(**sana_parts()), SANA_CALL)


def z_image_parts() -> dict[str, Any]:
    """The parts that Z-Image's pipelines share."""
    config = {
        "in_channels": 16,
        "dim": 32,
        "n_layers": 1,
        "n_refiner_layers": 1,
        "n_heads": 2,
        "n_kv_heads": 2,
        "cap_feat_dim": WIDTH,
        "axes_dims": [4, 6, 6],
        "axes_lens": [128, 32, 32],
    }
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "vae": autoencoders.picture(16),
        "text_encoder": text.qwen3(),
        "tokenizer": text.byte_tokenizer(),
        "transformer": network(ZImageTransformer2DModel, config),
    }


def z_image() -> Tiny:
    """Z-Image: one stream of text and picture, guidance by a second pass for every scale above 0."""
    call = {**PLAIN, "guidance_scale": 4.0, "max_sequence_length": 64}
    return tiny(ZImagePipeline(**z_image_parts()), call)
