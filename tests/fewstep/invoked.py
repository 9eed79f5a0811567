"""What the command line answers."""

import re
from collections.abc import Callable
from typing import Any

__all__ = ["Fewstep", "refused"]

Fewstep = Callable[..., Any]


def refused(result: Any, *words: str) -> None:
    """The command failed with one line on stderr that holds the words, and no traceback."""
    assert result.exit_code == 1
    assert re.fullmatch(r"fewstep: [^\n]+\n", result.stderr), result.stderr
    for word in words:
        assert word in result.stderr
