"""Pipelines of videos from words: Wan, LTX, CogVideoX, HunyuanVideo, Mochi, Cosmos, and kin."""

from typing import Any

import torch
from diffusers import (
    AllegroPipeline,
    AllegroTransformer3DModel,
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    Cosmos2TextToImagePipeline,
    CosmosTextToWorldPipeline,
    CosmosTransformer3DModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EasyAnimatePipeline,
    EasyAnimateTransformer3DModel,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
    Kandinsky5T2IPipeline,
    Kandinsky5T2VPipeline,
    Kandinsky5Transformer3DModel,
    LattePipeline,
    LatteTransformer3DModel,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    MochiPipeline,
    MochiTransformer3DModel,
    SanaVideoPipeline,
    SanaVideoTransformer3DModel,
    SkyReelsV2Pipeline,
    SkyReelsV2Transformer3DModel,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.guiders import ClassifierFreeGuidance

from tests.pipelines.builders import autoencoders, autoencoders_video, text
from tests.pipelines.builders.flows import NEGATIVE
from tests.pipelines.builders.text import WIDTH
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = [
    "allegro",
    "cogvideo",
    "cosmos",
    "cosmos_2",
    "easy_animate",
    "hunyuan_video",
    "hunyuan_video_15",
    "kandinsky_5",
    "kandinsky_5_picture",
    "latte",
    "ltx",
    "mochi",
    "sana_video",
    "skyreels",
    "wan",
    "wan_2_2",
]

SIDES = {"height": 16, "width": 16}
VIDEO = {**SIDES, "num_frames": 5, "output_type": "latent", "max_sequence_length": 16}

WAN: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": WIDTH,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}
LTX: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 8,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "num_layers": 1,
    "caption_channels": WIDTH,
}


class NothingUnsafe:
    """Stands for Cosmos's checker, which is a package and models of its own: lets everything pass."""

    def to(self, device: torch.device) -> "NothingUnsafe":
        return self

    def check_text_safety(self, prompt: str) -> bool:
        return True

    def check_video_safety(self, video: Any) -> Any:
        return video


def wan_parts(**changes: Any) -> dict[str, Any]:
    """The parts that Wan's pipelines share; `changes` are of its transformer."""
    return {
        "tokenizer": text.t5_tokenizer(),
        "text_encoder": text.umt5(),
        "vae": autoencoders.wan(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
        "transformer": network(WanTransformer3DModel, {**WAN, **changes}),
    }


def wan() -> Tiny:
    """Wan 2.1: static shift 7 on an Euler flow."""
    return tiny(WanPipeline(**wan_parts()), {**VIDEO, "guidance_scale": 5.0})


def unipc(shift: float) -> UniPCMultistepScheduler:
    """UniPC on a flow with a static shift."""
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)


def wan_2_2() -> Tiny:
    """Wan 2.2: one transformer for times above 875, another below, each with its own guidance."""
    second = network(WanTransformer3DModel, WAN, seed=1)
    parts = {**wan_parts(), "transformer_2": second, "boundary_ratio": 0.875, "scheduler": unipc(3.0)}
    return tiny(WanPipeline(**parts), {**VIDEO, "guidance_scale": 4.0, "guidance_scale_2": 3.0})


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


def ltx() -> Tiny:
    """LTX: packed states, dynamic shift stretched to a terminal time."""
    return tiny(LTXPipeline(**ltx_parts()), {**VIDEO, "height": 32, "width": 32, "guidance_scale": 3.0})


def cogvideo_parts(**changes: Any) -> dict[str, Any]:
    """The parts that CogVideoX's pipelines share; `changes` are of its transformer."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 16,
        "text_embed_dim": WIDTH,
        "num_layers": 2,
        "sample_width": 2,
        "sample_height": 2,
        "sample_frames": 5,
        "max_text_seq_length": 16,
    }
    return {
        "tokenizer": text.t5_tokenizer(),
        "text_encoder": text.t5(),
        "vae": autoencoders_video.cogvideo(),
        "transformer": network(CogVideoXTransformer3DModel, {**config, **changes}),
        "scheduler": CogVideoXDDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            snr_shift_scale=3.0,
            timestep_spacing="trailing",
        ),
    }


def cogvideo() -> Tiny:
    """CogVideoX: v-prediction from pure noise, the signal-to-noise ratio shifted; frames before channels."""
    return tiny(CogVideoXPipeline(**cogvideo_parts()), {**VIDEO, "guidance_scale": 6.0})


def mochi() -> Tiny:
    """Mochi: time from 0 to 1 (inverted sigmas), a linear-quadratic grid of the pipeline's own."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "pooled_projection_dim": 16,
        "in_channels": 12,
        "text_embed_dim": WIDTH,
        "time_embed_dim": 16,
        "max_sequence_length": 16,
    }
    pipe = MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=autoencoders_video.mochi(),
        text_encoder=text.t5(),
        tokenizer=text.t5_tokenizer(),
        transformer=network(MochiTransformer3DModel, config),
    )
    return tiny(pipe, {**VIDEO, "num_frames": 7, "guidance_scale": 4.5})


