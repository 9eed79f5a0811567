"""Export as sigmas, for samplers of ComfyUI, k-diffusion and diffusers that take nothing else.

A list of sigmas has the noise levels of the calls only. So it stands for a schedule only where the sampler's method is
the schedule's; that is decided by comparing numbers, not names.

| `Process.sampler_state` | sigma | sampler's state |
|---|---|---|
| "plain" (flow) | σ(t), 1 … 0 | x_t itself |
| "scaled" (any other) | σ/α | x_t/α |
"""

from collections.abc import Sequence

import numpy as np

from fewstep.errors import InvalidInput, InvalidSchedule, UnknownName
from fewstep.export.shift import GUIDED, REASON
from fewstep.processes import Process
from fewstep.schedule import Schedule, compile
from fewstep.solvers import SOLVERS
from fewstep.steps.step import Step

__all__ = ["line", "on_times", "samplers", "sigmas", "strides"]

TOLERANCE = 1e-6  # precision of float32 sigmas

# Samplers of k-diffusion and ComfyUI: the solver that each amounts to, by `Process.sampler_state`.
SAMPLERS: dict[str, dict[str, str]] = {
    "euler": {"plain": "flow-euler", "scaled": "euler"},
    "heun": {"plain": "flow-heun", "scaled": "heun"},
    "dpmpp_2m": {"scaled": "dpmpp-2m", "plain": "in log σ"},  # which for flow is not the log-SNR: no named solver
    "lms": {"scaled": "lms-4"},
}


def samplers(schedule: Schedule) -> list[str]:
    """Names in k-diffusion of the samplers that run ``schedule`` with its sigmas; often none.

    >>> from fewstep import processes, solvers
    >>> process = processes.Discrete.linear_betas()
    >>> samplers(solvers.named("dpmpp-2m").schedule(process, nfe=8, lower_order_final=False))
    ['dpmpp_2m']
    """
    return [name for name in SAMPLERS if _why_not(schedule, name) is None]


def sigmas(schedule: Schedule, sampler: str) -> tuple[float, ...]:
    """The sigmas with which ``sampler`` (k-diffusion's name) runs ``schedule``, the last one included.

    Raises `InvalidSchedule` with the reason where that sampler cannot run the schedule, `UnknownName` for another name.

    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("euler").schedule(processes.Flow(shift=3.0), nfe=3)
    >>> sigmas(schedule, "euler")
    (1.0, 0.8571428571428571, 0.6, 0.0)
    """
    if sampler not in SAMPLERS:
        raise UnknownName("sampler", sampler, SAMPLERS)
    reason = _why_not(schedule, sampler)
    if reason is not None:
        raise InvalidSchedule(
            f"no sigmas make {sampler!r} run this schedule: {reason}; take fewstep.export.sampler or portable instead"
        )
    return tuple(float(s) for s in schedule.process.sampler_sigma(strides(schedule)))


def line(schedule: Schedule, sampler: str) -> str:
    """`sigmas` as one line of text, for ComfyUI's ManualSigmas node: float32 digits, never in scientific notation.

    >>> from fewstep import processes, solvers
    >>> line(solvers.named("euler").schedule(processes.Flow(shift=3.0), nfe=3), "euler")
    '1.0, 0.85714287, 0.6, 0.0'
    """
    return ", ".join(np.format_float_positional(np.float32(s), trim="0") for s in sigmas(schedule, sampler))


def on_times(sampler: str, process: Process, times: Sequence[float]) -> Schedule:
    """The schedule that ``sampler`` (k-diffusion's name) runs on a list of times; orders are never lowered.

    Raises `UnknownName`, and `InvalidInput` where on such a process it is nothing that this library has.

    >>> from fewstep import processes
    >>> on_times("dpmpp_2m", processes.Flow(), (1.0, 0.5, 0.25, 0.0)).steps[1].weights
    (1.5, -0.5)
    """
    if sampler not in SAMPLERS:
        raise UnknownName("sampler", sampler, SAMPLERS)
    solver = SAMPLERS[sampler].get(process.sampler_state)
    if solver is None:
        raise InvalidInput(f"for {process.kind} processes that sampler is no solver of this library")
    if solver in SOLVERS:
        return SOLVERS[solver].on(process, times, lower_order_final=False)
    return _second_order_in_log_level(process, times)


def _second_order_in_log_level(process: Process, times: Sequence[float]) -> Schedule:
    """DPM-Solver++(2M) as hosts run it on flows: its h and r are of log σ, where the paper has the log-SNR.

    With h_i = log(σ_i/σ_{i+1}) and r = h_{i−1}/h_i the step goes along D_i + (D_i − D_{i−1})/(2r).
    """
    levels = process.sampler_sigma(np.array(times, dtype=np.float64))
    with np.errstate(divide="ignore"):
        h = -np.diff(np.log(levels))
    steps = [Step()] * len(h)
    for i in range(1, len(h)):
        if np.isfinite(h[i]):
            share = float(h[i] / (2 * h[i - 1]))
            steps[i] = Step(order=2, weights=(1 + share, -share))
    return Schedule(process, tuple(float(t) for t in times), tuple(steps))


def strides(schedule: Schedule) -> np.ndarray:
    """The schedule's distinct times: several calls may share one."""
    times = np.array(schedule.times)
    distinct: np.ndarray = times[np.append(True, np.diff(times) < 0)]
    return distinct


def _why_not(schedule: Schedule, sampler: str) -> str | None:
    """The reason why ``sampler`` cannot run the schedule; None where it can."""
    if schedule.shift is not None:
        return REASON
    if schedule.guidance is not None:
        return GUIDED
    process = schedule.process
    tableau = compile(schedule)
    if tableau.noise.shape[1]:
        return "it adds fresh noise"
    if not np.isfinite(process.sampler_sigma(tableau.times[:1])).all():
        return f"its first sigma would be infinite (alpha = 0 at t = {schedule.times[0]})"
    beside = np.flatnonzero(~np.isclose(tableau.network_times, tableau.times[:-1], rtol=TOLERANCE, atol=TOLERANCE))
    if len(beside):
        i = beside[0]
        return f"call {i} tells the network {tableau.network_times[i]:g} at a state of time {tableau.times[i]:g}"
    outer = tuple(strides(schedule).tolist())
    try:
        theirs = on_times(sampler, process, outer)
    except InvalidInput as error:
        return f"it cannot be laid out over the schedule's noise levels ({error})"
    if theirs.nfe != schedule.nfe:
        return f"it would make {theirs.nfe} calls over the schedule's {len(outer)} noise levels, not {schedule.nfe}"
    if compile(theirs).close_to(tableau, TOLERANCE):
        return None
    if schedule.fitted is not None:
        return "its rows are fitted, and they are not that sampler's"
    for i, (step, other) in enumerate(zip(schedule.canonical().steps, theirs.canonical().steps, strict=True)):
        if step != other:
            return f"steps[{i}] is {step}, where the sampler takes {other}"
    return "its rows are not that sampler's"
