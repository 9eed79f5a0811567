"""The quality benchmark's rows as a table, a summary and a plot."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot

__all__ = ["PAGES", "plot", "read", "summary", "table"]

PAGES = (Path("docs/evidence.md"),)  # that quote the summary
RENAMED = {  # methods in results of earlier versions
    "hand-made": "baseline",
    "hand-made at twice the calls": "baseline at twice the calls",
    "+ closed loop": "+ time search",
}


def read(path: Path) -> list[dict[str, Any]]:
    """Stored rows."""
    rows = json.loads(path.read_text())
    return [row | {"method": RENAMED.get(row["method"], row["method"])} for row in rows]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = ["| model | calls | method | RMSE | × baseline | median | 95 % | Fréchet | spent | s |", "|---" * 10 + "|"]
    baselines = {(row["model"], row["nfe"]): row["rmse"] for row in rows if row["method"] == "baseline"}
    for row in rows:
        ratio = row["rmse"] / baselines[row["model"], row["nfe"]]
        cells = [row["model"], row["nfe"], row["method"] + (f": {row['name']}" if row["name"] else "")]
        cells += [f"{row['rmse']:.4f} ± {row['standard_error']:.4f}", f"{ratio:.2f}"]
        cells += [f"{row['median']:.4f}", f"{row['p95']:.4f}", f"{row['frechet']:.3g}", row["calls"], row["seconds"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def summary(rows: list[dict[str, Any]]) -> str:
    """The published error over that of the best baseline at the same NFE (at twice the NFE)."""
    errors = {(row["model"], row["nfe"], row["method"]): row["rmse"] for row in rows}
    calls = sorted({row["nfe"] for row in rows})
    lines = ["| model | " + " | ".join(f"{nfe} calls" for nfe in calls) + " |", "|---" * (1 + len(calls)) + "|"]
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = []
        for nfe in calls:
            published = errors.get((model, nfe, "published"))
            alike, twice = (errors.get((model, nfe, f"baseline{more}")) for more in ("", " at twice the calls"))
            cells.append(f"{published / alike:.2f} ({published / twice:.2f})" if published else "")
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """RMSE against calls, one panel for each model."""
    matplotlib.use("Agg")
    names = list(dict.fromkeys(row["model"] for row in rows))
    figure, panels = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3.6), squeeze=False, layout="constrained")
    for panel, name in zip(panels[0], names, strict=True):
        for method in ("ddim", "baseline", "replay + fit", "+ time search", "published"):
            points = sorted((r["nfe"], r["rmse"]) for r in rows if r["model"] == name and r["method"] == method)
            panel.semilogy(*np.array(points).T, marker="o", label=method) if points else None
        panel.set(title=name, xlabel="network calls", ylabel="RMSE to the teacher")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=120)
