"""Pipelines around U-Nets whose samples have a picture each: image to image, inpainting, control, upscaling."""

from typing import Any

import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelImg2ImgPipeline,
    LCMScheduler,
    LDMSuperResolutionPipeline,
    MarigoldDepthPipeline,
    MarigoldNormalsPipeline,
    PNDMScheduler,
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImageVariationPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionLatentUpscalePipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    T2IAdapter,
    UNet2DModel,
)

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.tiny import Tiny, pictures, shown, tiny
from tests.pipelines.builders.unets import PLAIN, STABLE, UNET, XL, ddim, stable_parts, xl_parts
from tests.pipelines.builders.weights import network

__all__ = [
    "adapter",
    "control",
    "control_image_to_image",
    "control_xl",
    "image_to_image",
    "image_to_image_xl",
    "inpaint",
    "inpaint_xl",
    "instruct",
    "instruct_xl",
    "latent_consistency_image",
    "latent_upscale",
    "marigold_depth",
    "marigold_normals",
    "super_resolution",
    "upscale",
    "variation",
]

LATENT = {"output_type": "latent", "guidance_scale": 5.0}
RIGHT_HALF = torch.cat([torch.zeros(1, 1, 16, 8), torch.ones(1, 1, 16, 8)], dim=-1)
SHOWN = shown("image", 3, 16, 16)


def pndm() -> PNDMScheduler:
    """Stable Diffusion's first scheduler."""
    return PNDMScheduler(**STABLE, skip_prk_steps=True)


def controlnet(config: Any = UNET) -> ControlNetModel:
    """A control network for the U-Net of `config`."""
    not_for_control = ("sample_size", "up_block_types")
    shared = {name: value for name, value in config.items() if name not in not_for_control}
    return network(ControlNetModel, {**shared, "conditioning_embedding_out_channels": (4, 8)}, seed=1)


def image_to_image() -> Tiny:
    """Stable Diffusion from a picture: the last part of the grid only."""
    parts = {**stable_parts(), "scheduler": pndm()}
    return tiny(StableDiffusionImg2ImgPipeline(**parts), {**LATENT, "strength": 0.8}, SHOWN)


def inpaint() -> Tiny:
    """Stable Diffusion's inpainting U-Net: nine channels in, mask and masked picture beside the state."""
    parts = {**stable_parts(in_channels=9), "scheduler": pndm()}
    call = {**PLAIN, "guidance_scale": 5.0, "mask_image": RIGHT_HALF}
    return tiny(StableDiffusionInpaintPipeline(**parts), call, SHOWN)


def instruct() -> Tiny:
    """InstructPix2Pix: guidance by text and by picture, three passes."""
    parts = {**stable_parts(in_channels=8), "scheduler": pndm()}
    return tiny(StableDiffusionInstructPix2PixPipeline(**parts), {**LATENT, "image_guidance_scale": 1.5}, SHOWN)


def control() -> Tiny:
    """Stable Diffusion with a control network."""
    parts = {**stable_parts(), "controlnet": controlnet()}
    return tiny(StableDiffusionControlNetPipeline(**parts), {**PLAIN, "guidance_scale": 5.0}, SHOWN)


def control_image_to_image() -> Tiny:
    """Stable Diffusion from a picture, with a control network."""
    parts = {**stable_parts(), "controlnet": controlnet()}
    call = {**PLAIN, "guidance_scale": 5.0, "strength": 0.8, "control_image": pictures(3, 16, 16)[0]}
    return tiny(StableDiffusionControlNetImg2ImgPipeline(**parts), call, SHOWN)


def adapter() -> Tiny:
    """Stable Diffusion with a T2I adapter."""
    config = {"channels": [8, 16], "num_res_blocks": 1, "downscale_factor": 2}
    parts = {**stable_parts(), "adapter": network(T2IAdapter, config)}
    return tiny(StableDiffusionAdapterPipeline(**parts), {**PLAIN, "guidance_scale": 5.0}, SHOWN)


def upscale() -> Tiny:
    """Stable Diffusion's ×4 upscaler: the small picture, with noise of its own level, beside the state."""
    parts = stable_parts(in_channels=7, num_class_embeds=1000)
    del parts["requires_safety_checker"]
    parts["low_res_scheduler"] = DDPMScheduler(beta_schedule="scaled_linear")
    parts["scheduler"] = DDIMScheduler(**STABLE, clip_sample=False, prediction_type="v_prediction")
    call = {**LATENT, "noise_level": 20}
    return tiny(StableDiffusionUpscalePipeline(**parts), call, shown("image", 3, 8, 8))


