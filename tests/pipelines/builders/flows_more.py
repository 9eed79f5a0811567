"""More picture pipelines of transformers that predict a flow: Flux.2, Chroma, AuraFlow, Lumina, Bria, and kin."""

from typing import Any

from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    BriaFiboPipeline,
    BriaFiboTransformer2DModel,
    BriaPipeline,
    BriaTransformer2DModel,
    ChromaPipeline,
    ChromaTransformer2DModel,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    ErnieImagePipeline,
    ErnieImageTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    HiDreamImagePipeline,
    HiDreamImageTransformer2DModel,
    HunyuanImagePipeline,
    HunyuanImageTransformer2DModel,
    LongCatImagePipeline,
    LongCatImageTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    LuminaNextDiT2DModel,
    LuminaPipeline,
    OvisImagePipeline,
    OvisImageTransformer2DModel,
    PRXPipeline,
    PRXTransformer2DModel,
)
from transformers import CLIPTextModelWithProjection, LlamaForCausalLM, Mistral3Model, Qwen3ForCausalLM

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.flows import DYNAMIC, NEGATIVE, PLAIN
from tests.pipelines.builders.text import WIDTH
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = [
    "aura_flow",
    "bria",
    "bria_fibo",
    "chroma",
    "cogview_4",
    "ernie",
    "flux_2",
    "flux_2_klein",
    "hidream",
    "hunyuan_image",
    "longcat",
    "lumina",
    "lumina_2",
    "ovis",
    "prx",
]

# What a double-stream transformer of packed 2×2 patches of 4 channels has in common with Flux's.
PACKED: dict[str, Any] = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": WIDTH,
    "axes_dims_rope": (4, 6, 6),
}


def flow(**changes: Any) -> FlowMatchEulerDiscreteScheduler:
    """An Euler scheduler of a flow."""
    return FlowMatchEulerDiscreteScheduler(**changes)


def chroma_parts() -> dict[str, Any]:
    """The parts that Chroma's pipelines share."""
    config = {
        **PACKED,
        "num_layers": 1,
        "approximator_num_channels": 16,
        "approximator_hidden_dim": 16,
        "approximator_layers": 1,
    }
    return {
        "scheduler": flow(**DYNAMIC),
        "vae": autoencoders.picture(),
        "text_encoder": text.t5(),
        "tokenizer": text.t5_tokenizer(),
        "transformer": network(ChromaTransformer2DModel, config),
    }


def chroma() -> Tiny:
    """Chroma: Flux without embedded guidance, a second pass instead."""
    return tiny(ChromaPipeline(**chroma_parts()), {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 32}, NEGATIVE)


def flux_2_network(words: int, guidance: bool) -> Flux2Transformer2DModel:
    """Flux.2's transformer for texts of `words` channels."""
    config = {
        **PACKED,
        "joint_attention_dim": words,
        "axes_dims_rope": (4, 4, 4, 4),
        "timestep_guidance_channels": 16,
        "guidance_embeds": guidance,
    }
    return network(Flux2Transformer2DModel, config)


def flux_2() -> Tiny:
    """Flux.2: embedded guidance; its `latents` argument is unpacked, its states are packed."""
    pipe = Flux2Pipeline(
        scheduler=flow(**DYNAMIC),
        vae=autoencoders.flux2(),
        text_encoder=text.mistral(),
        tokenizer=text.byte_tokenizer(),
        transformer=flux_2_network(2 * WIDTH, guidance=True),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 4.0, "text_encoder_out_layers": (1, 2)})


def flux_2_klein() -> Tiny:
    """Flux.2 Klein: no embedded guidance, a second pass instead."""
    pipe = Flux2KleinPipeline(
        scheduler=flow(**DYNAMIC),
        vae=autoencoders.flux2(),
        text_encoder=text.qwen3(Qwen3ForCausalLM),
        tokenizer=text.byte_tokenizer(),
        transformer=flux_2_network(2 * WIDTH, guidance=False),
    )
    call = {**PLAIN, "guidance_scale": 4.0, "text_encoder_out_layers": (1, 2), "max_sequence_length": 64}
    return tiny(pipe, call)


