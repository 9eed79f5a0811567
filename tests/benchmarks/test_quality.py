"""The quality benchmark: every method has its row and costs what it says; rows are made once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from benchmarks import coverage, quality, quality_report
from benchmarks.quality import CallCounter, Case, Row, judge_of, load, measure

MODEL = "digits-mixture"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """``run(*arguments)``: the command on few noises, its output; it writes to a temporary folder."""
    monkeypatch.setattr(quality, "ROUNDS", ((8, 12), (16, 4)))
    monkeypatch.setattr(quality, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(quality, "CASES", {MODEL: Case(peers=2_000, noises=128), "not-yet": Case()})
    app = typer.Typer()
    app.command()(quality.main)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return call


def stored(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder."""
    rows: list[dict[str, Any]] = json.loads((folder / "quality.json").read_text())
    return rows


def test_rows_are_made_once(run: Callable[..., str], tmp_path: Path) -> None:
    """Named solvers, published methods and a search, each with all summaries; a second run makes what is missing and
    says what the zoo lacks."""
    first = run("--nfe", "3", "--effort", "quick", "--seed", "0")
    assert "not-yet is not in the zoo" in first
    rows = {row["method"]: row for row in stored(tmp_path)}
    assert list(rows) == ["named", "named 2N", "LD3", "DyWeight", "GS", "quick"]
    assert [rows[name]["calls"] for name in ("named", "named 2N")] == [0, 0]
    assert all(0 < rows[name]["calls"] <= 2_000 for name in ("LD3", "DyWeight", "GS"))
    assert 0 < rows["quick"]["calls"] <= 3_000
    assert rows["named 2N"]["typical"] < rows["named"]["typical"]
    assert 0 < rows["quick"]["out_of_span"] <= 1
    for row in rows.values():
        assert 0 < row["typical"] <= row["rms"]
        assert row["median"] <= row["p95"]
        assert 0 <= row["switch"] <= 1
        assert row["frechet"] > 0
    second = run("--nfe", "3", "--effort", "quick", "--seed", "0", "--seed", "1", "--no-peers")
    assert [row["seed"] for row in stored(tmp_path) if row["method"] == "quick"] == [0, 1]
    assert second.count("typical") == 1
    page = (tmp_path / "quality.md").read_text()
    assert "| digits-mixture | 3 | quick | 2 |" in page
    assert (tmp_path / "quality.png").stat().st_size > 0


def test_a_frechet_distance_wants_noises_enough() -> None:
    """Twice as many as the features have dimensions; below that there is none, and the table has a dash."""
    row = measure(Row(MODEL, 2, "named", 0), judge_of(MODEL, 24), 0)
    assert row["frechet"] is None
    assert row["noises"] == 24
    assert "| – |" in quality_report.table([row])


def test_a_table_has_medians_and_ranges() -> None:
    """Over seeds; ratios are to the named solver's row, and missing where there is none."""
    values = dict.fromkeys(
        ("mean", "median", "rms", "p95", "switch", "frechet", "out_of_span", "calls", "seconds"), 1.0
    )
    rows = [
        {"model": "a", "nfe": 4, "method": method, "seed": seed, "name": "", "typical": typical, **values}
        for method, seed, typical in (("named", 0, 2.0), ("quick", 0, 1.0), ("quick", 1, 0.5), ("quick", 2, 1.5))
    ]
    assert "| a | quick | 0.50 (0.25–0.75) |" in quality_report.summary(rows)
    assert "| a | quick | – |" not in quality_report.summary(rows[1:])


def test_an_interval_is_held_against_fresh_noises() -> None:
    """The row says whether the published interval holds the ratio on the judge's noises."""
    row = coverage.measure(judge_of(MODEL, 64), 3, 5)
    assert row["low"] <= row["ratio"] <= row["high"]
    assert row["holds"] == (row["low"] <= row["true"] <= row["high"])
    assert f"| 3 | 1 | {row['noises']} | {int(row['holds'])} |" in coverage.page([row])


def test_a_counter_counts_over_all_that_is_bound_of_it() -> None:
    """Forward and backward, for each sample; in all else it is the model inside."""
    model, shape = load("digits-cond")
    counter, x, t = CallCounter(model), torch.ones(3, *shape, requires_grad=True), torch.full((3,), 600.0)
    assert (counter.process, counter.conditions, counter.passes) == (model.process, 10, 2)
    with torch.no_grad():
        assert torch.equal(counter.bound([7, 7, 7])(x, t), model.bound([7, 7, 7])(x, t))
    assert counter.calls == [3]
    counter.bound([7, 7, 7])(x, t).sum().backward()
    assert counter.calls == [9]