def latent_upscale() -> Tiny:
    """The latent upscaler: the pipeline preconditions its network with `scheduler.sigmas[i]` by itself."""
    told = 128 + text.WIDTH  # the noise level's embedding and the pooled prompt
    parts = stable_parts(in_channels=8, out_channels=5, time_cond_proj_dim=told, time_embedding_type="fourier")
    parts = {name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "unet")}
    parts["scheduler"] = EulerDiscreteScheduler(**STABLE)
    return tiny(StableDiffusionLatentUpscalePipeline(**parts), LATENT, SHOWN)


def variation() -> Tiny:
    """Variations of a picture: CLIP's picture encoder in place of text."""
    parts = stable_parts()
    del parts["text_encoder"], parts["tokenizer"]
    parts |= {"image_encoder": text.clip_vision(), "feature_extractor": text.clip_processor()}
    conditions = tuple({"image": picture} for picture in text.seen())
    return tiny(StableDiffusionImageVariationPipeline(**parts), {**PLAIN, "guidance_scale": 5.0}, conditions)


def latent_consistency_image() -> Tiny:
    """A latent consistency model from a picture."""
    parts = {**stable_parts(time_cond_proj_dim=16), "scheduler": LCMScheduler(**STABLE)}
    call = {"output_type": "latent", "guidance_scale": 8.5, "strength": 0.8}
    return tiny(LatentConsistencyModelImg2ImgPipeline(**parts), call, SHOWN)


def image_to_image_xl() -> Tiny:
    """Stable Diffusion XL from a picture."""
    return tiny(StableDiffusionXLImg2ImgPipeline(**xl_parts()), {**LATENT, "strength": 0.8}, SHOWN)


def inpaint_xl() -> Tiny:
    """Stable Diffusion XL's inpainting U-Net."""
    call = {**PLAIN, "guidance_scale": 5.0, "mask_image": RIGHT_HALF}
    return tiny(StableDiffusionXLInpaintPipeline(**xl_parts(in_channels=9)), call, SHOWN)


def instruct_xl() -> Tiny:
    """InstructPix2Pix with Stable Diffusion XL: three passes."""
    call = {**PLAIN, "guidance_scale": 5.0, "image_guidance_scale": 1.5}
    return tiny(StableDiffusionXLInstructPix2PixPipeline(**xl_parts(in_channels=8)), call, SHOWN)


def control_xl() -> Tiny:
    """Stable Diffusion XL with a control network."""
    parts = {**xl_parts(), "controlnet": controlnet(XL)}
    return tiny(StableDiffusionXLControlNetPipeline(**parts), {**PLAIN, "guidance_scale": 5.0}, SHOWN)


def marigold_parts() -> dict[str, Any]:
    """The parts that Marigold's pipelines share."""
    parts = stable_parts(in_channels=8)
    parts = {name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "unet")}
    scheduler = DDIMScheduler(**STABLE, clip_sample=False, prediction_type="v_prediction", timestep_spacing="trailing")
    return {**parts, "scheduler": scheduler}


MARIGOLD = {"processing_resolution": 0, "output_type": "pt"}
PICTURES = tuple({"image": picture} for picture in pictures(3, 16, 16))


def marigold_depth() -> Tiny:
    """Marigold: a picture's depth, in latents beside the picture's own; no guidance."""
    return tiny(MarigoldDepthPipeline(**marigold_parts(), prediction_type="depth"), MARIGOLD, PICTURES)


def marigold_normals() -> Tiny:
    """Marigold: a picture's surface normals."""
    return tiny(MarigoldNormalsPipeline(**marigold_parts(), prediction_type="normals"), MARIGOLD, PICTURES)


def super_resolution() -> Tiny:
    """Latent diffusion's upscaler: no text, the small picture beside the state."""
    config = {
        "sample_size": 8,
        "in_channels": 6,
        "out_channels": 3,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    pipe = LDMSuperResolutionPipeline(
        vqvae=autoencoders.quantised(1, channels=3), unet=network(UNet2DModel, config), scheduler=ddim()
    )
    return tiny(pipe, {"output_type": "np"}, PICTURES)
