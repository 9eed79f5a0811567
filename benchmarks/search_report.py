"""The searches as a table, a summary and a plot: medians over seeds; bands hold the middle half of them."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.ticker import NullFormatter

from benchmarks.contest import METHODS, TEST_SCORE

__all__ = ["ABLATED", "PAGE", "SEEDS", "Curve", "Key", "ablation", "draw", "rows", "sort", "summary", "table"]

SEEDS = tuple(range(8))
PAGE = Path("docs/predictor.md")  # that quotes the summary and the ablation
ABLATED = tuple(name for name in METHODS if name.startswith("s3-"))
LEVEL = (25, 50, 75)  # percentiles: a band and its middle
POINTS = 200  # of a curve

Curve = list[dict[str, Any]]
Key = tuple[str, int, str]
Cells = dict[Key, dict[str, dict[int, Curve]]]  # by method, then seed


def sort(parts: list[dict[str, Any]]) -> Cells:
    """The searches by model, calls and metric, then method, then seed; the teacher's calls are added."""
    cells: Cells = defaultdict(lambda: defaultdict(dict))
    for part in sorted(parts, key=lambda part: list(METHODS).index(part["method"])):
        curve = [point | {"calls": point["calls"] + part["taught"]} for point in part["curve"]]
        cells[part["model"], part["nfe"], part["metric"]][part["method"]][part["seed"]] = curve
    return cells


def at(curve: Curve, calls: float, which: str = TEST_SCORE) -> float:
    """The best trial's score once ``calls`` are spent; not a number before the first one."""
    return next((point[which] for point in reversed(curve) if point["calls"] <= calls), np.nan)


def first(curve: Curve, wanted: float, which: str) -> float:
    """What was spent (``which``: evaluations or calls) until the test score came down to ``wanted``, if ever."""
    return next((float(point[which]) for point in curve if point[TEST_SCORE] <= wanted), np.inf)


def rows(curves: dict[str, dict[int, Curve]]) -> list[dict[str, Any]]:
    """One row for each method of a model, NFE and metric, compared with TPE and evolution where they were run."""
    summaries = []
    for method, seeds in curves.items():
        ends = [curve[-1] for curve in seeds.values()]
        row: dict[str, Any] = {
            "method": method,
            "seeds": len(seeds),
            "evaluations": ends[0]["evaluations"],
            "calls": float(np.median([end["calls"] for end in ends])),
            "end": [float(value) for value in np.percentile([end[TEST_SCORE] for end in ends], LEVEL)],
            "after_100": float(np.median([_after(curve, 100) for curve in seeds.values()])),
        }
        for other, spent in (("tpe", "evaluations"), ("evolution", "calls")):
            both = sorted(seeds.keys() & curves.get(other, {}).keys())
            if both and method != other:
                needed = [first(seeds[s], curves[other][s][-1][TEST_SCORE], spent) for s in both]
                share = np.array(needed) / [curves[other][s][-1][spent] for s in both]
                row[f"{spent}_to_{other}"] = _finite(np.median(needed))
                row[f"share_of_{other}"] = _finite(np.median(share))
        summaries.append(row)
    return summaries


def _after(curve: Curve, evaluations: int) -> float:
    return next((point[TEST_SCORE] for point in reversed(curve) if point["evaluations"] <= evaluations), np.nan)


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def draw(cells: Cells, path: Path) -> None:
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
        axis.set(xscale="log", yscale="log", xlabel="passes", ylabel="incumbent, test noises")
        axis.xaxis.set_minor_formatter(NullFormatter())  # else they overlap
        axis.set_title(f"{model}, {nfe} calls, {metric.split(':')[0]}", fontsize=9)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def table(cells: Cells) -> str:
    """Everything as Markdown."""
    lines = [
        "| model | calls | metric | method | seeds | evaluations | network calls | after 100 evaluations "
        "| at the end (middle half) | evaluations to TPE's end | share of evolution's calls to its end |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (model, nfe, metric), curves in sorted(cells.items()):
        for row in rows(curves):
            low, middle, high = (f"{value:.4g}" for value in row["end"])
            needed, share = row.get("evaluations_to_tpe", ""), row.get("share_of_evolution", "")
            lines.append(
                f"| {model} | {nfe} | {metric.split(':')[0]} | {row['method']} | {row['seeds']} | {row['evaluations']} "
                f"| {row['calls']:,.0f} | {row['after_100']:.4g} | {middle} ({low} – {high}) "
                f"| {'never' if needed is None else needed and f'{needed:.0f}'} "
                f"| {'never' if share is None else share and f'{share:.2f}'} |"
            )
    return "\n".join(lines) + "\n"


def summary(cells: Cells) -> str:
    """Where every method ends, and what the guided search needs for the ends of TPE and of plain evolution."""
    methods = [name for name in METHODS if name not in ABLATED]
    lines = [
        "| model | calls | metric | " + " | ".join(methods) + " | to TPE's end | to evolution's |",
        "|---" * (5 + len(methods)) + "|",
    ]
    for (model, nfe, metric), curves in sorted(cells.items()):
        by_method = {row["method"]: row for row in rows(curves)}
        ends = [_end(by_method[name]) if name in by_method else "" for name in methods]
        needed, share = (by_method.get("s3", {}).get(name) for name in ("evaluations_to_tpe", "share_of_evolution"))
        ends += ["never" if needed is None else f"{needed:.0f}", "never" if share is None else f"{share:.2f}"]
        lines.append("| " + " | ".join([model, str(nfe), metric.split(":")[0], *ends]) + " |")
    return "\n".join(lines) + "\n"


def _end(row: dict[str, Any]) -> str:
    few = f" (seeds: {row['seeds']})" if row["seeds"] < len(SEEDS) else ""
    return f"{row['end'][1]:.3g}{few}"


def ablation(cells: Cells) -> str:
    """The guided search and its ablations, where those were run."""
    lines = ["| model, calls, metric | method | seeds | network calls | ends at (middle half) |", "|---" * 5 + "|"]
    for (model, nfe, metric), curves in sorted(cells.items()):
        compared = [row for row in rows(curves) if row["method"] in ("s3", *ABLATED)]
        for row in compared if len(compared) > 1 else ():
            low, middle, high = (f"{value:.3g}" for value in row["end"])
            cell = f"{model}, {nfe}, {metric.split(':')[0]}"
            lines.append(
                f"| {cell} | {row['method']} | {row['seeds']} | {row['calls']:,.0f} | {middle} ({low} – {high}) |"
            )
    return "\n".join(lines) + "\n"
