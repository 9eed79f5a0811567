"""How schedules, scores and a search's progress look as text: plain strings, and tables and bars for a terminal."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from fewstep.schedule import Schedule, Step
from fewstep.values.event import Event
from fewstep.values.stages import look

__all__ = ["Row", "axis", "duration", "follow", "measured", "phases", "rows", "short", "steps_table", "table"]

BAR = 20  # width of a progress bar in characters, so that a line fits a terminal of 100


class Row(NamedTuple):
    """One step to read: where its call lies, how far it goes, and its strategy."""

    call: int
    time: float
    log_snr: float
    gap: float
    order: int
    prediction: str
    scale: str


def rows(schedule: Schedule) -> list[Row]:
    """The steps of a schedule in simplest form; calls count from 1, ``gap`` is the log-SNR gained.

    >>> from fewstep import processes, solvers
    >>> rows(solvers.named("dpmpp-2m").schedule(processes.VPLinear(), nfe=4))[1].scale
    'bh2'
    """
    lam = schedule.process.log_snr(np.array(schedule.times))
    steps = schedule.canonical().steps
    return [
        Row(
            i + 1,
            schedule.times[i],
            float(lam[i]),
            float(lam[i + 1] - lam[i]),
            step.order,
            step.prediction,
            _scale(step),
        )
        for i, step in enumerate(steps)
    ]


def _scale(step: Step) -> str:
    parts = [] if step.scale == "none" else [f"linear {step.slope:+.3g}" if step.scale == "linear" else step.scale]
    if step.second != 1.0:
        parts.append(f"second ×{step.second:g}")
    return ", ".join(parts) or "–"


def axis(schedule: Schedule, width: int = 72) -> str:
    """The calls on a line of log-SNR, each drawn as its step's order; "+" where several fall on one place, "●" the end.

    >>> from fewstep import processes, solvers
    >>> axis(solvers.named("dpmpp-3m").schedule(processes.VPLinear(), nfe=6), width=25)
    '1───2───3───3───2───1───●'
    >>> axis(solvers.named("ddim").schedule(processes.Flow(), nfe=1), width=5)
    '1───●'
    """
    lam = schedule.process.log_snr(np.array(schedule.times))
    finite = lam[np.isfinite(lam)] if np.isfinite(lam).any() else np.zeros(1)
    low, span = finite.min(), max(float(np.ptp(finite)), 1e-12)
    line = ["─"] * width
    for place, step in zip(lam, schedule.canonical().steps, strict=False):
        at = round(float(np.clip((place - low) / span, 0, 1)) * (width - 1))
        line[at] = str(step.order) if line[at] == "─" else "+"
    line[-1] = "●"
    return "".join(line)


def short(value: float) -> str:
    """A number to three digits, for reading.

    >>> short(0.026), short(0.00000123), short(123.4)
    ('0.0260', '1.23e-06', '123')
    """
    return f"{value:#.3g}".rstrip(".")


def measured(value: float, standard_error: float) -> str:
    """A value with its standard error, to the digits that mean something.

    >>> measured(0.0412345, 0.00101), measured(1.234e-7, 2e-9), measured(0.5, 0.0)
    ('0.0412 ± 0.0010', '1.23e-07 ± 2.0e-09', '0.500 ± 0')
    """
    if standard_error <= 0:
        return f"{short(value)} ± 0"
    if abs(value) < 1e-4:
        return f"{value:.2e} ± {standard_error:.1e}"
    digits = max(0, 1 - math.floor(math.log10(standard_error)))
    return f"{value:.{digits}f} ± {standard_error:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(4.21), duration(42), duration(200), duration(7500)
    ('4.2 s', '42 s', '3 min 20 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def table(columns: Iterable[str], lines: Iterable[Iterable[object]], words: Iterable[str] = ()) -> Table:
    """A table for a terminal; columns in ``words`` hold words and may wrap, the others numbers."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    wrapped = set(words)
    for column in columns:
        drawn.add_column(column, justify="left" if column in wrapped else "right", no_wrap=column not in wrapped)
    for line in lines:
        drawn.add_row(*(escape(str(value)) for value in line))
    return drawn


def steps_table(schedule: Schedule) -> Table:
    """The steps of a schedule as a table for a terminal."""
    lines = [
        (row.call, f"{row.time:.5g}", f"{row.log_snr:+.3f}", f"{row.gap:.3f}", row.order, row.prediction, row.scale)
        for row in rows(schedule)
    ]
    columns = ("call", "time", "log-SNR", "gap", "order", "prediction", "scale")
    return table(columns, lines, words=("prediction", "scale"))


@contextmanager
def phases(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for a search in this process, whose progress it is told as (phase, done, total)."""
    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task("teacher", total=None)
        yield lambda phase, done, total: bars.update(bar, description=phase, completed=done, total=total)


def follow(events: Iterable[Event], console: Console) -> Event | None:
    """Draw a search's events as they come, one bar for each phase; returns the last event, if there was any.

    Beside the bar stand the errors of incumbent and best baseline, and the stage that proposed the last trial, with the
    label and colour of the table of stages.
    """
    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=BAR),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    last = None
    tasks: dict[str, TaskID] = {}
    incumbent = baseline = math.inf
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for event in events:
            last = event
            data = event.data
            if event.kind == "phase":
                name = data["phase"]
                if name not in tasks:
                    tasks[name] = progress.add_task(escape(name), note="")
                progress.update(tasks[name], completed=data["done"], total=data["total"])
            elif event.kind == "state":
                console.print(f"{data['state']}{': ' + data['reason'] if 'reason' in data else ''}", markup=False)
            elif event.kind == "trial" and data["value"] is not None:
                incumbent = min(incumbent, data["value"])
                if data["stage"] == "baselines":
                    baseline = min(baseline, data["value"])
                if "search" in tasks:
                    label, colour = look(data["stage"])
                    scores = f"incumbent {short(incumbent)}, baseline {short(baseline)}"
                    progress.update(tasks["search"], note=f"{scores}  [{colour}]●[/] {escape(label)}")
    return last
