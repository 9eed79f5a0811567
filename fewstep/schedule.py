"""A schedule: the choices that define a few-step sampler, as people read them and a search varies them.

`compile` turns it into numbers. A stored schedule has both, so that it samples the same after solver code changes:
where the stored numbers differ from the compiled choices, the stored numbers win. Two digests detect edits of a stored
schedule: ``digest`` the choices (and fitted rows), ``tableau_digest`` the stored numbers.
"""

import hashlib
import json
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from fewstep import processes
from fewstep.checks import number
from fewstep.errors import FewstepError, InvalidSchedule
from fewstep.processes import Process
from fewstep.steps.compiler import compile_steps
from fewstep.steps.rules import MIN_GAP, check
from fewstep.steps.shift import TimeShift
from fewstep.steps.step import Step
from fewstep.steps.weights import Levels
from fewstep.tableau import MAX_CALLS, Tableau

__all__ = ["FORMAT", "MIN_GAP", "VERSION", "Schedule", "Step", "compile", "json_schema"]

FORMAT = "fewstep.schedule"
VERSION = 2
VERSIONS = (1, 2)
RULE = "betas"  # entry of a process that is stored by the rule of its betas
KEYS = ("format", "version", "process", "times", "steps", "shift", "guidance", "tableau", "digest", "tableau_digest")


