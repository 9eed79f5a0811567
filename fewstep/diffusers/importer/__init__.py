"""Schedules read out of other libraries' samplers."""

from fewstep.diffusers.importer.diffusers import from_diffusers

__all__ = ["from_diffusers"]
