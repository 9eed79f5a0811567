"""Autoencoders of videos and sound with the fewest layers that their classes allow."""

from diffusers import (
    AutoencoderKLAllegro,
    AutoencoderKLCogVideoX,
    AutoencoderKLCosmos,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    AutoencoderKLMagvit,
    AutoencoderKLMochi,
    AutoencoderKLTemporalDecoder,
    AutoencoderOobleck,
)

from tests.pipelines.builders.weights import network

__all__ = [
    "allegro",
    "cogvideo",
    "cosmos",
    "hunyuan_video",
    "hunyuan_video_15",
    "ltx2_sound",
    "ltx2_video",
    "magvit",
    "mochi",
    "sound",
    "temporal",
]


def allegro() -> AutoencoderKLAllegro:
    """Allegro's: 4 latent channels, sides divided by 8, frames by 4."""
    return network(
        AutoencoderKLAllegro,
        {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4},
    )


def cogvideo() -> AutoencoderKLCogVideoX:
    """CogVideoX's: 4 latent channels, sides divided by 8, frames by 4."""
    return network(
        AutoencoderKLCogVideoX,
        {
            "block_out_channels": (8, 8, 8, 8),
            "latent_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "sample_height": 16,
            "sample_width": 16,
        },
    )


def cosmos() -> AutoencoderKLCosmos:
    """Cosmos 1's: 4 latent channels, sides divided by 4, frames by 4."""
    return network(
        AutoencoderKLCosmos,
        {
            "latent_channels": 4,
            "encoder_block_out_channels": (8, 8, 8),
            "decode_block_out_channels": (8, 8, 8),
            "attention_resolutions": (8,),
            "resolution": 16,
            "num_layers": 1,
            "patch_size": 4,
            "spatial_compression_ratio": 4,
            "temporal_compression_ratio": 4,
            "latents_mean": None,
            "latents_std": None,
        },
    )


def hunyuan_video(channels: int = 4) -> AutoencoderKLHunyuanVideo:
    """HunyuanVideo's: `channels` latent channels, sides divided by 8, frames by 4."""
    return network(
        AutoencoderKLHunyuanVideo,
        {
            "latent_channels": channels,
            "block_out_channels": (8, 8, 8, 8),
            "layers_per_block": 1,
            "norm_num_groups": 4,
        },
    )


def hunyuan_video_15() -> AutoencoderKLHunyuanVideo15:
    """HunyuanVideo 1.5's: 4 latent channels, sides divided by 16, frames by 4."""
    return network(
        AutoencoderKLHunyuanVideo15,
        {"latent_channels": 4, "block_out_channels": (8, 8, 8, 8, 8), "layers_per_block": 1},
    )


def ltx2_video() -> AutoencoderKLLTX2Video:
    """LTX-2's of videos: 4 latent channels, sides divided by 4, frames by 2."""
    return network(
        AutoencoderKLLTX2Video,
        {
            "latent_channels": 4,
            "block_out_channels": (8,),
            "down_block_types": ("LTX2VideoDownBlock3D",),
            "decoder_block_out_channels": (8,),
            "layers_per_block": (1, 1),
            "decoder_layers_per_block": (1, 1),
            "spatio_temporal_scaling": (True,),
            "decoder_spatio_temporal_scaling": (True,),
            "decoder_inject_noise": (False, False),
            "downsample_type": ("spatiotemporal",),
            "upsample_type": ("spatiotemporal",),
            "upsample_residual": (True,),
            "upsample_factor": (2,),
            "patch_size": 2,
            "spatial_compression_ratio": 4,
            "temporal_compression_ratio": 2,
        },
    )


def ltx2_sound() -> AutoencoderKLLTX2Audio:
    """LTX-2's of spectrograms: 2 latent channels, 16 mel bins divided by 4."""
    return network(
        AutoencoderKLLTX2Audio,
        {
            "base_channels": 8,  # as many as packed latents: 2 channels of 4 bins
            "ch_mult": (1,),
            "num_res_blocks": 1,
            "resolution": 32,
            "latent_channels": 2,
            "mel_bins": 16,
        },
    )


def magvit() -> AutoencoderKLMagvit:
    """EasyAnimate's: 4 latent channels, sides divided by 8, frames by 4."""
    return network(
        AutoencoderKLMagvit,
        {
            "latent_channels": 4,
            "block_out_channels": (8, 8, 8, 8),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "spatial_group_norm": False,
        },
    )


def mochi() -> AutoencoderKLMochi:
    """Mochi's: 12 latent channels, sides divided by 8, frames by 6."""
    return network(
        AutoencoderKLMochi,
        {
            "encoder_block_out_channels": (32, 32, 32, 32),
            "decoder_block_out_channels": (32, 32, 32, 32),
            "layers_per_block": (1, 1, 1, 1, 1),
        },
    )


def temporal() -> AutoencoderKLTemporalDecoder:
    """Stable Video Diffusion's: 4 latent channels, sides halved once."""
    return network(
        AutoencoderKLTemporalDecoder,
        {
            "block_out_channels": (32, 32),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "latent_channels": 4,
        },
    )


def sound(channels: int = 4) -> AutoencoderOobleck:
    """Stable Audio's: `channels` latent channels, 8 samples each."""
    return network(
        AutoencoderOobleck,
        {
            "encoder_hidden_size": 4,
            "downsampling_ratios": [2, 4],
            "channel_multiples": [1, 2],
            "decoder_channels": 4,
            "decoder_input_channels": channels,
            "audio_channels": 2,
            "sampling_rate": 64,
        },
    )
