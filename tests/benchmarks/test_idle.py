"""The benchmark of idle slots runs whole."""

import json
from pathlib import Path

import pytest

from benchmarks import idle


@pytest.mark.full
def test_it_reports_the_idle_share_of_every_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All searches of the submission end, and each slot's share lies between none and all of the time."""
    monkeypatch.setattr(idle, "MODEL", "digits-mixture")
    monkeypatch.setattr(idle, "NFES", (3, 5))
    idle.main([4], effort="quick", out=tmp_path)
    report = json.loads((tmp_path / "idle.json").read_text())
    (row,) = report["rows"]
    assert row["states"] == ["succeeded"]
    assert len(row["busy"]) == idle.SLOTS
    assert all(0 < share <= 1 for share in row["busy"])
    assert f"| {row['searches']} | {row['seconds']:.0f} |" in (tmp_path / "idle.md").read_text()
