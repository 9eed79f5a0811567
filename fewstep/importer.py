"""`fewstep.diffusers.importer` under its first name, which stays."""

from fewstep.diffusers.importer import from_diffusers

__all__ = ["from_diffusers"]