@dataclass(frozen=True)
class Schedule:
    """N + 1 falling times and N steps on a process.

    ``fitted`` are numbers that replace those of the steps, if any; ``shift`` changes the network's time for each sample
    (`fewstep.timeshift`). ``guidance`` are the guidance scales of the calls, for a model that can be guided
    (`fewstep.models.Denoiser.guided`); None: every call is at the model's own. Fitted numbers have the same scales.

    Raises `InvalidSchedule`, naming the entry, where a rule is broken: at least one step, times inside the process's
    range that fall (steps from further back may end where the last one did), every step at least 1e-6 long in λ, and
    outputs that exist, lie apart and are finite in the step's variable (`fewstep.steps.rules`).

    >>> from fewstep import processes
    >>> schedule = Schedule(processes.VPLinear(), (1.0, 0.5, 0.001), (Step(), Step("data", order=2)))
    >>> schedule.nfe, Schedule.from_json(schedule.to_json()) == schedule
    (2, True)
    """

    process: Process
    times: tuple[float, ...]
    steps: tuple[Step, ...]
    fitted: Tableau | None = None
    shift: TimeShift | None = None
    guidance: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        self._check_types()
        n = len(self.steps)
        if not 1 <= n <= MAX_CALLS:
            raise InvalidSchedule(f"a schedule has 1 to {MAX_CALLS} steps, got {n}")
        if len(self.times) != n + 1:
            raise InvalidSchedule(f"{n} steps want {n + 1} times, got {len(self.times)}: add the missing entries")
        check(Levels(self.process, np.array(self.times)), self.steps)
        if self.guidance is not None and len(self.guidance) != n:
            raise InvalidSchedule(f"{n} calls want {n} guidance scales, got {len(self.guidance)}: one for each call")
        if self.fitted is not None and not np.array_equal(self.fitted.times, np.array(self.times)):
            raise InvalidSchedule("fitted rows were made for other times than the schedule's")
        if self.fitted is not None and _scales(self.fitted.guidance) != self.guidance:
            raise InvalidSchedule(
                f"fitted rows were made for guidance {_scales(self.fitted.guidance)}, but the schedule's is "
                f"{self.guidance}: they belong to the outputs at its scales; fit them anew, or drop them"
            )
        if self.shift is not None:
            self.shift.check(self.process)
            if self.shift.mode == "start" and self.fitted is not None:
                raise InvalidSchedule("fitted rows belong to their own times: shift in mode 'network', or drop them")

    def _check_types(self) -> None:
        if not isinstance(self.process, Process):
            raise InvalidSchedule(f"process is a value of fewstep.processes, got {str(self.process)[:80]!r}")
        try:
            times = tuple(number(f"times[{i}]", t, InvalidSchedule) for i, t in enumerate(self.times))
            steps = tuple(self.steps)
        except TypeError as error:
            raise InvalidSchedule(f"times and steps are sequences: {error}") from error
        if self.guidance is not None:
            object.__setattr__(self, "guidance", _guidance(self.guidance))
        for i, step in enumerate(steps):
            if not isinstance(step, Step):
                raise InvalidSchedule(f"steps[{i}] is a Step, got {str(step)[:80]}")
        if self.fitted is not None and not isinstance(self.fitted, Tableau):
            raise InvalidSchedule(f"fitted is a Tableau or None, got {type(self.fitted).__name__}")
        if self.shift is not None and not isinstance(self.shift, TimeShift):
            raise InvalidSchedule(f"shift is a TimeShift or None, got {type(self.shift).__name__}")
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "steps", steps)

    @property
    def nfe(self) -> int:
        """Network calls for one sample."""
        return len(self.steps)

    def canonical(self) -> "Schedule":
        """The schedule in its simplest equal form; equal schedules compile to equal numbers and share a digest."""
        clean = self.process.sigma(self.times[-1]) == 0.0
        steps = []
        for i, step in enumerate(self.steps):
            start = i + 1 + step.start
            if clean and i + 1 == self.nfe and step.eta:
                step = replace(step, eta=0.0)  # no noise is added to clean data
            steps.append(step.canonical(moved=start > 0 and self.steps[start - 1].corrector > 0))
        return self if tuple(steps) == self.steps else replace(self, steps=tuple(steps))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical choices (and fitted rows, if any), in hexadecimal; of a table's every entry, however
        the process is stored."""
        content = self.canonical()._choices()
        content["rows"] = None if self.fitted is None else self.fitted.to_dict()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _choices(self) -> dict[str, Any]:
        return {
            "process": processes.to_dict(self.process),
            "times": list(self.times),
            "steps": [step.to_dict() for step in self.steps],
            **({} if self.shift is None else {"shift": self.shift.to_dict()}),
            **({} if self.guidance is None else {"guidance": list(self.guidance)}),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: format, version, choices, compiled tableau and the digests of choices and tableau.

        The version is the lowest that can say them.
        """
        process = processes.to_dict(self.process, by_rule=True)
        version = 1 if self.guidance is None and RULE not in process else 2
        tableau = compile(self)
        digests = {"digest": self.digest, "tableau_digest": tableau.digest}
        choices = {**self._choices(), "process": process}
        return {"format": FORMAT, "version": version, **choices, "tableau": tableau.to_dict(), **digests}

    def to_json(self, indent: int | None = None) -> str:
        """The schedule as JSON text; `from_json` is the inverse."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    @classmethod
    def from_dict(cls, data: Any) -> "Schedule":
        """The schedule that `to_dict` described; raises `InvalidSchedule` with what is wrong in it.

        Stored numbers that differ from the compiled choices become the schedule's ``fitted`` tableau, which changes its
        digest.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            received = f'"format": {data.get("format")!r}' if isinstance(data, dict) else type(data).__name__
            raise InvalidSchedule(f'a schedule is a JSON object with "format": "{FORMAT}", got {received}')
        version = data.get("version")
        if type(version) is not int or version not in VERSIONS:
            read = " and ".join(map(str, VERSIONS))
            raise InvalidSchedule(f"this fewstep reads schedule versions {read}, got {version!r}: use a newer fewstep")
        for key in ("process", "times", "steps", "tableau"):
            if key not in data:
                raise InvalidSchedule(f"the schedule has no {key!r}; it has {', '.join(map(str, data))}")
        known = [key for key in KEYS if key != "guidance" or version > 1]
        unknown = sorted(map(str, data.keys() - set(known)))
        if unknown:
            raise InvalidSchedule(f"the schedule has unknown entries {unknown}; known: {', '.join(known)}")
        for key in ("times", "steps", "guidance"):
            if key in data and not isinstance(data[key], list):
                raise InvalidSchedule(f"{key!r} is a list, got {type(data[key]).__name__}")
        steps = tuple(_step(i, item) for i, item in enumerate(data["steps"]))
        if version == 1 and isinstance(data["process"], dict) and RULE in data["process"]:
            raise InvalidSchedule("the schedule's process is a table by its betas' rule, which wants version 2")
        try:
            process = processes.from_dict(data["process"])
        except FewstepError as error:
            raise InvalidSchedule(f"the schedule's process: {error}") from error
        shift = TimeShift.from_dict(data["shift"]) if "shift" in data else None
        guidance = tuple(data["guidance"]) if "guidance" in data else None
        choices = cls(process, tuple(data["times"]), steps, None, shift, guidance)
        numbers = Tableau.from_dict(data["tableau"])
        if numbers.calls != choices.nfe:
            raise InvalidSchedule(f"{choices.nfe} steps, but the tableau has {numbers.calls} rows: rows are missing")
        shifted_start = shift is not None and shift.mode == "start"  # its numbers are each sample's
        fitted = choices if shifted_start else replace(choices, fitted=numbers)
        digest = data.get("digest", choices.digest)
        if (
            digest not in (choices.digest, fitted.digest)
            or data.get("tableau_digest", numbers.digest) != numbers.digest
        ):
            raise InvalidSchedule(
                "a digest does not fit the content: the schedule was edited; drop 'digest' and 'tableau_digest' to "
                "accept it as it is"
            )
        agrees = digest == choices.digest and numbers.close_to(compile(choices))
        if shifted_start and not agrees:
            raise InvalidSchedule(
                "the stored numbers are not those of the choices, on which a time shift of mode 'start' runs: read it "
                "with the fewstep that wrote it, or shift in mode 'network'"
            )
        return choices if agrees else fitted

    @classmethod
    def from_json(cls, text: str | bytes) -> "Schedule":
        """The schedule that `to_json` wrote; raises `InvalidSchedule`."""
        try:
            data = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidSchedule(f"a schedule is JSON text, got {str(text)[:40]!r}: {error}") from error
        return cls.from_dict(data)