def hunyuan_video() -> Tiny:
    """HunyuanVideo: embedded guidance, Llama and CLIP for text."""
    config = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "num_refiner_layers": 1,
        "guidance_embeds": True,
        "text_embed_dim": WIDTH,
        "pooled_projection_dim": WIDTH,
        "rope_axes_dim": (4, 6, 6),
    }
    pipe = HunyuanVideoPipeline(
        text_encoder=text.llama(layers=3),
        tokenizer=text.byte_tokenizer(1024),
        transformer=network(HunyuanVideoTransformer3DModel, config),
        vae=autoencoders_video.hunyuan_video(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=text.clip(),
        tokenizer_2=text.clip_tokenizer(),
    )
    plain = {"template": "<|im_start|>{}<|im_end|>", "crop_start": 1}
    return tiny(pipe, {**VIDEO, "guidance_scale": 6.0, "prompt_template": plain, "max_sequence_length": 32})


def hunyuan_video_15() -> Tiny:
    """HunyuanVideo 1.5: a guider object instead of a guidance argument."""
    config = {
        "in_channels": 9,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 1,
        "num_refiner_layers": 1,
        "text_embed_dim": WIDTH,
        "text_embed_2_dim": WIDTH,
        "image_embed_dim": 16,
        "rope_axes_dim": (4, 6, 6),
        "target_size": 16,
        "task_type": "t2v",
    }
    pipe = HunyuanVideo15Pipeline(
        text_encoder=text.qwen_vision(layers=3).model.language_model,
        tokenizer=text.byte_tokenizer(1024),
        transformer=network(HunyuanVideo15Transformer3DModel, config),
        vae=autoencoders_video.hunyuan_video_15(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=text.byt5(),
        tokenizer_2=text.byt5_tokenizer(),
        guider=ClassifierFreeGuidance(guidance_scale=6.0),
    )
    pipe.vision_num_semantic_tokens = 4  # 729 by default
    pipe.tokenizer_max_length = 600  # 1000 by default
    return tiny(pipe, {"height": 32, "width": 32, "num_frames": 5, "output_type": "latent"})


def skyreels() -> Tiny:
    """SkyReels V2: Wan's transformer, UniPC with shift 8."""
    parts = {**wan_parts(), "transformer": network(SkyReelsV2Transformer3DModel, WAN), "scheduler": unipc(8.0)}
    return tiny(SkyReelsV2Pipeline(**parts), {**VIDEO, "guidance_scale": 6.0})


def allegro() -> Tiny:
    """Allegro: noise prediction of video tokens."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 24,
        "num_layers": 1,
        "cross_attention_dim": 48,
        "sample_height": 2,
        "sample_width": 2,
        "sample_frames": 2,
        "caption_channels": WIDTH,
    }
    pipe = AllegroPipeline(
        tokenizer=text.t5_tokenizer(),
        text_encoder=text.t5(),
        vae=autoencoders_video.allegro(),
        transformer=network(AllegroTransformer3DModel, config),
        scheduler=DDIMScheduler(clip_sample=False),
    )
    return tiny(pipe, {**VIDEO, "num_frames": 8, "guidance_scale": 7.5, "clean_caption": False})


def latte() -> Tiny:
    """Latte: captions are cut to their length at a batch of one only."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 1,
        "cross_attention_dim": 16,
        "attention_bias": True,
        "sample_size": 8,
        "patch_size": 2,
        "activation_fn": "gelu-approximate",
        "num_embeds_ada_norm": 1000,
        "norm_type": "ada_norm_single",
        "norm_elementwise_affine": False,
        "caption_channels": WIDTH,
        "video_length": 2,
    }
    pipe = LattePipeline(
        tokenizer=text.t5_tokenizer(),
        text_encoder=text.t5(),
        vae=autoencoders.picture(),
        transformer=network(LatteTransformer3DModel, config),
        scheduler=DDIMScheduler(clip_sample=False),
    )
    call = {**SIDES, "video_length": 2, "output_type": "latent", "guidance_scale": 7.5, "clean_caption": False}
    return tiny(pipe, call, note="the output depends on the batch")


def cosmos_network(channels: int, **changes: Any) -> CosmosTransformer3DModel:
    """Cosmos's transformer."""
    config = {
        "in_channels": channels,
        "out_channels": channels,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 1,
        "text_embed_dim": WIDTH,
        "adaln_lora_dim": 4,
        "max_size": (4, 16, 16),
        "extra_pos_embed_type": None,
        "concat_padding_mask": False,  # the mask is resized by torchvision
    }
    return network(CosmosTransformer3DModel, {**config, **changes})


def cosmos_parts() -> dict[str, Any]:
    """The parts that Cosmos 1's pipelines share."""
    return {
        "text_encoder": text.t5(),
        "tokenizer": text.t5_tokenizer(),
        "transformer": cosmos_network(4),
        "vae": autoencoders_video.cosmos(),
        "scheduler": EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5),
        "safety_checker": NothingUnsafe(),
    }


