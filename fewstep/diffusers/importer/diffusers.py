"""Imports a diffusers scheduler: the schedule that does what it does."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fewstep.diffusers.importer.interpretation import FAMILIES, Interpretation, interpret
from fewstep.diffusers.importer.probe import probe
from fewstep.diffusers.importer.steps import guess
from fewstep.errors import FewstepError, InvalidInput, InvalidSchedule
from fewstep.processes import VE
from fewstep.schedule import Schedule, compile
from fewstep.steps.step import Step
from fewstep.tableau import Tableau

__all__ = ["from_diffusers"]

REFUSED = {
    "thresholding": "make it with thresholding=False, and threshold in the denoiser where you want to",
    "scale_factors": "its states grow on the way; make it without",
}
LEAST_START = 0.5  # share of the process's noise that a start state has
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

    Calls are counted, not steps: Heun's method makes two for a step, and a call at the end that moves nothing, where
    the last sigma is there twice, is left out. Times of flow schedules are the σ of ``processes.Flow()``. Schedulers
    with states x/α (Euler and related ones) may start from a little less noise than the process has: the schedule does
    not. With ``clip_sample`` the scheduler clips data predictions, which no schedule does: a warning says so, and the
    schedule is that of the same scheduler without.

    Raises `InvalidInput` where the class is unknown, where it is not linear (thresholding), and where it does something
    that no schedule can.

    >>> from diffusers import PNDMScheduler
    >>> schedule = from_diffusers(PNDMScheduler(skip_prk_steps=True, steps_offset=1), 4)
    >>> schedule.times
    (751.0, 501.0, 501.0, 251.0, 1.0, 0.0)
    >>> schedule.steps[2]
    Step(prediction='noise', order=2, points=((-1, -3),), weights=(1.5, -0.5))
    """
    name = type(scheduler).__name__
    if name == "FewstepScheduler":
        return _own(scheduler, num_inference_steps)
    if name not in FAMILIES:
        raise InvalidInput(f"cannot read a schedule out of {name}; known: {', '.join(FAMILIES)}")
    arguments = {"num_inference_steps": num_inference_steps, "timesteps": timesteps, "sigmas": sigmas, "mu": mu}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    if not arguments or (num_inference_steps is not None and num_inference_steps < 1):
        raise InvalidInput(f"pass a number of inference steps, at least 1, or timesteps or sigmas; got {arguments}")
    ready = _linear(scheduler)
    try:
        with np.errstate(all="ignore"):  # what becomes of it is looked at
            ready.set_timesteps(**arguments)
    except Exception as error:
        raise InvalidInput(f"{name} does not take {arguments}: {error}") from error
    try:
        return _schedule(ready)
    except FewstepError:
        raise
    except Exception as error:
        raise InvalidInput(f"{name} itself fails with these settings: {error}") from error


def _own(scheduler: Any, steps: int | None) -> Schedule:
    """The schedule that a FewstepScheduler runs."""
    schedule: Schedule = scheduler.schedule
    if steps not in (None, schedule.nfe):
        raise InvalidInput(f"this FewstepScheduler has a schedule of {schedule.nfe} calls, got {steps} steps")
    return schedule


def _linear(scheduler: Any) -> Any:
    """A copy that is linear: without clipping, which is warned of. Raises `InvalidInput` for what must stay."""
    name, config = type(scheduler).__name__, scheduler.config
    for setting, advice in REFUSED.items():
        if config.get(setting):
            raise InvalidInput(f"this {name} has {setting}, which no schedule says: {advice}")
    learned = name.startswith("DDPM") and str(config.get("variance_type")).startswith("learned")
    if learned:
        raise InvalidInput(
            f"this {name} has the variance of its noise from the network ({config.variance_type}), which no schedule "
            "says: make it with variance_type='fixed_small'"
        )
    ready = copy.deepcopy(scheduler)
    if config.get("clip_sample") and not name.startswith("CogVideoX"):  # whose steps do not clip
        warnings.warn(
            f"this {name} clips data predictions (clip_sample), which no schedule says: it is read without; clip in "
            "the denoiser where you want to",
            stacklevel=3,
        )
        ready.register_to_config(clip_sample=False)
    return ready


def _schedule(scheduler: Any) -> Schedule:
    name = type(scheduler).__name__
    terms = interpret(scheduler, FAMILIES[name])
    n = len(terms.network_times)
    if not np.all(np.diff(terms.times) <= 0):
        raise InvalidInput(f"the noise levels of this {name} rise on the way, which no schedule's do")
    _refuse_standstill(scheduler, terms)
    _refuse_late_start(scheduler, terms)
    measured = probe(scheduler, terms)
    steps = guess(scheduler)
    plain = _valid(name, terms, (Step(),) * n if steps is None else steps[:n])
    if steps is not None:
        exact = _for_denoiser(compile(plain), terms)
        if _close(exact, measured):
            return _simplest(plain, exact, terms)
    return replace(plain, fitted=measured)


def _refuse_standstill(scheduler: Any, terms: Interpretation) -> None:
    if terms.times[-1] == terms.times[-2]:
        zero = scheduler.config.get("final_sigmas_type")
        hint = ": try final_sigmas_type='zero'" if zero == "sigma_min" else ": try another number of steps"
        raise InvalidInput(f"the only step of this {type(scheduler).__name__} has no length{hint}")


def _refuse_late_start(scheduler: Any, terms: Interpretation) -> None:
    """Where a list begins at almost clean data, classes that scale their start state begin with as little noise."""
    scaled = FAMILIES[type(scheduler).__name__] == "scaled" and not isinstance(terms.process, VE)
    if scaled and float(scheduler.init_noise_sigma) * terms.scale[0] < LEAST_START * terms.process.prior_std:
        raise InvalidInput(
            f"with these settings this {type(scheduler).__name__} starts at time {terms.times[0]:g}, from almost clean "
            "data, where a schedule starts from noise: take timestep_spacing='trailing', or more steps"
        )


def _valid(name: str, terms: Interpretation, steps: tuple[Step, ...]) -> Schedule:
    try:
        return Schedule(terms.process, tuple(terms.times.tolist()), steps)
    except InvalidSchedule as error:
        raise InvalidInput(f"the times that this {name} uses are no schedule's: {error}") from error


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
