"""The networks that `training` trains, small enough for a CPU."""

from typing import Any

import torch
from diffusers import UNet2DModel
from torch import nn

__all__ = ["MLP", "picture_unet", "unet"]


def unet(outputs: int = 1, classes: int | None = None, dropout: float = 0.1) -> nn.Module:
    """A U-Net for samples (1, 8, 8) with 0.43 million parameters.

    ``outputs``: its channels; ``classes``: number of class labels, None without.
    """
    network: Any = UNet2DModel(  # type: ignore[no-untyped-call]
        sample_size=8,
        in_channels=1,
        out_channels=outputs,
        block_out_channels=(32, 48),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        dropout=dropout,
        num_class_embeds=classes,
    )
    module: nn.Module = network
    return module


def picture_unet(channels: int, width: int, classes: int) -> nn.Module:
    """A U-Net for samples (``channels``, 32, 32) under ``classes`` labels, with 1.8 million parameters or less.

    ``width``: channels at full size, and twice that many numbers describe the time. Most of the parameters are at
    8 × 8 and 4 × 4 pixels, where they are cheap; weights lie channels last, which convolutions on CPUs prefer.
    """
    network: Any = UNet2DModel(  # type: ignore[no-untyped-call]
        sample_size=32,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(width, 32, 64, 96),
        down_block_types=("DownBlock2D",) * 4,
        up_block_types=("UpBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=32,
        time_embedding_dim=128,
        resnet_time_scale_shift="scale_shift",
        num_class_embeds=classes,
    )
    module: nn.Module = network.to(memory_format=torch.channels_last)
    return module


class MLP(nn.Module):
    """Four dense layers over a flat sample of ``size`` numbers and 2·``waves`` features of a time in 0 … 999."""

    def __init__(self, size: int = 64, width: int = 256, waves: int = 32) -> None:
        super().__init__()
        self.register_buffer("waves", torch.exp(torch.linspace(0, 6.9, waves)) / 1000)
        self.layers = nn.Sequential(
            nn.Linear(size + 2 * waves, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, size),
        )

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """``x`` (B, ...) and ``t`` (B,) -> (B, ...)."""
        phase = t[:, None] * self.get_buffer("waves")
        features = torch.cat([x.flatten(1), phase.sin(), phase.cos()], 1)
        flat: torch.Tensor = self.layers(features)
        return flat.reshape(x.shape)
