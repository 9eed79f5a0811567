"""What am I running now? The schedule that a diffusers scheduler amounts to."""

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
SAME_TIME = 1e-5  # in λ: closer times are the same time in float32
SAME_ROWS = 1e-4  # relative to a row's largest entry: diffusers' float32 coefficients


def from_diffusers(
    scheduler: Any,
    num_inference_steps: int | None = None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | np.ndarray | None = None,
    mu: float | None = None,
) -> Schedule:
    """The schedule of a diffusers scheduler with that many inference steps, or with what its set_timesteps takes else.

    The scheduler itself is left alone: a copy is set and run. Where its method has an encoding that does the same, the
    schedule's choices are that. Where it tells the network times beside its states' (rounded ones, say), the numbers
    for its kind of prediction come along as ``rows``. Where nothing encodes what it does, ``rows`` are as measured, in
    float32, beside the nearest choices.

    Calls are counted, not steps: Heun's method makes two for a step. Times of flow schedules are the σ of
    ``processes.Flow()``. Schedulers that keep x/α (Euler and its kin) may start from a little less noise than the noise
    law has: the schedule does not.

    Raises `InvalidInput` where the class is unknown, where it is not linear (clipping, thresholding), and where it does
    what no schedule can.

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
    name, n = type(scheduler).__name__, len(terms.network_times)
    measured, steps = probe(scheduler, terms), guess(scheduler)
    plain = _valid(name, terms, steps or (Step(),) * n)
    if steps is not None:
        exact = _retell(compile(plain), terms)
        if _close(exact, measured):
            return _lean(plain, exact, terms)
    return replace(plain, fitted=measured)


def _valid(name: str, terms: Interpretation, steps: tuple[Step, ...]) -> Schedule:
    try:
        return Schedule(terms.process, tuple(terms.times.tolist()), steps)
    except InvalidSchedule as error:
        still = (
            " (its last step has no length: try another final_sigmas_type)" if len(set(terms.times[-2:])) < 2 else ""
        )
        raise InvalidInput(f"the times that this {name} uses are no schedule's{still}: {error}") from error


def _lean(plain: Schedule, exact: Tableau, terms: Interpretation) -> Schedule:
    """The choices alone where they say everything, else with the numbers."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(plain.process.log_snr(terms.network_times) - plain.process.log_snr(terms.times[:-1]))
    if not np.any(apart > SAME_TIME):
        return plain
    offsets = terms.network_times - terms.times[:-1]
    steps = tuple(replace(step, offset=float(d)) for step, d in zip(plain.steps, offsets, strict=True))
    try:
        shifted = replace(plain, steps=steps)
    except InvalidSchedule:
        return replace(plain, fitted=exact)
    return shifted if compile(shifted).close_to(exact) else replace(plain, fitted=exact)


def _retell(tableau: Tableau, terms: Interpretation) -> Tableau:
    """The tableau in terms of our denoisers' data predictions, where the scheduler reads the network at other times.

    An output F is a·y + b·D of what our denoiser makes of it, so each row is rewritten with D_j → a_j·y_j + b_j·D_j.
    """
    (p, q), (p_meant, q_meant) = terms.assumed, terms.meant
    a, b = p - q * p_meant / q_meant, q / q_meant
    n, fresh = tableau.calls, tableau.noise.shape[1]
    states, data = np.zeros((n + 1, 1 + n + fresh)), np.zeros((n, 1 + n + fresh))
    states[0, 0] = 1.0
    for i in range(n):
        data[i] = a[i] * states[i]
        data[i, 1 + i] += b[i]
        states[i + 1] = tableau.outputs[i] @ data
        states[i + 1, 0] += tableau.start[i]
        states[i + 1, 1 + n :] += tableau.noise[i]
    return Tableau(terms.times, terms.network_times, states[1:, 0], states[1:, 1 : 1 + n], states[1:, 1 + n :])


def _close(exact: Tableau, measured: Tableau) -> bool:
    """Whether rows agree to float32."""
    if exact.noise.shape != measured.noise.shape:
        return False
    ours, theirs = (np.hstack([t.start[:, None], t.outputs, t.noise]) for t in (exact, measured))
    return bool(np.all(np.abs(theirs - ours).max(1) <= SAME_ROWS * np.abs(ours).max(1)))
