"""Denoisers: everything a sampler can call, under one convention (`fewstep.models.base`)."""

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