def cosmos() -> Tiny:
    """Cosmos 1: EDM preconditioning by the scheduler, states of variance 80²."""
    call = {**VIDEO, "height": 32, "width": 32, "guidance_scale": 7.0}
    return tiny(CosmosTextToWorldPipeline(**cosmos_parts()), call)


def cosmos_2() -> Tiny:
    """Cosmos 2: a flow scheduler whose sigmas are those of EDM, up to 80; the pipeline preconditions."""
    parts = {**cosmos_parts(), "transformer": cosmos_network(16), "vae": autoencoders.wan()}
    parts["scheduler"] = FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    call = {**SIDES, "output_type": "latent", "max_sequence_length": 16, "guidance_scale": 7.0}
    return tiny(Cosmos2TextToImagePipeline(**parts), call)


def easy_animate() -> Tiny:
    """EasyAnimate: Qwen 2 VL for text, two streams."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "patch_size": 2,
        "num_layers": 2,
        "mmdit_layers": 1,
        "time_embed_dim": 16,
        "text_embed_dim": WIDTH,
    }
    pipe = EasyAnimatePipeline(
        vae=autoencoders_video.magvit(),
        text_encoder=text.qwen_2_vision(),
        tokenizer=text.byte_tokenizer(),
        transformer=network(EasyAnimateTransformer3DModel, config),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    call = {**SIDES, "num_frames": 5, "output_type": "latent", "guidance_scale": 5.0}
    return tiny(pipe, call, NEGATIVE)


def kandinsky_5_parts() -> dict[str, Any]:
    """The parts that Kandinsky 5's pipelines share, but for the autoencoder."""
    config = {
        "in_visual_dim": 4,
        "in_text_dim": WIDTH,
        "in_text_dim2": WIDTH,
        "time_dim": 16,
        "out_visual_dim": 4,
        "model_dim": 32,
        "ff_dim": 32,
        "num_text_blocks": 1,
        "num_visual_blocks": 2,
        "axes_dims": (4, 6, 6),
    }
    return {
        "transformer": network(Kandinsky5Transformer3DModel, config),
        "text_encoder": text.qwen_vision(),
        "tokenizer": text.text_processor(),
        "text_encoder_2": text.clip(),
        "tokenizer_2": text.clip_tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=5.0),
    }


def kandinsky_5() -> Tiny:
    """Kandinsky 5: packed text of unequal lengths."""
    pipe = Kandinsky5T2VPipeline(**kandinsky_5_parts(), vae=autoencoders_video.hunyuan_video())
    return tiny(pipe, {**VIDEO, "max_sequence_length": 1024, "guidance_scale": 5.0})


def kandinsky_5_picture() -> Tiny:
    """Kandinsky 5 for single pictures."""
    pipe = Kandinsky5T2IPipeline(**kandinsky_5_parts(), vae=autoencoders.picture(halvings=3))
    pipe.resolutions = [(16, 16)]  # sides are set to the nearest of these: about 1024² by default
    call = {**SIDES, "output_type": "latent", "max_sequence_length": 1024, "guidance_scale": 3.5}
    return tiny(pipe, call)


def sana_video() -> Tiny:
    """Sana Video: linear attention over frames, DPM-Solver++ on a flow."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "num_layers": 2,
        "num_cross_attention_heads": 2,
        "cross_attention_head_dim": 12,
        "cross_attention_dim": 24,
        "caption_channels": WIDTH,
        "sample_size": 2,
        "rope_max_seq_len": 32,
    }
    pipe = SanaVideoPipeline(
        tokenizer=text.gemma_tokenizer(),
        text_encoder=text.gemma(),
        vae=autoencoders.wan(),
        transformer=network(SanaVideoTransformer3DModel, config),
        scheduler=DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0),
    )
    call = {
        "height": 32,
        "width": 32,
        "frames": 5,
        "output_type": "latent",
        "guidance_scale": 6.0,
        "use_resolution_binning": False,
        "complex_human_instruction": None,
        "max_sequence_length": 16,
    }
    return tiny(pipe, call)
