"""Picture pipelines of transformers that predict noise: PixArt and its kin."""

from diffusers import DDIMScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

from tests.pipelines.builders import autoencoders, text
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.weights import network

__all__ = ["pixart_sigma"]

PIXART = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 2,
    "cross_attention_dim": 16,
    "sample_size": 8,
    "caption_channels": text.WIDTH,
    "use_additional_conditions": False,
}
PIXART_CALL = {
    "height": 16,
    "width": 16,
    "output_type": "latent",
    "guidance_scale": 4.5,
    "use_resolution_binning": False,
    "clean_caption": False,
    "max_sequence_length": 16,
}


def pixart_sigma() -> Tiny:
    """PixArt Σ: the network also gives a variance, which the pipeline drops."""
    pipe = PixArtSigmaPipeline(
        tokenizer=text.t5_tokenizer(),
        text_encoder=text.t5(),
        vae=autoencoders.picture(),
        transformer=network(PixArtTransformer2DModel, PIXART),
        scheduler=DDIMScheduler(beta_start=0.0001, beta_end=0.02, clip_sample=False),
    )
    return tiny(pipe, PIXART_CALL)
