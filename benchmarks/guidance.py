"""Guidance call by call: quality against network passes of found schedules, beside those of constant guidance.

    python -m benchmarks.guidance [--model fashion-unet --guidance 3 --nfe 8 --effort standard --cache FOLDER]

For every seed, searches of the same effort: constant guidance (two passes a call), bounds of passes at the same number
of calls, and constant guidance with fewer calls, which take as few passes. All are measured on test noises that no
search has seen, the same for all of a seed. Rows that the JSON file has already are kept, so that a run can be taken up
again.
"""

import json
import time
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from fewstep.models.reference import ModelReference
from fewstep.search.find import find

JSON = Path("docs/benchmarks/guidance.json")
PAGE = Path("docs/benchmarks/guidance.md")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Row:
    """One search: its seed, calls and bound of passes, and what it found."""

    seed: int
    nfe: int
    max_passes: int | None
    passes: int
    typical: float
    median: float
    rms: float
    guidance: tuple[float, ...] | None
    origin: str
    search_calls: int
    seconds: float
    digest: str

    @property
    def key(self) -> tuple[int, int, int | None]:
        """What was searched for."""
        return self.seed, self.nfe, self.max_passes


def searched(model: str, scale: float, effort: str, key: tuple[int, int, int | None], cache: Path | None) -> Row:
    """Search, and the row of what was found."""
    seed, nfe, most = key
    began = time.monotonic()
    denoiser, shape = ModelReference.at(model).open()
    denoiser = denoiser.guided(scale)
    identity = f"{model} at guidance {scale:g}" if cache else ""
    result = find(denoiser, nfe, shape, effort=effort, seed=seed, max_passes=most, cache=cache, identity=identity)
    values = {name: result.winner.summary(name) for name in ("typical", "median", "rms")}
    typical, median, rms = (each.value if each else float("nan") for each in values.values())
    return Row(
        seed,
        nfe,
        most,
        result.winner.passes_per_sample or 0,
        typical,
        median,
        rms,
        result.schedule.guidance,
        result.winner.name,
        result.cost.search_calls,
        round(time.monotonic() - began, 1),
        result.schedule.digest,
    )


def page(model: str, scale: float, nfe: int, effort: str, rows: list[Row]) -> str:
    """The page of the rows: a table of ratios to constant guidance, and every search."""
    found = {row.key: row for row in rows}
    kinds = sorted({row.key[1:] for row in rows}, key=lambda kind: (-found_passes(rows, kind), -kind[0]))
    lines = [
        "# Guidance call by call: quality against passes",
        "",
        f"Command: `python -m benchmarks.guidance --model {model} --guidance {scale:g} --nfe {nfe} --effort {effort}`.",
        "",
        f"`{model}` at guidance {scale:g}, effort {effort}. The teacher runs at that guidance in every call. Typical",
        f"error on test noises, and its ratio to the found schedule of {nfe} calls at constant guidance.",
        "",
        "| calls | guidance | passes | typical error, by seed | ratio, by seed | ratio, geometric mean |",
        "|---|---|---|---|---|---|",
    ]
    for calls, most in kinds:
        same = [row for row in rows if row.key[1:] == (calls, most)]
        ratios = [row.typical / found[row.seed, nfe, None].typical for row in same if (row.seed, nfe, None) in found]
        mean = f"{np.exp(np.mean(np.log(ratios))):.2f}" if ratios else ""
        typical = ", ".join(f"{row.typical:.4f}" for row in same)
        passes = ", ".join(sorted({str(row.passes) for row in same}))
        how = "constant" if most is None else f"call by call, at most {most} passes"
        lines.append(
            f"| {calls} | {how} | {passes} | {typical} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} | {mean} |"
        )
    lines += ["", "| seed | at most | scales of the calls |", "|---|---|---|"]
    for row in rows:
        if row.guidance is not None:
            lines.append(f"| {row.seed} | {row.max_passes} | {', '.join(f'{scale:g}' for scale in row.guidance)} |")
    return "\n".join(lines) + "\n"


def found_passes(rows: list[Row], kind: tuple[int, int | None]) -> int:
    """Passes of the rows of a kind."""
    return max(row.passes for row in rows if row.key[1:] == kind)


def main(
    model: str = "fashion-unet",
    guidance: float = 3.0,
    nfe: int = 8,
    effort: str = "standard",
    bounds: Annotated[str, typer.Option(help="Bounds of passes, by commas.")] = "12,14,15",
    fewer: Annotated[str, typer.Option(help="Calls of constant guidance to compare with, by commas.")] = "6,7",
    cache: Annotated[Path | None, typer.Option(help="Folder where teachers are kept.")] = None,
    out: Path = JSON,
    text: Path = PAGE,
) -> None:
    """Search what is missing, and write both files after every search."""
    torch.set_num_threads(1)
    facts = {"model": model, "guidance": guidance, "nfe": nfe, "effort": effort}
    stored = json.loads(out.read_text()) if out.exists() else {}
    same = {key: stored.get(key) for key in facts} == facts
    rows = [
        Row(**{**row, "guidance": row["guidance"] and tuple(row["guidance"])})
        for row in (stored["rows"] if same else [])
    ]
    kinds: list[tuple[int, int | None]] = [(nfe, None)]
    for most, calls in zip_longest(bounds.split(","), fewer.split(",")):
        kinds += [(nfe, int(most))] * bool(most) + [(int(calls or 0), None)] * bool(calls)
    for calls, most in kinds:
        for seed in SEEDS:
            if (seed, calls, most) in {row.key for row in rows}:
                continue
            rows.append(searched(model, guidance, effort, (seed, calls, most), cache))
            typer.echo(rows[-1])
            out.write_text(json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
            text.write_text(page(model, guidance, nfe, effort, rows))


if __name__ == "__main__":
    typer.run(main)
