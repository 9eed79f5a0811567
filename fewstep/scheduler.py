"""`fewstep.diffusers.scheduler` under its first name, which saved pipelines have and which stays.

diffusers looks in the module that a saved pipeline names, for the class and for the base class that says how it loads.
"""

from diffusers.schedulers.scheduling_utils import SchedulerMixin

from fewstep.diffusers.scheduler import FewstepScheduler

__all__ = ["FewstepScheduler", "SchedulerMixin"]
