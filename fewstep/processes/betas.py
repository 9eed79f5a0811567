"""Tables of ᾱ by the rule of their betas, so that a stored process is a few numbers where it has a rule.

| rule | β_i, i = 0 … T−1 |
|---|---|
| "linear" | evenly from ``first`` to ``last`` |
| "scaled_linear" | the square of evenly from √first to √last |

With ``zero_snr`` √ᾱ is stretched to end at zero, or close to it (Lin et al. 2024, algorithm 1). These take sums,
products and square roots alone, whose results are the same on every machine; cosine and sigmoid tables hang on the last
digit of the machine's own functions and are stored entry by entry.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidInput, UnknownName
from fewstep.processes.discrete import LAST_ALPHA

__all__ = ["expand", "linear", "recognise", "scaled_linear", "stretched"]

ENTRIES = ("betas", "first", "last", "count", "zero_snr")
MAX_COUNT = 100_000
DIGITS = 8  # of β_0 and of the last β, as people write them
LAST = (0.02, 0.012, 0.0195, 0.01, 0.0135, 0.014)  # where stretching has hidden it


def expand(rule: Any) -> tuple[float, ...]:
    """ᾱ (T,) of a ``rule`` as `recognise` gives it; raises `InvalidInput` or `UnknownName` where it is none.

    >>> [round(a, 6) for a in expand({"betas": "linear", "first": 0.1, "last": 0.5, "count": 2})]
    [0.9, 0.45]
    """
    if not isinstance(rule, dict) or not set(ENTRIES[:4]) <= set(rule) <= set(ENTRIES):
        raise InvalidInput(f"a table by its betas' rule has {', '.join(ENTRIES)}; got {str(rule)[:80]}")
    kind = rule["betas"]
    if not isinstance(kind, str) or kind not in RULES:
        raise UnknownName("rule of betas", str(kind)[:80], RULES)
    first, last = (number(key, rule[key]) for key in ("first", "last"))
    count = rule["count"]
    zero_snr = rule.get("zero_snr", False)
    if type(count) is not int or not 2 <= count <= MAX_COUNT:
        raise InvalidInput(f"count is a whole number from 2 to {MAX_COUNT}, got {str(count)[:40]}")
    if type(zero_snr) is not bool:
        raise InvalidInput(f"zero_snr is true or false, got {str(zero_snr)[:40]}")
    if not (0 < first < 1 and 0 < last < 1):
        raise InvalidInput(f"betas lie between 0 and 1, got {first:g} and {last:g}")
    return _table(kind, first, last, count, zero_snr)


@lru_cache(maxsize=32)
def recognise(alphas_cumprod: tuple[float, ...]) -> dict[str, Any] | None:
    """The rule that expands to exactly this table, None where none does.

    >>> recognise(expand({"betas": "linear", "first": 0.0001, "last": 0.02, "count": 1000}))
    {'betas': 'linear', 'first': 0.0001, 'last': 0.02, 'count': 1000}
    >>> recognise((0.9, 0.5, 0.1)) is None
    True
    """
    count = len(alphas_cumprod)
    first = _written(1 - alphas_cumprod[0])
    for kind in RULES:
        for last, zero_snr in _ends(alphas_cumprod):
            if 0 < first < 1 and 0 < last < 1 and _table(kind, first, last, count, zero_snr) == alphas_cumprod:
                rule = {"betas": kind, "first": first, "last": last, "count": count}
                return {**rule, "zero_snr": True} if zero_snr else rule
    return None


def _ends(alphas_cumprod: Sequence[float]) -> Iterator[tuple[float, bool]]:
    """What the last β may be, and whether the table is stretched."""
    yield _written(1 - alphas_cumprod[-1] / alphas_cumprod[-2]), False
    if alphas_cumprod[-1] <= LAST_ALPHA:
        yield from ((last, True) for last in LAST)


def _written(beta: float) -> float:
    return float(f"{beta:.{DIGITS}g}")


def linear(first: float, last: float, count: int) -> np.ndarray:
    """β (T,), evenly from ``first`` to ``last``."""
    return np.linspace(first, last, count)


def scaled_linear(first: float, last: float, count: int) -> np.ndarray:
    """β (T,), the square of evenly from √first to √last."""
    betas: np.ndarray = np.linspace(first**0.5, last**0.5, count) ** 2
    return betas


def stretched(bars: np.ndarray) -> np.ndarray:
    """ᾱ (T,) with √ᾱ stretched to end at zero, or close to it: the last is 2⁻²⁴, or a quarter of the one before (Lin et
    al. 2024, algorithm 1)."""
    root = np.sqrt(bars)
    bars = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    bars[-1] = min(LAST_ALPHA, bars[-2] / 4)
    return bars


RULES = {"linear": linear, "scaled_linear": scaled_linear}


def _table(kind: str, first: float, last: float, count: int, zero_snr: bool) -> tuple[float, ...]:
    bars = np.cumprod(1 - RULES[kind](first, last, count))
    return tuple((stretched(bars) if zero_snr else bars).tolist())
