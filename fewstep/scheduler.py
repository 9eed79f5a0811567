"""`fewstep.diffusers.scheduler` under its first name, which stays."""

from fewstep.diffusers.scheduler import FewstepScheduler

__all__ = ["FewstepScheduler"]
