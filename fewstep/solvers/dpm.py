"""DDIM, DPM-Solver and DPM-Solver++: Taylor steps in λ, multistep and singlestep.

Solver types are diffusers': "midpoint" by default (first derivative scaled by bh2), "heun" (the plain Taylor term).
The third-order multistep is as published, with half of the second derivative, which leaves second order.
"""

from fewstep.solvers.base import Solver, Stage
from fewstep.steps.step import Step

__all__ = ["DPM"]

DPM_PAPER = "Lu et al. 2022 (DPM-Solver)"
PLUS_PAPER = "Lu et al. 2022 (DPM-Solver++)"


def _ladder(prediction: str, order: int, scale: str = "bh2", eta: float = 0.0) -> tuple[Step, ...]:
    """Multistep rungs: second order scaled, third with half the second derivative."""
    rungs = (Step(prediction), Step(prediction, 2, scale), Step(prediction, 3, second=0.5))
    return tuple(Step(s.prediction, s.order, s.scale, second=s.second, eta=eta) for s in rungs[:order])


def _blocks(prediction: str, order: int, heun: bool) -> tuple[tuple[Stage, ...], ...]:
    """Singlestep strides with 1 … order calls: at 1/2, or at 1/3 and 2/3 of the stride in λ."""
    first = Step(prediction)
    two = (Stage(1 / 2, first), Stage(1.0, Step(prediction, 2, "none" if heun else "bh2", start=-2)))
    whole = Step(prediction, 3, start=-3) if heun else Step(prediction, 2, start=-3, points=((-1,),))
    three = (Stage(1 / 3, first), Stage(2 / 3, Step(prediction, 2, start=-2)), Stage(1.0, whole))
    return ((Stage(1.0, first),), two, three)[:order]


def _multistep(name: str, prediction: str, order: int, scale: str, source: str) -> Solver:
    return Solver(name, min(order, 2), source, _ladder(prediction, order, scale))


def _singlestep(name: str, prediction: str, order: int, heun: bool, source: str) -> Solver:
    return Solver(name, order, source, blocks=_blocks(prediction, order, heun), by_call=True)


DPM = (
    Solver("ddim", 1, "Song et al. 2021 (DDIM), eq. 12", _ladder("data", 1)),
    _multistep("dpm-2m", "noise", 2, "bh2", f"{DPM_PAPER}, multistep"),
    _multistep("dpm-3m", "noise", 3, "bh2", f"{DPM_PAPER}, multistep"),
    _multistep("dpmpp-2m", "data", 2, "bh2", f"{PLUS_PAPER}, algorithm 2"),
    _multistep("dpmpp-3m", "data", 3, "bh2", f"{PLUS_PAPER}, third order"),
    _singlestep("dpm-2s", "noise", 2, False, f"{DPM_PAPER}, algorithm 1"),
    _singlestep("dpm-3s", "noise", 3, False, f"{DPM_PAPER}, algorithm 2"),
    _singlestep("dpmpp-2s", "data", 2, False, f"{PLUS_PAPER}, algorithm 1"),
    _singlestep("dpmpp-3s", "data", 3, False, f"{PLUS_PAPER}, third order"),
    _multistep("dpm-2m-heun", "noise", 2, "none", f"{DPM_PAPER}, Taylor type"),
    _multistep("dpmpp-2m-heun", "data", 2, "none", f"{PLUS_PAPER}, Taylor type"),
    _singlestep("dpm-2s-heun", "noise", 2, True, f"{DPM_PAPER}, Taylor type"),
    _singlestep("dpm-3s-heun", "noise", 3, True, f"{DPM_PAPER}, Taylor type"),
    _singlestep("dpmpp-2s-heun", "data", 2, True, f"{PLUS_PAPER}, Taylor type"),
    _singlestep("dpmpp-3s-heun", "data", 3, True, f"{PLUS_PAPER}, Taylor type"),
    Solver("sde-dpmpp-1", 1, f"{PLUS_PAPER}, eq. 18", _ladder("data", 1, eta=1.0)),
    Solver("sde-dpmpp-2m", 1, f"{PLUS_PAPER}, eq. 19", _ladder("data", 2, eta=1.0)),
    Solver("sde-dpmpp-3m", 1, f"{PLUS_PAPER}, third order", _ladder("data", 3, eta=1.0)),
    Solver("sde-dpmpp-2m-heun", 1, f"{PLUS_PAPER}, Taylor type", _ladder("data", 2, "none", eta=1.0)),
)
