"""Tiny networks of real diffusers classes, and states to try them on."""

import diffusers
import torch

TINY = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 4}


def unet(channels: int = 1, out: int | None = None, **options: object) -> diffusers.UNet2DModel:
    """An 8 × 8 U-Net."""
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=channels,
        out_channels=out or channels,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        **TINY | options,
    )


def text_unet(**options: object) -> diffusers.UNet2DConditionModel:
    """An 8 × 8 U-Net on four latent channels that reads prompts of width 6."""
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=6,
        **TINY | options,
    )


def dit() -> diffusers.DiTTransformer2DModel:
    """A transformer of five classes that learns its variance."""
    return diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=2,
        out_channels=4,
        num_layers=2,
        sample_size=8,
        norm_num_groups=2,
        num_embeds_ada_norm=5,
    )


def sd3() -> diffusers.SD3Transformer2DModel:
    """A flow transformer that reads prompts of width 6 and pooled ones of width 5."""
    return diffusers.SD3Transformer2DModel(
        sample_size=8,
        in_channels=2,
        out_channels=2,
        num_layers=2,
        attention_head_dim=4,
        num_attention_heads=2,
        joint_attention_dim=6,
        caption_projection_dim=8,
        pooled_projection_dim=5,
        pos_embed_max_size=8,
    )


def flux(guided: bool) -> diffusers.FluxTransformer2DModel:
    """A flow transformer on packed latents of two channels."""
    return diffusers.FluxTransformer2DModel(
        in_channels=8,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=6,
        pooled_projection_dim=5,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=guided,
    )


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """The network with every weight moved, so that none of its parts is switched off, as fresh ones often are."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return network.eval()


def states(*shape: int, count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """States (count, *shape) and shares of the time range (count,)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *shape, generator=generator), torch.linspace(0.05, 0.95, count)
