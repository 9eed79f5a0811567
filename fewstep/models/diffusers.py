"""Networks as diffusers saves them, opened from a folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fewstep.errors import InvalidModel
from fewstep.models import conditions, header
from fewstep.models.layout import Layout, locate
from fewstep.models.manifest import Manifest
from fewstep.models.memory import out_of_memory
from fewstep.models.network import NetworkDenoiser
from fewstep.models.prepare import precision, prepare
from fewstep.models.reading import reading
from fewstep.models.shapes import check_shapes

__all__ = ["open_network"]

Tensors = Mapping[str, torch.Tensor]
TORCH_DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def open_network(manifest: Manifest, folder: Path, device: str = "cpu") -> NetworkDenoiser:
    """The denoiser of a model folder with its ``manifest``; weights are checked before they are mapped.

    A network to be compiled is called on one and on two samples, which compiles it. Raises `InvalidModel` where weights
    and config do not belong together, or where diffusers is missing.
    """
    layout = locate(folder)
    network, dtype = _load(manifest, layout, device)
    run = prepare(network, manifest.execution, device)
    call = CALLS[manifest.network]
    total = manifest.conditions
    positive, negative = conditions.load(layout.conditions, total, manifest.config, dtype, device)
    if manifest.config.get("guidance_embeds"):
        positive["guidance"] = torch.tensor([manifest.guidance], device=device)
    denoiser = NetworkDenoiser(
        lambda x, times, tensors: call(run, x, times, tensors).sample,
        reading(manifest.spec),
        dtype,
        positive,
        negative if conditions.guided(manifest.config, manifest.guidance) else None,
        total,
        manifest.guidance,
    )
    if manifest.execution.compile is not None:
        _compile(denoiser, manifest.shape, device)
    return denoiser


def _load(manifest: Manifest, layout: Layout, device: str) -> tuple[Any, torch.dtype]:
    """The network with its weights and its precision; by default that is the widest among them."""
    check_shapes(manifest, layout.folder)
    import diffusers

    dtypes = {entry.dtype for path in layout.weights for entry in header.check(path)}
    widest = next((dtype for name, dtype in TORCH_DTYPES.items() if name in dtypes), torch.float32)
    dtype = precision(manifest.execution, widest, device)
    cls = getattr(diffusers, manifest.network)
    try:
        network = cls.from_pretrained(
            str(layout.network),
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            torch_dtype=dtype,
            variant=layout.variant,
        )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise InvalidModel(f"diffusers cannot make a {manifest.network} of this folder: {str(error)[:300]}") from error
    return network.eval().requires_grad_(False), dtype


@torch.no_grad()
def _compile(denoiser: NetworkDenoiser, shape: tuple[int, ...], device: str) -> None:
    """Call it on one sample, then on two, by which the compiler sees that batches vary: no later call waits for it."""
    for count in (1, 2):
        x = torch.zeros(count, *shape, device=device)
        try:
            denoiser(x, torch.full((count,), denoiser.process.t_max, device=device))
        except (RuntimeError, MemoryError) as error:
            if count == 1 or not out_of_memory(error):
                raise


def _unet(network: Any, x: torch.Tensor, times: torch.Tensor, tensors: Tensors) -> Any:
    return network(x, times, class_labels=tensors.get("labels"))


def _text_unet(network: Any, x: torch.Tensor, times: torch.Tensor, tensors: Tensors) -> Any:
    added = {"text_embeds": tensors["pooled"], "time_ids": tensors["time_ids"]} if "time_ids" in tensors else None
    return network(
        x,
        times,
        tensors["prompt"],
        class_labels=tensors.get("labels"),
        added_cond_kwargs=added,
        encoder_attention_mask=tensors.get("mask"),
    )


def _dit(network: Any, x: torch.Tensor, times: torch.Tensor, tensors: Tensors) -> Any:
    return network(x, timestep=times, class_labels=tensors["labels"])


def _sd3(network: Any, x: torch.Tensor, times: torch.Tensor, tensors: Tensors) -> Any:
    return network(x, encoder_hidden_states=tensors["prompt"], pooled_projections=tensors["pooled"], timestep=times)


def _flux(network: Any, x: torch.Tensor, times: torch.Tensor, tensors: Tensors) -> Any:
    """Patches of 2 × 2 pixels as tokens with their positions; the time is that of the straight path, in [0, 1]."""
    b, c, h, w = x.shape
    p = 2
    tokens = x.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * p * p)
    vertical, horizontal = torch.meshgrid(torch.arange(h // p), torch.arange(w // p), indexing="ij")
    places = torch.stack([torch.zeros_like(vertical), vertical, horizontal], -1).reshape(-1, 3).to(x)
    output = network(
        tokens,
        encoder_hidden_states=tensors["prompt"],
        pooled_projections=tensors["pooled"],
        timestep=times / 1000,
        img_ids=places,
        txt_ids=places.new_zeros(tensors["prompt"].shape[1], 3),
        guidance=tensors.get("guidance"),
    )
    pixels = output.sample.reshape(b, h // p, w // p, c, p, p).permute(0, 3, 1, 4, 2, 5)
    return type(output)(sample=pixels.reshape(x.shape))


CALLS: dict[str, Callable[[Any, torch.Tensor, torch.Tensor, Tensors], Any]] = {
    "DiTTransformer2DModel": _dit,
    "FluxTransformer2DModel": _flux,
    "SD3Transformer2DModel": _sd3,
    "UNet2DConditionModel": _text_unet,
    "UNet2DModel": _unet,
}
