"""The benchmark of a larger network runs whole, on a smaller one."""

import json
from pathlib import Path

import pytest

from benchmarks import large


@pytest.mark.full
def test_it_says_what_the_search_took(tmp_path: Path) -> None:
    """The search publishes on the fewest test noises, within the calls of its effort."""
    large.main(nfe=3, threads=1, quick=True, out=tmp_path)
    report = json.loads((tmp_path / "large.json").read_text())
    assert report["test_noises"] == 32
    assert 0 < report["search_calls"] <= 3000
    assert report["peak_gib"] >= report["model_gib"] > 0
    assert f"| {report['search_calls']:,} |" in (tmp_path / "large.md").read_text()
