"""Stored outputs and noises of one sampling run, from which an update of the plan computes the next state."""

from collections.abc import Callable, Iterable

import torch

from fewstep.sampling.plan import Key, Update

__all__ = ["History", "weighted_sum"]


class History:
    """Tensors of one run: copies of outputs and noises, dropped after their last use. A new run wants a new history.

    >>> y = torch.ones(1, 2)
    >>> History().advance(Update(0.5, 2.0), y, 3 * y)
    tensor([[6.5000, 6.5000]])
    """

    def __init__(self) -> None:
        self._tensors: dict[Key, torch.Tensor] = {}

    def advance(
        self, update: Update, state: torch.Tensor, output: torch.Tensor, draw: Callable[[], torch.Tensor] | None = None
    ) -> torch.Tensor:
        """y_{i+1}, same shape and dtype as the state y_i; the network's ``output`` may have a narrower dtype.

        ``draw()`` makes fresh noise like the state; plans of deterministic tableaus never call it.
        """
        for key in update.fresh:
            if draw is not None:
                self._tensors[key] = draw()
        past = [(self._tensors[key], weight) for key, weight in update.past]
        onto = None if update.onto is None else self._tensors.pop(update.onto)
        following = weighted_sum([(state, update.state), (output, update.output), *past], state, onto)
        for key, of_state, of_output in update.keeps:
            self._tensors[key] = weighted_sum([(state, of_state), (output, of_output)], state)
        for key in update.drops:
            del self._tensors[key]
        return following


def weighted_sum(
    terms: Iterable[tuple[torch.Tensor, float]], like: torch.Tensor, onto: torch.Tensor | None = None
) -> torch.Tensor:
    """Σ weight·tensor in a new tensor of the dtype of ``like``, or added to ``onto`` in place.

    Terms of weight zero are left out.

    >>> weighted_sum([(torch.ones(2), 2.0), (torch.ones(2).half(), 0.5)], torch.ones(2))
    tensor([2.5000, 2.5000])
    >>> weighted_sum([(torch.ones(2), 2.0)], torch.ones(2), onto=torch.ones(2))
    tensor([3., 3.])
    """
    rest = sorted(((tensor, weight) for tensor, weight in terms if weight), key=lambda term: term[1] != 1.0)
    total = onto
    if total is None:
        if not rest:
            return torch.zeros_like(like)
        (first, scale), *rest = rest
        if scale != 1.0:
            total = first.to(like.dtype) * scale
        elif rest:
            (second, weight), *rest = rest
            total = torch.add(first.to(like.dtype), second, alpha=weight)
        else:
            total = first.to(like.dtype, copy=True)
    for tensor, weight in rest:
        total.add_(tensor, alpha=weight)
    return total
