"""Flow pipelines whose samples have a picture each: image to image, inpainting, control; perturbed guidance."""

from typing import Any

import torch
from diffusers import (
    ChromaImg2ImgPipeline,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextPipeline,
    QwenImageControlNetModel,
    QwenImageControlNetPipeline,
    QwenImageImg2ImgPipeline,
    QwenImageInpaintPipeline,
    SanaControlNetModel,
    SanaControlNetPipeline,
    SanaPAGPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    SD3ControlNetModel,
    StableDiffusion3ControlNetPipeline,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3InpaintPipeline,
    StableDiffusion3PAGPipeline,
    ZImageImg2ImgPipeline,
    ZImageInpaintPipeline,
)

from tests.pipelines.builders.flows import (
    FLUX,
    PLAIN,
    QWEN,
    SANA,
    SANA_CALL,
    SD3,
    flux_parts,
    qwen_parts,
    sana_parts,
    sd3_parts,
    z_image_parts,
)
from tests.pipelines.builders.flows_more import chroma_parts
from tests.pipelines.builders.tiny import Tiny, shown, tiny
from tests.pipelines.builders.weights import network

__all__ = [
    "chroma_image",
    "flux_control",
    "flux_controlnet",
    "flux_fill",
    "flux_image",
    "flux_inpaint",
    "flux_kontext",
    "qwen_control",
    "qwen_image_to_image",
    "qwen_inpaint",
    "sana_control",
    "sana_pag",
    "sana_sprint",
    "sd3_control",
    "sd3_image",
    "sd3_inpaint",
    "sd3_pag",
    "z_image_inpaint",
    "z_image_to_image",
]

SD3_CALL = {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 16}
FLUX_CALL = {**PLAIN, "guidance_scale": 3.5, "max_sequence_length": 16}
Z_CALL = {**PLAIN, "guidance_scale": 4.0, "max_sequence_length": 64}
QWEN_CALL = {"height": 32, "width": 32, "output_type": "latent", "true_cfg_scale": 4.0}
PUT_BACK = "the state is changed between steps"
SHOWN = shown("image", 3, 16, 16)
CONTROLLED = shown("control_image", 3, 16, 16)


