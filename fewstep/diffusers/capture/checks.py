"""Checks of a captured pipeline: its outputs against the pipeline's own run, and a batch against its samples alone.

They find what capture cannot see: guidance that depends on the number of the step or on earlier steps, conditions that
draw noise anew, states that are only a part of what the pipeline carries on.
"""

import contextlib
import copy
import functools
from dataclasses import dataclass, replace
from typing import Any

import torch

from fewstep.diffusers.capture.denoiser import PipelineDenoiser, amid, dtype_of, seeded
from fewstep.diffusers.capture.probe import RunEnd
from fewstep.diffusers.signature import call_of, parameters_of
from fewstep.errors import InvalidModel
from fewstep.models.reading import first_half
from fewstep.processes import VE

__all__ = ["STEPS", "GenuineStep", "batches", "deviation", "record", "replay"]

STEPS = 4  # of the pipeline's own run that are repeated: they span it
EXACT = 1e-3  # how far outputs may be off, as a share of the largest, where arithmetic allows
ROUNDINGS = 8  # else so many roundings of the network's type


@dataclass(frozen=True)
class GenuineStep:
    """One step of a pipeline's own run: the network's time, the state as the network's process has it, the output."""

    network_time: float
    state: torch.Tensor
    output: torch.Tensor


def replay(denoiser: PipelineDenoiser, steps: int = STEPS) -> None:
    """Compare the outputs with those of ``steps`` genuine steps under the first condition; raises `InvalidModel` where
    they differ."""
    most = _tolerance(denoiser)
    differences = [deviation(denoiser, step) for step in record(denoiser, steps)]
    if max(differences) > most:
        text = ", ".join(f"{difference:.2g}" for difference in differences)
        raise InvalidModel(
            f"repeated one by one, the steps of {denoiser.name} make other outputs than in its own run: off by "
            f"{text} of the largest, allowed {most:.2g}. Its step then is no function of state and time: leave out "
            "what changes with the number of the step (guidance that begins or ends midway, skipped layers, caches) or "
            "remembers earlier steps (guiders with momentum)"
        )


def record(denoiser: PipelineDenoiser, steps: int = STEPS) -> list[GenuineStep]:
    """``steps`` steps of the pipeline's own run with its own scheduler, under the first condition."""
    view, recorded = copy.copy(denoiser.pipe), list[GenuineStep]()
    scheduler = copy.deepcopy(denoiser.pipe.scheduler)
    own, scale = scheduler.step, scheduler.scale_model_input if hasattr(scheduler, "scale_model_input") else None
    scales = isinstance(denoiser.process, VE)  # then a reading scales what goes into the network
    twice = hasattr(scheduler, "precondition_outputs")  # a pipeline may step several times at one time: the last counts

    @functools.wraps(own)
    def step(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        state = sample if scales or scale is None else scale(sample, timestep)
        network_time = float(torch.as_tensor(timestep).reshape(-1)[0])
        if twice and recorded and recorded[-1].network_time == network_time:
            recorded.pop()
        recorded.append(GenuineStep(network_time, state.detach().clone(), model_output.detach().clone()))
        if len(recorded) == steps and not twice:
            raise RunEnd
        return own(model_output, timestep, sample, *args, **kwargs)

    vars(scheduler)["step"] = step
    vars(view).update(scheduler=scheduler, _progress_bar_config={"disable": True})
    kwargs = denoiser.arguments([0])
    if "num_inference_steps" in parameters_of(view) and not {"timesteps", "sigmas"} & set(kwargs):
        kwargs["num_inference_steps"] = steps
    with torch.no_grad(), contextlib.suppress(RunEnd), seeded(view._execution_device):
        call_of(view)(view, **kwargs)
    if not recorded:
        raise InvalidModel(f"{denoiser.name} ran to its end without a step of its scheduler")
    return recorded


def deviation(denoiser: PipelineDenoiser, recorded: GenuineStep) -> float:
    """How far the captured output of a recorded step is off, as a share of its largest number."""
    x = recorded.state[:1].float()
    if tuple(x.shape[1:]) != denoiser.shape:
        raise InvalidModel(
            f"{denoiser.name} steps states {tuple(x.shape[1:])} beside those of {denoiser.shape}: states that belong "
            "together, such as picture and sound, cannot be searched one at a time"
        )
    exact = replace(denoiser, network_time=recorded.network_time)
    t = denoiser.reading.time(torch.tensor([recorded.network_time]).double()).float()
    t = t.clamp(denoiser.process.t_min, denoiser.process.t_max)
    with torch.no_grad():
        output = exact.output(exact.step(x, t, [0]), x)
    genuine = first_half(recorded.output[:1].to(output), x)
    return float((output - genuine).abs().max() / genuine.abs().max().clamp_min(1e-30))


def batches(denoiser: PipelineDenoiser) -> PipelineDenoiser:
    """The denoiser, with batches of one where a sample's output depends on what runs beside it."""
    if denoiser.conditions < 2 or denoiser.batch == 1:
        return denoiser
    x, t = amid(denoiser, 2)
    try:
        together = denoiser.bound([0, 1])(x, t)
    except Exception:  # a pipeline that takes one sample at a time may say so in any manner
        return replace(denoiser, batch=1)
    alone = torch.cat([denoiser.bound([i])(x[i : i + 1], t) for i in (0, 1)])
    off = float((together - alone).abs().max() / alone.abs().max())
    return denoiser if off <= _tolerance(denoiser) else replace(denoiser, batch=1)


def _tolerance(denoiser: PipelineDenoiser) -> float:
    return max(EXACT, ROUNDINGS * torch.finfo(dtype_of(denoiser.view)).eps)
