"""Pipelines told an embedding of a picture, a class or nothing: Kandinsky 2, unCLIP, cascades, unconditional U-Nets."""

from typing import Any

import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    ConsistencyModelPipeline,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DDPMWuerstchenScheduler,
    KandinskyPipeline,
    KandinskyV22ControlnetPipeline,
    KandinskyV22Img2ImgPipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
    PriorTransformer,
    StableCascadeDecoderPipeline,
    StableCascadePriorPipeline,
    StableCascadeUNet,
    StableUnCLIPImg2ImgPipeline,
    StableUnCLIPPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
    UNet2DModel,
)
from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel
from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from transformers import CLIPTextModelWithProjection

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.text import WIDTH
from tests.pipelines.builders.tiny import PROMPTS, Tiny, pictures, tiny
from tests.pipelines.builders.unets import PLAIN, STABLE, UNET, unet
from tests.pipelines.builders.weights import network

__all__ = [
    "cascade_decoder",
    "cascade_prior",
    "consistency",
    "ddim",
    "ddpm",
    "kandinsky",
    "kandinsky_2_2",
    "kandinsky_2_2_control",
    "kandinsky_2_2_image",
    "kandinsky_2_2_prior",
    "unclip",
    "unclip_image",
]

NOTHING: tuple[dict[str, Any], ...] = ({}, {}, {})


def embeddings(*shape: int) -> tuple[torch.Tensor, ...]:
    """Three different random embeddings of the shape."""
    return tuple(torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2, 3))


def unconditional(**changes: Any) -> UNet2DModel:
    """An unconditional U-Net of 8×8 pictures."""
    config = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    return network(UNet2DModel, {**config, **changes})


def ddim() -> Tiny:
    """DDIM without a condition, predictions clipped."""
    pipe = DDIMPipeline(unet=unconditional(), scheduler=DDIMScheduler())
    return tiny(pipe, {"batch_size": 1, "output_type": "np"}, NOTHING, note="no condition")


def ddpm() -> Tiny:
    """DDPM without a condition, predictions clipped."""
    pipe = DDPMPipeline(unet=unconditional(), scheduler=DDPMScheduler())
    return tiny(pipe, {"batch_size": 1, "output_type": "np"}, NOTHING, note="no condition")


def consistency() -> Tiny:
    """A consistency model: class labels, EDM's scaling of states, the scheduler's own noise."""
    pipe = ConsistencyModelPipeline(unet=unconditional(num_class_embeds=10), scheduler=CMStochasticIterativeScheduler())
    labels = tuple({"class_labels": label} for label in (0, 4, 9))
    return tiny(pipe, {"batch_size": 1, "output_type": "np"}, labels, steps=2)


def kandinsky_2_2_parts(**changes: Any) -> dict[str, Any]:
    """The parts that Kandinsky 2.2's decoders share; `changes` are of the U-Net."""
    told = {
        "out_channels": 8,
        "encoder_hid_dim": WIDTH,
        "encoder_hid_dim_type": "image_proj",
        "addition_embed_type": "image",
        "resnet_time_scale_shift": "scale_shift",
    }
    return {
        "unet": unet(**{**told, **changes}),
        "scheduler": DDPMScheduler(**DDPM, clip_sample=False, variance_type="learned_range"),
        "movq": autoencoders.quantised(3),
    }


DDPM = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012}
DECODER_CALL = {"height": 64, "width": 64, "output_type": "latent", "guidance_scale": 4.0}
IMAGINED = tuple(
    {"image_embeds": embedding, "negative_image_embeds": torch.zeros_like(embedding)}
    for embedding in embeddings(1, WIDTH)
)


def kandinsky_2_2() -> Tiny:
    """Kandinsky 2.2's decoder: told an image embedding, learned variance."""
    return tiny(KandinskyV22Pipeline(**kandinsky_2_2_parts()), DECODER_CALL, IMAGINED)


def kandinsky_2_2_image() -> Tiny:
    """Kandinsky 2.2's decoder from a picture."""
    call = {**DECODER_CALL, "strength": 0.8, "image": pictures(3, 64, 64)[0]}
    parts = {**kandinsky_2_2_parts(), "scheduler": DDPMScheduler(**DDPM, clip_sample=False)}
    return tiny(KandinskyV22Img2ImgPipeline(**parts), call, IMAGINED)


def kandinsky_2_2_control() -> Tiny:
    """Kandinsky 2.2's decoder with a hint beside the state."""
    parts = kandinsky_2_2_parts(in_channels=8, addition_embed_type="image_hint")
    call = {**DECODER_CALL, "output_type": "np", "hint": pictures(3, 64, 64)[0]}
    return tiny(KandinskyV22ControlnetPipeline(**parts), call, IMAGINED)


def prior(kind: type[PriorTransformer] = PriorTransformer) -> PriorTransformer:
    """A transformer of image embeddings from text."""
    config = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "embedding_dim": WIDTH}
    return network(kind, config)


def unclip_scheduler() -> UnCLIPScheduler:
    """The priors' own ancestral scheduler: it is given the sample, predictions are clipped."""
    return UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0)


