"""What a builder gives: a real pipeline of small random networks, and how to call it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline

__all__ = ["PROMPTS", "Tiny", "pictures", "shown", "tiny"]

PROMPTS: tuple[Mapping[str, Any], ...] = (
    {"prompt": "a fox"},
    {"prompt": "two red boats at sea"},
    {"prompt": "snow on a roof"},
)


@dataclass(frozen=True)
class Tiny:
    """A pipeline of small random networks, on the CPU, in float32, in evaluation mode.

    `call` holds the arguments of its `__call__` that stay the same, `conditions` those of one sample each; `steps` is a
    small number of steps at which it runs. `note` says what is peculiar about it.
    """

    pipe: DiffusionPipeline
    call: Mapping[str, Any]
    conditions: tuple[Mapping[str, Any], ...] = PROMPTS
    steps: int = 4
    note: str = ""


def tiny(
    pipe: DiffusionPipeline,
    call: Mapping[str, Any],
    conditions: tuple[Mapping[str, Any], ...] = PROMPTS,
    steps: int = 4,
    note: str = "",
) -> Tiny:
    """The pipeline with its progress bars off and all its networks in evaluation mode."""
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return Tiny(pipe, call, conditions, steps, note)


def pictures(channels: int, *sides: int) -> tuple[torch.Tensor, ...]:
    """Three different smooth pictures in [0, 1], each (1, channels, *sides)."""
    grids = torch.meshgrid(*(torch.linspace(0, 1, side) for side in sides), indexing="ij")
    ramps = torch.stack([grids[i % len(grids)] for i in range(channels)])[None]
    return tuple(0.5 + 0.5 * torch.sin(rate * ramps + rate) for rate in (2.0, 5.0, 9.0))


def shown(name: str, channels: int, *sides: int) -> tuple[Mapping[str, Any], ...]:
    """The prompts, each with a picture of its own as the argument `name`."""
    return tuple({**prompt, name: picture} for prompt, picture in zip(PROMPTS, pictures(channels, *sides), strict=True))
