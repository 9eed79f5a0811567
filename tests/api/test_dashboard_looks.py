"""What the dashboard draws: strips to scale, and colours that can be read."""

import re
from itertools import combinations

import numpy as np
import pytest

from api.dashboard.assets import asset
from api.dashboard.strip import strip
from fewstep import Schedule, Step, processes, solvers


def bars(drawing: str) -> list[tuple[float, float, float, float]]:
    """x, y, width and height of every bar, the found schedule's first."""
    found = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawing)
    return [tuple(float(value) for value in bar) for bar in found]


def test_a_strip_is_drawn_to_scale() -> None:
    """Bars are as wide as the log-SNR gained and as high as the order; the reference hangs below the found one."""
    process = processes.VPLinear()
    found = solvers.named("dpmpp-3m").schedule(process, 6, "quadratic")
    reference = solvers.named("ddim").schedule(process, 4, "logsnr")
    drawn = bars(strip(found, reference))
    above, below = drawn[:6], drawn[6:]
    lam = process.log_snr(np.array(found.times))
    gaps = np.diff(lam)
    widths = np.array([width + 1.5 for _, _, width, _ in above])
    assert widths / widths.sum() == pytest.approx(gaps / gaps.sum(), abs=0.002)
    assert [height / above[0][3] for *_, height in above] == [1, 2, 3, 3, 2, 1]
    assert len({y + height for _, y, _, height in above}) == 1
    assert len({y for _, y, _, _ in below}) == 1
    assert below[0][1] > above[0][1] + above[0][3]


def test_a_strip_holds_infinite_log_snr() -> None:
    """A schedule that ends without noise is drawn, its last step to the edge."""
    schedule = Schedule(processes.VPLinear(), (1.0, 0.5, 0.0), (Step(), Step()))
    drawn = bars(strip(schedule))
    assert len(drawn) == 2
    assert all(width > 10 for _, _, width, _ in drawn)


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read_in_both_schemes() -> None:
    """Text has a contrast of 4.5 to its ground and marks 3, by day and by night; origins differ from each other."""
    sheet = asset("dashboard.css")[0].read_text("utf-8")
    schemes = [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in re.findall(r":root {([^}]*)}", sheet)]
    assert len(schemes) == 2
    later = ("seed", "nested", "fit", "polish")
    origins = ("baseline", *later, "mutation", "crossover", "tpe", "uniform", "guided", "other")
    for colors in schemes:
        for ink in ("ink", "soft", "accent", "good", "bad", "warn"):
            for ground in ("page", "card"):
                assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
        assert contrast(colors["on-bar"], colors["data"]) >= 4.5
        assert contrast(colors["on-noise"], colors["noise"]) >= 4.5
        for mark in (*origins, "best", "data", "noise"):
            assert contrast(colors[mark], colors["card"]) >= 3, mark
        assert all(colors[a] != colors[b] for a, b in combinations(origins, 2))