def kandinsky_2_2_prior() -> Tiny:
    """Kandinsky 2.2's prior: image embeddings from text."""
    pipe = KandinskyV22PriorPipeline(
        prior=prior(),
        image_encoder=text.clip_vision(),
        text_encoder=text.clip(CLIPTextModelWithProjection),
        tokenizer=text.clip_tokenizer(),
        scheduler=unclip_scheduler(),
        image_processor=text.clip_processor(),
    )
    return tiny(pipe, {"output_type": "pt", "guidance_scale": 4.0})


def kandinsky() -> Tiny:
    """Kandinsky 2.1's decoder: text and an image embedding."""
    words = len(text.t5_tokenizer())
    config = MCLIPConfig(
        transformerDimSize=WIDTH,
        imageDimSize=WIDTH,
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=80,
        pad_token_id=1,
    )
    told = {
        "out_channels": 8,
        "addition_embed_type": "text_image",
        "encoder_hid_dim": WIDTH,
        "encoder_hid_dim_type": "text_image_proj",
        "cross_attention_dim": WIDTH,
        "resnet_time_scale_shift": "scale_shift",
    }
    pipe = KandinskyPipeline(
        text_encoder=network(MultilingualCLIP, config),
        tokenizer=text.t5_tokenizer(77),
        unet=unet(**told),
        scheduler=DDIMScheduler(**DDPM, clip_sample=False),
        movq=autoencoders.quantised(3),
    )
    conditions = tuple({**prompt, **told} for prompt, told in zip(PROMPTS, IMAGINED, strict=True))
    return tiny(pipe, {**DECODER_CALL, "output_type": "np"}, conditions)


def unclip_parts() -> dict[str, Any]:
    """The parts that stable unCLIP's pipelines share."""
    told = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2 * WIDTH}
    return {
        "image_normalizer": network(StableUnCLIPImageNormalizer, {"embedding_dim": WIDTH}),
        "image_noising_scheduler": DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        "tokenizer": text.clip_tokenizer(),
        "text_encoder": text.clip(),
        "unet": network(UNet2DConditionModel, {**UNET, **told}),
        "scheduler": DDIMScheduler(**STABLE, clip_sample=False, prediction_type="v_prediction"),
        "vae": autoencoders.picture(),
    }


def unclip() -> Tiny:
    """Stable unCLIP: the prior's own loop runs first; its noise is of the global generator."""
    pipe = StableUnCLIPPipeline(
        **unclip_parts(),
        prior_tokenizer=text.clip_tokenizer(),
        prior_text_encoder=text.clip(CLIPTextModelWithProjection, seed=1),
        prior=prior(),
        prior_scheduler=unclip_scheduler(),
    )
    call = {**PLAIN, "guidance_scale": 10.0, "prior_num_inference_steps": 2}
    return tiny(pipe, call, note="noise from the global generator")


def unclip_image() -> Tiny:
    """Stable unCLIP from a picture."""
    pipe = StableUnCLIPImg2ImgPipeline(
        **unclip_parts(), feature_extractor=text.clip_processor(), image_encoder=text.clip_vision()
    )
    conditions = tuple({**prompt, "image": image} for prompt, image in zip(PROMPTS, text.seen(), strict=True))
    return tiny(pipe, {**PLAIN, "guidance_scale": 10.0}, conditions, note="noise from the global generator")


CASCADE: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "timestep_ratio_embedding_dim": 8,
    "conditioning_dim": 16,
    "block_out_channels": (8, 16),
    "num_attention_heads": (0, 2),
    "down_num_layers_per_block": (1, 1),
    "up_num_layers_per_block": (1, 1),
    "block_types_per_layer": (
        ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
        ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
    ),
    "clip_text_pooled_in_channels": WIDTH,
    "clip_seq": 2,
    "dropout": (0.0, 0.0),
}


def cascade_prior() -> Tiny:
    """Stable Cascade's prior: told a ratio of time, not a step; the scheduler adds noise."""
    config = {**CASCADE, "clip_text_in_channels": WIDTH, "clip_image_in_channels": WIDTH, "switch_level": (False,)}
    pipe = StableCascadePriorPipeline(
        tokenizer=text.clip_tokenizer(),
        text_encoder=text.clip(CLIPTextModelWithProjection),
        prior=network(StableCascadeUNet, config),
        scheduler=DDPMWuerstchenScheduler(),
        resolution_multiple=4.0,
    )
    return tiny(pipe, {"height": 16, "width": 16, "output_type": "pt", "guidance_scale": 4.0})


def cascade_decoder() -> Tiny:
    """Stable Cascade's decoder: told the prior's latents."""
    config = {**CASCADE, "patch_size": 2, "effnet_in_channels": 4, "pixel_mapper_in_channels": 3}
    pipe = StableCascadeDecoderPipeline(
        decoder=network(StableCascadeUNet, config),
        tokenizer=text.clip_tokenizer(),
        text_encoder=text.clip(CLIPTextModelWithProjection),
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=network(PaellaVQModel, {"bottleneck_blocks": 1, "embed_dim": 8, "num_vq_embeddings": 16}),
        latent_dim_scale=4.0,
    )
    conditions = tuple(
        {**prompt, "image_embeddings": embedding}
        for prompt, embedding in zip(PROMPTS, embeddings(1, 4, 4, 4), strict=True)
    )
    return tiny(pipe, {"output_type": "latent", "guidance_scale": 2.0}, conditions)
