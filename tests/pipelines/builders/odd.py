"""Pipelines that are like no other: grids of pictures, mixtures of experts, flow maps, pixels, implicit shapes."""

from typing import Any

from diffusers import (
    AnyFlowPipeline,
    AnyFlowTransformer3DModel,
    FlowMapEulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeliosPipeline,
    HeliosScheduler,
    HeliosTransformer3DModel,
    HeunDiscreteScheduler,
    Ideogram4Pipeline,
    Ideogram4Transformer2DModel,
    NucleusMoEImagePipeline,
    NucleusMoEImageTransformer2DModel,
    PriorTransformer,
    PRXPixelPipeline,
    PRXTransformer2DModel,
    ShapEPipeline,
    VisualClozeGenerationPipeline,
)
from diffusers.pipelines.shap_e.renderer import ShapERenderer
from transformers import CLIPTextModelWithProjection, Qwen3VLForConditionalGeneration

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.flows import DYNAMIC, PLAIN, flux_parts
from tests.pipelines.builders.text import WIDTH
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.videos import VIDEO, WAN, wan_parts
from tests.pipelines.builders.weights import network

__all__ = ["any_flow", "helios", "ideogram", "nucleus", "prx_pixel", "shap_e", "visual_cloze"]


def visual_cloze() -> Tiny:
    """VisualCloze's first half: the missing picture of a grid, by Flux.1 Fill's channels."""
    pipe = VisualClozeGenerationPipeline(**flux_parts(channels=16 + 16 + 16), resolution=16)
    first, second, third = text.seen()
    conditions = tuple(
        {"task_prompt": "fill in", "content_prompt": prompt, "image": [[one, other], [other, None]]}
        for prompt, one, other in (("a fox", first, second), ("a red boat", second, third), ("snow", third, first))
    )
    return tiny(pipe, {"output_type": "latent", "guidance_scale": 30.0, "max_sequence_length": 16}, conditions)


def nucleus() -> Tiny:
    """Nucleus: a mixture of experts, tokens chosen by the experts."""
    config = {
        "in_channels": 64,
        "out_channels": 16,
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "joint_attention_dim": WIDTH,
        "axes_dims_rope": (4, 6, 6),
        "mlp_ratio": 6.0,  # the dense layers' width is a multiple of 128
        "dense_moe_strategy": "leave_first_block_dense",
        "num_experts": 2,
        "moe_intermediate_dim": 16,
        "capacity_factors": [1.0, 1.0],
    }
    pipe = NucleusMoEImagePipeline(
        transformer=network(NucleusMoEImageTransformer2DModel, config),
        scheduler=FlowMatchEulerDiscreteScheduler(**DYNAMIC),
        vae=autoencoders.qwen(),
        text_encoder=text.qwen_3_vision(Qwen3VLForConditionalGeneration),
        processor=text.text_processor(),
    )
    call = {"height": 32, "width": 32, "output_type": "latent", "guidance_scale": 4.0, "return_index": -1}
    return tiny(pipe, {**call, "max_sequence_length": 1024})


def ideogram() -> Tiny:
    """Ideogram 4: a network for the condition, another without; a guidance for each step."""
    config = {
        "in_channels": 16,
        "num_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "adaln_dim": 16,
        "llm_features_dim": 13 * WIDTH,
        "mrope_section": (4, 2, 2),
    }
    pipe = Ideogram4Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=autoencoders.flux2(),
        text_encoder=text.qwen_3_vision(layers=36),  # 13 of them are read
        tokenizer=text.byte_tokenizer(),
        transformer=network(Ideogram4Transformer2DModel, config),
        unconditional_transformer=network(Ideogram4Transformer2DModel, config, seed=1),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 4.0, "guidance_schedule": None, "max_sequence_length": 64})


def prx_pixel() -> Tiny:
    """PRX in pixels: no autoencoder, noise of twice the usual scale."""
    config = {
        "in_channels": 3,
        "patch_size": 4,
        "context_in_dim": WIDTH,
        "hidden_size": 32,
        "num_heads": 2,
        "depth": 2,
        "axes_dim": [8, 8],
        "bottleneck_size": 16,
    }
    pipe = PRXPixelPipeline(
        transformer=network(PRXTransformer2DModel, config),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=text.t5_gemma(),
        tokenizer=text.gemma_tokenizer(32),
        default_sample_size=16,
        prompt_max_tokens=32,
    )
    call = {"height": 16, "width": 16, "output_type": "pt", "guidance_scale": 4.0, "use_resolution_binning": False}
    return tiny(pipe, call)


def any_flow() -> Tiny:
    """AnyFlow: a flow map, told two times at each step."""
    parts = {**wan_parts(), "transformer": network(AnyFlowTransformer3DModel, WAN)}
    parts["scheduler"] = FlowMapEulerDiscreteScheduler()
    return tiny(AnyFlowPipeline(**parts), VIDEO, note="told the end of the step too")


def helios() -> Tiny:
    """Helios: chunks of video, each with the history of those before."""
    config = {name: value for name, value in WAN.items() if name != "rope_max_seq_len"}
    parts = {**wan_parts(), "transformer": network(HeliosTransformer3DModel, {**config, "rope_dim": (4, 4, 4)})}
    parts["scheduler"] = HeliosScheduler(stages=1, stage_range=[0, 1])
    call = {**VIDEO, "guidance_scale": 5.0, "num_latent_frames_per_chunk": 2}
    return tiny(HeliosPipeline(**parts), call, note="a loop for each chunk")


def shap_e() -> Tiny:
    """Shap-E: parameters of an implicit shape, Heun's two calls a step."""
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "embedding_dim": WIDTH,
        "num_embeddings": 4,
        "embedding_proj_dim": WIDTH,
        "time_embed_dim": 16,
        "clip_embed_dim": 2 * WIDTH,
        "additional_embeddings": 0,
        "time_embed_act_fn": "gelu",
        "norm_in_type": "layer",
        "embedding_proj_norm_type": None,
        "encoder_hid_proj_type": None,
        "added_emb_type": None,
    }
    renderer: dict[str, Any] = {
        "param_shapes": ((8, 93), (8, 8), (8, 8), (8, 8)),
        "d_latent": WIDTH,
        "d_hidden": 8,
        "n_output": 12,
    }
    pipe = ShapEPipeline(
        prior=network(PriorTransformer, config),
        text_encoder=text.clip(CLIPTextModelWithProjection),
        tokenizer=text.clip_tokenizer(),
        scheduler=HeunDiscreteScheduler(
            beta_schedule="exp", prediction_type="sample", use_karras_sigmas=True, clip_sample=True
        ),
        shap_e_renderer=network(ShapERenderer, renderer),
    )
    return tiny(pipe, {"output_type": "latent", "guidance_scale": 4.0}, note="Heun: two calls a step")
