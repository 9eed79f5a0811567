"""More relations of Stable Diffusion, SD 3, Flux and Hunyuan-DiT: perturbed guidance, control and pictures together."""

from typing import Any

from diffusers import (
    AnimateDiffPAGPipeline,
    ControlNetUnionModel,
    FluxControlImg2ImgPipeline,
    FluxControlNetImg2ImgPipeline,
    FluxControlNetModel,
    HunyuanDiT2DControlNetModel,
    HunyuanDiTControlNetPipeline,
    Krea2Pipeline,
    Krea2Transformer2DModel,
    SanaSprintImg2ImgPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    SkyReelsV2DiffusionForcingPipeline,
    SkyReelsV2Transformer3DModel,
    StableDiffusion3PAGImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPAGPipeline,
    StableDiffusionPAGImg2ImgPipeline,
    StableDiffusionPAGInpaintPipeline,
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetPAGPipeline,
    StableDiffusionXLControlNetUnionPipeline,
    StableDiffusionXLPAGImg2ImgPipeline,
    T2IAdapter,
    ZImageControlNetModel,
    ZImageControlNetPipeline,
)

from tests.pipelines.builders import text
from tests.pipelines.builders.flows import FLUX, SANA, SANA_CALL, flux_parts, qwen_parts, sana_parts, sd3_parts
from tests.pipelines.builders.flows import z_image_parts as z_parts
from tests.pipelines.builders.flows_shown import (
    CONTROLLED,
    FLUX_CALL,
    PUT_BACK,
    SD3_CALL,
    SHOWN,
    Z_CALL,
    right_half,
)
from tests.pipelines.builders.motion import animate_parts
from tests.pipelines.builders.text import WIDTH
from tests.pipelines.builders.tiny import Tiny, pictures, shown, tiny
from tests.pipelines.builders.transformers2d import HUNYUAN_CALL, hunyuan_dit_parts
from tests.pipelines.builders.unets import PLAIN, XL, stable_parts, xl_parts
from tests.pipelines.builders.unets_shown import controlnet
from tests.pipelines.builders.videos import VIDEO, WAN, unipc, wan_parts
from tests.pipelines.builders.weights import network

__all__ = [
    "adapter_xl",
    "animate_pag",
    "control_image_xl",
    "control_inpaint",
    "control_pag",
    "control_pag_xl",
    "control_union_xl",
    "flux_control_image",
    "flux_controlnet_image",
    "hunyuan_dit_control",
    "image_pag",
    "image_pag_xl",
    "inpaint_pag",
    "krea_2",
    "sana_sprint_image",
    "sd3_image_pag",
    "skyreels_forcing",
    "z_image_control",
]

CALL = {**PLAIN, "guidance_scale": 5.0}
FROM_PICTURE = {"output_type": "latent", "guidance_scale": 5.0, "strength": 0.8}
PERTURBED = {"pag_scale": 3.0}
ONE = pictures(3, 16, 16)[0]


def with_control() -> dict[str, Any]:
    """Stable Diffusion's parts and a control network."""
    return {**stable_parts(), "controlnet": controlnet()}


def with_control_xl() -> dict[str, Any]:
    """Stable Diffusion XL's parts and a control network."""
    return {**xl_parts(), "controlnet": controlnet(XL)}


def image_pag() -> Tiny:
    """Stable Diffusion from a picture, perturbed attention."""
    return tiny(StableDiffusionPAGImg2ImgPipeline(**stable_parts()), {**FROM_PICTURE, **PERTURBED}, SHOWN)


def inpaint_pag() -> Tiny:
    """Stable Diffusion inpainting, perturbed attention."""
    call = {**CALL, **PERTURBED, "mask_image": right_half(16)}
    return tiny(StableDiffusionPAGInpaintPipeline(**stable_parts(in_channels=9)), call, SHOWN)


def control_pag() -> Tiny:
    """Stable Diffusion with a control network, perturbed attention."""
    return tiny(StableDiffusionControlNetPAGPipeline(**with_control()), {**CALL, **PERTURBED}, SHOWN)


def control_inpaint() -> Tiny:
    """Stable Diffusion inpainting with a control network."""
    call = {**CALL, "mask_image": right_half(16), "control_image": ONE}
    return tiny(StableDiffusionControlNetInpaintPipeline(**with_control()), call, SHOWN, note=PUT_BACK)


def image_pag_xl() -> Tiny:
    """Stable Diffusion XL from a picture, perturbed attention."""
    return tiny(StableDiffusionXLPAGImg2ImgPipeline(**xl_parts()), {**FROM_PICTURE, **PERTURBED}, SHOWN)


def control_pag_xl() -> Tiny:
    """Stable Diffusion XL with a control network, perturbed attention."""
    return tiny(StableDiffusionXLControlNetPAGPipeline(**with_control_xl()), {**CALL, **PERTURBED}, SHOWN)


def control_image_xl() -> Tiny:
    """Stable Diffusion XL from a picture with a control network."""
    call = {**PLAIN, **FROM_PICTURE, "control_image": ONE}
    return tiny(StableDiffusionXLControlNetImg2ImgPipeline(**with_control_xl()), call, SHOWN)


