"""Video pipelines around U-Nets: AnimateDiff and Stable Video Diffusion."""

from typing import Any

import torch
from diffusers import (
    AnimateDiffPipeline,
    AnimateDiffSDXLPipeline,
    AnimateDiffVideoToVideoPipeline,
    EulerDiscreteScheduler,
    MotionAdapter,
    StableVideoDiffusionPipeline,
    UNetMotionModel,
    UNetSpatioTemporalConditionModel,
)

from tests.pipelines.builders import autoencoders_video, text
from tests.pipelines.builders.tiny import PROMPTS, Tiny, pictures, tiny
from tests.pipelines.builders.unets import PLAIN, stable_parts, xl_parts
from tests.pipelines.builders.weights import draw, network

__all__ = ["animate", "animate_video", "animate_xl", "stable_video"]


def adapter() -> MotionAdapter:
    """Motion layers for a U-Net of two levels."""
    return network(
        MotionAdapter,
        {
            "block_out_channels": (8, 16),
            "motion_layers_per_block": 1,
            "motion_num_attention_heads": 2,
            "motion_norm_num_groups": 4,
        },
    )


def moving(parts: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The named parts, the U-Net with motion layers; all its weights are drawn anew, as some are in neither part."""
    motion = adapter()
    unet = UNetMotionModel.from_unet2d(parts["unet"], motion)
    draw(unet, seed=0)
    return {**{name: parts[name] for name in names}, "unet": unet, "motion_adapter": motion}


def animate_parts() -> dict[str, Any]:
    """The parts of AnimateDiff with Stable Diffusion 1."""
    return moving(stable_parts(), ("vae", "text_encoder", "tokenizer", "scheduler"))


def animate() -> Tiny:
    """AnimateDiff: Stable Diffusion with motion layers."""
    return tiny(AnimateDiffPipeline(**animate_parts()), {**PLAIN, "num_frames": 3, "guidance_scale": 7.5})


def animate_xl() -> Tiny:
    """AnimateDiff with Stable Diffusion XL."""
    parts = xl_parts()
    pipe = AnimateDiffSDXLPipeline(**moving(parts, tuple(parts)))
    return tiny(pipe, {**PLAIN, "num_frames": 3, "guidance_scale": 5.0})


def animate_video() -> Tiny:
    """AnimateDiff from a video."""
    video = [torch.cat(pictures(3, 16, 16))]
    call = {**PLAIN, "guidance_scale": 7.5, "strength": 0.8, "video": video}
    return tiny(AnimateDiffVideoToVideoPipeline(**animate_parts()), call, PROMPTS)


def stable_video() -> Tiny:
    """Stable Video Diffusion: EDM preconditioning, a guidance of its own for each frame, noise in its condition."""
    config = {
        "sample_size": 8,
        "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        "block_out_channels": (64, 64),  # in 32 groups: the time is lost where a group is one channel
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 3 * 4,
        "layers_per_block": 1,
        "cross_attention_dim": text.WIDTH,
        "num_attention_heads": (2, 2),
        "num_frames": 2,
    }
    pipe = StableVideoDiffusionPipeline(
        vae=autoencoders_video.temporal(),
        image_encoder=text.clip_vision(side=224),  # the pipeline's own size
        unet=network(UNetSpatioTemporalConditionModel, config),
        scheduler=EulerDiscreteScheduler(
            prediction_type="v_prediction",
            sigma_min=0.002,
            sigma_max=700.0,
            timestep_spacing="leading",
            timestep_type="continuous",
            use_karras_sigmas=True,
        ),
        feature_extractor=text.clip_processor(),
    )
    conditions = tuple({"image": image} for image in text.seen())
    call = {**PLAIN, "num_frames": 2}
    return tiny(pipe, call, conditions, note="conditioning noise is drawn for a whole batch")
