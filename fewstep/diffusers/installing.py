"""Puts a schedule into a diffusers pipeline, and takes it out again.

    install(pipe, schedule)
    image = pipe("a fox").images[0]
    uninstall(pipe)

What the network predicts, how it gets its state and time, and how much noise its times mean is read from the scheduler
that the pipeline has; a schedule of another noise process is refused. Nothing but ``pipe.scheduler`` is changed.
"""

import inspect
from dataclasses import replace
from typing import Any

import numpy as np

from fewstep.diffusers.circumstances import Circumstances
from fewstep.diffusers.place import PREDICTION_TYPES, TIMES, Place
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.diffusers.shift_hook import attach
from fewstep.diffusers.signature import default_steps, parameters_of
from fewstep.errors import InvalidInput
from fewstep.models import scheduler_config
from fewstep.models.betas import settings_of
from fewstep.models.scheduler_config import NetworkSpec
from fewstep.processes import Discrete, Flow, Process
from fewstep.schedule import Schedule

__all__ = ["adapters_of", "check_process", "install", "read_law", "uninstall"]

SAME_LEVEL = 1e-2  # of λ: tables in float32, and ends of tables that are all but zero
ALL_NOISE = 5e-3  # α below which a state is noise, whatever λ
INVERTS = "it inverts pictures by inner functions of its own scheduler"
REFUSED = {
    "LEditsPPPipelineStableDiffusion": INVERTS,
    "LEditsPPPipelineStableDiffusionXL": INVERTS,
    "StableDiffusionLatentUpscalePipeline": "it scales its latents itself, by the sigmas of Euler's scheduler",
}
UNSHIFTED = ("CogView4Pipeline", "CogView4ControlPipeline", "GlmImagePipeline", "LTXConditionPipeline")
NETWORKS = ("unet", "transformer")


def read_law(pipe: Any, mu: float | None = None) -> NetworkSpec:
    """The noise process of a pipeline (or of its scheduler), and how its network is fed: for schedules made by hand.

    ``mu`` is the time shift that a pipeline with dynamic shifting passes for its image size
    (`fewstep.models.scheduler_config.read`). Raises `UnknownName` for a scheduler whose law is not known.

    >>> from diffusers import DDIMScheduler
    >>> read_law(DDIMScheduler()).process.kind
    'discrete'
    """
    scheduler = getattr(pipe, "scheduler", pipe)
    if isinstance(scheduler, FewstepScheduler):
        return scheduler.network_spec
    if not hasattr(scheduler, "config"):
        raise InvalidInput(f"a pipeline has a scheduler of diffusers, got {type(scheduler).__name__}")
    spec = scheduler_config.of(scheduler, mu)
    if not _bases(pipe).isdisjoint(UNSHIFTED) and spec.process.kind == "flow" and spec.preconditioning == "none":
        return replace(spec, preconditioning="unshifted")
    return spec


def install(
    pipe: Any, schedule: Schedule, *, searched: Circumstances | None = None, strict: bool = True
) -> FewstepScheduler:
    """Run ``schedule`` in ``pipe``, and return the scheduler that does; `uninstall` puts back what was there.

    The pipeline then needs no ``num_inference_steps``: the number that it asks for by itself stands for the schedule's.
    A share of the steps (``strength``) wants the number of calls named. ``searched`` says what the schedule was
    searched at, and a `CircumstanceWarning` tells where the pipeline runs under other circumstances; without it a flow
    with dynamic shifting is compared with the shift of the schedule's own process. ``strict=False`` passes over sigmas
    and time steps that the pipeline hands over, where its user may choose some, did not, and fewstep does not know the
    pipeline's own.

    Raises `InvalidInput` where the schedule is of another process than the pipeline, and where the pipeline cannot run
    one; `UnknownName` where its scheduler's law is not known.
    """
    name = type(pipe).__name__
    for refused in _bases(pipe) & REFUSED.keys():
        raise InvalidInput(f"{name} cannot run a schedule: {REFUSED[refused]}")
    if not hasattr(pipe, "scheduler"):
        raise InvalidInput(f"a pipeline has a scheduler to replace, {name} has none")
    there = pipe.scheduler
    spec = read_law(pipe)
    check_process(spec.process, schedule.process, name)
    old = there.replaced if isinstance(there, FewstepScheduler) else there
    place = replace(
        there.place if isinstance(there, FewstepScheduler) else _place(there, spec),
        default_steps=default_steps(pipe),
        searched=_comparable(pipe, _searched(there, schedule.process) if searched is None else searched),
        chosen=tuple(name for name in TIMES if strict and name in parameters_of(pipe)),
    )
    scheduler = FewstepScheduler(
        schedule,
        PREDICTION_TYPES[spec.prediction],
        spec.time_scale,
        there.config.get("num_train_timesteps"),
        spec.preconditioning,
        spec.sigma_data,
        place,
    )
    scheduler.replaced = old
    if searched is not None:
        searched.compare(adapters=adapters_of(pipe))
    _detach(there)
    _detach_guidance(pipe)
    if schedule.shift is not None:
        network = next((getattr(pipe, part) for part in NETWORKS if getattr(pipe, part, None) is not None), None)
        if network is None:
            raise InvalidInput(f"a time shift wants a pipeline with a unet or a transformer, {name} has neither")
        scheduler.attachment = attach(network, scheduler)
    pipe.scheduler = scheduler
    if schedule.guidance is not None:
        from fewstep.diffusers.capture.segments import (
            attach as attach_guidance,  # which captures pipelines by this file
        )

        attach_guidance(pipe)
    return scheduler


