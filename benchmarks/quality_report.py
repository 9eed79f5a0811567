"""The quality benchmark's rows as a page: a summary, a table of medians over seeds, a plot of quality against calls."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot

__all__ = ["METHODS", "NAMED", "PAGES", "TWICE", "keys", "ordered", "page", "plot", "read", "summary", "table"]

PAGES = (Path("docs/evidence.md"),)  # that quote the summary
NAMED, TWICE = "named", "named 2N"
PEERS = ("LD3", "DyWeight", "GS")
EFFORTS = ("quick", "standard", "thorough")
METHODS = (NAMED, TWICE, *PEERS, *EFFORTS)
KEY = ("model", "nfe", "method", "seed")
WIDE = 4  # panels of the plot in a line
MARKERS = {"LD3": "^", "DyWeight": "s", "GS": "D"}

Rows = list[dict[str, Any]]

HEAD = """# Quality of searches

`python -m benchmarks.quality` writes this page from [quality.json](quality.json), whose rows it makes one by one: what
is not here yet has not been run. *named* is the best of all named solvers on all their grids with the same number of
calls, chosen on the very noises that it is measured on; *named 2N* has twice the calls. *LD3*, *DyWeight* and *GS* are
published methods that learn a sampler, written anew from their papers with their own recipes (`benchmarks/peers.py`).
*quick*, *standard* and *thorough* are searches of that effort.

Errors are distances to the teacher's samples of the same noises: *typical* is the geometric mean; *switch* is the share
of samples that end nearer to another noise's teacher sample than to their own; *Fréchet* compares features of the
samples with those of the teacher's. Cells are medians over the seeds of the method, with the range in brackets. *spent*
counts calls of the model for one sample, forward and backward, with the method's own teacher; *s* are CPU seconds.

The typical error as a share of that of the best named solver:

"""


def read(path: Path) -> Rows:
    """Stored rows; none where there is no file."""
    rows: Rows = json.loads(path.read_text()) if path.exists() else []
    return rows


def keys(rows: Rows) -> set[tuple[Any, ...]]:
    """Model, NFE, method and seed of every row."""
    return {tuple(row[name] for name in KEY) for row in rows}


def ordered(rows: Rows, models: Sequence[str]) -> Rows:
    """The rows by model, NFE, method and seed."""
    return sorted(rows, key=lambda r: (models.index(r["model"]), r["nfe"], METHODS.index(r["method"]), r["seed"]))


def cell(rows: Rows, name: str, form: str, scale: float = 1.0) -> str:
    """Median of the rows' values by that name, with their range where they differ; a dash where there are none."""
    values = [row[name] * scale for row in rows if row[name] is not None]
    if not values:
        return "–"
    low, middle, high = (format(value, form) for value in (min(values), np.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def groups(rows: Rows) -> dict[tuple[str, int, str], Rows]:
    """Rows of one model, NFE and method, by these."""
    result: dict[tuple[str, int, str], Rows] = {}
    for row in rows:
        result.setdefault((row["model"], row["nfe"], row["method"]), []).append(row)
    return result


def compared(rows: Rows, name: str) -> Rows:
    """The rows with ``name ×``, that value over the best named solver's at the same NFE, None where one is missing."""
    base = {(row["model"], row["nfe"]): row[name] for row in rows if row["method"] == NAMED}
    result = []
    for row in rows:
        divisor = base.get((row["model"], row["nfe"]))
        known = divisor and row[name] is not None
        result.append(row | {f"{name} ×": row[name] / divisor if known else None})
    return result


def table(rows: Rows) -> str:
    """All methods in Markdown, medians over seeds."""
    heads = ["model", "calls", "method", "seeds", "typical", "× named", "mean", "median", "RMS", "95 %", "switch %"]
    heads += ["Fréchet", "× named", "out of span", "spent", "s"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for (model, nfe, method), group in groups(compared(compared(rows, "typical"), "frechet")).items():
        names = {row["name"] for row in group}
        title = f"{method}: {names.pop()}" if method in (NAMED, TWICE) else method
        cells = [
            model,
            str(nfe),
            title,
            str(len(group)),
            cell(group, "typical", ".4f"),
            cell(group, "typical ×", ".2f"),
        ]
        cells += [cell(group, name, ".4f") for name in ("mean", "median", "rms", "p95")]
        cells += [cell(group, "switch", ".1f", 100), cell(group, "frechet", ".3g"), cell(group, "frechet ×", ".2f")]
        cells += [cell(group, "out_of_span", ".2f"), cell(group, "calls", ",.0f"), cell(group, "seconds", ".0f")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def summary(rows: Rows) -> str:
    """Typical errors over the best named solver's, by model, method and NFE; of methods that were run."""
    nfes = sorted({row["nfe"] for row in rows})
    lines = ["| model | method | " + " | ".join(f"{nfe} calls" for nfe in nfes) + " |", "|---" * (2 + len(nfes)) + "|"]
    by = groups(compared(rows, "typical"))
    for model in dict.fromkeys(row["model"] for row in rows):
        for method in METHODS[1:]:
            cells = [cell(by.get((model, nfe, method), []), "typical ×", ".2f") for nfe in nfes]
            if set(cells) != {"–"}:
                lines.append(f"| {model} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page(rows: Rows) -> str:
    """The whole page."""
    plot = "\n![Typical error over the best named solver's, by calls spent](quality.png)\n\n"
    return f"{HEAD}{summary(rows)}{plot}All rows:\n\n{table(rows)}"


def plot(rows: Rows, path: Path) -> None:
    """Typical error over the best named solver's against calls spent, a panel for each model; lines join efforts."""
    matplotlib.use("Agg")
    names = list(dict.fromkeys(row["model"] for row in rows))
    nfes = sorted({row["nfe"] for row in rows})
    lines = -(-len(names) // WIDE)
    columns = -(-len(names) // lines)
    figure, panels = pyplot.subplots(
        lines, columns, figsize=(4 * columns + 1.8, 3.4 * lines), squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(names) :]:
        panel.axis("off")
    by = groups(compared(rows, "typical"))
    for panel, name in zip(panels.flat, names, strict=False):
        panel.set(xscale="log", yscale="log")
        panel.axhline(1.0, color="grey", linewidth=0.8)
        for k, nfe in enumerate(nfes):
            points = [point for method in EFFORTS if (point := _point(by.get((name, nfe, method), [])))]
            panel.plot(*np.array(points).reshape(-1, 2).T, marker="o", color=f"C{k}", label=f"search, {nfe} calls")
            for method in PEERS:
                if point := _point(by.get((name, nfe, method), [])):
                    panel.plot(*point, marker=MARKERS[method], color=f"C{k}", linestyle="none", fillstyle="none")
        for method, marker in MARKERS.items():
            panel.plot([], [], marker=marker, color="black", linestyle="none", fillstyle="none", label=method)
        for axis in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
            axis(lambda value, _: f"{value:.2g}")
        panel.set(title=name, xlabel="calls spent", ylabel="typical error × best named")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _point(rows: Rows) -> tuple[float, float] | None:
    """Medians of calls and ratio."""
    known = [row for row in rows if row["typical ×"] is not None]
    if not known:
        return None
    return float(np.median([row["calls"] for row in known])), float(np.median([row["typical ×"] for row in known]))
