"""Tables in pages are those of the benchmarks' stored results."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import pages, predictor_report, quality_report, search_report

ROOT = Path(__file__).parents[2]


def stored(name: str) -> Any:
    """The results of a benchmark as they are kept in docs."""
    return json.loads((ROOT / f"docs/benchmarks/{name}.json").read_text())


def tables() -> list[tuple[str, str, Path]]:
    """Name, table and page of everything that is quoted."""
    searches = search_report.sort(stored("search"))
    quality = quality_report.read(ROOT / "docs/benchmarks/quality.json")
    report = stored("predictor")
    return [
        *(("quality", quality_report.summary(quality), page) for page in quality_report.PAGES),
        ("search", search_report.summary(searches), search_report.PAGE),
        ("ablation", search_report.ablation(searches), search_report.PAGE),
        *((name, table(report), page) for name, (table, page) in predictor_report.QUOTED.items()),
    ]


def test_pages_quote_what_was_measured(tmp_path: Path) -> None:
    """Each table is in its page, to the letter; another one takes its place, and nothing else's."""
    for name, table, page in tables():
        copy = tmp_path / page.name
        copy.write_text((ROOT / page).read_text("utf-8"), "utf-8")
        assert f"<!-- {name} -->\n{table}<!-- end -->" in copy.read_text("utf-8")
        pages.quote(name, "| another |\n", copy)
        text = (ROOT / page).read_text("utf-8")
        assert copy.read_text("utf-8") == text.replace(table, "| another |\n")


def test_a_page_without_a_place_is_told(tmp_path: Path) -> None:
    """The error names the page and the lines that it wants."""
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(ValueError, match=r"page\.md has no place.*<!-- quality -->"):
        pages.quote("quality", "| a |\n", page)
