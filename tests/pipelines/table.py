"""All tiny real pipelines by the name of their class, and the classes that cannot be built offline."""

from collections.abc import Callable

from tests.pipelines.builders import flows, transformers2d, unets, videos
from tests.pipelines.builders.tiny import Tiny

__all__ = ["LEFT_OUT", "PIPELINES", "Builder", "Tiny"]

Builder = Callable[[], Tiny]

PIPELINES: dict[str, Builder] = {
    "StableDiffusionPipeline": unets.stable_diffusion,
    "StableDiffusionXLPipeline": unets.stable_diffusion_xl,
    "StableDiffusion3Pipeline": flows.stable_diffusion_3,
    "FluxPipeline": flows.flux,
    "WanPipeline": videos.wan,
    "QwenImagePipeline": flows.qwen_image,
    "PixArtSigmaPipeline": transformers2d.pixart_sigma,
    "SanaPipeline": flows.sana,
    "LTXPipeline": videos.ltx,
    "ZImagePipeline": flows.z_image,
}

LEFT_OUT: dict[str, str] = {}
