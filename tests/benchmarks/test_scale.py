"""The benchmark of the pools: it runs on both, and its page is that of its stored numbers."""

import json
from pathlib import Path

from benchmarks import scale

ROOT = Path(__file__).parents[2]


def test_it_measures_both_pools(tmp_path: Path) -> None:
    """A row for each, whose efficiency is the time without a pool over the time it took."""
    scale.main(quick=True, out=tmp_path)
    report = json.loads((tmp_path / "scale.json").read_text())
    assert [row["pool"] for row in report["rows"]] == ["local", "ray"]
    for row in report["rows"]:
        assert 0 < row["efficiency"] <= 1
        assert row["tasks"] == 4
    assert (tmp_path / "scale.md").read_text() == scale.page(report)


def test_the_page_is_that_of_the_stored_numbers() -> None:
    """What docs quote is what was measured: at least .9 at 64 slots for tasks of a second."""
    report = json.loads((ROOT / "docs/benchmarks/scale.json").read_text())
    assert (ROOT / "docs/benchmarks/scale.md").read_text() == scale.page(report)
    assert [(row["pool"], row["slots"]) for row in report["rows"]] == [
        (k, n) for k in ("local", "ray") for n in (1, 8, 64)
    ]
    assert report["task_seconds"] == 1.0
    assert all(row["efficiency"] >= 0.9 for row in report["rows"])
