"""What a step returns: the next state, and the data prediction of the call, which most pipelines do not ask for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from diffusers.schedulers.scheduling_utils import SchedulerOutput

__all__ = ["StepOutput", "StepPair"]


@dataclass
class StepOutput(SchedulerOutput):
    """``prev_sample``, the next state, and ``pred_original_sample``, the data prediction of the call."""

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor | None = None


class StepPair(tuple[torch.Tensor, torch.Tensor]):
    """The same as a pair, whose second entry is computed when it is taken: it costs two passes over the state.

    >>> following, data = StepPair(torch.zeros(1), lambda: torch.ones(1))
    >>> data
    tensor([1.])
    """

    _predict: Callable[[], torch.Tensor]

    def __new__(cls, following: torch.Tensor, predict: Callable[[], torch.Tensor]) -> Self:
        pair = super().__new__(cls, (following, following))
        pair._predict = predict
        return pair

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield super().__getitem__(0)
        yield self._predict()

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(0) if index == 0 else tuple(self)[index]
