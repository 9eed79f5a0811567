"""Pipelines of pictures from words around U-Nets: Stable Diffusion 1 and XL, latent consistency, and kin."""

from collections.abc import Mapping
from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    IFPipeline,
    Kandinsky3Pipeline,
    Kandinsky3UNet,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    LDMTextToImagePipeline,
    PNDMScheduler,
    StableDiffusionPAGPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPAGPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from transformers import CLIPTextModelWithProjection

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = [
    "deepfloyd",
    "kandinsky_3",
    "latent_consistency",
    "latent_diffusion",
    "stable_diffusion",
    "stable_diffusion_pag",
    "stable_diffusion_xl",
    "stable_diffusion_xl_pag",
]

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
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
XL: Mapping[str, Any] = {
    **UNET,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
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


def stable_parts(**changes: Any) -> dict[str, Any]:
    """The parts that pipelines of Stable Diffusion 1 share; `changes` are of its U-Net."""
    return {
        "vae": autoencoders.picture(),
        "text_encoder": text.clip(),
        "tokenizer": text.clip_tokenizer(),
        "unet": unet(**changes),
        "scheduler": ddim(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def xl_parts(**changes: Any) -> dict[str, Any]:
    """The parts that pipelines of Stable Diffusion XL share; `changes` are of its U-Net."""
    return {
        "vae": autoencoders.picture(),
        "text_encoder": text.clip(),
        "text_encoder_2": text.clip(CLIPTextModelWithProjection, seed=1),
        "tokenizer": text.clip_tokenizer(),
        "tokenizer_2": text.clip_tokenizer(),
        "unet": network(UNet2DConditionModel, {**XL, **changes}),
        "scheduler": EulerDiscreteScheduler(**STABLE),
    }


def stable_diffusion() -> Tiny:
    """Stable Diffusion 1: DDIM, guidance by a second pass."""
    return tiny(StableDiffusionPipeline(**stable_parts()), {**PLAIN, "guidance_scale": 5.0})


def stable_diffusion_xl() -> Tiny:
    """Stable Diffusion XL: two text encoders, Euler."""
    return tiny(StableDiffusionXLPipeline(**xl_parts()), {**PLAIN, "guidance_scale": 5.0})


def stable_diffusion_pag() -> Tiny:
    """Stable Diffusion 1 with perturbed-attention guidance: three passes."""
    return tiny(StableDiffusionPAGPipeline(**stable_parts()), {**PLAIN, "guidance_scale": 5.0, "pag_scale": 3.0})


def stable_diffusion_xl_pag() -> Tiny:
    """Stable Diffusion XL with perturbed-attention guidance: three passes."""
    return tiny(StableDiffusionXLPAGPipeline(**xl_parts()), {**PLAIN, "guidance_scale": 5.0, "pag_scale": 3.0})


def latent_consistency() -> Tiny:
    """A latent consistency model: the guidance is an input of its U-Net, its scheduler adds noise at each step."""
    parts = {**stable_parts(time_cond_proj_dim=16), "scheduler": LCMScheduler(**STABLE)}
    return tiny(LatentConsistencyModelPipeline(**parts), {**PLAIN, "guidance_scale": 8.5})


def kandinsky_3() -> Tiny:
    """Kandinsky 3: the network's own U-Net, a T5 for text."""
    unet = {
        "time_embedding_dim": 16,
        "groups": 4,
        "attention_head_dim": 8,
        "layers_per_block": 2,
        "block_out_channels": (16, 16, 16, 16),
        "cross_attention_dim": 16,
        "encoder_hid_dim": text.WIDTH,
    }
    pipe = Kandinsky3Pipeline(
        tokenizer=text.t5_tokenizer(),
        text_encoder=text.t5(),
        unet=network(Kandinsky3UNet, unet),
        scheduler=DDPMScheduler(clip_sample=False),
        movq=autoencoders.quantised(),
    )
    return tiny(pipe, {"height": 64, "width": 64, "output_type": "latent", "guidance_scale": 3.0})


def latent_diffusion() -> Tiny:
    """Latent diffusion from text: a BERT of diffusers' own, called inside the pipeline's `__call__`."""
    config = LDMBertConfig(
        vocab_size=len(text.bert_tokenizer()),
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        head_dim=8,
        d_model=text.WIDTH,
    )
    pipe = LDMTextToImagePipeline(
        vqvae=autoencoders.picture(),
        bert=network(LDMBertModel, config),
        tokenizer=text.bert_tokenizer(),
        unet=unet(),
        scheduler=PNDMScheduler(**STABLE, skip_prk_steps=True),
    )
    return tiny(pipe, {**SIDES, "output_type": "np", "guidance_scale": 5.0})


def deepfloyd() -> Tiny:
    """DeepFloyd IF's first stage: pixels, a learned variance, the scheduler's own noise at each step."""
    changes = {
        "in_channels": 3,
        "out_channels": 6,
        "encoder_hid_dim": text.WIDTH,
        "encoder_hid_dim_type": "text_proj",
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
        "cross_attention_norm": "group_norm",
    }
    pipe = IFPipeline(
        tokenizer=text.t5_tokenizer(77),
        text_encoder=text.t5(),
        unet=unet(**changes),
        scheduler=DDPMScheduler(variance_type="learned_range", thresholding=True, sample_max_value=1.5),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )
    return tiny(pipe, {"height": 8, "width": 8, "output_type": "pt", "guidance_scale": 7.0, "clean_caption": False})
