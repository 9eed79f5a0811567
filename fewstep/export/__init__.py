"""Export of schedules to other samplers: as sigmas, as a callable, or as plain numbers."""

from typing import TYPE_CHECKING

from fewstep.export.comfyui import comfyui_node
from fewstep.export.portable import portable
from fewstep.export.sigmas import line, samplers, sigmas
from fewstep.lazy import lazy_names

if TYPE_CHECKING:
    from fewstep.export.callable import sampler
    from fewstep.export.diffusers import diffusers_sigmas

__all__ = ["comfyui_node", "diffusers_sigmas", "line", "portable", "sampler", "samplers", "sigmas"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "diffusers_sigmas": "fewstep.export.diffusers:diffusers_sigmas",
        "sampler": "fewstep.export.callable:sampler",
    },
)
