"""Lack of memory, as devices and this machine report it."""

import torch

__all__ = ["out_of_memory"]


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device, or this machine, has no memory left; backends say so in other words.

    >>> out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)")), out_of_memory(ValueError("no"))
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("out of memory", "can't allocate memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
