"""What a pipeline runs today, as a schedule: its own scheduler with the times that the pipeline itself asks for."""

from dataclasses import replace

import numpy as np
import torch

from fewstep.diffusers.capture.denoiser import PipelineDenoiser
from fewstep.diffusers.importer import from_diffusers
from fewstep.diffusers.installing import check_process
from fewstep.errors import InvalidInput
from fewstep.processes import Flow, Process
from fewstep.schedule import Schedule

__all__ = ["on_process", "own_schedule"]


def own_schedule(denoiser: PipelineDenoiser, steps: int | None = None) -> Schedule:
    """The schedule that the pipeline of ``denoiser`` runs with its own scheduler and ``steps`` inference steps, by
    default as many as it makes by itself.

    The times are those that the pipeline asks its scheduler for: with its own sigmas, and its shift by image size.
    Raises `InvalidInput` where the scheduler has no schedule, with the reason.
    """
    more = {} if steps is None else {"num_inference_steps": steps}
    trial = replace(denoiser, call={**denoiser.call, **more})
    with torch.no_grad():
        asked = dict(trial.step(None, torch.tensor([denoiser.process.t_max]), [0]).request)
    if "sigmas" in asked or "timesteps" in asked:
        asked.pop("num_inference_steps", None)
    return on_process(denoiser.process, from_diffusers(denoiser.pipe.scheduler, **asked))


def on_process(process: Process, schedule: Schedule) -> Schedule:
    """The same schedule on ``process``, whose noise levels are the same: a flow with another shift, or the same table
    in float32. Raises `InvalidInput` for another process."""
    own = schedule.process
    if own == process:
        return schedule
    check_process(process, own, "pipeline")
    if not (isinstance(own, Flow) and isinstance(process, Flow)):
        return replace(schedule, process=process)
    if any(step.offset for step in schedule.steps):
        raise InvalidInput("the schedule's network times differ from its states', which a shift would change")

    def moved(times: np.ndarray) -> np.ndarray:
        places: np.ndarray = np.clip(process.time_of_network(own.network_time(times)), process.t_min, process.t_max)
        return places

    places, fitted = moved(np.array(schedule.times)), schedule.fitted
    if fitted is not None:
        fitted = replace(fitted, times=places, network_times=moved(fitted.network_times))
    return replace(schedule, process=process, times=tuple(places.tolist()), fitted=fitted)
