"""Journal of a search in the user's cache folder: its trials as they come, so that the same call goes on after a kill.

| file | content |
|---|---|
| about.json | what was searched, for people |
| trials.jsonl | a trial a line |
| result.json | the result, once there is one |
| searched.json | its ratio on the conditions of the search, where others were kept for the test |
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fewstep.errors import FewstepError
from fewstep.search.log import TrialLog
from fewstep.values.codec import dump, load
from fewstep.values.result import Result
from fewstep.values.score import Interval
from fewstep.values.trial import Trial

__all__ = ["Journal", "Ratio"]

T = TypeVar("T")


@dataclass(frozen=True)
class Ratio:
    """A ratio with its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Journal:
    """The journal in ``folder``, which is made with the first trial."""

    folder: Path

    def begin(self, about: Mapping[str, Any]) -> None:
        """Write down what is searched, if that is not there yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "about.json"
        if not path.exists():
            _replace(path, json.dumps({**about, "began": time.time()}, indent=2))

    def log(self) -> TrialLog:
        """The trials that are there; a last line that was cut off by a kill is left out."""
        path = self.folder / "trials.jsonl"
        text = path.read_text() if path.exists() else ""
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        trials = list[Trial]()
        for line in lines:
            try:
                trials.append(load(Trial, line))
            except (FewstepError, ValueError):
                break  # what follows was written after it, and is evaluated again
        kept = "".join(lines[: len(trials)])
        if kept != text:
            _replace(path, kept)
        return TrialLog(trials)

    def add(self, trial: Trial) -> None:
        """Append a trial, on disk before the search goes on."""
        with (self.folder / "trials.jsonl").open("a") as file:
            file.write(dump(trial) + "\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def result(self) -> Result | None:
        """The result, if the search came to its end."""
        return self._read("result.json", Result)

    def end(self, result: Result) -> None:
        """Write down the result."""
        _replace(self.folder / "result.json", dump(result))

    @property
    def searched(self) -> Ratio | None:
        """The ratio on the conditions of the search, if it was measured."""
        return self._read("searched.json", Ratio)

    def keep(self, ratio: Ratio) -> None:
        """Write down the ratio on the conditions of the search."""
        _replace(self.folder / "searched.json", dump(ratio))

    def _read(self, name: str, kind: type[T]) -> T | None:
        """The value in a file, if it was written."""
        path = self.folder / name
        return load(kind, path.read_text()) if path.exists() else None


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(path)
