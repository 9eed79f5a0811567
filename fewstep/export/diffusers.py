"""Sigmas for the diffusers schedulers that take ``sigmas=``, with their changes to them inverted."""

import math
from typing import Any

import numpy as np

from fewstep.diffusers.importer import from_diffusers
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.export.shift import refuse_guidance, refuse_shift
from fewstep.export.sigmas import strides
from fewstep.schedule import Schedule, compile

__all__ = ["diffusers_sigmas"]

ROW_TOLERANCE = 1e-2  # relative: diffusers interpolates its table a little differently; other methods differ by more
TERMINAL_TOLERANCE = 1e-3  # relative
SOLVERS = {"FlowMatchEulerDiscreteScheduler": "flow-euler", "UniPCMultistepScheduler": "unipc"}
SHIFTS = {"FlowMatchEulerDiscreteScheduler": "shift", "UniPCMultistepScheduler": "flow_shift"}
CHANGES = ("invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
INSTEAD = "or put the schedule itself into the pipeline: fewstep.diffusers.FewstepScheduler"


def diffusers_sigmas(schedule: Schedule, scheduler: Any, mu: float | None = None) -> np.ndarray:
    """The ``sigmas=`` with which a pipeline with ``scheduler`` runs ``schedule``; an array, as UniPC requires.

    A shift that the scheduler applies to sigmas is inverted, and a zero that it appends is left out. With dynamic
    shifting that takes ``mu``, which the pipeline computes from the size of the picture (`fewstep.grids.flow_mu`): the
    sigmas are then those of that size. The result is tried on a copy of the scheduler. Raises `InvalidInput` where the
    scheduler takes no sigmas, or changes them in a way that cannot be undone, and `InvalidSchedule` where it runs
    something else even so or where the schedule has guidance scales; both say what to do instead.

    >>> from diffusers import FlowMatchEulerDiscreteScheduler
    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("flow-euler").schedule(processes.Flow(shift=3.0), nfe=4)
    >>> diffusers_sigmas(schedule, FlowMatchEulerDiscreteScheduler(shift=3.0))
    array([1.  , 0.75, 0.5 , 0.25])
    >>> flux = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    >>> diffusers_sigmas(schedule, flux, mu=math.log(3.0))
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
        shift = _shift(name, config, mu)
        sigmas = sigmas / (shift - (shift - 1) * sigmas)
    else:
        raise InvalidInput(
            f"{name} takes no sigmas with these settings; EulerDiscreteScheduler and {', '.join(SHIFTS)} do (the last "
            f"with use_flow_sigmas=True); {INSTEAD}"
        )
    on = [each for each in CHANGES if config.get(each)]
    if on and name != "EulerDiscreteScheduler":
        raise InvalidInput(
            f"this {name} changes the sigmas that it is given ({', '.join(on)}): make it without, {INSTEAD}"
        )
    if not fits or not np.all(np.isfinite(sigmas)):
        raise InvalidSchedule(
            f"{name} wants sigmas of {'a flow that ends at 0' if name in SHIFTS else 'a table of alphas'}; this "
            f"schedule is on {schedule.process.kind}, from {levels[0]:g} to {levels[-1]:g}"
        )
    terminal = config.get("shift_terminal")
    if terminal and not np.isclose(levels[-2], terminal, rtol=TERMINAL_TOLERANCE, atol=0):
        raise InvalidSchedule(
            f"this {name} stretches its sigmas to end at {terminal:g} (shift_terminal), and the schedule's is "
            f"{levels[-2]:.4g}: take a schedule that ends there (grid 'stretched'), make it without, {INSTEAD}"
        )
    theirs = _in_sigmas(from_diffusers(scheduler, sigmas=sigmas, mu=mu))
    mine = _in_sigmas(schedule)
    for what, got, want in zip(("noise levels", "levels of the network's times", "rows"), theirs, mine, strict=True):
        if got.shape != want.shape or not _agree(got, want):
            raise InvalidSchedule(
                f"with these sigmas {name} runs something else than this schedule: {what} differ; take a schedule of "
                f"its own method ({SOLVERS.get(name, 'euler')}), {INSTEAD}"
            )
    return sigmas


def _shift(name: str, config: Any, mu: float | None) -> float:
    """The factor s of σ = s·u/(1 + (s − 1)·u) that the scheduler applies."""
    if not config.get("use_dynamic_shifting"):
        if mu is not None:
            raise InvalidInput(f"mu goes with use_dynamic_shifting, which this {name} has not: leave it out")
        return float(config[SHIFTS[name]])
    if mu is None:
        raise InvalidInput(
            f"this {name} shifts sigmas by the size of the picture (use_dynamic_shifting): pass mu, which the pipeline "
            f"computes (fewstep.grids.flow_mu; 1.15 for Flux at 1024 × 1024), {INSTEAD}"
        )
    return float(mu) if config.get("time_shift_type", "exponential") == "linear" else math.exp(mu)


def _agree(got: np.ndarray, want: np.ndarray) -> bool:
    """Whether levels agree each beside its own size, and rows beside their largest number."""
    size = np.abs(want) if want.ndim == 1 else np.abs(want).max(1, keepdims=True)
    return bool(np.all(np.abs(got - want) <= ROW_TOLERANCE * size))


def _in_sigmas(schedule: Schedule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A schedule's levels, levels of its network times, and rows (N, 1 + N + K) for states as samplers keep them."""
    tableau = compile(schedule)
    process = schedule.process
    scale = process.sampler_scale(tableau.times)
    rows = np.hstack([tableau.start[:, None] * scale[0], tableau.outputs, tableau.noise]) / scale[1:, None]
    return process.sampler_sigma(tableau.times), process.sampler_sigma(tableau.network_times), rows
