"""diffusers: a scheduler that runs schedules in its pipelines, and the import of its schedulers as schedules."""

from typing import TYPE_CHECKING

from fewstep.lazy import lazy_names

if TYPE_CHECKING:
    from fewstep.diffusers.capture.from_pipeline import from_pipeline
    from fewstep.diffusers.importer import from_diffusers
    from fewstep.diffusers.scheduler import FewstepScheduler
    from fewstep.diffusers.shift_hook import attach

__all__ = ["FewstepScheduler", "attach", "from_diffusers", "from_pipeline"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FewstepScheduler": "fewstep.diffusers.scheduler:FewstepScheduler",
        "attach": "fewstep.diffusers.shift_hook:attach",
        "from_diffusers": "fewstep.diffusers.importer:from_diffusers",
        "from_pipeline": "fewstep.diffusers.capture.from_pipeline:from_pipeline",
    },
)
