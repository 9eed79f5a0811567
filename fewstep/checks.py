"""Check of a single number from outside: finite, and no text or truth value."""

import math

from fewstep.errors import InvalidInput

__all__ = ["number"]


def number(name: str, value: object, error: type[InvalidInput] = InvalidInput) -> float:
    """``value`` as a float; raises ``error``, naming it, where it is text, true or false, NaN, infinite or no number.

    >>> number("t_min", 1)
    1.0
    """
    if isinstance(value, (str, bytes, bool)):
        raise error(f"{name} is a finite number, got {value!r}")
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as reason:
        raise error(f"{name} is a finite number, got {str(value)[:80]} ({reason})") from reason
    if not math.isfinite(result):
        raise error(f"{name} is a finite number, got {result}")
    return result + 0.0  # no negative zero: equal values must have equal digests