def right_half(side: int) -> torch.Tensor:
    """A mask of the right half of a square picture."""
    return torch.cat([torch.zeros(1, 1, side, side // 2), torch.ones(1, 1, side, side // 2)], dim=-1)


def negated(conditions: tuple[Any, ...]) -> tuple[Any, ...]:
    """The conditions with a negative prompt each."""
    return tuple({**condition, "negative_prompt": "blurred"} for condition in conditions)


def sd3_image() -> Tiny:
    """Stable Diffusion 3 from a picture."""
    return tiny(StableDiffusion3Img2ImgPipeline(**sd3_parts()), {**SD3_CALL, "strength": 0.8}, SHOWN)


def sd3_inpaint() -> Tiny:
    """Stable Diffusion 3 inpainting without a network of its own: the known half is put back after each step."""
    call = {**SD3_CALL, "strength": 0.8, "mask_image": right_half(16)}
    return tiny(StableDiffusion3InpaintPipeline(**sd3_parts(16)), call, SHOWN, note=PUT_BACK)


def sd3_control() -> Tiny:
    """Stable Diffusion 3 with a control network."""
    parts = {**sd3_parts(), "controlnet": network(SD3ControlNetModel, SD3, seed=1)}
    return tiny(StableDiffusion3ControlNetPipeline(**parts), SD3_CALL, CONTROLLED)


def sd3_pag() -> Tiny:
    """Stable Diffusion 3 with perturbed-attention guidance: three passes."""
    pipe = StableDiffusion3PAGPipeline(**sd3_parts(), pag_applied_layers="blocks.1")
    return tiny(pipe, {**SD3_CALL, "pag_scale": 3.0})


def flux_image() -> Tiny:
    """Flux.1 from a picture."""
    return tiny(FluxImg2ImgPipeline(**flux_parts()), {**FLUX_CALL, "strength": 0.8}, SHOWN)


def flux_inpaint() -> Tiny:
    """Flux.1 inpainting without a network of its own: the known half is put back after each step."""
    call = {**FLUX_CALL, "strength": 0.8, "mask_image": right_half(16)}
    return tiny(FluxInpaintPipeline(**flux_parts()), call, SHOWN, note=PUT_BACK)


def flux_kontext() -> Tiny:
    """Flux.1 Kontext: the tokens of a reference picture beside the state's."""
    call = {**FLUX_CALL, "_auto_resize": False, "max_area": 256}
    return tiny(FluxKontextPipeline(**flux_parts()), call, SHOWN)


def flux_fill() -> Tiny:
    """Flux.1 Fill: masked picture and mask in channels beside the state."""
    parts = flux_parts(channels=16 + 16 + 16)
    return tiny(FluxFillPipeline(**parts), {**FLUX_CALL, "mask_image": right_half(16)}, SHOWN)


def flux_control() -> Tiny:
    """Flux.1 with the channels of a control picture beside the state."""
    return tiny(FluxControlPipeline(**flux_parts(channels=32)), FLUX_CALL, CONTROLLED)


def flux_controlnet() -> Tiny:
    """Flux.1 with a control network."""
    config = {name: value for name, value in FLUX.items() if name != "out_channels"}
    parts = {**flux_parts(), "controlnet": network(FluxControlNetModel, {**config, "guidance_embeds": True}, seed=1)}
    return tiny(FluxControlNetPipeline(**parts), FLUX_CALL, CONTROLLED)


def chroma_image() -> Tiny:
    """Chroma from a picture."""
    call = {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 32, "strength": 0.8}
    return tiny(ChromaImg2ImgPipeline(**chroma_parts()), call, negated(SHOWN))


def qwen_image_to_image() -> Tiny:
    """Qwen-Image from a picture."""
    call = {**QWEN_CALL, "strength": 0.8}
    return tiny(QwenImageImg2ImgPipeline(**qwen_parts()), call, negated(shown("image", 3, 32, 32)))


def qwen_inpaint() -> Tiny:
    """Qwen-Image inpainting: the known half is put back after each step."""
    call = {**QWEN_CALL, "strength": 0.8, "mask_image": right_half(32)}
    conditions = negated(shown("image", 3, 32, 32))
    return tiny(QwenImageInpaintPipeline(**qwen_parts()), call, conditions, note=PUT_BACK)


def qwen_control() -> Tiny:
    """Qwen-Image with a control network."""
    parts = {**qwen_parts(), "controlnet": network(QwenImageControlNetModel, QWEN, seed=1)}
    return tiny(QwenImageControlNetPipeline(**parts), QWEN_CALL, negated(shown("control_image", 3, 32, 32)))


def sana_sprint() -> Tiny:
    """Sana Sprint: a trigonometric flow told its angle; embedded guidance."""
    changes = {"guidance_embeds": True, "guidance_embeds_scale": 0.1, "qk_norm": "rms_norm_across_heads"}
    parts = {**sana_parts(), "transformer": network(SanaTransformer2DModel, {**SANA, **changes})}
    parts["scheduler"] = SCMScheduler()
    return tiny(SanaSprintPipeline(**parts), SANA_CALL, steps=2)


def sana_pag() -> Tiny:
    """Sana with perturbed-attention guidance: three passes."""
    pipe = SanaPAGPipeline(**sana_parts(), pag_applied_layers="transformer_blocks.0")
    return tiny(pipe, {**SANA_CALL, "pag_scale": 3.0})


def sana_control() -> Tiny:
    """Sana with a control network."""
    parts = {**sana_parts(), "controlnet": network(SanaControlNetModel, {**SANA, "num_layers": 1}, seed=1)}
    return tiny(SanaControlNetPipeline(**parts), SANA_CALL, shown("control_image", 3, 32, 32))


def z_image_to_image() -> Tiny:
    """Z-Image from a picture."""
    return tiny(ZImageImg2ImgPipeline(**z_image_parts()), {**Z_CALL, "strength": 0.8}, SHOWN)


def z_image_inpaint() -> Tiny:
    """Z-Image inpainting: the known half is put back after each step."""
    call = {**Z_CALL, "strength": 0.8, "mask_image": right_half(16)}
    return tiny(ZImageInpaintPipeline(**z_image_parts()), call, SHOWN, note=PUT_BACK)
