"""The predictor-guided search against others in the same space: error by network calls spent, over eight seeds.

``python -m benchmarks.search [--model NAME]… [--nfe N]… [--metric TEXT]… [--method NAME]… [--seed N]… [--quick]`` runs
the searches that are missing from ``search.json`` (`benchmarks.contest`), adds each as soon as it is done, and draws
``search.md`` and ``search.png`` from all that are there: so the whole can be made piece by piece, and by several
processes. Medians over seeds; bands hold the middle half of them.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import numpy as np
import torch
import typer
from filelock import FileLock
from matplotlib import pyplot
from matplotlib.ticker import NullFormatter
from rich.console import Console

from benchmarks.contest import METHODS, METRICS, Cell, contest, taught

NOISES = {"digits-mixture": 128, "digits-unet": 48}  # of a trial
NFES = (5, 8)
SEEDS = tuple(range(8))
ABLATED = tuple(name for name in METHODS if name.startswith("s3-"))
LEVEL = (25, 50, 75)  # percentiles: a band and its middle
POINTS = 200  # of a curve

Curve = list[dict[str, Any]]
Key = tuple[str, int, str]


def at(curve: Curve, calls: float, which: str = "held_out") -> float:
    """The best trial's score once ``calls`` are spent; not a number before the first one."""
    return next((point[which] for point in reversed(curve) if point["calls"] <= calls), np.nan)


def first(curve: Curve, wanted: float, which: str) -> float:
    """What was spent (``which``: evaluations or calls) until the held-out score came down to ``wanted``, if ever."""
    return next((float(point[which]) for point in curve if point["held_out"] <= wanted), np.inf)


def rows(curves: dict[str, dict[int, Curve]]) -> list[dict[str, Any]]:
    """One row for each method of a model, number of calls and metric, beside TPE and evolution where they are there."""
    made = []
    for method, seeds in curves.items():
        ends = [curve[-1] for curve in seeds.values()]
        row: dict[str, Any] = {
            "method": method,
            "seeds": len(seeds),
            "evaluations": ends[0]["evaluations"],
            "calls": float(np.median([end["calls"] for end in ends])),
            "held_out": [float(value) for value in np.percentile([end["held_out"] for end in ends], LEVEL)],
            "after_100": float(np.median([_after(curve, 100) for curve in seeds.values()])),
        }
        for rival, spent in (("tpe", "evaluations"), ("evolution", "calls")):
            both = sorted(seeds.keys() & curves.get(rival, {}).keys())
            if both and method != rival:
                needed = [first(seeds[s], curves[rival][s][-1]["held_out"], spent) for s in both]
                share = np.array(needed) / [curves[rival][s][-1][spent] for s in both]
                row[f"{spent}_to_{rival}"] = _finite(np.median(needed))
                row[f"share_of_{rival}"] = _finite(np.median(share))
        made.append(row)
    return made


def _after(curve: Curve, evaluations: int) -> float:
    return next((point["held_out"] for point in reversed(curve) if point["evaluations"] <= evaluations), np.nan)


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def draw(cells: dict[Key, dict[str, dict[int, Curve]]], path: Path) -> None:
    """Median curves with bands, one plot for each model, number of calls and metric."""
    matplotlib.use("Agg")
    columns = min(len(cells), 4)
    lines = -(-len(cells) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(4.2 * columns, 3.4 * lines), squeeze=False)
    for axis in axes.flat[len(cells) :]:
        axis.axis("off")
    for axis, ((model, nfe, metric), curves) in zip(axes.flat, sorted(cells.items()), strict=False):
        for method, seeds in curves.items():
            if method in ABLATED:
                continue
            begin, end = (f(point["calls"] for c in seeds.values() for point in c) for f in (min, max))
            spent = np.geomspace(begin, end, POINTS)
            values = np.array([[at(curve, calls) for calls in spent] for curve in seeds.values()])
            there = np.isfinite(values).all(axis=0)
            low, middle, high = np.percentile(values[:, there], LEVEL, axis=0)
            (line,) = axis.plot(spent[there], middle, label=method)
            axis.fill_between(spent[there], low, high, alpha=0.2, color=line.get_color())
        axis.set(xscale="log", yscale="log", xlabel="network sample-calls", ylabel="best so far, held-out noises")
        axis.xaxis.set_minor_formatter(NullFormatter())  # else they overlap
        axis.set_title(f"{model}, {nfe} calls, {metric.split(':')[0]}", fontsize=9)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def table(cells: dict[Key, dict[str, dict[int, Curve]]]) -> str:
    """Everything as Markdown."""
    lines = [
        "| model | calls | metric | method | seeds | evaluations | network calls | after 100 evaluations "
        "| at the end (middle half) | evaluations to TPE's end | share of evolution's calls to its end |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (model, nfe, metric), curves in sorted(cells.items()):
        for row in rows(curves):
            low, middle, high = (f"{value:.4g}" for value in row["held_out"])
            needed, share = row.get("evaluations_to_tpe", ""), row.get("share_of_evolution", "")
            lines.append(
                f"| {model} | {nfe} | {metric.split(':')[0]} | {row['method']} | {row['seeds']} | {row['evaluations']} "
                f"| {row['calls']:,.0f} | {row['after_100']:.4g} | {middle} ({low} – {high}) "
                f"| {'never' if needed is None else needed and f'{needed:.0f}'} "
                f"| {'never' if share is None else share and f'{share:.2f}'} |"
            )
    return "\n".join(lines) + "\n"


def read(path: Path) -> list[dict[str, Any]]:
    """All searches that were made."""
    made: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return made


def add(path: Path, part: dict[str, Any]) -> None:
    """Keep one search more, beside those that other processes add meanwhile."""
    with FileLock(f"{path}.lock"):
        lines = sorted(json.dumps(each) for each in [*read(path), part])
        partial = path.with_suffix(".partial")
        partial.write_text("[\n" + ",\n".join(lines) + "\n]\n")
        partial.replace(path)


def sort(made: list[dict[str, Any]]) -> dict[Key, dict[str, dict[int, Curve]]]:
    """The searches by model, calls and metric, then method, then seed; the teacher's calls are added."""
    found: dict[Key, dict[str, dict[int, Curve]]] = defaultdict(lambda: defaultdict(dict))
    for part in sorted(made, key=lambda part: list(METHODS).index(part["method"])):
        curve = [point | {"calls": point["calls"] + part["taught"]} for point in part["curve"]]
        found[part["model"], part["nfe"], part["metric"]][part["method"]][part["seed"]] = curve
    return found


def main(
    model: Annotated[list[str] | None, typer.Option(help="Models; by default all.")] = None,
    nfe: Annotated[list[int] | None, typer.Option(help="Network calls per sample.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Metrics.")] = None,
    method: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(METHODS)}.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The mixture, 5 calls, two seeds, four methods.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("docs/benchmarks"),
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
        before = taught(cell.metric, cell.method, cell.noises)
        add(path, {"name": cell.name, **vars(cell), "taught": before, "curve": curve})
        console.print(f"{cell.name}: {curve[-1]['held_out']:.4g} for {curve[-1]['calls']:,} calls", highlight=False)
    found = sort(read(path))
    (out / "search.md").write_text(table(found))
    draw(found, out / "search.png")
    console.print(f"wrote search.json, search.md and search.png to {out}")


if __name__ == "__main__":
    typer.run(main)
