"""Scale of the pools: simulated evaluations on 1, 8 and 64 slots, on this machine and on Ray.

``python -m benchmarks.scale [--quick] [--out FOLDER]`` writes ``scale.json`` and ``scale.md``. An evaluation sleeps, so
that 64 slots need no 64 CPUs; slots are processes without torch, and their start is not timed. For each pool and number
of slots:

- efficiency: seconds that ``rounds`` tasks for every slot would take without a pool, over the seconds they took;
- overhead: seconds for each task that does nothing, one after the other, and with all slots at once.
"""

import json
import os
import platform
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any
from unittest.mock import patch

import typer

from benchmarks import sleepers

SLOTS = (1, 8, 64)
SECONDS = 1.0  # of one task
ROUNDS = 5
EMPTY = 200  # tasks that do nothing
FOLDER = Path("docs/benchmarks")


def opened(kind: str, slots: int) -> Any:
    """The pool ``kind`` with so many slots without torch."""
    from fewstep.search.evaluation import local_pool, ray_slot
    from fewstep.search.evaluation import slots as settings
    from fewstep.search.evaluation.ray_cluster import Need
    from fewstep.search.evaluation.ray_pool import RayPool

    if kind == "ray":
        from ray import cloudpickle

        for module in (ray_slot, settings):  # by value: workers do not import its package, and with that torch
            cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
        return RayPool(None, Need(), slots, here=slots, start=sleepers.start)
    alike: Any = SimpleNamespace(device="cpu")  # as settings, but without their package
    with patch.object(local_pool, "_start", sleepers.start):  # the worker's first step, which imports torch
        return local_pool.LocalPool([alike] * slots)


def warm(pool: Any, slots: int) -> None:
    """Return when every slot has worked."""
    seen: set[int] = set()
    while len(seen) < slots:
        futures = [pool.run(sleepers.who, 0.5) for _ in range(slots)]
        seen.update(future.result() for future in futures)


def seconds_of(pool: Any, naps: list[float]) -> float:
    """Seconds that the naps take together."""
    began = time.perf_counter()
    for future in [pool.run(sleepers.nap, each) for each in naps]:
        future.result()
    return time.perf_counter() - began


def measured(kind: str, slots: int, seconds: float, rounds: int, empty: int) -> dict[str, Any]:
    """One row of the report."""
    with opened(kind, slots) as pool:
        warm(pool, slots)
        took = seconds_of(pool, [seconds] * slots * rounds)
        began = time.perf_counter()
        for _ in range(empty):
            pool.run(sleepers.nap, 0.0).result()
        alone = (time.perf_counter() - began) / empty
        together = seconds_of(pool, [0.0] * empty) / empty
    return {
        "pool": kind,
        "slots": slots,
        "tasks": slots * rounds,
        "seconds": round(took, 3),
        "efficiency": round(rounds * seconds / took, 3),
        "overhead_alone_ms": round(1000 * alone, 2),
        "overhead_together_ms": round(1000 * together, 2),
    }


def page(report: dict[str, Any]) -> str:
    """The report as a page."""
    rows = [
        f"| `{row['pool']}:` | {row['slots']} | {row['tasks']} | {row['seconds']:.2f} | {row['efficiency']:.3f} "
        f"| {row['overhead_alone_ms']:.2f} | {row['overhead_together_ms']:.2f} |"
        for row in report["rows"]
    ]
    return "\n".join(
        [
            "# Scale of the pools",
            "",
            f"Simulated evaluations that sleep for {report['task_seconds']:g} s, on slots that are processes without",
            f"torch; their start is not timed. {report['machine']['cpus']} CPU cores. Efficiency is the time that the",
            "tasks need without a pool over the time they took. The overhead is that of a task that does nothing: one",
            "at a time, and all submitted together.",
            "",
            "| pool | slots | tasks | seconds | efficiency | ms a task, one at a time | ms a task, together |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "`python -m benchmarks.scale` makes this page and `scale.json`; [cluster.md](../cluster.md) has the pools.",
            "",
        ]
    )


def main(
    quick: Annotated[bool, typer.Option(help="Two slots and short tasks: whether it runs.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = FOLDER,
) -> None:
    """Measure both pools at each number of slots and write the report."""
    slots, seconds, rounds, empty = ((2,), 0.05, 2, 10) if quick else (SLOTS, SECONDS, ROUNDS, EMPTY)
    rows = []
    for kind in ("local", "ray"):
        for count in slots:
            rows.append(measured(kind, count, seconds, rounds, empty))
            typer.echo(json.dumps(rows[-1]))
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    report = {"machine": machine, "task_seconds": seconds, "rows": rows}
    out.mkdir(parents=True, exist_ok=True)
    (out / "scale.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "scale.md").write_text(page(report))


if __name__ == "__main__":
    typer.run(main)
