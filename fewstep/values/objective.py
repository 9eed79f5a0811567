"""How samples are scored, as one short text: the metric, the features it sees, and what they are compared with.

``endpoint`` · ``frechet`` · ``frechet:digits`` · ``kid:inception:coco``: names after the first may be left out. The
metric is one of `METRICS`. The endpoint error sees the samples themselves and compares with the teacher's ends, so it
names neither features nor a reference. Features are "pixels", "digits" or a file of the operator's; references are
"teacher" (its samples of the same noises), "digits" (scikit-learn's) or a file of the operator's.
"""

import re
from dataclasses import dataclass
from typing import Self

from fewstep.errors import InvalidInput, UnknownName

__all__ = ["METRICS", "PATTERN", "Measure"]

METRICS = ("endpoint", "frechet", "kid", "cmmd", "wasserstein")
NAME = r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}"
PATTERN = rf"^({'|'.join(METRICS)})(:{NAME}){{0,2}}$"  # of the text


@dataclass(frozen=True)
class Measure:
    """A metric with the names of its features and of its reference, both empty for "endpoint".

    Raises `UnknownName` for a metric that is not in `METRICS` and `InvalidInput` for names that are none.

    >>> str(Measure.parse("frechet:digits"))
    'frechet:digits:teacher'
    """

    metric: str = "endpoint"
    features: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UnknownName("metric", str(self.metric)[:40], METRICS)
        if self.metric == "endpoint":
            if self.features or self.reference:
                raise InvalidInput(
                    f"the endpoint error has neither features nor a reference, got {self.features!r} and "
                    f"{self.reference!r}: write 'endpoint' alone"
                )
            return
        for name, default in (("features", "pixels"), ("reference", "teacher")):
            value = getattr(self, name) or default
            if not isinstance(value, str) or not re.fullmatch(NAME, value):
                raise InvalidInput(f"{name} are named by letters, digits, '.', '_' and '-', got {str(value)[:40]!r}")
            object.__setattr__(self, name, value)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The measure that a text means; raises as the class does.

        >>> Measure.parse("endpoint")
        Measure(metric='endpoint', features='', reference='')
        """
        parts = text.split(":") if isinstance(text, str) else [text]
        if len(parts) > 3 or "" in parts[1:]:
            raise InvalidInput(f"a metric reads metric[:features[:reference]], got {text[:80]!r}")
        return cls(*parts)

    @property
    def taught(self) -> bool:
        """Whether samples are compared with the teacher's from the same noises."""
        return self.metric == "endpoint" or self.reference == "teacher"

    def __str__(self) -> str:
        return ":".join(part for part in (self.metric, self.features, self.reference) if part)
