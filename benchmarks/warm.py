"""Gain of a ranker from other searches: of the same model at another NFE, and of another model.

Each case has no, a few and some trials at the same NFE, on the schedules and splits of `benchmarks.predictor`.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.judge import MOST_TRAINING, judge
from benchmarks.trials import trajectories, trials
from fewstep import predictor

__all__ = ["warm"]

OTHERS = 200  # trials of each other search


def warm(
    model: str, nfe: int, other_nfe: int, other_model: str, test: int, splits: int, counts: Sequence[int] = (0, 25, 50)
) -> list[dict[str, Any]]:
    """Rows by what comes from other searches and by number of trials, for ``nfe`` calls of a zoo model.

    Other searches give `OTHERS` trials at ``other_nfe`` of the same model, transfer records of ``other_model`` at both
    NFE, or all of these. ``test`` is the number of test trials.
    """
    drawn, path = trials(model, nfe, test + MOST_TRAINING), trajectories(model)
    others = trials(model, other_nfe, OTHERS)
    source = predictor.ranker(trajectories(other_model), model=other_model)
    records = [source.transfer_record(trials(other_model, calls, OTHERS)) for calls in (nfe, other_nfe)]
    cases: dict[str, tuple[list[predictor.TransferRecord], list[Any]]] = {
        f"{other_nfe} calls": ([], others),
        other_model: (records, []),
        f"{other_nfe} calls and {other_model}": (records, others),
    }
    rows = []
    for name, (transfer, more) in cases.items():
        rank = predictor.ranker(path, transfer=transfer, model=model)
        for count in counts:
            quality = judge(rank, drawn, count, splits, more)
            rows.append({"model": model, "nfe": nfe, "besides": name, "trials": count, **quality})
    return rows
