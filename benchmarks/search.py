"""The predictor-guided search against others in the same space: error by passes, over eight seeds.

``python -m benchmarks.search [--model NAME]… [--nfe N]… [--metric TEXT]… [--method NAME]… [--seed N]… [--quick]`` runs
the searches that are missing from ``search.json`` (`benchmarks.contest`), adds each as soon as it is done, and draws
``search.md``, ``search.png`` and the summary in docs/predictor.md from all that are there: so the whole can be
run piece by piece, and by several processes.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from filelock import FileLock
from rich.console import Console

from benchmarks import pages
from benchmarks.contest import METHODS, METRICS, TEST_SCORE, Cell, contest, teacher_calls
from benchmarks.search_report import ABLATED, PAGE, SEEDS, ablation, draw, sort, summary, table

NOISES = {"digits-mixture": 128, "digits-unet": 48}  # of a trial
NFES = (5, 8)
REPORT = Path("docs/benchmarks")


def read(path: Path) -> list[dict[str, Any]]:
    """All stored searches."""
    parts: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return parts


def add(path: Path, part: dict[str, Any]) -> None:
    """Store one search more, next to those that other processes add meanwhile."""
    with FileLock(f"{path}.lock"):
        lines = sorted(json.dumps(each) for each in [*read(path), part])
        partial = path.with_suffix(".partial")
        partial.write_text("[\n" + ",\n".join(lines) + "\n]\n")
        partial.replace(path)


def main(
    model: Annotated[list[str] | None, typer.Option(help="Models; by default all.")] = None,
    nfe: Annotated[list[int] | None, typer.Option(help="Network calls per sample.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Metrics.")] = None,
    method: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(METHODS)}.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The mixture, 5 calls, two seeds, four methods.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = REPORT,
) -> None:
    """Run the searches that are missing, and report all."""
    torch.set_num_threads(1)
    console = Console()
    if quick:
        model, nfe, metric, seed = ["digits-mixture"], [5], [METRICS[0]], [0, 1]
        method = ["s3", "tpe", "evolution", "random"]
    cells = [
        Cell(m, n, t, h, s, NOISES[m])
        for s in seed or SEEDS
        for m in model or NOISES
        for n in nfe or NFES
        for t in metric or METRICS
        for h in method or METHODS
        if h not in ABLATED or (m, n, t) == ("digits-mixture", 5, METRICS[0]) or method
    ]
    out.mkdir(parents=True, exist_ok=True)
    path = out / "search.json"
    for i, cell in enumerate(cells):
        if any(part["name"] == cell.name for part in read(path)):
            continue
        with console.status(f"{cell.name} ({i + 1} of {len(cells)})"):
            curve = contest(cell)
        teacher = teacher_calls(cell.metric, cell.method, cell.noises)
        add(path, {"name": cell.name, **vars(cell), "taught": teacher, "curve": curve})
        console.print(f"{cell.name}: {curve[-1][TEST_SCORE]:.4g} for {curve[-1]['calls']:,} calls", highlight=False)
    with FileLock(f"{path}.lock"):
        reported = sort(read(path))
        (out / "search.md").write_text(table(reported))
        draw(reported, out / "search.png")
        if out == REPORT:
            pages.quote("search", summary(reported), PAGE)
            pages.quote("ablation", ablation(reported), PAGE)
    console.print(f"wrote search.json, search.md and search.png to {out}")


if __name__ == "__main__":
    typer.run(main)
