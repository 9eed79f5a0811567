"""Denoisers: everything a sampler can call, under one convention (`fewstep.models.base`)."""

from typing import TYPE_CHECKING

from fewstep.lazy import lazy_names

if TYPE_CHECKING:
    from fewstep.models import folder, zoo
    from fewstep.models.base import Denoiser, Unconditional, Wrapped, from_callable
    from fewstep.models.mixture import Gaussian, GaussianMixture

__all__ = [
    "Denoiser",
    "Gaussian",
    "GaussianMixture",
    "Unconditional",
    "Wrapped",
    "folder",
    "from_callable",
    "zoo",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Denoiser": "fewstep.models.base:Denoiser",
        "Gaussian": "fewstep.models.mixture:Gaussian",
        "GaussianMixture": "fewstep.models.mixture:GaussianMixture",
        "Unconditional": "fewstep.models.base:Unconditional",
        "Wrapped": "fewstep.models.base:Wrapped",
        "folder": "fewstep.models.folder",
        "from_callable": "fewstep.models.base:from_callable",
        "zoo": "fewstep.models.zoo",
    },
)
