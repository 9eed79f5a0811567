"""docs/solvers.md: its tables are those of the registry, and the diffusers schedulers that it names do what it says."""

import inspect
import re
from dataclasses import replace
from functools import partial

import diffusers
import pytest

from benchmarks.solvers import DIFFUSERS, PAGE, page
from fewstep import Schedule, Step, compile, grids, solvers
from fewstep.diffusers.importer import from_diffusers

SETTINGS = {  # Stable Diffusion's, and steps that no class makes of length zero
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}

pytestmark = [  # diffusers' own, about itself
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*algorithm_type.*dpmsolver.*:FutureWarning"),
]


def test_the_tables_are_fresh() -> None:
    """Making them anew changes nothing; else run ``python -m benchmarks.solvers``."""
    assert page(PAGE.read_text()) == PAGE.read_text()


def test_the_steps_shown_are_code() -> None:
    """Every encoding in the table is a step that can be made, and each solver has a row in both tables."""
    text = PAGE.read_text()
    for name in solvers.names():
        choices, encodings = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {solvers.named(name).order} |" in choices
        shown = [eval(code, {"Step": Step}) for code in re.findall(r"`(Step\(.*?\))`", encodings)]
        stride = [stage.step for block in solvers.named(name).blocks[-1:] for stage in block]
        made = [*stride, *solvers.named(name).ladder]
        assert shown[-1] == made[-1]
        assert set(shown) <= set(made)


def scheduler(expression: str) -> diffusers.SchedulerMixin:
    """What the expression makes, with as many of the settings above as its class takes."""
    kind = getattr(diffusers, expression.split("(")[0])
    known = {key: value for key, value in SETTINGS.items() if key in inspect.signature(kind).parameters}
    made: diffusers.SchedulerMixin = eval(expression, {kind.__name__: partial(kind, **known)})
    return made


def beside(name: str, theirs: Schedule) -> Schedule:
    """The named solver on the times of an imported schedule: of all calls, or of those that begin a stride."""
    later = [i for i, step in enumerate(theirs.steps) if step.start < -1]
    inner = {j for i in later for j in range(i + 1 + theirs.steps[i].start + 1, i + 1)}
    outer = tuple(t for i, t in enumerate(theirs.times) if i not in inner)

    def place(process: object, count: int) -> tuple[float, ...]:
        return theirs.times if count == theirs.nfe else outer

    return solvers.named(name).schedule(theirs.process, theirs.nfe, place)


def same(name: str, expression: str) -> bool:
    """Whether the scheduler takes the named solver's steps or, where numbers overrule them, has its rows to float32.

    Single-step schedulers place the calls within a stride on their grid, ours at fixed shares of it: steps agree, not
    times. Offsets are what a scheduler tells the network beside a state's time.
    """
    theirs = from_diffusers(scheduler(expression), 10)
    ours = beside(name, theirs)
    if theirs.fitted is not None:
        return ours.times == theirs.times and compile(ours).close_to(compile(theirs), 1e-3)
    return tuple(replace(step, offset=0.0) for step in theirs.canonical().steps) == ours.canonical().steps


@pytest.mark.parametrize("name", DIFFUSERS)
def test_the_scheduler_takes_the_same_steps(name: str) -> None:
    """What is read out of the diffusers scheduler that the table names is the solver."""
    assert same(name, DIFFUSERS[name])


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("dpm-3s", DIFFUSERS["dpm-2s"].replace("solver_order=2", "solver_order=3")),
        ("dpmpp-3s", DIFFUSERS["dpmpp-2s"].replace("solver_order=2", "solver_order=3")),
        ("sde-dpmpp-3m", DIFFUSERS["sde-dpmpp-2m"].replace("solver_order=2", "solver_order=3")),
        ("deis-3", "DEISMultistepScheduler(solver_order=3)"),
        ("s-pndm", "PNDMScheduler(skip_prk_steps=True)"),
        ("sa-solver-3", "SASolverScheduler(predictor_order=3, corrector_order=3)"),
    ],
)
def test_the_scheduler_that_seems_the_same_is_not(name: str, expression: str) -> None:
    """Where the page says that diffusers differs, it does."""
    assert not same(name, expression)
    assert f"`{expression.split('(')[0]}" in PAGE.read_text().split("## Where other code differs")[1]


def test_the_page_names_every_grid() -> None:
    """A new grid has a row."""
    section = PAGE.read_text().split("## Grids")[1].split("## Where other code differs")[0]
    assert [name for name in grids.names() if f"`{name}`" not in section] == []
