"""Encodings of diffusers' methods in the schedule space: the likely steps of a scheduler, from its settings.

A guess: `fewstep.diffusers.importer.probe` runs the scheduler to check it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fewstep.solvers.base import FEW_CALLS
from fewstep.solvers.deis import ADAMS
from fewstep.solvers.pndm import FOURTH, SECOND
from fewstep.steps.step import Step

__all__ = ["guess"]


def guess(scheduler: Any) -> tuple[Step, ...] | None:
    """The steps of a scheduler after its set_timesteps, one for each call; None for a class without an encoding."""
    name = type(scheduler).__name__
    method = next((each for start, each in GUESSES.items() if name.startswith(start)), None)
    return None if method is None else method(scheduler, len(scheduler.timesteps))


def _first_order(scheduler: Any, n: int) -> tuple[Step, ...]:
    return (Step(),) * n


def _ancestral(scheduler: Any, n: int) -> tuple[Step, ...]:
    return (*(Step(eta=1.0),) * (n - 1), Step())


def _dpm(scheduler: Any, n: int) -> tuple[Step, ...]:
    """DPM-Solver multistep: order up by one a call, and down again over the last two where there are few."""
    config = scheduler.config
    if config.algorithm_type == "sde-dpmsolver":  # adds more noise than it removes, which no step does
        return (Step(eta=1.0),) * n
    form = "noise" if config.algorithm_type == "dpmsolver" else "data"
    eta = 1.0 if config.algorithm_type.startswith("sde") else 0.0
    ladder = (Step(form), Step(form, 2, "none" if config.solver_type == "heun" else "bh2"), Step(form, 3, second=0.5))
    euler = config.euler_at_final or config.final_sigmas_type == "zero"
    steps = [ladder[order - 1] for order in _orders(config, n, euler)]
    zero = float(scheduler.sigmas[-1]) == 0.0
    return tuple(replace(step, eta=0.0 if zero and i == n - 1 else eta) for i, step in enumerate(steps))


def _deis(scheduler: Any, n: int) -> tuple[Step, ...]:
    """Polynomials of the noise prediction in log ρ: plain Taylor steps in noise form."""
    return tuple(Step("noise", order) for order in _orders(scheduler.config, n, False))


def _orders(config: Any, n: int, euler_at_final: bool) -> list[int]:
    orders = [min(config.solver_order, i + 1) for i in range(n)]
    lowers = config.lower_order_final and n < FEW_CALLS
    if n > 1 and lowers:
        orders[-2] = min(orders[-2], 2)
    if lowers or euler_at_final:
        orders[-1] = 1
    return orders


def _unipc(scheduler: Any, n: int) -> tuple[Step, ...]:
    """Predictor of order p, corrected to order p + 1 once the next call has been made."""
    config = scheduler.config
    form = "data" if config.predict_x0 else "noise"
    scale = config.solver_type
    steps = []
    for i in range(n):
        most = min(config.solver_order, n - i) if config.lower_order_final else config.solver_order
        order = min(most, i + 1)
        corrects = i < n - 1 and i not in config.disable_corrector
        corrector = (order + 1, scale if order == 1 else "none") if corrects else (0, "none")
        steps.append(
            Step(form, order, scale if order == 2 else "none", corrector=corrector[0], corrector_scale=corrector[1])
        )
    return tuple(steps)


def _singlestep(scheduler: Any, n: int) -> tuple[Step, ...]:
    """DPM-Solver singlestep: sub-step k of a stride starts k states back."""
    config = scheduler.config
    steps = []
    form = "noise" if config.algorithm_type == "dpmsolver" else "data"
    heun = config.solver_type == "heun"
    for order in scheduler.order_list:
        whole = Step(form, 3, start=-3) if heun else Step(form, 2, start=-3, points=((-1,),))
        second = Step(form, 2, "none" if heun else "bh2", start=-2)
        steps.append((Step(form), second, whole)[order - 1])
    return tuple(steps)


def _heun(scheduler: Any, n: int) -> tuple[Step, ...]:
    stride = (Step("noise"), Step("noise", 2, start=-2, variable="rho"))
    return (*(stride[i % 2] for i in range(n - 1)), Step())


def _flow_heun(scheduler: Any, n: int) -> tuple[Step, ...]:
    stride = (Step(), Step(order=2, weights=(1 / 2, 1 / 2), start=-2, variable="velocity"))
    return (*(stride[i % 2] for i in range(n - 1)), Step())


def _lms(scheduler: Any, n: int) -> tuple[Step, ...]:
    return tuple(Step("noise", min(i + 1, 4), variable="rho") for i in range(n))


def _dpm2(scheduler: Any, n: int) -> tuple[Step, ...]:
    """DPM-Solver-2; the ancestral kind goes by the same states, which half of a stride takes to its end's level."""
    stride = (Step("noise"), Step("noise", 2, "bh2", start=-2))
    return (*(stride[i % 2] for i in range(n - 1)), Step())


def _ipndm(scheduler: Any, n: int) -> tuple[Step, ...]:
    return tuple(Step("noise", k, weights=ADAMS[k - 1]) for k in (min(i + 1, 4) for i in range(n)))


def _sde_2m(scheduler: Any, n: int) -> tuple[Step, ...]:
    """CogVideoX's: second order between a first and a last step of first order."""
    orders = [2 if 0 < i < n - 1 else 1 for i in range(n)]
    return tuple(
        Step("data", order, "bh2" if order == 2 else "none", eta=1.0 if i < n - 1 else 0.0)
        for i, order in enumerate(orders)
    )


def _pndm(scheduler: Any, n: int) -> tuple[Step, ...]:
    """Strides of two or four calls at first, then Adams–Bashforth on the first outputs of the strides."""
    block, count = (SECOND, 1) if scheduler.config.skip_prk_steps else (FOURTH, 3)
    steps = [stage.step for stage in block] * count
    firsts = [k * len(block) for k in range(count)]
    for i in range(len(steps), n):
        firsts.append(i)
        calls = firsts[:-5:-1]
        points = (tuple(call - i - 1 for call in calls),)
        steps.append(Step("noise", len(calls), weights=ADAMS[len(calls) - 1], points=points))
    return tuple(steps[:n])


GUESSES: dict[str, Callable[[Any, int], tuple[Step, ...]]] = {
    "CogVideoXDDIM": _first_order,
    "CogVideoXDPM": _sde_2m,
    "DDIM": _first_order,
    "DDPM": _ancestral,
    "PNDM": _pndm,
    "DEIS": _deis,
    "DPMSolverMultistep": _dpm,
    "EDMDPMSolverMultistep": _dpm,
    "DPMSolverSinglestep": _singlestep,
    "UniPC": _unipc,
    "EulerAncestral": _ancestral,
    "Euler": _first_order,
    "EDMEuler": _first_order,
    "FlowMatchEuler": _first_order,
    "FlowMatchHeun": _flow_heun,
    "Heun": _heun,
    "IPNDM": _ipndm,
    "KDPM2": _dpm2,
    "LMS": _lms,
}
