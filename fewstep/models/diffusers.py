"""Networks as diffusers saves them, opened from a folder; the only file here that imports diffusers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fewstep.errors import InvalidModel
from fewstep.models import header
from fewstep.models.layout import Layout, locate
from fewstep.models.manifest import Manifest
from fewstep.models.network import NetworkDenoiser, Plain, Reading

__all__ = ["open_network"]

Tensors = Mapping[str, torch.Tensor]
DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def open_network(manifest: Manifest, folder: Path, device: str = "cpu") -> NetworkDenoiser:
    """The denoiser of a model folder whose manifest was read before; its weights are checked before they are mapped.

    Raises `InvalidModel` where weights and config do not belong together, or where diffusers is missing.
    """
    layout = locate(folder)
    network, dtype = _load(manifest, layout)
    network.to(device)
    call = CALLS[manifest.network]
    return NetworkDenoiser(lambda x, told, given: call(network, x, told, given), _reading(manifest), dtype)


def _load(manifest: Manifest, layout: Layout) -> tuple[Any, torch.dtype]:
    """The network with its weights, in the widest precision among them."""
    found = {entry.dtype for path in layout.weights for entry in header.check(path)}
    try:
        import diffusers
    except ImportError as error:
        raise InvalidModel("this model needs the package diffusers: pip install 'fewstep[diffusers]'") from error
    dtype = next((torch_name for name, torch_name in DTYPES.items() if name in found), torch.float32)
    cls = getattr(diffusers, manifest.network)
    try:
        network, report = cls.from_pretrained(
            str(layout.network),
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            torch_dtype=dtype,
            variant=layout.variant,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise InvalidModel(f"diffusers cannot make a {manifest.network} of this folder: {str(error)[:300]}") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report.get(what):
            raise InvalidModel(
                f"the weights are not those of the config's {manifest.network}: {what.replace('_', ' ')} "
                f"{str(list(report[what])[:4])[:200]}"
            )
    return network.eval().requires_grad_(False), dtype


def _reading(manifest: Manifest) -> Reading:
    return Plain(manifest.process, manifest.prediction, manifest.time_scale)


def _unet(network: Any, x: torch.Tensor, told: torch.Tensor, given: Tensors) -> torch.Tensor:
    output: torch.Tensor = network(x, told, class_labels=given.get("labels")).sample
    return output


CALLS: dict[str, Callable[[Any, torch.Tensor, torch.Tensor, Tensors], torch.Tensor]] = {"UNet2DModel": _unet}
