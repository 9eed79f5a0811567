"""A publication is whole or refused: what belongs together agrees, numbers are finite, texts can be shown."""

from dataclasses import replace
from typing import Any

import pytest

from fewstep import processes, solvers
from fewstep.errors import InvalidInput
from fewstep.values.model import ModelState
from fewstep.values.publication import Publication, check_title
from fewstep.values.result import Result
from fewstep.values.score import Interval
from tests.storage import samples


def with_model(**fields: Any) -> Publication:
    """The sample with other fields of its model."""
    whole = samples.publication()
    return replace(whole, model=replace(whole.model, **fields))


def with_result(**fields: Any) -> Publication:
    """The sample with other fields of its result."""
    whole = samples.publication()
    return replace(whole, result=replace(whole.result, **fields))


def sample_result() -> Result:
    """The sample's result."""
    return samples.publication().result


def measured(which: str, **fields: Any) -> Publication:
    """The sample with other fields of its winner or its baseline."""
    return with_result(**{which: replace(getattr(sample_result(), which), **fields)})


def test_json_round_trip() -> None:
    """Written and read again it is equal, and has the same digest."""
    whole = samples.publication(plan=samples.fitted())
    again = Publication.from_json(whole.to_json(indent=2))
    assert again == whole
    assert again.digest == whole.digest


def test_the_digest_is_that_of_model_and_result() -> None:
    """Another name or version is the same publication; another model or number is another one."""
    whole = samples.publication()
    assert replace(with_model(name="x", summary="y"), version="9").digest == whole.digest
    others = (samples.publication("b"), samples.publication(value=0.06), with_result(tau=0.5))
    assert len({each.digest for each in (whole, *others)}) == 4


ON_FLOW = solvers.named("flow-euler").schedule(processes.Flow(), 4)
WRONG = {
    "an upload": (lambda: with_model(source="upload"), "model.source is 'pipeline'"),
    "not ready": (lambda: with_model(state=ModelState.SUBMITTED), "model.state 'ready'"),
    "a name with a space": (lambda: with_model(name="my model"), "a model's name is"),
    "no name": (lambda: with_model(name=""), "a model's name is"),
    "a long name": (lambda: with_model(name="x" * 101), "a model's name is"),
    "of another model": (lambda: with_result(problem=samples.problem("b")), "result.problem.model is the model's id"),
    "of other calls": (lambda: with_result(problem=samples.problem(nfe=5)), "has 4 calls, and result.problem.nfe is 5"),
    "another process": (lambda: with_model(process=processes.to_dict(processes.Flow())), "result.winner: its schedule"),
    "no process": (lambda: with_model(process={"kind": "os.system"}), "unknown process 'os.system'"),
    "a winner on a flow": (lambda: measured("winner", schedule=ON_FLOW), "result.winner: its schedule is on a process"),
    "a baseline on a flow": (lambda: measured("baseline", schedule=ON_FLOW), "result.baseline: its schedule"),
    "NaN": (lambda: with_result(ratio=float("nan")), "result.ratio is a finite number, got nan"),
    "infinity": (lambda: with_result(teacher_error=float("inf")), "result.teacher_error is a finite number, got inf"),
    "an interval": (lambda: with_result(ratio_interval=Interval(2.0, 1.0)), "result.ratio: an interval goes from low"),
    "no interval": (lambda: measured("winner", interval=Interval(float("nan"), 1.0)), "result.winner: an interval"),
    "trials": (lambda: with_result(cost=replace(sample_result().cost, evaluations=2**31)), "result.evaluations is"),
    "an escape": (lambda: measured("winner", name="\x1b[2J"), "result.name is printable text"),
    "a line break": (lambda: with_result(warnings=("median\n",)), r"result.warnings\[0\] is printable text"),
    "a long text": (lambda: with_model(summary="x" * 1001), "model.summary is printable text of at most 1000"),
    "a version": (lambda: replace(samples.publication(), version="\0"), "version is printable text"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(what: str) -> None:
    """Every rule that a part breaks has its own words."""
    make, words = WRONG[what]
    with pytest.raises(InvalidInput, match=words):
        make()


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is JSON text"), ("[" * 10**5, "is JSON text"), ("[]", "is an object"), ("{}", "model is missing")],
)
def test_text_that_is_none(text: str, words: str) -> None:
    """What is no JSON, or JSON of something else."""
    with pytest.raises(InvalidInput, match=words):
        Publication.from_json(text)


def test_titles() -> None:
    """What an upload may be called."""
    check_title("my-sdxl_1.0")
    with pytest.raises(InvalidInput, match="'my/sdxl'"):
        check_title("my/sdxl")
