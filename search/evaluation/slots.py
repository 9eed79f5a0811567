"""Settings of a pool's slots, and the options of a pool's URL that say them.

| option | default | |
|---|---|---|
| ``threads`` | 1 | CPU threads of a slot |
| ``gpu_memory`` | all of it | fraction of its GPU's memory that a slot may take |
| ``models`` | 4 | models that a slot holds at a time |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any
from urllib.parse import parse_qsl

from fewstep.errors import InvalidInput

__all__ = [
    "AMOUNT",
    "COUNT",
    "FRACTION",
    "MAX_SLOTS",
    "SECONDS",
    "SLOT_OPTIONS",
    "TEXT",
    "Kind",
    "SlotSettings",
    "read_options",
    "slot_settings",
]

MAX_SLOTS = 1024
MODELS_HELD = 4


@dataclass(frozen=True)
class Kind:
    """Type of an option: what is ``wanted``, in words, how it is read, and whether the value fits."""

    wanted: str
    read: Callable[[str], Any]
    fits: Callable[[Any], bool]


COUNT = Kind(f"a whole number from 1 to {MAX_SLOTS}", int, lambda n: 1 <= n <= MAX_SLOTS)
FRACTION = Kind("a number above 0 and at most 1", float, lambda x: 0 < x <= 1)
AMOUNT = Kind("a number, at least 0", float, lambda x: 0 <= x < inf)
SECONDS = Kind("a number of seconds above 0", float, lambda x: 0 < x < inf)
TEXT = Kind("a text", str, lambda text: True)

SLOT_OPTIONS: Mapping[str, Kind] = {"threads": COUNT, "gpu_memory": FRACTION, "models": COUNT}
"""The options of every slot, by the names of their fields in `SlotSettings`."""


@dataclass(frozen=True)
class SlotSettings:
    """What the worker of a slot does first.

    It computes on a torch ``device``, on ``threads`` CPU threads (one, unless told otherwise: sums of several may
    differ in their last bits), may take the fraction ``gpu_memory`` of its GPU's memory (None: all of it), and holds so
    many ``models`` at a time, least recently used first out. Raises `InvalidInput`.

    >>> SlotSettings("cuda:0", gpu_memory=0.25)
    SlotSettings(device='cuda:0', threads=1, gpu_memory=0.25, models=4)
    """

    device: str = "cpu"
    threads: int = 1
    gpu_memory: float | None = None
    models: int = MODELS_HELD

    def __post_init__(self) -> None:
        for name, kind in SLOT_OPTIONS.items():
            value = getattr(self, name)
            if value is not None and not kind.fits(value):
                raise InvalidInput(f"{name} of a slot is {kind.wanted}, got {value}")
        if self.gpu_memory is not None and self.device == "cpu":
            raise InvalidInput(f"gpu_memory is a part of a GPU's, got {self.gpu_memory:g} for a slot on the CPU")


def read_options(query: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The values of a URL's ``query``, what follows its "?", by name.

    >>> read_options("threads=2&gpu_memory=0.5", SLOT_OPTIONS)
    {'threads': 2, 'gpu_memory': 0.5}

    Raises `InvalidInput` for a name that is not in ``kinds`` or comes twice, and for a value that does not fit.
    """
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in kinds or name in options:
            problem = "twice" if name in options else "which is none of them"
            raise InvalidInput(f"options of this pool are {', '.join(kinds)}; got {name[:40]!r}, {problem}")
        kind = kinds[name]
        try:
            options[name] = kind.read(text)
            fits = kind.fits(options[name])
        except ValueError:
            fits = False
        if not fits:
            raise InvalidInput(f"the pool's option {name} is {kind.wanted}, got {text[:40]!r}")
    return options


def slot_settings(device: str, options: Mapping[str, Any]) -> SlotSettings:
    """The settings of a slot on a device, by those of a URL's options that every slot has."""
    return SlotSettings(device, **{name: value for name, value in options.items() if name in SLOT_OPTIONS})
