"""The front of a model: error against the number of calls, winners beside best baselines, drawn with error bars.

Made on the server, readable without a script; the table of the same page says the same in numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewstep.cli.display import measured, short
from fewstep.values.published import Published
from fewstep.values.score import Score

__all__ = ["front"]

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 38
APART = 5  # pixels between the two dots of one number of calls
STEPS = (1, 2, 5)
LEAST, MOST = 1e-100, 1e100  # errors that an axis shows; what lies beyond is drawn at its end


@dataclass(frozen=True)
class Axes:
    """From calls and errors to pixels; errors on a log scale."""

    calls: tuple[int, int]
    errors: tuple[float, float]

    def x(self, calls: float) -> float:
        """Pixels from the left."""
        low, high = self.calls
        return LEFT + (calls - low + 0.5) / (high - low + 1) * (WIDTH - LEFT - RIGHT)

    def y(self, error: float) -> float:
        """Pixels from the top."""
        low, high = (math.log(bound) for bound in self.errors)
        place = min(max(math.log(max(error, 1e-300)), low), high)
        return TOP + (high - place) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Round errors within the range: one, two and five of every power of ten."""
        low, high = self.errors
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [step * 10.0**power for power in powers for step in STEPS if low <= step * 10.0**power <= high]


def front(published: Sequence[Published]) -> Markup:
    """The drawing as inline SVG, of one metric's front with at least one schedule."""
    lines = {
        "baseline": [(each.result.schedule.nfe, each.result.baseline.score) for each in published],
        "winner": [(each.result.schedule.nfe, each.result.score) for each in published],
    }
    axes = _axes([point for line in lines.values() for point in line])
    parts = [f'<svg class="front" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_words(published)}">']
    for tick in axes.ticks():
        y = axes.y(tick)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick left" x="{LEFT - 8}" y="{y + 4:.1f}">{short(tick)}</text>')
    for calls in sorted({calls for line in lines.values() for calls, _ in line}):
        parts.append(f'<text class="tick" x="{axes.x(calls):.1f}" y="{HEIGHT - 20}">{calls}</text>')
    parts.append(f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}">network calls</text>')
    for shift, (name, line) in zip((APART, -APART), lines.items(), strict=True):
        parts += _line(name, [(axes.x(calls) + shift, score) for calls, score in line], axes)
    return Markup("".join([*parts, "</svg>"]))


def _axes(points: list[tuple[int, Score]]) -> Axes:
    calls = [calls for calls, _ in points]
    values = [min(max(score.value, LEAST), MOST) for _, score in points if score.value > 0] or [1.0]
    return Axes((min(calls), max(calls)), (min(values) / 2, max(values) * 2))


def _line(name: str, points: list[tuple[float, Score]], axes: Axes) -> list[str]:
    path = " ".join(f"{x:.1f},{axes.y(score.value):.1f}" for x, score in points)
    parts = [f'<g class="{name}"><polyline points="{path}"/>']
    for x, score in points:
        low, high = axes.y(score.interval.low), axes.y(score.interval.high)
        note = f"{name}: {measured(score.value, score.standard_error)}"
        parts.append(
            f'<g><title>{note}</title><line x1="{x:.1f}" x2="{x:.1f}" y1="{high:.1f}" y2="{low:.1f}"/>'
            f'<circle cx="{x:.1f}" cy="{axes.y(score.value):.1f}" r="4"/></g>'
        )
    return [*parts, "</g>"]


def _words(published: Sequence[Published]) -> str:
    results = [each.result for each in published]
    lines = [
        f"{result.schedule.nfe} calls: {short(result.score.value)} against {short(result.baseline.value)}"
        for result in results
    ]
    return f"Error of the winner against the best baseline, {'; '.join(lines)}"
