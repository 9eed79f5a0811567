"""The tables of all named solvers in docs/solvers.md, from the registry itself: ``python -m benchmarks.solvers``."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from fewstep import Step, processes, solvers
from fewstep.solvers import Solver

PAGE = Path(__file__).parents[1] / "docs" / "solvers.md"
NONE = "–"


def _multistep(algorithm: str, order: int, **settings: str) -> str:
    more = {"final_sigmas_type": "sigma_min"} if algorithm == "dpmsolver" else {}  # diffusers asks for it there
    options = {"algorithm_type": algorithm, **settings, **more}
    written = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f"DPMSolverMultistepScheduler(solver_order={order}, {written})"


def _singlestep(algorithm: str, order: int, **settings: str) -> str:
    return _multistep(algorithm, order, **settings).replace("Multistep", "Singlestep")


def _sa(predictor: int, corrector: int) -> str:
    return f"SASolverScheduler(predictor_order={predictor}, corrector_order={corrector}, tau_func=lambda t: 1)"


# The diffusers scheduler that takes the same steps, as the expression that makes it; a test imports every one.
DIFFUSERS = {
    "ddim": "DDIMScheduler(clip_sample=False)",
    "ddpm": "DDPMScheduler(clip_sample=False)",
    "dpm-2m": _multistep("dpmsolver", 2),
    "dpm-3m": _multistep("dpmsolver", 3),
    "dpm-2m-heun": _multistep("dpmsolver", 2, solver_type="heun"),
    "dpm-2s": _singlestep("dpmsolver", 2),
    "dpm-2s-heun": _singlestep("dpmsolver", 2, solver_type="heun"),
    "dpm-3s-heun": _singlestep("dpmsolver", 3, solver_type="heun"),
    "dpmpp-2m": _multistep("dpmsolver++", 2),
    "dpmpp-3m": _multistep("dpmsolver++", 3),
    "dpmpp-2m-heun": _multistep("dpmsolver++", 2, solver_type="heun"),
    "dpmpp-2s": _singlestep("dpmsolver++", 2),
    "dpmpp-2s-heun": _singlestep("dpmsolver++", 2, solver_type="heun"),
    "dpmpp-3s-heun": _singlestep("dpmsolver++", 3, solver_type="heun"),
    "sde-dpmpp-1": _multistep("sde-dpmsolver++", 1),
    "sde-dpmpp-2m": _multistep("sde-dpmsolver++", 2),
    "sde-dpmpp-2m-heun": _multistep("sde-dpmsolver++", 2, solver_type="heun"),
    **{
        f"unipc-{order}-{scale}": f"UniPCMultistepScheduler(solver_order={order}, solver_type={scale!r}, "
        "final_sigmas_type='sigma_min')"
        for order in (1, 2, 3)
        for scale in ("bh1", "bh2")
    },
    "f-pndm": "PNDMScheduler()",
    "euler": "EulerDiscreteScheduler()",
    "heun": "HeunDiscreteScheduler()",
    "lms-4": "LMSDiscreteScheduler()",
    "sa-solver-1": _sa(1, 2),
    "sa-solver-2": _sa(2, 2),
    "sa-solver-3": _sa(3, 3),
    "flow-euler": "FlowMatchEulerDiscreteScheduler()",
    "flow-heun": "FlowMatchHeunDiscreteScheduler()",
}


def _top(solver: Solver) -> Step:
    """The step of the highest order."""
    return solver.ladder[-1] if solver.ladder else solver.blocks[-1][-1].step


def _plain(step: Step) -> bool:
    """Whether it uses one output only, so that form and variable do not matter."""
    return step.order == 1 and not step.corrector


def _variable(step: Step) -> str:
    if step.weights:
        return "fixed weights"
    return "any" if _plain(step) else step.variable


def _calls(solver: Solver) -> str:
    most = len(solver.blocks[-1]) if solver.blocks else 1
    return f"{most} × {solver.starts}, then 1" if solver.starts else str(most)


def _steps(solver: Solver) -> str:
    """The stride's steps, then the ladder's highest, led by lower ones that differ in more than their order."""
    top = _top(solver)

    def as_high(rung: Step) -> Step:
        return replace(rung, order=top.order, corrector=top.corrector, weights=top.weights, points=top.points)

    lower = [rung for rung in solver.ladder[:-1] if not _plain(rung) and as_high(rung) != top]
    stride = [stage.step for stage in solver.blocks[-1]] if solver.blocks else []
    return "; ".join(f"`{_written(step)}`" for step in dict.fromkeys([*stride, *lower, *solver.ladder[-1:]]))


def _written(step: Step) -> str:
    """The step as code, with fractions for what float64 can only round."""
    return re.sub(r"-?\d+\.\d{6,}", lambda match: str(Fraction(match[0]).limit_denominator(100)), repr(step))


def _fresh(step: Step) -> str:
    return f"{step.noise}, η = {step.eta:g}" if step.eta else NONE


CHOICES: dict[str, Callable[[Solver], str]] = {
    "solver": lambda solver: f"`{solver.name}`",
    "order": lambda solver: str(solver.order),
    "calls per stride": _calls,
    "outputs": lambda solver: str(solver.outputs),
    "form": lambda solver: "either" if _plain(_top(solver)) else _top(solver).form,
    "variable": lambda solver: _variable(_top(solver)),
    "corrector": lambda solver: str(_top(solver).corrector or NONE),
    "fresh noise": lambda solver: _fresh(_top(solver)),
    "processes": lambda solver: solver.only or "all",
}
ENCODINGS: dict[str, Callable[[Solver], str]] = {
    "solver": lambda solver: f"`{solver.name}`",
    "steps": _steps,
    "source": lambda solver: solver.source,
    "diffusers": lambda solver: f"`{DIFFUSERS[solver.name]}`" if solver.name in DIFFUSERS else NONE,
}


def table(columns: dict[str, Callable[[Solver], str]], of: Iterable[Solver]) -> str:
    """A markdown table, one row for each solver."""
    rows = [list(columns), ["---"] * len(columns), *([cell(solver) for cell in columns.values()] for solver in of)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def page(text: str) -> str:
    """``text`` with the tables between its markers replaced."""
    every = [solvers.named(name) for name in solvers.names()]
    tables = {"choices": CHOICES, "encodings": ENCODINGS}
    for name, columns in tables.items():
        start, end = f"<!-- table: python -m benchmarks.solvers, {name} -->", f"<!-- end {name} -->"
        before, rest = text.split(start)
        text = before + start + "\n" + table(columns, every) + "\n" + end + rest.split(end)[1]
    return text


def main() -> None:
    """Write the page and say how much is in it."""
    PAGE.write_text(page(PAGE.read_text()))
    print(f"{PAGE.name}: {len(solvers.names())} solvers, {len(processes.names())} kinds of process")


if __name__ == "__main__":
    main()
