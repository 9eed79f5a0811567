"""Schedules for other people's samplers: a line of sigmas, a callable, or plain numbers with nothing to import."""

from fewstep.export.callable import sampler
from fewstep.export.diffusers import diffusers_sigmas
from fewstep.export.portable import portable
from fewstep.export.sigmas import line, samplers, sigmas

__all__ = ["diffusers_sigmas", "line", "portable", "sampler", "samplers", "sigmas"]
