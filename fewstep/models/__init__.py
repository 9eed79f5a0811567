"""Denoisers: everything a sampler can call, under one convention (`fewstep.models.base`)."""

from fewstep.models import zoo
from fewstep.models.base import Denoiser, from_callable
from fewstep.models.mixture import Gaussian, GaussianMixture

__all__ = ["Denoiser", "Gaussian", "GaussianMixture", "from_callable", "zoo"]
