"""What the dashboard draws: strips to scale, and colours that can be read."""

import re
from itertools import combinations

import numpy as np
import pytest

from api.dashboard.assets import asset
from api.dashboard.strip import strip
from fewstep import Schedule, Step, processes, solvers
from fewstep.errors import InvalidInput
from fewstep.values.stages import NEUTRAL, STAGES, Stage


def bars(drawing: str) -> list[tuple[float, float, float, float]]:
    """x, y, width and height of every bar, the schedule's first."""
    drawn = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawing)
    return [tuple(float(value) for value in bar) for bar in drawn]


def test_a_strip_is_drawn_to_scale() -> None:
    """Bars are as wide as the log-SNR gained and as high as the order; the reference hangs below."""
    process = processes.VPLinear()
    schedule = solvers.named("dpmpp-3m").schedule(process, 6, "quadratic")
    reference = solvers.named("ddim").schedule(process, 4, "logsnr")
    drawn = bars(strip(schedule, reference))
    above, below = drawn[:6], drawn[6:]
    lam = process.log_snr(np.array(schedule.times))
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
    """Text has a contrast of 4.5 to its ground and marks 3, by day and by night."""
    sheet = asset("dashboard.css")[0].read_text("utf-8")
    schemes = [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in re.findall(r":root {([^}]*)}", sheet)]
    assert len(schemes) == 2
    for colors in schemes:
        for ink in ("ink", "soft", "accent", "good", "bad", "warn"):
            for ground in ("page", "card"):
                assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
        assert contrast(colors["on-bar"], colors["data"]) >= 4.5
        assert contrast(colors["on-noise"], colors["noise"]) >= 4.5
        for mark in ("baseline", "best", "data", "noise"):
            assert contrast(colors[mark], colors["card"]) >= 3, mark
        for stage in (*(STAGES[name].colour for name in STAGES), NEUTRAL):
            assert contrast(stage, colors["card"]) >= 3, stage


def lab(color: str) -> np.ndarray:
    """The place of #rrggbb in OKLab, where distances are as the eye sees them (Ottosson 2020)."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    cones = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
    axes = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
    return np.array(axes) @ np.cbrt(np.array(cones) @ linear)


def test_stages_are_told_apart() -> None:
    """No two stages have colours that look alike."""
    colours = {name: lab(STAGES[name].colour) for name in STAGES}
    for first, second in combinations(colours, 2):
        assert np.linalg.norm(colours[first] - colours[second]) > 0.09, (first, second)


def test_a_colour_of_a_stage_is_written_in_one_way() -> None:
    """As #rrggbb, which page, script and terminal read alike."""
    for colour in ("red", "#fff", "#AABBCC", '#aabbcc" onclick="'):
        with pytest.raises(InvalidInput, match="#rrggbb"):
            Stage("mirror", "mirrored times", colour, lambda state: iter(()))
