"""The quality benchmark: every stage has its row, and costs what it says; pages quote what was measured."""

import json
from pathlib import Path

from benchmarks import quality_report
from benchmarks.quality import REPORT, Judge, compare, load
from search import teacher
from search.evaluate import Evaluator
from search.noises import NoiseSet


def test_every_stage_has_a_row_and_its_cost() -> None:
    """A small search: the fit sees as many noises as a search of the service, and pays teacher and path for each."""
    denoiser, shape = load("digits-mixture")
    judge = Judge(Evaluator(denoiser, shape), NoiseSet(1, "unseen", 64), digits=True)
    rows = {row["method"]: row for row in compare("digits-mixture", 3, 8, 100_000, judge)}
    assert list(rows)[:5] == ["hand-made", "ddim", "score-optimal grid", "hand-made at twice the calls", "replay + fit"]
    assert list(rows)[-1] == "published"
    assert rows["hand-made"]["calls"] == 0
    assert rows["replay + fit"]["calls"] == 256 * (teacher.CALLS + 1 + 3)
    assert 100_000 > rows["published"]["calls"] > rows["search"]["calls"] > rows["replay + fit"]["calls"]
    assert rows["hand-made"]["rmse"] <= rows["ddim"]["rmse"]
    assert rows["replay + fit"]["rmse"] < rows["ddim"]["rmse"]


def test_pages_quote_what_was_measured(tmp_path: Path) -> None:
    """The summary in README and docs is that of the stored rows; another one takes its place, and nothing else's."""
    root = Path(__file__).parents[2]
    rows = json.loads((root / REPORT / "quality.json").read_text())
    for page in quality_report.PAGES:
        text = (root / page).read_text("utf-8")
        copy = tmp_path / page.name
        copy.write_text(text, "utf-8")
        quality_report.quote(rows, copy)
        assert copy.read_text("utf-8") == text
        few = [row for row in rows if row["nfe"] < 6]
        quality_report.quote(few, copy)
        assert copy.read_text("utf-8") == text.replace(quality_report.summary(rows), quality_report.summary(few))
