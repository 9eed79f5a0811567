"""A schedule as one file for ComfyUI: the source of `fewstep.export.node` with the schedule's numbers in it."""

import json
from importlib.resources import files
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.export.shift import refuse_guidance, refuse_shift
from fewstep.schedule import Schedule, compile

__all__ = ["comfyui_node", "node_numbers"]

PLACE = 'TEXT = "{}"'


def comfyui_node(schedule: Schedule) -> str:
    """The text of a custom node for ComfyUI that gives SAMPLER and SIGMAS of the schedule; save it as the
    ``__init__.py`` of a folder in ``custom_nodes``.

    It needs nothing but torch there, this library not either. Raises as `node_numbers`.

    >>> from fewstep import processes, solvers
    >>> text = comfyui_node(solvers.named("unipc-2-bh2").schedule(processes.Flow(shift=3.0), nfe=8))
    >>> "NODE_CLASS_MAPPINGS" in text, "import fewstep" in text
    (True, False)
    """
    source = files("fewstep.export").joinpath("node.py").read_text(encoding="utf-8")
    text = json.dumps(node_numbers(schedule), allow_nan=False)
    return source.replace(PLACE, f"TEXT = {text!r}", 1)


def node_numbers(schedule: Schedule) -> dict[str, Any]:
    """The numbers that the node runs, as plain JSON values; `fewstep.export.node` has their table.

    Raises `InvalidInput` where the first sigma would be infinite and `InvalidSchedule` where the schedule has a time
    shift or guidance scales.

    >>> from fewstep import processes, solvers
    >>> node_numbers(solvers.named("ddim").schedule(processes.Flow(), nfe=2))["levels"]
    [1.0, 0.5, 0.0]
    """
    refuse_shift(schedule)
    refuse_guidance(schedule)
    tableau, process = compile(schedule), schedule.process
    levels = process.sampler_sigma(tableau.times)
    if not np.isfinite(levels[0]):
        raise InvalidInput(
            f"{process.kind} has no data left at t = {schedule.times[0]}, where sigma is infinite in ComfyUI: begin "
            "the schedule later"
        )
    return {
        "key": f"Fewstep_{schedule.digest[:12]}",
        "name": f"fewstep: {schedule.nfe} calls on {process.kind} ({schedule.digest[:8]})",
        "levels": levels.tolist(),
        "scale": process.sampler_scale(tableau.times).tolist(),
        "network_levels": process.sampler_sigma(tableau.network_times).tolist(),
        "network_scale": process.sampler_scale(tableau.network_times).tolist(),
        "start": tableau.start.tolist(),
        "outputs": tableau.outputs.tolist(),
        "noise": tableau.noise.tolist(),
        "alpha": float(process.alpha(np.float64(schedule.times[0]))),
        "sigma": float(process.sigma(np.float64(schedule.times[0]))),
    }