def aura_flow() -> Tiny:
    """AuraFlow: double, then single streams; the network is told t/1000."""
    config = {
        "sample_size": 8,
        "patch_size": 2,
        "in_channels": 4,
        "num_mmdit_layers": 1,
        "num_single_dit_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "caption_projection_dim": 16,
        "pos_embed_max_size": 64,
    }
    pipe = AuraFlowPipeline(
        tokenizer=text.t5_tokenizer(),
        text_encoder=text.umt5(),
        vae=autoencoders.picture(),
        transformer=network(AuraFlowTransformer2DModel, config),
        scheduler=flow(shift=1.73),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 3.5, "max_sequence_length": 32})


def lumina() -> Tiny:
    """Lumina-Next: runs time from 0 to 1, its output is negated, a part of its channels is dropped."""
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "hidden_size": 32,
        "num_layers": 2,
        "num_attention_heads": 2,
        "num_kv_heads": 1,
        "multiple_of": 16,
        "cross_attention_dim": WIDTH,
    }
    pipe = LuminaPipeline(
        transformer=network(LuminaNextDiT2DModel, config),
        scheduler=flow(),
        vae=autoencoders.picture(),
        text_encoder=text.gemma_1(),
        tokenizer=text.gemma_tokenizer(),
    )
    call = {**PLAIN, "guidance_scale": 4.0, "clean_caption": False, "max_sequence_length": 32}
    return tiny(pipe, call)


def lumina_2() -> Tiny:
    """Lumina 2: guidance is normalised; it may end before the last step."""
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "hidden_size": 32,
        "num_layers": 1,
        "num_refiner_layers": 1,
        "num_attention_heads": 2,
        "num_kv_heads": 1,
        "multiple_of": 16,
        "axes_dim_rope": (4, 6, 6),
        "axes_lens": (256, 32, 32),
        "cap_feat_dim": WIDTH,
    }
    pipe = Lumina2Pipeline(
        transformer=network(Lumina2Transformer2DModel, config),
        scheduler=flow(shift=6.0),
        vae=autoencoders.picture(),
        text_encoder=text.gemma(),
        tokenizer=text.gemma_tokenizer(),
    )
    call = {**PLAIN, "guidance_scale": 4.0, "system_prompt": "draw", "max_sequence_length": 64}
    return tiny(pipe, call)


def cogview_4() -> Tiny:
    """CogView 4: a grid of the pipeline's own, prompts padded to the longest of a batch without a mask."""
    config = {
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "text_embed_dim": WIDTH,
        "time_embed_dim": 16,
        "condition_dim": 4,
        "sample_size": 8,
        "rope_axes_dim": (16, 16),
    }
    pipe = CogView4Pipeline(
        tokenizer=text.byte_tokenizer(opened=True),
        text_encoder=text.glm(),
        vae=autoencoders.picture(),
        transformer=network(CogView4Transformer2DModel, config),
        scheduler=flow(use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, time_shift_type="linear"),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 32})


def bria() -> Tiny:
    """Bria: Flux's double stream, a grid of the pipeline's own."""
    pipe = BriaPipeline(
        transformer=network(BriaTransformer2DModel, PACKED),
        scheduler=flow(),
        vae=autoencoders.picture(),
        text_encoder=text.t5(),
        tokenizer=text.t5_tokenizer(),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 32})


def bria_fibo() -> Tiny:
    """Bria FIBO: every layer of its language model is told to a layer of the network."""
    config = {**PACKED, "in_channels": 16, "joint_attention_dim": 2 * WIDTH, "text_encoder_dim": WIDTH}
    pipe = BriaFiboPipeline(
        transformer=network(BriaFiboTransformer2DModel, config),
        scheduler=flow(**DYNAMIC),
        vae=autoencoders.wan(),
        text_encoder=text.smol(),
        tokenizer=text.byte_tokenizer(),
    )
    call = {"height": 64, "width": 64, "output_type": "latent", "guidance_scale": 5.0, "max_sequence_length": 32}
    return tiny(pipe, call, NEGATIVE)