def uninstall(pipe: Any) -> None:
    """Put back the scheduler that `install` replaced: the same object, or after a reload one of its settings.

    Raises `InvalidInput` where nothing was installed, or where nobody knows what was there.
    """
    there = getattr(pipe, "scheduler", None)
    if not isinstance(there, FewstepScheduler):
        raise InvalidInput(
            f"nothing is installed in this {type(pipe).__name__}: its scheduler is {type(there).__name__}"
        )
    old = there.replaced
    if old is None:
        import diffusers

        old = getattr(diffusers, there.place.replaced, None)
        if old is None:
            raise InvalidInput(
                "this scheduler was put in by hand, so what was there before is not known: set pipe.scheduler yourself"
            )
        old = old.from_config({key: value for key, value in there.config.items() if key != scheduler_config.STORED})
    _detach(there)
    _detach_guidance(pipe)
    pipe.scheduler = old


def check_process(ours: Process, theirs: Process, name: str) -> None:
    """Raises `InvalidInput` where a schedule on the process ``theirs`` is not one for a pipeline on ``ours``.

    A flow's shift only names its times, so any will do.
    """
    reason = ""
    if ours.kind != theirs.kind:
        reason = f"the pipeline's is {ours.kind}, the schedule's {theirs.kind}"
    elif isinstance(ours, Discrete) and isinstance(theirs, Discrete):
        mine, given = (np.array(process.alphas_cumprod) for process in (ours, theirs))
        if len(mine) != len(given):
            reason = f"the pipeline's table has {len(mine)} entries, the schedule's {len(given)}"
        else:
            apart = np.abs(np.log(mine / (1 - mine)) - np.log(given / (1 - given))) / 2
            noise = (np.sqrt(mine) < ALL_NOISE) & (np.sqrt(given) < ALL_NOISE)
            worst = int(np.argmax(np.where(noise, 0.0, apart)))
            if apart[worst] > SAME_LEVEL and not noise[worst]:
                reason = (
                    f"at time step {worst} the pipeline's ᾱ is {mine[worst]:.4g}, the schedule's {given[worst]:.4g}"
                )
    elif ours.kind == "ve" and abs(theirs.t_max / ours.t_max - 1) > SAME_LEVEL:
        reason = f"the pipeline begins at σ = {ours.t_max:g}, the schedule at {theirs.t_max:g}"
    if reason:
        raise InvalidInput(
            f"this schedule is for another noise process than this {name}: {reason}; take a schedule that was searched "
            "on this model, or make one on fewstep.diffusers.read_law(pipe).process"
        )


def _place(scheduler: Any, spec: NetworkSpec) -> Place:
    """What is there, with a table that the config does not say."""
    settings = dict(scheduler.config)
    name = type(scheduler).__name__
    if isinstance(spec.process, Discrete):
        try:
            said = scheduler_config.read({**settings, "_class_name": name}).process
        except InvalidInput:
            said = None
        if said != spec.process:
            table = np.array(spec.process.alphas_cumprod)
            settings |= {"rescale_betas_zero_snr": False, "trained_betas": None, **settings_of(table)}
    return Place(name, settings)


def _bases(pipe: Any) -> set[str]:
    return {each.__name__ for each in type(pipe).__mro__}


def _searched(scheduler: Any, process: Process) -> Circumstances | None:
    """The mu that a flow schedule was made for, by its process: a shift of 1 says nothing."""
    config = scheduler.config
    if not (config.get("use_dynamic_shifting") and isinstance(process, Flow)) or process.shift == 1:
        return None
    linear = config.get("time_shift_type") == "linear"
    return Circumstances(mu=process.shift if linear else float(np.log(process.shift)))


def _comparable(pipe: Any, searched: Circumstances | None) -> Circumstances | None:
    """Without the mu of a pipeline that computes it from the number of steps as well (Flux 2): it says no size then."""
    by_steps = hasattr(inspect.getmodule(type(pipe)), "compute_empirical_mu")
    return replace(searched, mu=None) if by_steps and searched is not None else searched


def adapters_of(pipe: Any) -> tuple[str, ...] | None:
    """The names of the active adapters; None where the pipeline knows none."""
    listed = getattr(pipe, "get_active_adapters", None)
    if listed is None:
        return None
    try:
        return tuple(sorted(listed()))
    except ValueError:  # diffusers' answer where the package of adapters is missing: then there are none
        return ()


def _detach(scheduler: Any) -> None:
    attachment = getattr(scheduler, "attachment", None) if isinstance(scheduler, FewstepScheduler) else None
    if attachment is not None:
        attachment.remove()


def _detach_guidance(pipe: Any) -> None:
    """Take back what `fewstep.diffusers.capture.segments.attach` did to the pipeline's class, if anything."""
    pipe.__class__ = getattr(type(pipe), "guided_class", type(pipe))
