"""The page of `benchmarks.gpu`, a table for each part, and the machine that it is about."""

import os
import platform
from typing import Any

import torch

__all__ = ["machine", "page"]

TITLES = {
    "memory": "A search where about three samples fit at a time, and how often it halved its calls",
    "slots": "Evaluations of a small model, by slots on one device",
    "share": "A quick search, and its seconds inside the network",
    "speed": "A call by execution; deviation from float32, the largest of a sample of eight calls",
}
REMARKS = ("ended", "failed")


def machine(device: str) -> dict[str, Any]:
    """What it ran on."""
    on_gpu = torch.device(device).type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else "a CPU"
    return {
        "device": name,
        "cuda": torch.version.cuda if on_gpu else None,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def page(report: dict[str, Any]) -> str:
    """The report as a page."""
    lines = [
        "# What a GPU is good for",
        "",
        f"`python -m benchmarks.gpu` on {report['machine']['device']}: a UNet2DConditionModel of",
        f"{report['parameters'] / 1e6:.1f} million parameters on latents of {' × '.join(map(str, report['shape']))},",
        "with random weights and flow matching. float32 is torch's own: on CUDA its convolutions are in TF32.",
    ]
    if report["tiny"]:
        lines += ["", "**Everything is tiny: this shows that the command runs, and no speed.**"]
    for part, title in TITLES.items():
        lines += ["", f"## {title}", "", *_table([row for row in report["rows"] if row["part"] == part])]
    return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = list[str]()
    whole = [row for row in rows if not set(REMARKS) & set(row)]
    if whole:
        names = [name for name in whole[0] if name != "part"]
        lines += [f"| {' | '.join(names).replace('_', ' ')} |", "|---" * len(names) + "|"]
        lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in whole]
    for row in rows:
        lines += ["", *(f"{word}: {row[word]}" for word in REMARKS if word in row)] if set(REMARKS) & set(row) else []
    return lines or ["not run"]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(f"{before} → {after}" for before, after in value) or "none"
    return str(value).replace("|", "/")
