"""The benchmark for GPUs, tiny and on a CPU: every part runs, and what does not is said."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from benchmarks import gpu, gpu_report


@pytest.fixture(autouse=True)
def _as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks run plain where they should be compiled, which takes minutes on a CPU."""
    monkeypatch.setattr(torch, "compile", lambda network, mode: network)


def of(part: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in report["rows"] if row["part"] == part]


@pytest.mark.full
def test_every_part_has_its_rows(tmp_path: Path) -> None:
    """A search halves its calls until they fit, each number of slots and each execution has a row, and the network's
    seconds are a part of the search's."""
    gpu.main(quick=True, device="cpu", out=tmp_path)
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["part"] for row in report["rows"]] == ["memory", *["slots"] * 2, "share", *["speed"] * 5]
    halvings = of("memory", report)[0]["halvings"]
    assert halvings[0][0] > gpu.FITS >= min(after for _, after in halvings)
    assert all(after == before // 2 for before, after in halvings)
    assert [row["slots"] for row in of("slots", report)] == [1, 2]
    assert all(row["per_second"] > 0 for row in of("slots", report))
    (share,) = of("share", report)
    assert share["samples"] == share["search_calls"] + share["test_calls"]
    assert 0 < share["network_seconds"] < share["seconds"]
    assert 0 < share["share"] < 1
    speed = {row["execution"]: row for row in of("speed", report)}
    assert list(speed) == list(gpu.EXECUTIONS)
    assert speed["float32"]["deviation"] == 0
    assert 0 < speed["bfloat16"]["deviation"] < 0.05
    assert speed["compiled too"]["deviation"] == speed["bfloat16, channels last"]["deviation"]
    page = (tmp_path / "gpu.md").read_text()
    assert page == gpu_report.page(report)
    assert "a CPU" in page
    assert "no speed" in page


def test_what_fails_and_what_has_no_time_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A part that fails leaves its earlier rows and the parts after it; one whose time is over begins no further row;
    the command then fails as well."""

    def fails(bench: gpu.Bench) -> Iterator[gpu.Row]:
        yield {"n": 1}
        raise RuntimeError("no such | kernel")

    def counts(bench: gpu.Bench) -> Iterator[gpu.Row]:
        yield from ({"n": n} for n in range(5))

    monkeypatch.setattr(gpu, "PARTS", {"memory": (fails, 9.0), "slots": (counts, -1.0), "share": (counts, 1000.0)})
    with pytest.raises(typer.Exit):
        gpu.main(quick=True, device="cpu", out=tmp_path)
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert of("memory", report)[1]["failed"] == "RuntimeError: no such | kernel"
    assert [set(row) - {"part"} for row in of("slots", report)] == [{"n"}, {"ended"}]
    assert [row["n"] for row in of("share", report)] == list(range(5))
    page = (tmp_path / "gpu.md").read_text()
    assert "failed: RuntimeError" in page
    assert "ended: time was over" in page
    assert "not run" in page


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before anything is written."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(typer.BadParameter, match="no device 'cuda' here: run it on a GPU, or with --device cpu"):
        gpu.main(out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_network_that_fell_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of a compiled network that ran plain has the fault."""

    def refuse(network: torch.nn.Module, mode: str) -> None:
        raise RuntimeError(f"no compiler for {mode}")

    monkeypatch.setattr(torch, "compile", refuse)
    bench = gpu.Bench(tmp_path, "cpu", gpu.TINY)
    gpu.save(bench.folder, bench.sizes)
    faults = {row["execution"]: row["fault"] for row in gpu.speed(bench)}
    assert "no compiler for default" in faults.pop("compiled too")
    assert "no compiler for reduce-overhead" in faults.pop("compiled, CUDA graphs")
    assert set(faults.values()) == {None}
