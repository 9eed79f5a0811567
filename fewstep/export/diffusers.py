"""Sigmas for the diffusers schedulers that take ``sigmas=``, with their changes to them inverted."""

from typing import Any

import numpy as np

from fewstep.diffusers.importer import from_diffusers
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.export.shift import refuse_guidance, refuse_shift
from fewstep.export.sigmas import strides
from fewstep.schedule import Schedule, compile

__all__ = ["diffusers_sigmas"]

ROW_TOLERANCE = 1e-2  # diffusers interpolates its table a little differently; other methods differ by more
SHIFTS = {"FlowMatchEulerDiscreteScheduler": "shift", "UniPCMultistepScheduler": "flow_shift"}
CHANGES = ("use_dynamic_shifting", "shift_terminal", "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas",
           "use_beta_sigmas")  # fmt: skip


def diffusers_sigmas(schedule: Schedule, scheduler: Any) -> np.ndarray:
    """The ``sigmas=`` with which a pipeline with ``scheduler`` runs ``schedule``; an array, as UniPC requires.

    A shift that the scheduler applies to sigmas is inverted, and a zero that it appends is left out. The result
    is tried on a copy of the scheduler. Raises `InvalidInput` where the scheduler takes no sigmas, or changes them in a
    way that depends on more than its settings, and `InvalidSchedule` where it runs something else even so or where the
    schedule has guidance scales.

    >>> from diffusers import FlowMatchEulerDiscreteScheduler
    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("flow-euler").schedule(processes.Flow(shift=3.0), nfe=4)
    >>> diffusers_sigmas(schedule, FlowMatchEulerDiscreteScheduler(shift=3.0))
    array([1.  , 0.75, 0.5 , 0.25])
    """
    refuse_shift(schedule)
    refuse_guidance(schedule)
    name = type(scheduler).__name__
    config = scheduler.config
    levels = schedule.process.sampler_sigma(strides(schedule))
    flow = schedule.process.sampler_state == "plain"
    if name == "EulerDiscreteScheduler":
        fits = not flow
        sigmas = levels
    elif name in SHIFTS and (name.startswith("Flow") or config.use_flow_sigmas):
        fits = flow and levels[-1] == 0.0
        sigmas = levels[:-1]  # the scheduler appends the zero
        shift = float(config[SHIFTS[name]])
        sigmas = sigmas / (shift - (shift - 1) * sigmas)
    else:
        raise InvalidInput(
            f"{name} takes no sigmas with these settings; EulerDiscreteScheduler and {', '.join(SHIFTS)} do (the last "
            "with use_flow_sigmas=True). Or put FewstepScheduler in its place"
        )
    on = [each for each in CHANGES if config.get(each)]
    if on and name != "EulerDiscreteScheduler":
        raise InvalidInput(f"this {name} changes the sigmas that it is given ({', '.join(on)}): make it without")
    if not fits or not np.all(np.isfinite(sigmas)):
        raise InvalidSchedule(
            f"{name} wants sigmas of {'a flow that ends at 0' if name in SHIFTS else 'a table of alphas'}; this "
            f"schedule is on {schedule.process.kind}, from {levels[0]:g} to {levels[-1]:g}"
        )
    theirs = _in_sigmas(from_diffusers(scheduler, sigmas=sigmas))
    mine = _in_sigmas(schedule)
    for what, got, want in zip(("noise levels", "levels of the network's times", "rows"), theirs, mine, strict=True):
        if got.shape != want.shape or not np.allclose(got, want, rtol=ROW_TOLERANCE, atol=ROW_TOLERANCE):
            raise InvalidSchedule(
                f"with these sigmas {name} runs something else than this schedule: {what} differ; put FewstepScheduler "
                "in its place"
            )
    return sigmas


def _in_sigmas(schedule: Schedule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A schedule's levels, levels of its network times, and rows (N, 1 + N + K) for states as samplers keep them."""
    tableau = compile(schedule)
    process = schedule.process
    scale = process.sampler_scale(tableau.times)
    rows = np.hstack([tableau.start[:, None] * scale[0], tableau.outputs, tableau.noise]) / scale[1:, None]
    return process.sampler_sigma(tableau.times), process.sampler_sigma(tableau.network_times), rows
