"""A loaded network, ready to run as its `fewstep.models.execution.Execution` says.

A compiled network is an attempt: where it cannot be made or run (no compiler, an operation that the compiler does not
know), the plain one answers, in this call and from then on, and the log says why. A lack of memory is no such fault: it
goes to the caller, who asks for fewer samples.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from fewstep.models.execution import Execution
from fewstep.models.memory import out_of_memory

__all__ = ["Network", "precision", "prepare"]

Network = Callable[..., Any]
"""A network's call, with the module's own arguments and output."""

GRAPHS = ("reduce-overhead", "max-autotune")  # modes that record CUDA graphs
REASON = 300  # characters of an error in the log
log = logging.getLogger(__name__)


def precision(execution: Execution, weights: torch.dtype, device: str) -> torch.dtype:
    """The precision in which a network with such ``weights`` runs on ``device``.

    On a CPU float32 takes the place of float16, in which convolutions are some thirty times slower there.

    >>> precision(Execution(), torch.float16, "cpu"), precision(Execution("bfloat16"), torch.float32, "cpu")
    (torch.float32, torch.bfloat16)
    """
    dtype: torch.dtype = getattr(torch, execution.dtype) if execution.dtype else weights
    return torch.float32 if dtype == torch.float16 and torch.device(device).type == "cpu" else dtype


def prepare(network: torch.nn.Module, execution: Execution, device: str) -> Network:
    """The call of a ``network`` that was loaded in its `precision` and whose weights are frozen, on ``device``.

    Compiling happens at the first calls, anew where sizes differ, and makes no gradients: where an argument wants one
    the plain network runs, since a backward pass comes after the call, when there is no falling back.
    """
    network.to(device)
    lasts = execution.channels_last
    if lasts is None:
        lasts = torch.device(device).type == "cpu" and any(isinstance(e, torch.nn.Conv2d) for e in network.modules())
    if lasts:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    call: Network = network if execution.compile is None else _Compiled(network, execution.compile)
    return _channels_last(call) if lasts else call


def _channels_last(call: Network) -> Network:
    """The same call on tensors of four dimensions with channels last; its output lies as usual."""

    def over(*args: Any, **options: Any) -> Any:
        args, options = tree_map_only(torch.Tensor, _laid_out(torch.channels_last), (args, options))
        return tree_map_only(torch.Tensor, _laid_out(torch.contiguous_format), call(*args, **options))

    return over


def _laid_out(layout: torch.memory_format) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor


class _Compiled:
    """A network that torch.compile makes in a ``mode``, and the plain one where that fails or gradients are wanted."""

    def __init__(self, network: torch.nn.Module, mode: str) -> None:
        self._network, self._mode = network, mode
        self._compiled: Network | None = None
        self._failed = False

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self._failed or _wants_gradient(args, options):
            return self._network(*args, **options)
        try:
            return self._attempt(args, options)
        except Exception as error:  # of the compiler, of its backend, or of what they made
            if out_of_memory(error):
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        output = self._network(*args, **options)  # raises by itself where the arguments are at fault
        log.warning("the network cannot run compiled (%s): going on with the plain one", reason[:REASON])
        self._failed, self._compiled = True, None
        return output

    def _attempt(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if self._compiled is None:
            self._compiled = torch.compile(self._network, mode=self._mode)
        with torch.no_grad():  # one mode, whatever the caller's: each has a compilation of its own
            if self._mode not in GRAPHS:
                return self._compiled(*args, **options)
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            # The graph's own memory, which the next call overwrites, holds the output.
            return tree_map_only(torch.Tensor, torch.clone, self._compiled(*args, **options))


def _wants_gradient(*arguments: Any) -> bool:
    return torch.is_grad_enabled() and any(
        isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in tree_leaves(arguments)
    )
