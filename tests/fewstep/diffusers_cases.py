"""Which diffusers scheduler runs which named solver, with which settings, and how near float32 brings the two.

A case makes the scheduler for a noise law of its own kind, and says how the named solver is laid over its times. Where
a solver has no class, `WITHOUT` says why.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    IPNDMScheduler,
    KDPM2DiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    SASolverScheduler,
    UniPCMultistepScheduler,
)

from fewstep import Step

__all__ = ["CASES", "WITHOUT", "Case", "scaled_inside"]

# The largest difference of end states, in float32 throughout, in units of the largest number on the way; why that much
TIGHT = 1e-5  # coefficients from a float32 table, differences of float32 logarithms, and twenty roundings of the state
LOOSE = 1e-4  # a whole noise stride from almost pure noise multiplies differences of outputs by hundreds

TABLES = {"linear": {"beta_schedule": "linear"}, "cosine": {"beta_schedule": "squaredcos_cap_v2"}}
FLOW = {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}
Settings = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One class and the ``settings`` that make it the solver, on every one of ``laws``.

    ``lower``: what the solver's own lower_order_final must be for it. ``scaled``: the class keeps x/α. ``step``:
    arguments of its step. ``cut``: how many outputs it is made to remember, where the solver remembers fewer.
    ``calls``: number of calls that it makes for so many steps. ``also``: settings for so many steps. ``encode``: what
    the class makes of a step where it leaves the paper, which `test_diffusers_solvers` shows.
    """

    make: Callable[..., Any]
    settings: Settings = field(default_factory=dict)
    laws: tuple[str, ...] = ("linear", "cosine")
    lower: bool | None = None
    tolerance: float = TIGHT
    scaled: bool = False
    step: Settings = field(default_factory=dict)
    cut: int = 0
    calls: Callable[[int], int] = int
    also: Callable[[int], Settings] = lambda steps: {}
    encode: Callable[[Step], Step] = lambda step: step

    def scheduler(self, law: str, steps: int) -> Any:
        """The scheduler on that law, its time steps set."""
        extra = TABLES.get(law, FLOW if law == "flow-sigmas" else {})
        made = self.make(**{**extra, **self.settings, **self.also(steps)})
        made.set_timesteps(steps)
        return made


INDEX = {"timestep_spacing": "leading", "steps_offset": 1, "prediction_type": "sample"}
NOISE = {**INDEX, "prediction_type": "epsilon"}  # some know no other
PLAIN = {"prediction_type": "sample"}
SIGMAS = ("linear", "cosine", "flow-sigmas")


def read_as(algorithm: str) -> Settings:
    """The network predicts what the solver extrapolates, which takes the least conversion."""
    return {"prediction_type": "sample" if "++" in algorithm else "epsilon"}


def _multistep(algorithm: str, order: int, kind: str = "midpoint") -> tuple[Case, ...]:
    final = "zero" if "++" in algorithm else "sigma_min"
    settings = {"algorithm_type": algorithm, "solver_order": order, "solver_type": kind, "final_sigmas_type": final}
    case = Case(DPMSolverMultistepScheduler, {**read_as(algorithm), **settings}, SIGMAS[:2])
    flow = Case(DPMSolverMultistepScheduler, {**settings, **FLOW}, SIGMAS[2:])
    return (case, flow) if final == "zero" else (case,)


def _singlestep(algorithm: str, order: int, kind: str = "midpoint") -> tuple[Case, ...]:
    """Lowering the order at the end, the class gives up a whole second-order stride; else it refuses odd numbers."""
    final = "zero" if "++" in algorithm else "sigma_min"
    settings = {"algorithm_type": algorithm, "solver_order": order, "solver_type": kind, "final_sigmas_type": final}

    def also(steps: int) -> Settings:
        return {"lower_order_final": order == 3 or steps % 2 == 1 or final == "zero"}

    encode = scaled_inside if (order, kind) == (3, "midpoint") else lambda step: step
    made = {**read_as(algorithm), **settings}
    if "++" in algorithm:
        flow = Case(DPMSolverSinglestepScheduler, {**settings, **FLOW}, SIGMAS[2:], also=also, encode=encode)
        return (Case(DPMSolverSinglestepScheduler, made, also=also, encode=encode), flow)
    # the cosine table begins with α = 5e-5: noise strides from there leave float32 no digits
    return (Case(DPMSolverSinglestepScheduler, made, ("linear",), tolerance=LOOSE, also=also, encode=encode),)


def scaled_inside(step: Step) -> Step:
    """The class scales the derivative of a third-order stride's second stage as at the end of a second-order one."""
    return replace(step, scale="bh2") if (step.start, step.order) == (-2, 2) else step


def _unipc(order: int, kind: str) -> tuple[Case, ...]:
    """Flow ends at σ = 0, where the class makes NaN of bh1; told to end above it, it repeats its last σ, like SA."""
    settings = {"solver_order": order, "solver_type": kind}
    case = Case(UniPCMultistepScheduler, {**settings, "final_sigmas_type": "sigma_min", **PLAIN}, lower=True)
    flow = Case(UniPCMultistepScheduler, {**settings, **FLOW}, SIGMAS[2:], lower=True)
    return (case, flow) if kind == "bh2" else (case,)