def control_union_xl() -> Tiny:
    """Stable Diffusion XL with one control network for many kinds of control."""
    drop = ("sample_size", "up_block_types")
    shared = {name: value for name, value in XL.items() if name not in drop}
    config = {**shared, "conditioning_embedding_out_channels": (4, 8), "num_control_type": 6}
    config |= {"num_trans_channel": 8, "num_trans_head": 2, "num_trans_layer": 1, "num_proj_channel": 8}
    parts = {**xl_parts(), "controlnet": network(ControlNetUnionModel, config, seed=1)}
    call = {**CALL, "control_mode": [1]}
    conditions = tuple({**one, "control_image": [one["control_image"]]} for one in CONTROLLED)
    return tiny(StableDiffusionXLControlNetUnionPipeline(**parts), call, conditions)


def adapter_xl() -> Tiny:
    """Stable Diffusion XL with a T2I adapter."""
    config = {"channels": [8, 16], "num_res_blocks": 1, "downscale_factor": 4, "adapter_type": "full_adapter_xl"}
    parts = {**xl_parts(), "adapter": network(T2IAdapter, config)}
    return tiny(StableDiffusionXLAdapterPipeline(**parts), CALL, SHOWN)


def animate_pag() -> Tiny:
    """AnimateDiff, perturbed attention."""
    return tiny(AnimateDiffPAGPipeline(**animate_parts()), {**CALL, **PERTURBED, "num_frames": 3})


def sd3_image_pag() -> Tiny:
    """Stable Diffusion 3 from a picture, perturbed attention."""
    pipe = StableDiffusion3PAGImg2ImgPipeline(**sd3_parts(), pag_applied_layers="blocks.1")
    return tiny(pipe, {**SD3_CALL, **PERTURBED, "strength": 0.8}, SHOWN)


def flux_control_image() -> Tiny:
    """Flux.1 from a picture, a control picture beside the state."""
    call = {**FLUX_CALL, "strength": 0.8, "control_image": ONE}
    return tiny(FluxControlImg2ImgPipeline(**flux_parts(channels=32)), call, SHOWN)


def flux_controlnet_image() -> Tiny:
    """Flux.1 from a picture with a control network."""
    config = {name: value for name, value in FLUX.items() if name != "out_channels"}
    parts = {**flux_parts(), "controlnet": network(FluxControlNetModel, {**config, "guidance_embeds": True}, seed=1)}
    call = {**FLUX_CALL, "strength": 0.8, "control_image": ONE}
    return tiny(FluxControlNetImg2ImgPipeline(**parts), call, SHOWN)


def sana_sprint_image() -> Tiny:
    """Sana Sprint from a picture."""
    changes = {"guidance_embeds": True, "guidance_embeds_scale": 0.1, "qk_norm": "rms_norm_across_heads"}
    parts = {**sana_parts(), "transformer": network(SanaTransformer2DModel, {**SANA, **changes})}
    parts["scheduler"] = SCMScheduler()
    return tiny(SanaSprintImg2ImgPipeline(**parts), {**SANA_CALL, "strength": 0.8}, shown("image", 3, 32, 32), steps=2)


def z_image_control() -> Tiny:
    """Z-Image with a control network."""
    config = {
        "control_layers_places": [0],
        "control_refiner_layers_places": [0],
        "control_in_dim": 16,
        "dim": 32,
        "n_refiner_layers": 1,
        "n_heads": 2,
        "n_kv_heads": 2,
    }
    parts = {**z_parts(), "controlnet": network(ZImageControlNetModel, config, seed=1)}
    return tiny(ZImageControlNetPipeline(**parts), Z_CALL, CONTROLLED)


def hunyuan_dit_control() -> Tiny:
    """Hunyuan-DiT with a control network."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "in_channels": 4,
        "patch_size": 2,
        "sample_size": 8,
        "hidden_size": 16,
        "transformer_num_layers": 4,
        "cross_attention_dim": WIDTH,
        "cross_attention_dim_t5": WIDTH,
        "pooled_projection_dim": 16,
    }
    parts = {**hunyuan_dit_parts(num_layers=4), "controlnet": network(HunyuanDiT2DControlNetModel, config, seed=1)}
    return tiny(HunyuanDiTControlNetPipeline(**parts), HUNYUAN_CALL, CONTROLLED)


def skyreels_forcing() -> Tiny:
    """SkyReels V2 with a time of its own for each frame."""
    parts = {**wan_parts(), "transformer": network(SkyReelsV2Transformer3DModel, WAN), "scheduler": unipc(8.0)}
    call = {**VIDEO, "guidance_scale": 6.0, "base_num_frames": 5, "addnoise_condition": 0}
    return tiny(SkyReelsV2DiffusionForcingPipeline(**parts), call, note="frames have times of their own")


def krea_2() -> Tiny:
    """Krea 2: several layers of its language model are fused into its text."""
    config = {
        "in_channels": 64,
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 32,
        "timestep_embed_dim": 16,
        "text_hidden_dim": WIDTH,
        "num_text_layers": 2,
        "text_num_attention_heads": 2,
        "text_num_key_value_heads": 2,
        "text_intermediate_size": 32,
        "num_layerwise_text_blocks": 1,
        "num_refiner_text_blocks": 1,
        "axes_dims_rope": (4, 6, 6),
    }
    pipe = Krea2Pipeline(
        scheduler=qwen_parts()["scheduler"],
        vae=qwen_parts()["vae"],
        text_encoder=text.qwen_3_vision(),
        tokenizer=text.byte_tokenizer(1024),
        transformer=network(Krea2Transformer2DModel, config),
        text_encoder_select_layers=(1, 2),
    )
    return tiny(pipe, {"height": 32, "width": 32, "output_type": "latent", "guidance_scale": 4.5})
