"""Video pipelines whose samples have a picture or a video each: Wan, LTX, CogVideoX, Cosmos."""

from typing import Any

import torch
from diffusers import (
    CogVideoXImageToVideoPipeline,
    CogVideoXVideoToVideoPipeline,
    Cosmos2VideoToWorldPipeline,
    CosmosVideoToWorldPipeline,
    FlowMatchEulerDiscreteScheduler,
    LTXConditionPipeline,
    LTXImageToVideoPipeline,
    LucyEditPipeline,
    WanImageToVideoPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
    WanVideoToVideoPipeline,
)
from transformers import CLIPVisionModel

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.tiny import PROMPTS, Tiny, pictures, tiny
from tests.pipelines.builders.videos import (
    VIDEO,
    WAN,
    cogvideo_parts,
    cosmos_network,
    cosmos_parts,
    ltx_parts,
    wan_parts,
)
from tests.pipelines.builders.weights import network

__all__ = [
    "cogvideo_image",
    "cogvideo_video",
    "cosmos_2_video",
    "cosmos_video",
    "ltx_condition",
    "ltx_image",
    "lucy",
    "wan_image",
    "wan_vace",
    "wan_video",
]


def seen(side: int = 16) -> tuple[dict[str, Any], ...]:
    """The prompts with a picture each."""
    return tuple({**prompt, "image": image} for prompt, image in zip(PROMPTS, text.seen(side), strict=True))


def filmed(frames: int = 5, side: int = 16) -> tuple[dict[str, Any], ...]:
    """The prompts with a video each: pictures that fade."""
    fade = torch.linspace(1.0, 0.4, frames)[:, None, None, None]
    videos = [list((fade * picture)[:, None].unbind()) for picture in pictures(3, side, side)]
    return tuple({**prompt, "video": [torch.cat(video)]} for prompt, video in zip(PROMPTS, videos, strict=True))


def wan_image() -> Tiny:
    """Wan 2.1 from a first frame: its latents and a mask beside the state, CLIP's view of it as text."""
    config = {**WAN, "in_channels": 36, "image_dim": 16, "added_kv_proj_dim": 24}
    parts = {
        **wan_parts(),
        "transformer": network(WanTransformer3DModel, config),
        "image_encoder": text.clip_vision(CLIPVisionModel),
        "image_processor": text.clip_processor(),
    }
    return tiny(WanImageToVideoPipeline(**parts), {**VIDEO, "guidance_scale": 5.0}, seen())


def wan_video() -> Tiny:
    """Wan 2.1 from a video: the last part of the grid only."""
    call = {name: value for name, value in VIDEO.items() if name != "num_frames"}
    return tiny(WanVideoToVideoPipeline(**wan_parts()), {**call, "guidance_scale": 5.0, "strength": 0.8}, filmed())


def wan_vace() -> Tiny:
    """Wan VACE: a video to change, in a branch of its own."""
    config = {**WAN, "vace_layers": [0], "vace_in_channels": 96}
    parts = {**wan_parts(), "transformer": network(WanVACETransformer3DModel, config)}
    return tiny(WanVACEPipeline(**parts), {**VIDEO, "guidance_scale": 5.0}, PROMPTS)


def lucy() -> Tiny:
    """Lucy Edit: the latents of the video to change beside the state."""
    parts = wan_parts(in_channels=32)
    return tiny(LucyEditPipeline(**parts), {**VIDEO, "guidance_scale": 5.0}, filmed())


LTX_CALL = {**VIDEO, "height": 32, "width": 32, "guidance_scale": 3.0}


def ltx_image() -> Tiny:
    """LTX from a first frame: the scheduler sees the other frames only."""
    return tiny(LTXImageToVideoPipeline(**ltx_parts()), LTX_CALL, seen(32), note="the state is a part of the latents")


def ltx_condition() -> Tiny:
    """LTX from any frames: a grid of the pipeline's own, times of its own for each token."""
    parts = {**ltx_parts(), "scheduler": FlowMatchEulerDiscreteScheduler()}
    return tiny(LTXConditionPipeline(**parts), LTX_CALL, seen(32))


def cogvideo_image() -> Tiny:
    """CogVideoX from a first frame: its latents beside the state."""
    changes = {"in_channels": 8, "use_rotary_positional_embeddings": True, "use_learned_positional_embeddings": True}
    parts = cogvideo_parts(**changes)
    return tiny(CogVideoXImageToVideoPipeline(**parts), {**VIDEO, "guidance_scale": 6.0}, seen())


def cogvideo_video() -> Tiny:
    """CogVideoX from a video: the last part of the grid only."""
    call = {name: value for name, value in VIDEO.items() if name != "num_frames"}
    call |= {"guidance_scale": 6.0, "strength": 0.8}
    return tiny(CogVideoXVideoToVideoPipeline(**cogvideo_parts()), call, filmed())


def cosmos_video() -> Tiny:
    """Cosmos 1 from a first frame: known frames are put back before each network call."""
    parts = {**cosmos_parts(), "transformer": cosmos_network(5, out_channels=4)}
    return tiny(CosmosVideoToWorldPipeline(**parts), {**VIDEO, "num_frames": 9, "guidance_scale": 7.0}, seen())


def cosmos_2_video() -> Tiny:
    """Cosmos 2 from a first frame: known frames have a sigma of their own."""
    parts = {**cosmos_parts(), "transformer": cosmos_network(17, out_channels=16), "vae": autoencoders.wan()}
    parts["scheduler"] = FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    return tiny(Cosmos2VideoToWorldPipeline(**parts), {**VIDEO, "guidance_scale": 7.0}, seen())
