"""LTX-2: video and sound denoised together, each with a scheduler of its own."""

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
)
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from tests.pipelines.builders import autoencoders_video, text
from tests.pipelines.builders.text import GEMMA, WIDTH
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = ["ltx_2"]


def ltx_2() -> Tiny:
    """LTX-2: two coupled states; both schedulers' steps are recorded, the video's first."""
    seeing = {
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    reading = {**GEMMA, "query_pre_attn_scalar": 8, "sliding_window": 64}
    config = Gemma3Config(
        text_config=reading,
        vision_config=seeing,
        mm_tokens_per_image=4,
        image_token_index=4,
        boi_token_index=5,
        eoi_token_index=6,
    )
    connectors = {
        "caption_channels": WIDTH,
        "text_proj_in_factor": 3,
        "video_connector_num_attention_heads": 2,
        "video_connector_attention_head_dim": 8,
        "video_connector_num_layers": 1,
        "video_connector_num_learnable_registers": None,
        "audio_connector_num_attention_heads": 2,
        "audio_connector_attention_head_dim": 8,
        "audio_connector_num_layers": 1,
        "audio_connector_num_learnable_registers": None,
        "connector_rope_base_seq_len": 32,
    }
    transformer = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "cross_attention_dim": 32,
        "vae_scale_factors": (2, 4, 4),
        "audio_in_channels": 8,
        "audio_out_channels": 8,
        "audio_num_attention_heads": 2,
        "audio_attention_head_dim": 8,
        "audio_cross_attention_dim": 16,
        "num_layers": 2,
        "caption_channels": WIDTH,
    }
    voice = {
        "in_channels": 32,
        "hidden_channels": 8,
        "upsample_kernel_sizes": [4, 4],
        "upsample_factors": [2, 2],
        "resnet_kernel_sizes": [3],
        "resnet_dilations": [[1, 3]],
    }
    pipe = LTX2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True,
            base_shift=0.95,
            max_shift=2.05,
            base_image_seq_len=1024,
            max_image_seq_len=4096,
            shift_terminal=0.1,
        ),
        vae=autoencoders_video.ltx2_video(),
        audio_vae=autoencoders_video.ltx2_sound(),
        text_encoder=network(Gemma3ForConditionalGeneration, config),
        tokenizer=text.gemma_tokenizer(),
        connectors=network(LTX2TextConnectors, connectors),
        transformer=network(LTX2VideoTransformer3DModel, transformer),
        vocoder=network(LTX2Vocoder, voice),
    )
    call = {
        "height": 32,
        "width": 32,
        "num_frames": 5,
        "frame_rate": 25.0,
        "output_type": "latent",
        "guidance_scale": 3.0,
        "stg_scale": 0.0,
        "audio_stg_scale": 0.0,
        "modality_scale": 1.0,
        "audio_modality_scale": 1.0,
        "max_sequence_length": 32,
    }
    return tiny(pipe, call, note="two coupled states, two schedulers")
