"""Transfer record of a search: for some of its trials, eight physics features and the residual of the physics forecast.

Other searches learn from it where physics errs. It holds one row of `COLUMNS` for each of at most `MOST` trials,
whatever their NFE, and nothing of the schedules themselves. Columns are logarithms relative to the forecast, so they
mean the same for every model. Its JSON is written as format "fewstep.lesson".
"""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.values.objective import DEFAULT, Objective
from fewstep.values.problem import MAX_NFE

__all__ = ["COLUMNS", "FORMAT", "LIMIT", "MOST", "VERSION", "TransferRecord", "readable"]

FORMAT = "fewstep.lesson"
VERSION = 1
COLUMNS = (  # less the forecast of log(score)
    "worst open-loop row",
    "worst closed-loop row at gain 0.9",
    "worst closed-loop row at gain 1",
    "worst closed-loop row at gain 1.15",
    "worst closed-loop row at gain 1.3",
    "worst row on a Gaussian",
    "end on wide modes",
    "end on narrow modes",
)
MOST = 200  # rows; about 11 kB of JSON
LIMIT = 12.0  # of any number in a transfer record: beyond it a schedule has diverged
DECIMALS = 3
LONGEST = 200  # characters of a model's name


@dataclass(frozen=True)
class TransferRecord:
    """``features`` (n, 8) of `COLUMNS`, and ``deviations`` (n,) of measured log scores from their physics forecasts.

    All trials had ``nfe`` calls and were scored by ``metric``. ``model`` is any text that tells models apart; "" where
    the model is unknown. Raises `InvalidInput` where the numbers do not fit together.

    >>> record = TransferRecord(6, ((0.5,) * 8, (0.25,) * 8), (0.1, -0.2), model="mine")
    >>> TransferRecord.from_json(record.to_json()) == record
    True
    """

    nfe: int
    features: tuple[tuple[float, ...], ...] = field(repr=False)
    deviations: tuple[float, ...] = field(repr=False)
    metric: str = DEFAULT
    model: str = ""

    def __post_init__(self) -> None:
        if type(self.nfe) is not int or not 1 <= self.nfe <= MAX_NFE:
            raise InvalidInput(
                f"a transfer record's nfe is a whole number from 1 to {MAX_NFE}, got {str(self.nfe)[:40]}"
            )
        object.__setattr__(self, "metric", str(Objective.parse(self.metric)))
        if not isinstance(self.model, str) or len(self.model) > LONGEST:
            raise InvalidInput(
                f"a transfer record's model is a text of at most {LONGEST} characters, got {self.model!r:.60}"
            )
        features = tuple(_numbers(f"features[{i}]", row) for i, row in enumerate(_sequence("features", self.features)))
        deviations = _numbers("deviations", self.deviations)
        if not 1 <= len(features) <= MOST or len(deviations) != len(features):
            raise InvalidInput(
                f"a transfer record has 1 to {MOST} rows of features and a deviation for each, got {len(features)} and "
                f"{len(deviations)}"
            )
        for i, row in enumerate(features):
            if len(row) != len(COLUMNS):
                raise InvalidInput(f"features[{i}] has one number for each of {len(COLUMNS)} columns, got {len(row)}")
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "deviations", deviations)

    @classmethod
    def of(
        cls, features: np.ndarray, deviations: np.ndarray, nfe: int, metric: str = DEFAULT, model: str = ""
    ) -> "TransferRecord":
        """The record of rows (n, 8) and deviations (n,): at most `MOST`, evenly chosen, rounded and clipped."""
        if len(deviations) > MOST:
            chosen = np.unique(np.linspace(0, len(deviations) - 1, MOST).astype(int))
            features, deviations = features[chosen], deviations[chosen]
        rows = tuple(tuple(row) for row in _rounded(features))
        return cls(nfe, rows, tuple(_rounded(deviations)), metric, model)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "nfe": self.nfe,
            "metric": self.metric,
            "features": [list(row) for row in self.features],
            "deviations": list(self.deviations),
        }

    def to_json(self) -> str:
        """The record as JSON text; `from_json` is the inverse."""
        return json.dumps(self.to_dict(), allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Any) -> "TransferRecord":
        """The record that `to_dict` described; raises `InvalidInput` with what was given and what was wanted."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            what = f'"format": {data.get("format")!r:.40}' if isinstance(data, dict) else type(data).__name__
            raise InvalidInput(f'a transfer record is a JSON object with "format": "{FORMAT}", got {what}')
        version = data.get("version")
        if type(version) is not int or version != VERSION:
            raise InvalidInput(
                f"transfer record version {version!r:.40} is not {VERSION}: leave it out, or use a matching fewstep"
            )
        wanted = {"format", "version", "model", "nfe", "metric", "features", "deviations"}
        if set(data) != wanted:
            raise InvalidInput(
                f"a transfer record has the entries {sorted(wanted)}, got {str(sorted(map(str, data)))[:200]}"
            )
        return cls(data["nfe"], data["features"], data["deviations"], data["metric"], data["model"])

    @classmethod
    def from_json(cls, text: str | bytes) -> "TransferRecord":
        """The record that `to_json` wrote; raises `InvalidInput`."""
        try:
            data = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"a transfer record is JSON text, got {str(text)[:40]!r}: {error}") from error
        return cls.from_dict(data)


def readable(texts: Iterable[str]) -> list[TransferRecord]:
    """The transfer records among ``texts`` (JSON) that this version reads; the others are left out."""
    records = []
    for text in texts:
        with contextlib.suppress(InvalidInput):
            records.append(TransferRecord.from_json(text))
    return records


def _rounded(values: np.ndarray) -> list[Any]:
    rounded: list[Any] = np.round(np.clip(values, -LIMIT, LIMIT), DECIMALS).tolist()
    return rounded


def _sequence(name: str, values: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(values, (list, tuple)):
        raise InvalidInput(f"a transfer record's {name} is a list, got {type(values).__name__}")
    return values


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """Finite numbers up to `LIMIT` either way; raises `InvalidInput`, naming the first that is not."""
    values = _sequence(name, values)
    for i, value in enumerate(values):
        if type(value) not in (int, float) or not abs(value) <= LIMIT:  # not: NaN is no number either
            raise InvalidInput(
                f"a transfer record's {name}[{i}] is a number from -{LIMIT:g} to {LIMIT:g}, got {value!r:.40}"
            )
    return tuple(float(value) for value in values)
