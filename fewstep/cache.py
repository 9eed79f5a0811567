"""The user's cache folder: what is dear to make and can be made again, as the samples of teachers."""

import os
from pathlib import Path

__all__ = ["user_cache"]


def user_cache() -> Path:
    """``$FEWSTEP_CACHE``, else the folder ``fewstep`` in ``$XDG_CACHE_HOME`` or in ``~/.cache``; it need not exist."""
    if named := os.environ.get("FEWSTEP_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fewstep"
