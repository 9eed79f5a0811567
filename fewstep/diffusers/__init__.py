"""diffusers: schedules run in its pipelines, and its schedulers imported as schedules."""

from typing import TYPE_CHECKING

from fewstep.lazy import lazy_names

if TYPE_CHECKING:
    from fewstep.diffusers.capture.from_pipeline import from_pipeline
    from fewstep.diffusers.circumstances import Circumstances, CircumstanceWarning
    from fewstep.diffusers.importer import from_diffusers
    from fewstep.diffusers.installing import install, read_law, uninstall
    from fewstep.diffusers.scheduler import FewstepScheduler
    from fewstep.diffusers.shift_hook import attach

__all__ = [
    "CircumstanceWarning",
    "Circumstances",
    "FewstepScheduler",
    "attach",
    "from_diffusers",
    "from_pipeline",
    "install",
    "read_law",
    "uninstall",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CircumstanceWarning": "fewstep.diffusers.circumstances:CircumstanceWarning",
        "Circumstances": "fewstep.diffusers.circumstances:Circumstances",
        "FewstepScheduler": "fewstep.diffusers.scheduler:FewstepScheduler",
        "attach": "fewstep.diffusers.shift_hook:attach",
        "from_diffusers": "fewstep.diffusers.importer:from_diffusers",
        "from_pipeline": "fewstep.diffusers.capture.from_pipeline:from_pipeline",
        "install": "fewstep.diffusers.installing:install",
        "read_law": "fewstep.diffusers.installing:read_law",
        "uninstall": "fewstep.diffusers.installing:uninstall",
    },
)
