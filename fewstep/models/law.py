"""`fewstep.models.scheduler_config` under its first name, which stays."""

from fewstep.models.scheduler_config import NetworkSpec, of, read

__all__ = ["NetworkSpec", "of", "read"]
