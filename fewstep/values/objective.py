"""How samples are scored, as one short text: the metric, the features it sees, and what they are compared with.

``mean`` · ``rms`` · ``frechet`` · ``frechet:digits`` · ``kid:inception:coco``: names after the first may be left
out. The metric is one of `METRICS`. Paired errors (`PAIRED`) see the samples themselves and compare with the teacher's
from the same noises, so they stand alone; every other metric names features and a reference. Features are "pixels",
"digits" or a file of the operator's; references are "teacher" (its samples of the same noises), "digits"
(scikit-learn's) or a file of the operator's.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from fewstep.errors import InvalidInput, UnknownName
from fewstep.registry import Registry

__all__ = ["ALIASES", "DEFAULT", "METRICS", "PAIRED", "Objective", "pattern"]

HOME = "fewstep.search.metrics"
METRICS: Registry[Callable[..., Any]] = Registry(
    "metric",
    "fewstep.metrics",
    {
        "mean": f"{HOME}.paired:Mean",
        "typical": f"{HOME}.paired:Typical",
        "trimmed": f"{HOME}.paired:Trimmed",
        "saturating": f"{HOME}.paired:Saturating",
        "rms": f"{HOME}.paired:RMS",
        "median": f"{HOME}.paired:Median",
        "p95": f"{HOME}.paired:P95",
        "switch": f"{HOME}.switched:SwitchRate",
        "frechet": f"{HOME}.frechet:Frechet",
        "kid": f"{HOME}.kernel:kid",
        "cmmd": f"{HOME}.kernel:KernelDistance",
        "wasserstein": f"{HOME}.wasserstein:SlicedWasserstein",
    },
)  # each is called with features and a reference and gives a `fewstep.search.metrics.base.Metric`
PAIRED = ("mean", "typical", "trimmed", "saturating", "rms", "median", "p95", "switch")  # called with neither
DEFAULT = "mean"  # what a search lowers unless told otherwise; `docs/decisions/objective.md`
ALIASES = {"endpoint": "rms"}  # its name in the first version
TEACHER = "teacher"  # the reference that is drawn from the same noises
NAME = r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}"


def pattern() -> str:
    """The regular expression of an objective's text, with the names that `METRICS` has by now."""
    names = "|".join(name.replace(".", r"\.") for name in (*METRICS, *ALIASES))
    return rf"^({names})(:{NAME}){{0,2}}$"


@dataclass(frozen=True)
class Objective:
    """A metric with the names of its features and of its reference, both empty for paired errors.

    Raises `UnknownName` for a metric that is not in `METRICS` and `InvalidInput` for names that are none.

    >>> str(Objective.parse("frechet:digits"))
    'frechet:digits:teacher'
    """

    metric: str = DEFAULT
    features: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", ALIASES.get(str(self.metric), self.metric))
        if self.metric not in METRICS:
            raise UnknownName("metric", str(self.metric)[:40], METRICS)
        if self.metric in PAIRED:
            if self.features or self.reference:
                raise InvalidInput(
                    f"{self.metric} has neither features nor a reference, got {self.features!r} and "
                    f"{self.reference!r}: write {self.metric!r} alone"
                )
            return
        for name, default in (("features", "pixels"), ("reference", TEACHER)):
            value = getattr(self, name) or default
            if not isinstance(value, str) or not re.fullmatch(NAME, value):
                raise InvalidInput(f"{name} are named by letters, digits, '.', '_' and '-', got {str(value)[:40]!r}")
            object.__setattr__(self, name, value)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The objective that a text means; raises as the class does.

        >>> Objective.parse("endpoint")
        Objective(metric='rms', features='', reference='')
        """
        parts = text.split(":") if isinstance(text, str) else [text]
        if len(parts) > 3 or "" in parts[1:]:
            raise InvalidInput(f"a metric reads metric[:features[:reference]], got {text[:80]!r}")
        return cls(*parts)

    @property
    def coupled(self) -> bool:
        """Whether samples are compared with the teacher's from the same noises."""
        return self.reference in ("", TEACHER)

    def __str__(self) -> str:
        return ":".join(part for part in (self.metric, self.features, self.reference) if part)
