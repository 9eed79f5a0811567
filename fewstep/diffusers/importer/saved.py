"""Loads a saved diffusers scheduler from its folder or from a pipeline's."""

import json
from pathlib import Path
from typing import Any

from fewstep.diffusers.importer.interpretation import FAMILIES
from fewstep.errors import InvalidInput

__all__ = ["load"]

NAME = "scheduler_config.json"


def load(path: str | Path) -> Any:
    """The diffusers scheduler saved at ``path``: its folder, the folder of a pipeline, or the JSON file itself.

    Nothing is downloaded, and no code comes from the folder. Raises `InvalidInput` where there is no such file, where
    its class is not one that `from_diffusers` reads, and where diffusers is not installed.
    """
    try:
        import diffusers
    except ImportError as error:
        raise InvalidInput("reading a diffusers scheduler takes diffusers: pip install diffusers") from error
    start = Path(path)
    places = [start] if start.is_file() else [start / NAME, start / "scheduler" / NAME]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise InvalidInput(f"no diffusers scheduler at {start}: there is no {NAME}, nor one in a folder scheduler/")
    try:
        config = json.loads(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInput(f"{file} is not JSON: {error}") from error
    name = config.get("_class_name") if isinstance(config, dict) else None
    if name == "FewstepScheduler":
        from fewstep.diffusers.scheduler import FewstepScheduler

        return FewstepScheduler.from_config(config)
    if name not in FAMILIES:
        raise InvalidInput(f"{file} says it is a {name!r}; schedules are read out of {', '.join(FAMILIES)}")
    try:
        return getattr(diffusers, name).from_config(config)
    except Exception as error:
        raise InvalidInput(f"{name} does not take the settings of {file}: {error}") from error
