"""``make demo``: start the service, have it search, fetch the schedules over HTTP, sample with them, compare.

The comparison is made in this process, the client's, on noises of its own: every named solver on every grid, and the
published schedules, by the mean distance that the searches lowered, the typical error, the switch rate and the Fréchet
distance of digit features. Writes ``report.json``, ``table.md`` and ``samples.png`` to ``demo/``.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib import pyplot
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from fewstep import Schedule, Step, grids, models, sample, solvers
from fewstep.client import Client, Published
from fewstep.errors import ServiceError
from fewstep.models import Denoiser, features
from fewstep.search.metrics import bootstrap
from fewstep.search.metrics.base import Metric
from fewstep.search.metrics.frechet import Frechet
from fewstep.search.metrics.paired import Mean, Typical
from fewstep.search.metrics.switched import SwitchRate

MODEL = "digits-mixture"
NFES = (5, 8, 10)
EFFORT = "standard"
NOISES, NOISE_SEED = 512, 20_000
TEACHER_CALLS = 200
FEW, LIKELY = 64, 12  # every baseline is measured on so many noises; the best so many of them on all
SHOWN = 8
OUT = Path("demo")


@contextmanager
def service() -> Iterator[str]:
    """The service on a free loopback port with an empty SQLite database in ``demo/service``; gives its address."""
    data = OUT / "service"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"FEWSTEP_DATA_DIR": str(data), "FEWSTEP_DATABASE_URL": f"sqlite:///{data}/fewstep.db"}
    command = [sys.executable, "-m", "api", "serve", "--port", str(port)]
    with (data / "service.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def connect(url: str, patience: float = 60.0) -> Client:
    """A client, once the service answers."""
    client, deadline = Client(url), time.monotonic() + patience
    while True:
        try:
            client.models()
            return client
        except ServiceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def follow(client: Client, search: str, bars: Progress, bar: TaskID) -> None:
    """Show one search's events as a progress bar until it ends; raises `ServiceError` where it did not succeed."""
    for event in client.watch(search):
        if event.kind == "trial" and event.data["best"] is not None:
            bars.update(bar, note=f"mean distance {event.data['best']:.4f} on its own noises")
        elif event.kind == "phase":
            bars.update(bar, phase=event.data["phase"], completed=event.data["done"], total=event.data["total"])
        elif event.kind == "published":
            bars.update(bar, phase="done", note=f"{event.data['ratio']:.2f} × the mean distance of the baseline")
    ended = client.search(search)
    if ended.state != "succeeded":
        raise ServiceError(f"search {search} has {ended.state}: {ended.error}")


def search_all(url: str, console: Console) -> dict[int, Published]:
    """Submit a search for every number of calls, follow them live, fetch what they published."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[phase]:8}"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with connect(url) as client, Progress(*columns, console=console) as bars:
        client.add_model(MODEL)
        searches = {nfe: client.submit(MODEL, nfe, effort=EFFORT).id for nfe in NFES}
        threads = []
        for nfe, search in searches.items():
            bar = bars.add_task(f"{nfe:2} calls", total=None, phase="queued", note="")
            threads.append(threading.Thread(target=follow, args=(client, search, bars, bar), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()
        return {nfe: client.best(MODEL, nfe) for nfe in NFES}


def error(samples: torch.Tensor, targets: torch.Tensor) -> float:
    """Mean distance to the teacher, which the searches lower."""
    return Mean().value(Mean().observe(samples, targets))


@torch.no_grad()
def digit_features(images: torch.Tensor) -> torch.Tensor:
    """The features of the zoo's classifier of digits."""
    return features.load().features(images)


COLUMNS: dict[str, Metric] = {
    "mean distance": Mean(),
    "typical error": Typical(),
    "switch rate": SwitchRate(),
    "Fréchet": Frechet(digit_features),
}


def summaries(samples: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, float, float]]:
    """Value and 95 % interval by each metric."""
    result = {}
    for name, metric in COLUMNS.items():
        observations = metric.observe(samples, targets)
        bounds = bootstrap.interval(metric, observations, seed=0, times=100, accelerated=False)
        result[name] = (metric.value(observations), *bounds)
    return result


def words(summary: tuple[float, float, float]) -> str:
    """A value with its interval."""
    value, low, high = summary
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"


def baselines(denoiser: Denoiser, nfe: int) -> dict[str, Schedule]:
    """Every named solver on every grid, with and without lowering the last orders."""
    return {
        f"{solver} {grid}{'' if lower else ' full-order'}": solvers.named(solver).schedule(
            denoiser.process, nfe, grid, lower
        )
        for solver in solvers.names()
        if not solvers.named(solver).stochastic and solvers.named(solver).applies(denoiser.process)
        for grid in grids.suitable(denoiser.process)
        for lower in (True, False)
    }


