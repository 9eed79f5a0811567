"""Idle slots: the share of the time in which a runner's slots have no task, over one submission of several searches.

``python -m benchmarks.idle [--searches N]… [--effort NAME] [--out FOLDER]`` writes ``idle.json`` and ``idle.md``. For
each number of searches that the runner may work on at a time, a service's store gets one submission, and a runner with
two CPU slots works on it until its end. The slots have been started before, and have opened the model; from then on
every second in which one has no task counts as idle.
"""

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer

from api import runner, submission
from api.settings import load
from fewstep.models.reference import ModelReference
from fewstep.search.evaluation.evaluator import Evaluator, count_passes
from fewstep.search.evaluation.local_pool import LocalPool
from fewstep.values.problem import Problem
from fewstep.values.search import TERMINAL
from storage.store import Store

MODEL, NFES, SLOTS = "digits-unet", (5, 6, 8, 10), 2
SEARCHES, EFFORT = (1, 2, 4), "standard"
LOOK = 0.2  # seconds between two looks at the queue
FOLDER = Path("docs/benchmarks")


def passes(evaluator: Evaluator, seconds: float) -> int:
    """Open the model, and hold the slot for so long that the others get a task too."""
    time.sleep(seconds)
    return count_passes(evaluator)


def measured(searches: int, effort: str) -> dict[str, Any]:
    """One row: the seconds of the submission, and the share of them in which each slot worked."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load(data_dir=Path(folder), pool=f"local:{SLOTS}", searches=searches)
        with LocalPool(["cpu"] * SLOTS, Path(folder) / "teachers") as pool, Store(settings.database_url) as store:
            store.migrate()
            ready = pool.model(ModelReference.zoo(MODEL))
            for future in [ready.submit(passes, 3.0) for _ in range(SLOTS)]:
                future.result()
            model = store.add_model(submission.of_zoo(MODEL)).id
            ids = [store.submit(Problem(model, nfe, effort=effort)).id for nfe in NFES]
            stop, usage, began = threading.Event(), runner.Usage(pool), time.monotonic()
            with patch.object(runner, "open_pool", lambda *_: pool):
                thread = threading.Thread(target=runner.serve, args=(settings, stop))
                thread.start()
                while not all(store.search(each).state in TERMINAL for each in ids):
                    time.sleep(LOOK)
            shares, seconds = usage.shares(), time.monotonic() - began
            stop.set()
            thread.join()
            states = sorted({str(store.search(each).state) for each in ids})
    return {"searches": searches, "effort": effort, "seconds": round(seconds, 1), "busy": shares, "states": states}


def page(report: dict[str, Any]) -> str:
    """The report as a page."""
    rows = []
    for row in report["rows"]:
        idle = [100 * (1 - share) for share in row["busy"]]
        each = ", ".join(f"{share:.0f} %" for share in idle)
        rows.append(f"| {row['searches']} | {row['seconds']:.0f} | {each} | {sum(idle) / len(idle):.0f} % |")
    return "\n".join(
        [
            "# Idle slots of a runner",
            "",
            f"One submission of {', '.join(map(str, NFES))} calls for `{MODEL}`, effort {report['effort']}, on {SLOTS}",
            f"CPU slots of a machine with {report['cpus']} cores, on which ranker and database work too. The slots",
            "have the model before the time begins. A slot is idle while it has no task.",
            "",
            "| searches at a time (`FEWSTEP_SEARCHES`) | seconds | idle, by slot | idle |",
            "|---|---|---|---|",
            *rows,
            "",
            "`python -m benchmarks.idle` makes this page and `idle.json`.",
            "",
        ]
    )


def main(
    searches: Annotated[list[int] | None, typer.Option(help="Searches at a time.")] = None,
    effort: Annotated[str, typer.Option(help="Effort of the searches.")] = EFFORT,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = FOLDER,
) -> None:
    """Measure, and write the report."""
    rows = []
    for count in searches or SEARCHES:
        rows.append(measured(count, effort))
        typer.echo(json.dumps(rows[-1]))
    report = {"model": MODEL, "nfe": NFES, "effort": effort, "slots": SLOTS, "cpus": os.cpu_count(), "rows": rows}
    out.mkdir(parents=True, exist_ok=True)
    (out / "idle.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "idle.md").write_text(page(report))


if __name__ == "__main__":
    typer.run(main)
