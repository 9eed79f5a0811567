"""The benchmark of searches: every method is measured alike, and the table says what the curves do."""

import json
from pathlib import Path

import pytest

from benchmarks import contest, search, search_report
from benchmarks.contest import METRICS, Cell
from fewstep import processes
from fewstep.search.space import Space


def curve(*points: tuple[int, int, float]) -> list[dict]:
    """Evaluations, calls and test score."""
    return [{"evaluations": e, "calls": c, "own": v, "held_out": v} for e, c, v in points]


@pytest.mark.parametrize("method", ["s3", "tpe"])
def test_every_method_begins_alike_and_pays_for_its_trials(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first point is that of the best baseline, for all; the last one has every evaluation's calls."""
    whole = contest.METHODS[method]
    few = contest.Method(whole.sampler, 20, whole.rank, whole.early_stopping)
    monkeypatch.setitem(contest.METHODS, method, few)
    points = contest.contest(Cell("digits-mixture", 3, METRICS[0], method, 0, 32))
    starts = len(contest.starts(Space(processes.VPLinear(), 3)))
    assert (points[0]["evaluations"], points[0]["calls"]) == (starts, starts * 32 * 3)
    assert points[-1]["evaluations"] == 20
    full = 20 * 32 * 3
    assert points[-1]["calls"] == full if method == "tpe" else starts * 96 < points[-1]["calls"] <= full
    owns = [point["own"] for point in points]
    assert owns == sorted(owns, reverse=True)


def test_the_teacher_is_paid_by_whom_it_serves() -> None:
    """Its ends by every method, its trajectories by those that replay them."""
    ends, both = (contest.teacher_calls("endpoint", method, 128) for method in ("tpe", "s3"))
    assert ends == 128 * contest.teacher.CALLS
    assert both == ends + 24 * (contest.teacher.CALLS + 1)


def test_the_table_says_what_was_spent_to_reach_the_others() -> None:
    """Evaluations until TPE's last score, share of evolution's calls until evolution's; never is said as such."""
    curves = {
        "s3": {0: curve((16, 1000, 0.2), (40, 2000, 0.1)), 1: curve((16, 1000, 0.2), (80, 3000, 0.1))},
        "tpe": {0: curve((400, 9000, 0.15)), 1: curve((400, 9000, 0.15))},
        "evolution": {0: curve((400, 10_000, 0.05)), 1: curve((400, 10_000, 0.1))},
    }
    first, tpe, _ = search_report.rows(curves)
    assert first["evaluations_to_tpe"] == 60
    assert first["share_of_evolution"] is None
    assert first["after_100"] == 0.1
    assert search_report.summary({("m", 5, "endpoint"): curves}).splitlines()[2].endswith("| 60 | never |")
    assert tpe["share_of_evolution"] is None


def test_searches_are_kept_and_drawn(tmp_path: Path) -> None:
    """Each is added beside those that are there; the teacher's calls are added to every point; the picture is one."""
    path = tmp_path / "search.json"
    for method in ("s3", "tpe"):
        cell = Cell("digits-mixture", 5, METRICS[0], method, 0, 128)
        points = curve((16, 1000, 0.2), (40, 2000, 0.1))
        search.add(path, {"name": cell.name, **vars(cell), "taught": 500, "curve": points})
    assert [part["method"] for part in json.loads(path.read_text())] == ["s3", "tpe"]
    cells = search_report.sort(search.read(path))
    ((_, curves),) = cells.items()
    assert curves["tpe"][0][0]["calls"] == 1500
    assert "| digits-mixture | 5 | endpoint | s3 | 1 | 40 |" in search_report.table(cells)
    assert "| digits-mixture | 5 | endpoint | 0.1 (seeds: 1) | 0.1 (seeds: 1) |" in search_report.summary(cells)
    search_report.draw(cells, tmp_path / "search.png")
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
