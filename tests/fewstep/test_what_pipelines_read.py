"""Everything that diffusers' pipelines read of their scheduler is there, or belongs to one that runs no schedule."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import diffusers
import pytest

from fewstep import solvers
from fewstep.diffusers import FewstepScheduler
from fewstep.diffusers.installing import REFUSED
from fewstep.processes import VE, Discrete, Flow, Process

FOLDER = Path(inspect.getfile(diffusers)).parent / "pipelines"
OLD = "deprecated"  # pipelines that diffusers keeps for old code
OTHERS = {  # folders whose pipelines read what only their own scheduler has
    "chronoedit": "edits UniPC's memory, where temporal reasoning is on; it raises then",
    "diffusion_gemma": "a language model",
    "helios": "a scheduler of its own, whose law is not known",
    "ledits_pp": "inverts pictures by its scheduler's inner functions; install refuses it",
    "llada2": "a language model",
    "ltx2": "its scheduler's eta is read by two refiners with a class of their own",
    "stable_cascade": "a scheduler of its own, whose law is not known",
}
FLOW = FewstepScheduler.from_schedule(solvers.named("ddim").schedule(Flow(), 3))
TABLE = FewstepScheduler.from_schedule(solvers.named("ddim").schedule(Discrete.linear_betas(), 3))
EDM = FewstepScheduler(solvers.named("ddim").schedule(VE(), 3), "epsilon", sigma_data=0.5)


def reads(pattern: str) -> Iterator[tuple[str, str]]:
    """Folder and name of everything that a pipeline reads so."""
    for path in sorted(FOLDER.rglob("*.py")):
        folder = path.relative_to(FOLDER).parts[0]
        if folder != OLD and folder not in OTHERS:
            for name in re.findall(pattern, path.read_text()):
                yield folder, name


def test_every_attribute_is_there() -> None:
    """On a flow's scheduler, a table's or a preconditioned one's: `sigmas` is no table's."""
    found = set(reads(r"(?<![\w.])(?:self\.)?scheduler\.([a-zA-Z_]\w*)"))
    assert {("wan", "sigmas"), ("cosmos", "_step_index"), ("flux", "step")} <= found
    assert {(where, name) for where, name in found if not any(hasattr(s, name) for s in (FLOW, TABLE, EDM))} == set()


def test_every_setting_is_there() -> None:
    """Settings that a pipeline reads without asking whether they are there."""
    found = set(reads(r"self\.scheduler\.config\.([a-z_]+)\b(?!\()"))
    assert {("deepfloyd_if", "variance_type"), ("bria", "base_image_seq_len")} <= found
    have = {"get"} | set(FLOW.config) | set(TABLE.config) | set(EDM.config)
    of_their_own = {("cosmos", "final_sigmas_type")}  # the pipeline writes it there itself
    assert {(where, name) for where, name in found if name not in have} - of_their_own == set()


def test_every_argument_is_taken() -> None:
    """Names that pipelines give to `step` and `set_timesteps`."""
    step, times = (set(inspect.signature(f).parameters) for f in (TABLE.step, TABLE.set_timesteps))
    for function, known in (("step", step), ("set_timesteps", times)):
        calls = reads(rf"self\.scheduler\.{function}\(([^()]*)\)")
        found = {(folder, name) for folder, text in calls for name in re.findall(r"(\w+)\s*=", text)}
        assert len(found) > 5
        assert {(folder, name) for folder, name in found if name not in known} == set()


@pytest.mark.parametrize("name", [*OTHERS, *REFUSED])
def test_those_that_are_left_out_exist(name: str) -> None:
    """A list that outlives what it names says nothing."""
    assert (FOLDER / name).is_dir() or hasattr(diffusers, name)


@pytest.mark.parametrize("process", [Flow(), VE()], ids=lambda process: process.kind)
def test_levels_end_where_the_schedule_does(process: Process) -> None:
    """`sigmas` has one entry more than there are calls; a table has none, which some pipelines would misread."""
    scheduler = FLOW if process.kind == "flow" else EDM
    assert scheduler.sigmas.tolist() == pytest.approx([float(process.sigma(t)) for t in scheduler.schedule.times])
    assert not hasattr(TABLE, "sigmas")
