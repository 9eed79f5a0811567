"""Picture pipelines of transformers that predict noise: PixArt, DiT, Hunyuan-DiT, CogView 3."""

from typing import Any

from diffusers import (
    CogVideoXDDIMScheduler,
    CogView3PlusPipeline,
    CogView3PlusTransformer2DModel,
    DDIMScheduler,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    HunyuanDiT2DModel,
    HunyuanDiTPAGPipeline,
    HunyuanDiTPipeline,
    PixArtAlphaPipeline,
    PixArtSigmaPAGPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = [
    "cogview_3",
    "dit",
    "hunyuan_dit",
    "hunyuan_dit_pag",
    "pixart_alpha",
    "pixart_sigma",
    "pixart_sigma_pag",
]

PLAIN = {"height": 16, "width": 16, "output_type": "latent"}
PIXART_CALL = {
    **PLAIN,
    "guidance_scale": 4.5,
    "use_resolution_binning": False,
    "clean_caption": False,
    "max_sequence_length": 16,
}


def pixart_parts() -> dict[str, Any]:
    """The parts that PixArt's pipelines share: the network also gives a variance, which the pipeline drops."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "cross_attention_dim": 16,
        "sample_size": 8,
        "caption_channels": text.WIDTH,
        "use_additional_conditions": False,
    }
    return {
        "tokenizer": text.t5_tokenizer(),
        "text_encoder": text.t5(),
        "vae": autoencoders.picture(),
        "transformer": network(PixArtTransformer2DModel, config),
        "scheduler": DDIMScheduler(beta_start=0.0001, beta_end=0.02, clip_sample=False),
    }


def pixart_alpha() -> Tiny:
    """PixArt α."""
    parts = {**pixart_parts(), "scheduler": DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02)}
    return tiny(PixArtAlphaPipeline(**parts), PIXART_CALL)


def pixart_sigma() -> Tiny:
    """PixArt Σ."""
    return tiny(PixArtSigmaPipeline(**pixart_parts()), PIXART_CALL)


def pixart_sigma_pag() -> Tiny:
    """PixArt Σ with perturbed-attention guidance: three passes."""
    pipe = PixArtSigmaPAGPipeline(**pixart_parts(), pag_applied_layers="blocks.1")
    return tiny(pipe, {**PIXART_CALL, "pag_scale": 3.0})


def dit() -> Tiny:
    """DiT: class labels; the scheduler is given both halves of a guided batch, and no learned variance."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 2,
        "sample_size": 8,
        "num_embeds_ada_norm": 1000,
    }
    pipe = DiTPipeline(
        transformer=network(DiTTransformer2DModel, config),
        vae=autoencoders.picture(),
        scheduler=DDIMScheduler(beta_start=0.0001, beta_end=0.02, clip_sample=False),
    )
    labels = tuple({"class_labels": [label]} for label in (3, 207, 850))
    return tiny(pipe, {"output_type": "np", "guidance_scale": 4.0}, labels, note="the scheduler's batch is doubled")


def hunyuan_dit_parts(num_layers: int = 2) -> dict[str, Any]:
    """The parts that Hunyuan-DiT's pipelines share."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "in_channels": 4,
        "patch_size": 2,
        "sample_size": 8,
        "hidden_size": 16,
        "num_layers": num_layers,
        "cross_attention_dim": text.WIDTH,
        "cross_attention_dim_t5": text.WIDTH,
        "pooled_projection_dim": 16,
    }
    return {
        "vae": autoencoders.picture(),
        "text_encoder": text.bert(),
        "tokenizer": text.bert_tokenizer(),
        "transformer": network(HunyuanDiT2DModel, config),
        "scheduler": DDPMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.02,
            prediction_type="v_prediction",
            clip_sample=False,
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
        "text_encoder_2": text.t5(),
        "tokenizer_2": text.t5_tokenizer(256),
    }


HUNYUAN_CALL = {**PLAIN, "guidance_scale": 5.0, "use_resolution_binning": False}


def hunyuan_dit() -> Tiny:
    """Hunyuan-DiT: v-prediction, ancestral DDPM steps, BERT and T5 for text."""
    return tiny(HunyuanDiTPipeline(**hunyuan_dit_parts()), HUNYUAN_CALL)


def hunyuan_dit_pag() -> Tiny:
    """Hunyuan-DiT with perturbed-attention guidance: three passes."""
    pipe = HunyuanDiTPAGPipeline(**hunyuan_dit_parts(), pag_applied_layers="blocks.1")
    return tiny(pipe, {**HUNYUAN_CALL, "pag_scale": 3.0})


def cogview_3() -> Tiny:
    """CogView 3 Plus: CogVideoX's DDIM with its shift of the signal-to-noise ratio."""
    config = {
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "text_embed_dim": text.WIDTH,
        "time_embed_dim": 16,
        "condition_dim": 4,
        "pos_embed_max_size": 16,
        "sample_size": 8,
    }
    pipe = CogView3PlusPipeline(
        tokenizer=text.t5_tokenizer(),
        text_encoder=text.t5(),
        vae=autoencoders.picture(),
        transformer=network(CogView3PlusTransformer2DModel, config),
        scheduler=CogVideoXDDIMScheduler(snr_shift_scale=4.0, prediction_type="v_prediction", clip_sample=False),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 16})
