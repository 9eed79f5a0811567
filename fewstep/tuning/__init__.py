"""Searches in the user's own process, where a pipeline's weights are: `tune`, and `compare` of its schedules."""

from typing import TYPE_CHECKING

from fewstep.lazy import lazy_names

if TYPE_CHECKING:
    from fewstep.tuning.comparison import Comparison, compare
    from fewstep.tuning.pipeline import TuneResult, default_prompts, tune

__all__ = ["Comparison", "TuneResult", "compare", "default_prompts", "tune"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Comparison": "fewstep.tuning.comparison:Comparison",
        "TuneResult": "fewstep.tuning.pipeline:TuneResult",
        "compare": "fewstep.tuning.comparison:compare",
        "default_prompts": "fewstep.tuning.pipeline:default_prompts",
        "tune": "fewstep.tuning.pipeline:tune",
    },
)
