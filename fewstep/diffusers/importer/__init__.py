"""Import of other libraries' samplers as schedules."""

from fewstep.diffusers.importer.diffusers import from_diffusers

__all__ = ["from_diffusers"]
