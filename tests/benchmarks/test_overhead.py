"""The overhead benchmark: it runs, and what it times makes the same samples."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import overhead


def test_the_contestants_make_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' class, our scheduler and our loop end at the same float32 states, for every method and length."""
    monkeypatch.setattr(overhead, "SHAPE", (2, 4, 16, 16))
    overhead.main(quick=True, threads=torch.get_num_threads(), out=tmp_path / "overhead.json")
    report = json.loads((tmp_path / "overhead.json").read_text())
    assert [(row["method"], row["calls"]) for row in report["rows"]] == [
        (method, calls) for method in ("dpmpp-2m", "unipc-2") for calls in (8, 20)
    ]
    for row in report["rows"]:
        assert set(row["difference"]) == {"FewstepScheduler", "fewstep.sample"}
        assert max(row["difference"].values()) < 2e-5  # diffusers' coefficients are float32
        theirs, *_ = row["microseconds"].values()
        for name, ratio in row["ratio"].items():
            assert ratio == pytest.approx(row["microseconds"][name] / theirs, abs=1e-3)
