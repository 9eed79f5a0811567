"""What a pipeline itself does: its own steps, recorded while it runs with its own scheduler."""

import functools
import inspect
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch

from tests.pipelines.builders.tiny import Tiny

__all__ = ["Step", "record", "run"]


@dataclass(frozen=True)
class Step:
    """One call of the scheduler's `step`: what the pipeline gave it."""

    timestep: float
    sample: torch.Tensor
    model_output: torch.Tensor


def run(tiny: Tiny, steps: int | None = None, seed: int = 0, condition: int = 0) -> Any:
    """The first part of what the pipeline returns, from its own `__call__`: latents, pictures, frames or sound."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # for the pipelines that draw from the global generator as well
    number = tiny.steps if steps is None else steps
    arguments = {**tiny.call, **tiny.conditions[condition], "num_inference_steps": number, "generator": generator}
    with torch.no_grad():
        return tiny.pipe(**arguments)[0]


def record(tiny: Tiny, steps: int = 4, seed: int = 0, condition: int = 0) -> list[Step]:
    """The pipeline's calls of its scheduler's `step`, in turn; what it computes is unchanged.

    The class of the scheduler is watched, so that steps of copies count too.
    """
    kind = type(tiny.pipe.scheduler)
    genuine = kind.step
    signature = inspect.signature(genuine)
    calls: list[Step] = []

    @functools.wraps(genuine)
    def step(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        calls.append(Step(float(given["timestep"]), given["sample"].clone(), given["model_output"].clone()))
        return genuine(*args, **kwargs)

    with patch.object(kind, "step", step):
        run(tiny, steps, seed, condition)
    return calls
