"""A result of a search in another process, with its model: what `tune` hands to a service that lacks the weights."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fewstep import processes
from fewstep.errors import InvalidInput
from fewstep.schedule import compile
from fewstep.values.codec import decode, encode
from fewstep.values.fields import About
from fewstep.values.model import PIPELINE, Model, ModelState
from fewstep.values.result import Measured, Result
from fewstep.values.score import Interval

__all__ = ["Publication", "check_title"]

TITLE = r"[0-9A-Za-z_.-]{1,100}"
LONGEST = 1000  # characters of a text
MOST_TRIALS = 2**31 - 1  # what a column holds


def check_title(name: str) -> None:
    """Raise `InvalidInput` where a service would not take the name of a model."""
    if not re.fullmatch(TITLE, name):
        raise InvalidInput(f"a model's name is 1 to 100 letters, digits, '.', '_' and '-', got {name[:120]!r}")


@dataclass(frozen=True)
class Publication:
    """The ``result`` of a search outside the service, the ``model`` that it is of, and the ``version`` of the fewstep
    that searched.

    The model's source is "pipeline": its weights stay where it was tuned. Raises `InvalidInput` where the parts do not
    belong together (model, process, number of calls), a schedule does not compile, a number is not finite, or a text
    cannot be shown.
    """

    model: Annotated[Model, About("The pipeline, whose weights stay where it was tuned")]
    result: Annotated[Result, About("What was found for it")]
    version: Annotated[str, About("Version of the fewstep that searched")]

    def __post_init__(self) -> None:
        model, problem = self.model, self.result.problem
        check_title(model.name)
        if model.source != PIPELINE or model.state is not ModelState.READY:
            raise InvalidInput(
                f"model.source is {PIPELINE!r} and model.state 'ready', got {model.source[:40]!r} and {model.state}: "
                "models of other sources are submitted with their weights, and searched by the service"
            )
        if problem.model != model.id:
            raise InvalidInput(f"result.problem.model is the model's id {model.id}, got {problem.model[:40]!r}")
        self._check_schedule("winner", self.result.winner)
        self._check_schedule("baseline", self.result.baseline)
        if self.result.schedule.nfe != problem.nfe:
            raise InvalidInput(
                f"result.schedule has {self.result.schedule.nfe} calls, and result.problem.nfe is {problem.nfe}"
            )
        _check_interval("ratio", self.result.ratio_interval)
        if not 0 <= self.result.cost.evaluations <= MOST_TRIALS:
            raise InvalidInput(
                f"result.evaluations is a number of trials, at most {MOST_TRIALS}, got {self.result.cost.evaluations}"
            )
        for place, leaf in _leaves(encode(self)):
            if isinstance(leaf, float) and not math.isfinite(leaf):
                raise InvalidInput(f"{place} is a finite number, got {leaf}")
            if isinstance(leaf, str) and not (leaf.isprintable() and len(leaf) <= LONGEST):
                raise InvalidInput(f"{place} is printable text of at most {LONGEST} characters, got {leaf[:80]!r}")

    def _check_schedule(self, name: str, measured: Measured) -> None:
        """Its process is the model's, and it compiles."""
        own = processes.from_dict(self.model.process)
        if measured.schedule.process != own:
            raise InvalidInput(
                f"result.{name}: its schedule is on a process {measured.schedule.process.kind!r} that is not the "
                f"model's, {own.kind!r}: both have the same parameters"
            )
        compile(measured.schedule)
        if measured.interval is not None:
            _check_interval(name, measured.interval)

    @property
    def digest(self) -> str:
        """SHA-256 of model and result in hexadecimal; neither the model's name nor its other facts change it."""
        content = encode(self.result)
        for schedule in (content["schedule"], content["baseline"]["schedule"]):
            del schedule["tableau"], schedule["tableau_digest"]  # machines compile to other last bits; its digest stays
        return hashlib.sha256(json.dumps([self.model.digest, content]).encode()).hexdigest()

    def to_json(self, indent: int | None = None) -> str:
        """The publication as JSON text, the body of ``POST /v1/results``; `from_json` is the inverse."""
        return json.dumps(encode(self), indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Publication":
        """The publication that `to_json` wrote; raises `InvalidInput` with what is wrong in it."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"a tuned result is JSON text, got {str(text)[:40]!r}: {error}") from error
        return decode(cls, data, strict=True)


def _check_interval(name: str, interval: Interval) -> None:
    if not interval.low <= interval.high:
        raise InvalidInput(f"result.{name}: an interval goes from low to high, got {interval.low} to {interval.high}")


def _leaves(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and text in a JSON value, with its place."""
    if isinstance(content, Mapping):
        for key, part in content.items():
            yield from _leaves(part, f"{place}.{key}".lstrip("."))
    elif isinstance(content, list):
        for i, part in enumerate(content):
            yield from _leaves(part, f"{place}[{i}]")
    else:
        yield place, content
