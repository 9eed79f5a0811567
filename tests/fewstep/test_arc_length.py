"""The measured curve as a value: plain JSON, and everything that makes no sense is refused."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fewstep import grids
from fewstep.errors import FewstepError, InvalidInput, UnknownName
from fewstep.grids import score_optimal
from fewstep.grids.arc_length import ArcLength
from fewstep.processes import VE
from tests.fewstep.isotropic import Isotropic


def test_the_curve_is_plain_json() -> None:
    """Process, kind, both columns and the cost, as JSON values."""
    arc = score_optimal.measure(Isotropic(VE(), 0.25), torch.randn(4, 2), ratio=1.2)
    told = json.loads(json.dumps(arc.to_dict()))
    assert told["process"] == {"kind": "ve", "t_min": 0.002, "t_max": 80.0}
    assert told["lengths"] == arc.lengths.tolist()
    assert told["log_snrs"] == arc.log_snrs.tolist()
    assert (told["kind"], told["source"], told["samples"], told["calls"]) == ("corrector", "flow", 4, 8 * 59)


def straight(**changes: object) -> ArcLength:
    """A valid arc length, or one with some fields changed."""
    fields = {
        "process": VE(1.0, 2.0),
        "kind": "corrector",
        "log_snrs": np.linspace(-np.log(2), 0, 5),
        "lengths": np.linspace(0, 1, 5),
    }
    return ArcLength(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (lambda: straight(kind="magic"), UnknownName),
        (lambda: straight(lengths=np.ones(5)), InvalidInput),
        (lambda: straight(lengths=np.array([0, 1, 0.5, 2, 3.0])), InvalidInput),
        (lambda: straight(lengths=np.zeros(5)), InvalidInput),
        (lambda: straight(lengths=np.array([0, 1, 2, 3, np.inf])), InvalidInput),
        (lambda: straight(lengths=np.zeros(4)), InvalidInput),
        (lambda: straight(log_snrs=np.linspace(0, -1, 5)), InvalidInput),
        (lambda: straight().times(0), InvalidInput),
        (lambda: straight().times(4, end=3.0), InvalidInput),
        (lambda: straight().times(4, blend=1.5), InvalidInput),
        (lambda: straight().grid()(VE(), 4), InvalidInput),
        (lambda: score_optimal.measure(Isotropic(VE(), 0.25), torch.randn(4, 2), kind="magic"), UnknownName),
        (lambda: score_optimal.measure(Isotropic(VE(), 0.25), torch.randn(4, 2), torch.randn(5, 2)), InvalidInput),
        (lambda: grids.named("score-optimal"), InvalidInput),
    ],
)
def test_what_makes_no_sense_is_refused(broken: Callable[[], object], error: type[FewstepError]) -> None:
    """Curves that fall, grids out of range, other processes, unknown words."""
    with pytest.raises(error):
        broken()
