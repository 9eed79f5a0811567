"""The schedule strip: two schedules against log-SNR as one drawing, made on the server, readable without a script.

Every step is a bar from its call to the next state: as wide as the log-SNR it gains, as high as its order, coloured by
its prediction. The schedule stands on the axis, the baseline hangs from it.
"""

from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from fewstep.cli.display import rows
from fewstep.schedule import Schedule

__all__ = ["strip"]

WIDTH, SIDE = 760, 14
UNIT = 20  # height of one order
AXIS = 26  # between the two rows, for the numbers of the axis
TOP = 6
READABLE = 13  # a bar narrower than this has no room for its order
TICKS = 7
INFINITE = 0.06  # share of the width for a step that starts or ends at infinite log-SNR


@dataclass(frozen=True)
class Scale:
    """From log-SNR to pixels; infinite ends lie at the edges."""

    low: float
    high: float

    def __call__(self, lam: float) -> float:
        share = (np.clip(lam, self.low, self.high) - self.low) / (self.high - self.low)
        return float(SIDE + share * (WIDTH - 2 * SIDE))

    def ticks(self) -> list[float]:
        """Round numbers inside the range, about `TICKS` of them."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** np.floor(np.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first = np.ceil(self.low / step)
        return [float(k * step) for k in np.arange(first, np.floor(self.high / step) + 1)]


def strip(schedule: Schedule, reference: Schedule | None = None) -> Markup:
    """The drawing as inline SVG; ``reference`` is the schedule to compare with, if there is one."""
    schedules = [schedule] if reference is None else [schedule, reference]
    tallest = [UNIT * max(step.order for step in each.steps) for each in schedules]
    scale = _scale(schedules)
    floor = TOP + tallest[0]
    height = 2 * TOP + AXIS + sum(tallest)
    words = _words(schedule, reference)
    parts = [f'<svg class="strip" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{words}">']
    parts += _axis(scale, floor)
    parts += _bars(schedule, scale, floor, up=True)
    if reference is not None:
        parts += _bars(reference, scale, floor + AXIS, up=False)
    return Markup("".join([*parts, "</svg>"]))


def _lam(schedule: Schedule) -> np.ndarray:
    return np.asarray(schedule.process.log_snr(np.array(schedule.times)))


def _scale(schedules: list[Schedule]) -> Scale:
    lam = np.concatenate([_lam(schedule) for schedule in schedules])
    finite = lam[np.isfinite(lam)] if np.isfinite(lam).any() else np.zeros(1)
    low, high = float(finite.min()), float(finite.max())
    room = INFINITE * max(high - low, 1.0)
    return Scale(low - room * bool(np.isneginf(lam).any()), high + room * bool(np.isposinf(lam).any()))


def _axis(scale: Scale, floor: int) -> list[str]:
    ends = f'x1="{SIDE}" x2="{WIDTH - SIDE}"'
    parts = [f'<line class="rule" {ends} y1="{y}" y2="{y}"/>' for y in (floor, floor + AXIS)]
    for tick in scale.ticks():
        parts.append(f'<text class="tick" x="{scale(tick):.1f}" y="{floor + AXIS / 2 + 4}">{_signed(tick)}</text>')
    return parts


def _bars(schedule: Schedule, scale: Scale, floor: int, up: bool) -> list[str]:
    parts = []
    edges = pairwise(scale(lam) for lam in _lam(schedule))
    for row, (left, right) in zip(rows(schedule), edges, strict=True):
        width, tall = max(right - left - 1.5, 1.0), row.order * UNIT
        top = floor - tall if up else floor
        note = (
            f"call {row.call}: time {row.time:.4g}, log-SNR {row.log_snr:+.2f}, gains {row.gap:.2f}, "
            f"order {row.order}, {row.prediction}, scale {row.scale}"
        )
        box = f'x="{left + 0.75:.1f}" y="{top}" width="{width:.1f}" height="{tall}" rx="2"'
        parts.append(f'<g class="{row.prediction}"><title>{escape(note)}</title><rect {box}/>')
        if width >= READABLE:
            middle = floor - 5 if up else floor + 14
            parts.append(f'<text class="order" x="{(left + right) / 2:.1f}" y="{middle}">{row.order}</text>')
        parts.append("</g>")
    return parts


def _signed(tick: float) -> str:
    return f"{tick:g}".replace("-", "\N{MINUS SIGN}")


def _words(schedule: Schedule, reference: Schedule | None) -> str:
    orders = [f"schedule: orders {_orders(schedule)}"]
    if reference is not None:
        orders.append(f"baseline: orders {_orders(reference)}")
    return f"Steps against log-SNR; {'; '.join(orders)}. The table of numbers says the same."


def _orders(schedule: Schedule) -> str:
    return ", ".join(str(row.order) for row in rows(schedule))
