"""How much a ranker gains from what other searches measured: the same model at other numbers of calls, another model.

Each case is judged with no, a few and some trials of its own, on the schedules and splits of `benchmarks.predictor`.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.judge import MOST_KNOWN, judge
from benchmarks.trials import trajectories, trials
from fewstep import predictor

__all__ = ["warm"]

TAUGHT = 200  # trials of each other search


def warm(
    model: str, nfe: int, beside: int, stranger: str, unseen: int, splits: int, counts: Sequence[int] = (0, 25, 50)
) -> list[dict[str, Any]]:
    """Rows of what is known besides, and by number of own trials, for ``nfe`` calls of a zoo model.

    Known besides are `TAUGHT` trials at ``beside`` calls of the same model, records of the ``stranger`` at both numbers
    of calls, or all of these.
    """
    own, path = trials(model, nfe, unseen + MOST_KNOWN), trajectories(model)
    others = trials(model, beside, TAUGHT)
    teacher = predictor.ranker(trajectories(stranger), model=stranger)
    records = [teacher.transfer_record(trials(stranger, calls, TAUGHT)) for calls in (nfe, beside)]
    cases: dict[str, tuple[list[predictor.TransferRecord], list[Any]]] = {
        f"{beside} calls": ([], others),
        stranger: (records, []),
        f"{beside} calls and {stranger}": (records, others),
    }
    rows = []
    for name, (given, shown) in cases.items():
        rank = predictor.ranker(path, transfer=given, model=model)
        for count in counts:
            judged = judge(rank, own, count, splits, shown)
            rows.append({"model": model, "nfe": nfe, "besides": name, "trials": count, **judged})
    return rows
