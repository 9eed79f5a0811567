"""The origin of a candidate: the stage of the search that proposed it, and the stage's name for it.

Storage and HTTP have it as one text, in the form of the first version:

| text | stage | name |
|---|---|---|
| ``baseline dpmpp-2m quadratic`` | baselines | dpmpp-2m quadratic |
| ``seed ddim score-optimal`` | arc-length | ddim score-optimal |
| ``mutation``, ``tpe``, … | guided | mutation, tpe, … |
| ``cross-fit`` | cross-fit | |
| ``guidance`` | guidance | |
| ``nested`` | warm-start | |
| ``fit`` | fit | |
| ``fit closed-loop`` | time-search | |
| ``polish`` | polish | |
| ``my-stage: its name`` | my-stage | its name |
"""

import re
from dataclasses import dataclass
from typing import Self

from fewstep.errors import InvalidInput

__all__ = ["Origin"]

GUIDED = "guided"  # its texts are the names alone
PREFIXES = {  # of the texts of the other built-in stages; the longer ones first
    "fit closed-loop": "time-search",
    "baseline": "baselines",
    "seed": "arc-length",
    "cross-fit": "cross-fit",
    "guidance": "guidance",
    "nested": "warm-start",
    "fit": "fit",
    "polish": "polish",
}
PACKAGE_STAGE = re.compile(r"([a-z][0-9a-z-]*):(?: (.*))?", re.DOTALL)  # a stage that a package added


@dataclass(frozen=True)
class Origin:
    """A ``stage`` and a ``name`` of its own choice, which may be empty; `str` gives the text, `parse` reads it.

    Raises `InvalidInput` where the text would mean another origin.

    >>> Origin.parse("baseline dpmpp-2m quadratic")
    Origin(stage='baselines', name='dpmpp-2m quadratic')
    >>> str(Origin("time-search"))
    'fit closed-loop'
    """

    stage: str
    name: str = ""

    def __post_init__(self) -> None:
        if _split(str(self)) != (self.stage, self.name):
            raise InvalidInput(
                f"stage {self.stage!r} with the name {self.name!r} would be stored as {str(self)!r}, which means "
                f"{_split(str(self))}: name the stage in lower case with dashes, and the candidate otherwise"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The origin that a text means; a text of no known stage is the name of a guided proposal."""
        return cls(*_split(text))

    def __str__(self) -> str:
        if self.stage == GUIDED:
            return self.name
        for prefix, stage in PREFIXES.items():
            if stage == self.stage:
                return f"{prefix} {self.name}" if self.name else prefix
        return f"{self.stage}: {self.name}" if self.name else f"{self.stage}:"


def _split(text: str) -> tuple[str, str]:
    for prefix, stage in PREFIXES.items():
        if text == prefix or text.startswith(f"{prefix} "):
            return stage, text[len(prefix) + 1 :]
    other = PACKAGE_STAGE.fullmatch(text)
    if other and other[1] != GUIDED and other[1] not in PREFIXES.values():
        return other[1], other[2] or ""
    return GUIDED, text
