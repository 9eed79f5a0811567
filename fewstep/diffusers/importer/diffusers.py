"""Imports a diffusers scheduler: the schedule that does what it does."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fewstep.diffusers.importer.interpretation import FAMILIES, Interpretation, interpret
from fewstep.diffusers.importer.probe import probe
from fewstep.diffusers.importer.steps import guess
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.schedule import Schedule, compile
from fewstep.steps.step import Step
from fewstep.tableau import Tableau

__all__ = ["from_diffusers"]

NONLINEAR = ("clip_sample", "thresholding")
TIME_TOLERANCE = 1e-5  # in λ: closer times are the same time in float32
ROW_TOLERANCE = 1e-4  # relative to a row's largest entry: diffusers' float32 coefficients


def from_diffusers(
    scheduler: Any,
    num_inference_steps: int | None = None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | np.ndarray | None = None,
    mu: float | None = None,
) -> Schedule:
    """The schedule of a diffusers scheduler, for a number of inference steps or other arguments of its set_timesteps.

    The scheduler is not changed: a copy is set and run. Where the schedule space has its method, the schedule has those
    choices. Where the network's times differ from its states' (rounded ones, say), the numbers for its kind of
    prediction are added as ``fitted``. Where the schedule space does not have its method, ``fitted`` has the measured
    numbers, in float32, and the choices are the nearest ones.

    Calls are counted, not steps: Heun's method makes two for a step. Times of flow schedules are the σ of
    ``processes.Flow()``. Schedulers with states x/α (Euler and related ones) may start from a little less noise than
    the process has: the schedule does not.

    Raises `InvalidInput` where the class is unknown, where it is not linear (clipping, thresholding), and where it does
    something that no schedule can.

    >>> from diffusers import PNDMScheduler
    >>> schedule = from_diffusers(PNDMScheduler(skip_prk_steps=True, steps_offset=1), 4)
    >>> schedule.times
    (751.0, 501.0, 501.0, 251.0, 1.0, 0.0)
    >>> schedule.steps[2]
    Step(prediction='noise', order=2, points=((-1, -3),), weights=(1.5, -0.5))
    """
    name = type(scheduler).__name__
    if name not in FAMILIES:
        raise InvalidInput(f"cannot read a schedule out of {name}; known: {', '.join(FAMILIES)}")
    on = [each for each in NONLINEAR if scheduler.config.get(each, False)]
    if on:
        raise InvalidInput(
            f"this {name} has {' and '.join(on)} on, which no schedule says: make it with {on[0]}=False, and clip in "
            "the denoiser where you want to"
        )
    arguments = {"num_inference_steps": num_inference_steps, "timesteps": timesteps, "sigmas": sigmas, "mu": mu}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    if not arguments or (num_inference_steps is not None and num_inference_steps < 1):
        raise InvalidInput(f"pass a number of inference steps, at least 1, or timesteps or sigmas; got {arguments}")
    ready = copy.deepcopy(scheduler)
    try:
        ready.set_timesteps(**arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise InvalidInput(f"{name} does not take {arguments}: {error}") from error
    terms = interpret(ready, FAMILIES[name])
    return _schedule(ready, terms)


def _schedule(scheduler: Any, terms: Interpretation) -> Schedule:
    name = type(scheduler).__name__
    n = len(terms.network_times)
    measured = probe(scheduler, terms)
    steps = guess(scheduler)
    plain = _valid(name, terms, steps or (Step(),) * n)
    if steps is not None:
        exact = _for_denoiser(compile(plain), terms)
        if _close(exact, measured):
            return _simplest(plain, exact, terms)
    return replace(plain, fitted=measured)


def _valid(name: str, terms: Interpretation, steps: tuple[Step, ...]) -> Schedule:
    try:
        return Schedule(terms.process, tuple(terms.times.tolist()), steps)
    except InvalidSchedule as error:
        hint = ""
        if len(set(terms.times[-2:])) < 2:
            hint = " (its last step has no length: try another final_sigmas_type)"
        raise InvalidInput(f"the times that this {name} uses are no schedule's{hint}: {error}") from error


def _simplest(plain: Schedule, exact: Tableau, terms: Interpretation) -> Schedule:
    """The choices alone where they compile to the ``exact`` numbers, else with the numbers."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(plain.process.log_snr(terms.network_times) - plain.process.log_snr(terms.times[:-1]))
    if not np.any(apart > TIME_TOLERANCE):
        return plain
    offsets = terms.network_times - terms.times[:-1]
    steps = tuple(replace(step, offset=float(d)) for step, d in zip(plain.steps, offsets, strict=True))
    try:
        shifted = replace(plain, steps=steps)
    except InvalidSchedule:
        return replace(plain, fitted=exact)
    return shifted if compile(shifted).close_to(exact) else replace(plain, fitted=exact)


def _for_denoiser(tableau: Tableau, terms: Interpretation) -> Tableau:
    """The tableau over a denoiser's data predictions, where the scheduler reads outputs at the states' times.

    The scheduler's data prediction is a·y + b·D with the denoiser's D, which replaces D_j by a_j·y_j + b_j·D_j.
    """
    p, q = terms.scheduler_weights
    p_denoiser, q_denoiser = terms.denoiser_weights
    a = p - q * p_denoiser / q_denoiser
    b = q / q_denoiser
    n = tableau.calls
    fresh = tableau.noise.shape[1]
    states = np.zeros((n + 1, 1 + n + fresh))
    data = np.zeros((n, 1 + n + fresh))
    states[0, 0] = 1.0
    for i in range(n):
        data[i] = a[i] * states[i]
        data[i, 1 + i] += b[i]
        states[i + 1] = tableau.outputs[i] @ data
        states[i + 1, 0] += tableau.start[i]
        states[i + 1, 1 + n :] += tableau.noise[i]
    return Tableau(terms.times, terms.network_times, states[1:, 0], states[1:, 1 : 1 + n], states[1:, 1 + n :])


def _close(exact: Tableau, measured: Tableau) -> bool:
    """Whether the numbers agree to float32."""
    if exact.noise.shape != measured.noise.shape:
        return False
    ours, theirs = (np.hstack([t.start[:, None], t.outputs, t.noise]) for t in (exact, measured))
    return bool(np.all(np.abs(theirs - ours).max(1) <= ROW_TOLERANCE * np.abs(ours).max(1)))