def cell(summary: tuple[float, float, float]) -> str:
    """The same in two short lines, for a terminal of 80 columns."""
    value, *ends = summary
    low, high = (f"{end:.2g}".removeprefix("0") or "0" for end in ends)
    return f"{value:.3g}\n{low}–{high}"


def picture(path: Path, targets: torch.Tensor, rows: dict[str, torch.Tensor]) -> None:
    """Samples from the same noises, a titled row for each way, with their distance to the teacher's on the right."""
    matplotlib.use("Agg")
    lines = {f"teacher, {TEACHER_CALLS} calls": targets, **rows}
    figure, axes = pyplot.subplots(len(lines), 2 * SHOWN + 1, figsize=(SHOWN * 1.24, len(lines) * 0.66))
    for axis in axes.flat:
        axis.set_axis_off()
    for line, (title, samples) in zip(axes, lines.items(), strict=True):
        line[0].text(-0.15, 0.5, title, transform=line[0].transAxes, ha="right", va="center", fontsize=8)
        for i in range(SHOWN):
            line[i].imshow(samples[i, 0], cmap="gray", vmin=-1, vmax=1)
            if samples is not targets:
                line[SHOWN + 1 + i].imshow((samples - targets)[i, 0].abs(), cmap="magma", vmin=0, vmax=0.5)
    axes[0, SHOWN + 1].text(0, 0.5, "distance to the teacher (black: none)", fontsize=8, va="center")
    figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)


def markdown(report: list[dict[str, Any]]) -> str:
    """The table as docs/evidence.md shows it."""
    lines = [
        "| calls | | mean distance | typical error | switch rate | Fréchet | ratio | calls of search + test |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in report:
        both = {row["baseline"]: row["baseline_summaries"], "found": row["found_summaries"]}
        for name, each in both.items():
            ratio = (
                f"{row['ratio']:.2f} | {row['search_calls']:,} + {row['test_calls']:,}" if name == "found" else " | "
            )
            lines.append(
                f"| {row['nfe']} | {name} | {' | '.join(words(each[column]) for column in COLUMNS)} | {ratio} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the whole path and print the table."""
    console, began = Console(), time.monotonic()
    OUT.mkdir(exist_ok=True)
    with service() as url:
        console.print(f"The service runs at {url}, its log is {OUT}/service/service.log.")
        winners = search_all(url, console)

    console.print(f"Fetched {len(winners)} schedules. Sampling with them and with every baseline:")
    denoiser = models.zoo.load(MODEL)
    noise = torch.randn(NOISES, *models.zoo.describe(MODEL).shape, generator=torch.Generator().manual_seed(NOISE_SEED))
    path = grids.logsnr(denoiser.process, TEACHER_CALLS)
    teacher = Schedule(denoiser.process, path, tuple(Step("data", min(4, i + 1)) for i in range(TEACHER_CALLS)))
    targets = sample(denoiser, teacher, noise)

    report: list[dict[str, Any]] = []
    rows: dict[str, torch.Tensor] = {}
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=0,
        title=f"{MODEL}, {NOISES} unseen noises, with 95 % intervals",
    )
    for column in ("calls", "schedule", *COLUMNS, "ratio", "search", "s"):
        table.add_column(column, justify="left" if column == "schedule" else "right", overflow="fold")
    for nfe, published in winners.items():
        candidates = baselines(denoiser, nfe)
        first = {name: error(sample(denoiser, s, noise[:FEW]), targets[:FEW]) for name, s in candidates.items()}
        likely = sorted(first, key=first.__getitem__)[:LIKELY]
        samples = {name: sample(denoiser, candidates[name], noise) for name in likely}
        errors = {name: error(values, targets) for name, values in samples.items()}
        baseline = min(errors, key=errors.__getitem__)
        ours = sample(denoiser, published.schedule, noise)
        row: dict[str, Any] = {
            "nfe": nfe,
            "baseline": baseline,
            "baseline_error": errors[baseline],
            "found": published.digest,
            "found_error": error(ours, targets),
            "ratio": error(ours, targets) / errors[baseline],
            "baseline_summaries": summaries(samples[baseline], targets),
            "found_summaries": summaries(ours, targets),
            "calls": published.result.calls,
            "search_calls": published.result.cost.search_calls,
            "test_calls": published.result.cost.test_calls,
            "seconds": published.result.cost.seconds,
        }
        report.append(row)
        rows[f"{baseline}, {nfe} calls"], rows[f"found, {nfe} calls"] = samples[baseline], ours
        table.add_row(str(nfe), baseline, *map(cell, row["baseline_summaries"].values()), "", "", "")
        spent = (f"{row['ratio']:.2f}", f"{row['search_calls']:,}", f"{row['seconds']:.0f}")
        table.add_row("", "found", *map(cell, row["found_summaries"].values()), *spent)
    picture(OUT / "samples.png", targets, rows)
    (OUT / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (OUT / "table.md").write_text(markdown(report))
    console.print(table)
    console.print(f"Wrote {OUT}/report.json and {OUT}/samples.png after {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
