"""Pipelines around U-Nets: Stable Diffusion 1 and XL, and their kin."""

from collections.abc import Mapping
from typing import Any

from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModelWithProjection

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = ["stable_diffusion", "stable_diffusion_xl"]

SIDES = {"height": 16, "width": 16}
PLAIN = {**SIDES, "output_type": "latent"}
STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}

UNET: Mapping[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": text.WIDTH,
    "attention_head_dim": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
XL: Mapping[str, Any] = {
    **UNET,
    "cross_attention_dim": 2 * text.WIDTH,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 6 * 4 + text.WIDTH,
    "use_linear_projection": True,
}


def ddim() -> DDIMScheduler:
    """Stable Diffusion's DDIM."""
    return DDIMScheduler(**STABLE, clip_sample=False, set_alpha_to_one=False)


def unet(**changes: Any) -> UNet2DConditionModel:
    """Stable Diffusion's U-Net with two levels of one layer."""
    return network(UNet2DConditionModel, {**UNET, **changes})


def stable_parts() -> dict[str, Any]:
    """The parts that pipelines of Stable Diffusion 1 share."""
    return {
        "vae": autoencoders.picture(),
        "text_encoder": text.clip(),
        "tokenizer": text.clip_tokenizer(),
        "unet": unet(),
        "scheduler": ddim(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def xl_parts() -> dict[str, Any]:
    """The parts that pipelines of Stable Diffusion XL share."""
    return {
        "vae": autoencoders.picture(),
        "text_encoder": text.clip(),
        "text_encoder_2": text.clip(CLIPTextModelWithProjection, seed=1),
        "tokenizer": text.clip_tokenizer(),
        "tokenizer_2": text.clip_tokenizer(),
        "unet": network(UNet2DConditionModel, XL),
        "scheduler": EulerDiscreteScheduler(**STABLE),
    }


def stable_diffusion() -> Tiny:
    """Stable Diffusion 1: DDIM, guidance by a second pass."""
    return tiny(StableDiffusionPipeline(**stable_parts()), {**PLAIN, "guidance_scale": 5.0})


def stable_diffusion_xl() -> Tiny:
    """Stable Diffusion XL: two text encoders, Euler."""
    return tiny(StableDiffusionXLPipeline(**xl_parts()), {**PLAIN, "guidance_scale": 5.0})
