"""Tiny networks with random weights, in diffusers' real classes, float64: nothing is downloaded."""

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

__all__ = ["autoencoder", "stable_diffusion", "unconditional"]


def unconditional() -> UNet2DModel:
    """An unconditional U-Net, 1×8×8."""
    torch.manual_seed(0)
    kinds = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    return UNet2DModel(8, 1, 1, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, **kinds).double()


def autoencoder() -> AutoencoderKL:
    """An autoencoder of 4 latent channels that halves the image."""
    torch.manual_seed(1)
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return AutoencoderKL(block_out_channels=(8, 16), latent_channels=4, norm_num_groups=4, **kinds).double()


def stable_diffusion(vae: AutoencoderKL) -> dict[str, Any]:
    """The parts of a Stable Diffusion pipeline: letters as words, one text layer, a conditional U-Net."""
    torch.manual_seed(2)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=8)
    ends = {"bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53, "max_position_embeddings": 8}
    text = CLIPTextConfig(
        vocab_size=54, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, **ends
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    return {
        "vae": vae,
        "text_encoder": CLIPTextModel(text).double(),
        "tokenizer": tokenizer,
        "unet": unet.double(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