def prx() -> Tiny:
    """PRX: a bidirectional T5-Gemma for text."""
    config = {
        "in_channels": 4,
        "context_in_dim": WIDTH,
        "hidden_size": 32,
        "num_heads": 2,
        "depth": 2,
        "axes_dim": [8, 8],
    }
    pipe = PRXPipeline(
        transformer=network(PRXTransformer2DModel, config),
        scheduler=flow(shift=3.0),
        text_encoder=text.t5_gemma(),
        tokenizer=text.gemma_tokenizer(32),
        vae=autoencoders.picture(),
        default_sample_size=16,
    )
    call = {**PLAIN, "guidance_scale": 4.0, "use_resolution_binning": False, "skip_text_cleaning": True}
    return tiny(pipe, call)


def ovis() -> Tiny:
    """Ovis-Image: Flux's double stream, Qwen 3 for text."""
    pipe = OvisImagePipeline(
        scheduler=flow(**DYNAMIC),
        vae=autoencoders.picture(),
        text_encoder=text.qwen3(),
        tokenizer=text.byte_tokenizer(),
        transformer=network(OvisImageTransformer2DModel, {**PACKED, "out_channels": 16}),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 256})


def hunyuan_image() -> Tiny:
    """HunyuanImage: its guider keeps a running mean over the steps, so its output is no function of (x, t)."""
    config = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "num_refiner_layers": 1,
        "text_embed_dim": WIDTH,
        "text_embed_2_dim": WIDTH,
        "rope_axes_dim": (8, 8),
    }
    pipe = HunyuanImagePipeline(
        scheduler=flow(shift=7.0),
        vae=autoencoders.hunyuan_image(),
        text_encoder=text.qwen_vision(),
        tokenizer=text.byte_tokenizer(),
        text_encoder_2=text.byt5(),
        tokenizer_2=text.byt5_tokenizer(),
        transformer=network(HunyuanImageTransformer2DModel, config),
    )
    return tiny(pipe, PLAIN, note="history-dependent guidance")


def hidream() -> Tiny:
    """HiDream: four text encoders, a mixture of experts."""
    config = {
        "patch_size": 2,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "caption_channels": [WIDTH, WIDTH],
        "text_emb_dim": 2 * WIDTH,
        "axes_dims_rope": (4, 6, 6),
        "max_resolution": (16, 16),
        "llama_layers": [0, 1],
        "force_inference_output": True,
    }
    pipe = HiDreamImagePipeline(
        scheduler=flow(shift=3.0),
        vae=autoencoders.picture(),
        text_encoder=text.clip(CLIPTextModelWithProjection),
        tokenizer=text.clip_tokenizer(),
        text_encoder_2=text.clip(CLIPTextModelWithProjection, seed=1),
        tokenizer_2=text.clip_tokenizer(),
        text_encoder_3=text.t5(),
        tokenizer_3=text.t5_tokenizer(),
        text_encoder_4=text.llama(LlamaForCausalLM),
        tokenizer_4=text.byte_tokenizer(),
        transformer=network(HiDreamImageTransformer2DModel, config),
    )
    pipe.default_sample_size = 8  # sides are scaled up to this area: 128 by default
    return tiny(pipe, {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 32})


def ernie() -> Tiny:
    """ERNIE-Image: one stream of text and picture."""
    config = {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_layers": 2,
        "ffn_hidden_size": 32,
        "in_channels": 16,
        "out_channels": 16,
        "text_in_dim": WIDTH,
        "rope_axes_dim": (4, 6, 6),
    }
    pipe = ErnieImagePipeline(
        transformer=network(ErnieImageTransformer2DModel, config),
        vae=autoencoders.flux2(),
        text_encoder=text.mistral(Mistral3Model),
        tokenizer=text.byte_tokenizer(),
        scheduler=flow(shift=3.0),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 4.0, "use_pe": False})


def longcat() -> Tiny:
    """LongCat-Image: Flux's double stream, guidance scaled back to the conditional norm."""
    config = {**PACKED, "in_channels": 64, "pooled_projection_dim": WIDTH}
    pipe = LongCatImagePipeline(
        scheduler=flow(**DYNAMIC),
        vae=autoencoders.picture(16),
        text_encoder=text.qwen_vision(),
        tokenizer=text.byte_tokenizer(),
        text_processor=None,
        transformer=network(LongCatImageTransformer2DModel, config),
    )
    return tiny(pipe, {**PLAIN, "guidance_scale": 4.5, "enable_prompt_rewrite": False})
