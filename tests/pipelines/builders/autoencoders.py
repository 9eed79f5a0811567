"""Autoencoders with the fewest layers that their classes allow."""

from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLHunyuanImage,
    AutoencoderKLLTXVideo,
    AutoencoderKLQwenImage,
    AutoencoderKLWan,
    VQModel,
)

from tests.pipelines.builders.weights import network

__all__ = ["deep", "flux2", "hunyuan_image", "ltx", "picture", "quantised", "qwen", "wan"]


def picture(channels: int = 4, halvings: int = 1) -> AutoencoderKL:
    """The autoencoder of most pictures' pipelines: `channels` latent channels, sides halved `halvings` times."""
    blocks = halvings + 1
    return network(
        AutoencoderKL,
        {
            "block_out_channels": (8,) * blocks,
            "down_block_types": ("DownEncoderBlock2D",) * blocks,
            "up_block_types": ("UpDecoderBlock2D",) * blocks,
            "latent_channels": channels,
            "norm_num_groups": 4,
            "shift_factor": 0.1,
        },
    )


def quantised(halvings: int = 3, channels: int = 4) -> VQModel:
    """Kandinsky's quantised autoencoder: `channels` latent channels, sides halved `halvings` times."""
    blocks = halvings + 1
    return network(
        VQModel,
        {
            "block_out_channels": (32,) * blocks,  # the spatial norms have 32 groups
            "down_block_types": ("DownEncoderBlock2D",) * blocks,
            "up_block_types": ("UpDecoderBlock2D",) * blocks,
            "latent_channels": channels,
            "num_vq_embeddings": 16,
            "norm_num_groups": 8,
            "vq_embed_dim": channels,
            "norm_type": "spatial",
        },
    )


def wan() -> AutoencoderKLWan:
    """Wan's: 16 latent channels, sides divided by 8, frames by 4."""
    return network(AutoencoderKLWan, {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1})


def qwen() -> AutoencoderKLQwenImage:
    """Qwen-Image's: 16 latent channels, sides divided by 8."""
    return network(AutoencoderKLQwenImage, {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1})


def deep() -> AutoencoderDC:
    """The deep-compression autoencoder of Sana: sides halved twice here."""
    return network(
        AutoencoderDC,
        {
            "latent_channels": 4,
            "attention_head_dim": 4,
            "encoder_block_out_channels": (8, 8, 16),
            "decoder_block_out_channels": (8, 8, 16),
            "encoder_layers_per_block": (1, 1, 1),
            "decoder_layers_per_block": (1, 1, 1),
            "encoder_qkv_multiscales": ((), (), ()),
            "decoder_qkv_multiscales": ((), (), ()),
        },
    )


def ltx() -> AutoencoderKLLTXVideo:
    """LTX's: 8 latent channels, sides divided by 4, frames by 2."""
    return network(
        AutoencoderKLLTXVideo,
        {
            "latent_channels": 8,
            "block_out_channels": (8, 8),
            "down_block_types": ("LTXVideoDownBlock3D",) * 2,
            "decoder_block_out_channels": (8, 8),
            "layers_per_block": (1, 1, 1),
            "decoder_layers_per_block": (1, 1, 1),
            "spatio_temporal_scaling": (True, False),
            "decoder_spatio_temporal_scaling": (True, False),
            "decoder_inject_noise": (False, False, False),
            "downsample_type": ("conv", "conv"),
            "upsample_residual": (False, False),
            "upsample_factor": (1, 1),
            "patch_size": 2,
        },
    )


def flux2() -> AutoencoderKLFlux2:
    """Flux.2's: 4 latent channels, sides halved once, patches of 2×2 normalised as a batch."""
    return network(
        AutoencoderKLFlux2,
        {
            "block_out_channels": (8, 8),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "layers_per_block": 1,
            "latent_channels": 4,
            "norm_num_groups": 4,
        },
    )


def hunyuan_image() -> AutoencoderKLHunyuanImage:
    """HunyuanImage's: 4 latent channels, sides halved twice."""
    return network(
        AutoencoderKLHunyuanImage,
        {
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 4,
            "block_out_channels": (32, 32, 32),
            "layers_per_block": 1,
            "spatial_compression_ratio": 4,
            "sample_size": 16,
        },
    )