def _sa(order: int) -> tuple[Case, ...]:
    settings = {"predictor_order": order, "corrector_order": max(order, 2), "tau_func": lambda t: 1.0, **PLAIN}
    return (Case(SASolverScheduler, settings, lower=True),)


def _ipndm(order: int) -> tuple[Case, ...]:
    """The class takes the law as a list of σ; it is of fourth order, and of lower order with its memory cut."""
    return (Case(IPNDMScheduler, {}, ("sigmas",), cut=order),)


def _lms(order: int) -> tuple[Case, ...]:
    return (Case(LMSDiscreteScheduler, INDEX, lower=False, scaled=True, step={"order": order}),)


def _edm(order: int, kind: str = "midpoint") -> tuple[Case, ...]:
    settings = {"solver_order": order, "solver_type": kind}
    return (Case(EDMDPMSolverMultistepScheduler, settings, ("edm",)),)


EULER = (
    Case(EulerDiscreteScheduler, INDEX, scaled=True),
    Case(EDMEulerScheduler, {}, ("edm",)),
)
ANCESTRAL = {**INDEX, "clip_sample": False}
HEUN = Case(HeunDiscreteScheduler, INDEX, scaled=True, calls=lambda n: 2 * n - 1)
# Whole halves of strides for 5, 10 and 20 of them; PNDM reads ε or v only, and wants four strides for its long start
PNDM = {"steps_offset": 1, "num_train_timesteps": 1200}

CASES: dict[str, tuple[Case, ...]] = {
    "ddim": (Case(DDIMScheduler, {**INDEX, "clip_sample": False}), *_multistep("dpmsolver++", 1)),
    "ddpm": (
        Case(DDPMScheduler, ANCESTRAL),
        Case(EulerAncestralDiscreteScheduler, NOISE, scaled=True),
    ),
    "euler": EULER,
    "heun": (HEUN,),
    "flow-euler": (Case(FlowMatchEulerDiscreteScheduler, {"shift": 3.0}, ("flow",)),),
    "flow-heun": (Case(FlowMatchHeunDiscreteScheduler, {"shift": 3.0}, ("flow",), calls=lambda n: 2 * n - 1),),
    "s-pndm": (Case(PNDMScheduler, {**PNDM, "skip_prk_steps": True}, ("linear",), cut=2, calls=lambda n: n + 1),),
    "f-pndm": (Case(PNDMScheduler, PNDM, ("linear",), calls=lambda n: n + 9),),
    "dpm-2m": _multistep("dpmsolver", 2),
    "dpm-3m": _multistep("dpmsolver", 3),
    "dpm-2m-heun": _multistep("dpmsolver", 2, "heun"),
    "dpmpp-2m": (*_multistep("dpmsolver++", 2), *_edm(2)),
    "dpmpp-3m": (*_multistep("dpmsolver++", 3), *_edm(3)),
    "dpmpp-2m-heun": (*_multistep("dpmsolver++", 2, "heun"), *_edm(2, "heun")),
    "sde-dpmpp-1": _multistep("sde-dpmsolver++", 1),
    "sde-dpmpp-2m": _multistep("sde-dpmsolver++", 2),
    "sde-dpmpp-2m-heun": _multistep("sde-dpmsolver++", 2, "heun"),
    **{
        f"{ours}-{k}s{'-heun' if kind == 'heun' else ''}": _singlestep(theirs, k, kind)
        for ours, theirs in (("dpm", "dpmsolver"), ("dpmpp", "dpmsolver++"))
        for k in (2, 3)
        for kind in ("midpoint", "heun")
    },
    **{f"unipc-{k}-{kind}": _unipc(k, kind) for k in (1, 2, 3) for kind in ("bh1", "bh2")},
    **{f"sa-solver-{k}": _sa(k) for k in (1, 2, 3)},
    **{f"ipndm-{k}": _ipndm(k) for k in (1, 2, 3, 4)},
    **{f"lms-{k}": _lms(k) for k in (1, 2, 3, 4)},
    **{f"rho-deis-{k}": _lms(k) for k in (1, 2, 3)},
}
CASES["dpm-2s"] += (Case(KDPM2DiscreteScheduler, NOISE, scaled=True, calls=lambda n: 2 * n - 1),)

LOG_RHO = "diffusers' DEIS interpolates in log σ/α; the paper's tAB does in t (Zhang and Chen 2023, eq. 15)"
SIGN = "diffusers takes D_2/2 away where the exponential integral adds it"
NO_DDM = "diffusers has no decoupled diffusion"
WITHOUT = {
    **{f"deis-{k}": LOG_RHO for k in (1, 2, 3, 4)},
    "sde-dpmpp-3m": SIGN,
    "ddm": NO_DDM,
    "ddm-sde": NO_DDM,
}
