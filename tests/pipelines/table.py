"""All tiny real pipelines by the name of their class, and the classes that cannot be built offline."""

from collections.abc import Callable

from tests.pipelines.builders import flows, flows_more, transformers2d, unets, unets_shown, videos
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
    "StableDiffusionPAGPipeline": unets.stable_diffusion_pag,
    "StableDiffusionXLPAGPipeline": unets.stable_diffusion_xl_pag,
    "LatentConsistencyModelPipeline": unets.latent_consistency,
    "Kandinsky3Pipeline": unets.kandinsky_3,
    "LDMTextToImagePipeline": unets.latent_diffusion,
    "IFPipeline": unets.deepfloyd,
    "StableDiffusionImg2ImgPipeline": unets_shown.image_to_image,
    "StableDiffusionInpaintPipeline": unets_shown.inpaint,
    "StableDiffusionInstructPix2PixPipeline": unets_shown.instruct,
    "StableDiffusionControlNetPipeline": unets_shown.control,
    "StableDiffusionControlNetImg2ImgPipeline": unets_shown.control_image_to_image,
    "StableDiffusionAdapterPipeline": unets_shown.adapter,
    "StableDiffusionUpscalePipeline": unets_shown.upscale,
    "StableDiffusionLatentUpscalePipeline": unets_shown.latent_upscale,
    "StableDiffusionImageVariationPipeline": unets_shown.variation,
    "LatentConsistencyModelImg2ImgPipeline": unets_shown.latent_consistency_image,
    "StableDiffusionXLImg2ImgPipeline": unets_shown.image_to_image_xl,
    "StableDiffusionXLInpaintPipeline": unets_shown.inpaint_xl,
    "StableDiffusionXLInstructPix2PixPipeline": unets_shown.instruct_xl,
    "StableDiffusionXLControlNetPipeline": unets_shown.control_xl,
    "MarigoldDepthPipeline": unets_shown.marigold_depth,
    "MarigoldNormalsPipeline": unets_shown.marigold_normals,
    "LDMSuperResolutionPipeline": unets_shown.super_resolution,
    "ChromaPipeline": flows_more.chroma,
    "Flux2Pipeline": flows_more.flux_2,
    "Flux2KleinPipeline": flows_more.flux_2_klein,
    "AuraFlowPipeline": flows_more.aura_flow,
    "LuminaPipeline": flows_more.lumina,
    "Lumina2Pipeline": flows_more.lumina_2,
    "CogView4Pipeline": flows_more.cogview_4,
    "BriaPipeline": flows_more.bria,
    "BriaFiboPipeline": flows_more.bria_fibo,
    "PRXPipeline": flows_more.prx,
    "OvisImagePipeline": flows_more.ovis,
    "HunyuanImagePipeline": flows_more.hunyuan_image,
    "HiDreamImagePipeline": flows_more.hidream,
    "ErnieImagePipeline": flows_more.ernie,
    "LongCatImagePipeline": flows_more.longcat,
}

LEFT_OUT: dict[str, str] = {}