@lru_cache(maxsize=4096)
def compile(schedule: Schedule) -> Tableau:
    """The tableau of a schedule: the fitted one where it has one, else what its choices compile to.

    >>> from fewstep import processes, solvers
    >>> compile(solvers.named("ddim").schedule(processes.VPLinear(), nfe=4)).outputs.shape
    (4, 4)
    """
    if schedule.fitted is not None:
        return schedule.fitted
    tableau = compile_steps(Levels(schedule.process, np.array(schedule.times)), schedule.canonical().steps)
    return tableau if schedule.guidance is None else replace(tableau, guidance=np.array(schedule.guidance))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of stored schedules: the file in the wheel, with a case for each process that a package adds.

    >>> json_schema()["title"]
    'fewstep schedule, versions 1 and 2'
    """
    schema: dict[str, Any] = json.loads((resources.files("fewstep") / "schedule.schema.json").read_text())
    cases = schema["$defs"]["process"]["oneOf"]
    stated = {case["properties"]["kind"]["const"] for case in cases}
    for kind in processes.names():
        if kind not in stated:
            parameters: dict[str, Any] = {field.name: {} for field in fields(processes.KINDS[kind])}
            cases.append({"properties": {"kind": {"const": kind}, **parameters}, "additionalProperties": False})
    return schema


def _guidance(scales: Any) -> tuple[float, ...]:
    """Guidance scales as floats; raises `InvalidSchedule`."""
    try:
        return tuple(number(f"guidance[{i}]", scale, InvalidSchedule) for i, scale in enumerate(scales))
    except TypeError as error:
        raise InvalidSchedule(f"guidance is a sequence of scales, one for each call, or None: {error}") from error


def _scales(guidance: np.ndarray | None) -> tuple[float, ...] | None:
    """A tableau's guidance as a schedule holds it."""
    return None if guidance is None else tuple(guidance.tolist())


def _step(index: int, item: Any) -> Step:
    entries = [field.name for field in fields(Step)]
    if not isinstance(item, dict) or not set(item) <= set(entries):
        raise InvalidSchedule(f"steps[{index}] is an object with {', '.join(entries)}; got {str(item)[:80]}")
    try:
        return Step(**item)
    except InvalidSchedule as error:
        raise InvalidSchedule(f"steps[{index}]: {error}") from error
