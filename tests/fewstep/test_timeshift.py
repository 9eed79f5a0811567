"""Time shift: the published rule by hand, the calibrated target, per-sample times, what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fewstep import solvers
from fewstep.cli.app import app
from fewstep.errors import FewstepError, InvalidInput, InvalidSchedule
from fewstep.processes import VE, Cosine, Discrete, Flow, Process, VPLinear
from fewstep.timeshift import TimeShift, pixel_variance, wrap
from tests.fewstep.isotropic import Isotropic

TABLE = Discrete((0.9, 0.7, 0.5, 0.3, 0.1))  # 1 − ᾱ = 0.1, 0.3, 0.5, 0.7, 0.9
LAW = Discrete.linear_betas()


def noisy(*variances: float) -> torch.Tensor:
    """One state of three numbers with each unbiased variance, whatever its mean."""
    return torch.stack([1.7 + sqrt(v) * torch.tensor([[-1.0, 0.0, 1.0]], dtype=torch.float64) for v in variances])


@pytest.mark.parametrize(
    ("window", "cutoff", "t", "variance", "told"),
    [
        (2, 0, 2, 0.65, 3),  # |0.7 − 0.65| is the least of 0.35, 0.15, 0.05
        (3, 0, 2, 0.65, 3),  # half a window of 3 is 1
        (2, 0, 2, 0.58, 2),
        (2, 0, 2, 0.35, 1),
        (2, 0, 2, 0.95, 3),  # 4 would fit better, but lies outside the window
        (4, 0, 2, 0.95, 4),
        (1, 0, 2, 0.95, 2),  # half a window of 1 is 0
        (4, 0, 1, 0.0, 0),  # the window ends where the table does
        (4, 2, 2, 0.95, 2),  # nothing moves at the cut-off
        (4, 1, 2, 0.95, 4),
        (4, 0, 4, 0.3, 4),  # nor at the start, before anything was sampled
    ],
)
def test_the_papers_rule_by_hand(window: float, cutoff: float, t: float, variance: float, told: float) -> None:
    """Of the table's times within half a window of t > t_c, the one whose 1 − ᾱ is nearest to the pixel variance."""
    shift = TimeShift(window, cutoff)
    assert shift.network_times(TABLE, noisy(variance), torch.tensor([float(t)])).tolist() == [told]


def test_every_sample_has_its_own_time() -> None:
    """A batch is shifted as its samples are one by one, at times of their own."""
    x, t, shift = noisy(0.95, 0.35, 0.5, 0.0), torch.tensor([2.0, 2.0, 3.0, 1.0]), TimeShift(2, 0)
    together = shift.network_times(TABLE, x, t)
    assert together.tolist() == [3, 1, 2, 0]
    assert torch.equal(together, torch.cat([shift.network_times(TABLE, x[i : i + 1], t[i : i + 1]) for i in range(4)]))


def test_the_calibrated_target_counts_the_datas_variance() -> None:
    """With V = 0.5 the table expects 0.55, 0.65, 0.75, 0.85, 0.95."""
    shift = TimeShift(4, 0, "calibrated", variance=0.5)
    assert shift.expected(TABLE, np.arange(5.0)).tolist() == pytest.approx([0.55, 0.65, 0.75, 0.85, 0.95])
    assert shift.network_times(TABLE, noisy(0.86, 0.7, 0.56), torch.full((3,), 2.0)).tolist() == [3, 2, 0]


@pytest.mark.parametrize("process", [VPLinear(), VE(), Cosine(), Flow()], ids=lambda p: p.kind)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_state_of_another_time_is_told_that_time(process: Process, share: float) -> None:
    """In continuous time the shift undoes a wrong time to the fineness of its candidates, where v rises there."""
    t = process.t_min + share * (process.t_max - process.t_min)
    window = 0.2 * (process.t_max - process.t_min)
    shift = TimeShift(window, 0, "calibrated", variance=0.1)
    true = t + 0.4 * window
    x = noisy(float(shift.expected(process, true)))
    told = shift.network_times(process, x, torch.tensor([t], dtype=torch.float64))
    assert float(told) == pytest.approx(true, abs=window / 256)


@pytest.mark.parametrize(
    "shift", [TimeShift(40, 300), TimeShift(0.1, 0, "calibrated", "start", 0.5), TimeShift(1, -1, mode="start")]
)
def test_a_shift_is_plain_json_both_ways(shift: TimeShift) -> None:
    """`from_dict` is the inverse of `to_dict`, through text."""
    assert TimeShift.from_dict(json.loads(json.dumps(shift.to_dict()))) == shift


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (lambda: TimeShift(0, 0), InvalidSchedule),
        (lambda: TimeShift(float("nan"), 0), InvalidSchedule),
        (lambda: TimeShift(1, "300"), InvalidSchedule),  # type: ignore[arg-type]
        (lambda: TimeShift(1, 0, "magic"), InvalidSchedule),
        (lambda: TimeShift(1, 0, mode="magic"), InvalidSchedule),
        (lambda: TimeShift(1, 0, "calibrated"), InvalidSchedule),
        (lambda: TimeShift(1, 0, "calibrated", variance=-0.1), InvalidSchedule),
        (lambda: TimeShift(1, 0, "paper", variance=0.5), InvalidSchedule),
        (lambda: TimeShift.from_dict({"window": 1}), InvalidSchedule),
        (lambda: TimeShift.from_dict({"window": None, "cutoff": 0}), InvalidSchedule),
        (lambda: TimeShift.from_dict({"window": 1, "cutoff": None}), InvalidSchedule),
        (lambda: TimeShift.from_dict({"window": 1, "cutoff": 0, "width": 2}), InvalidSchedule),
        (lambda: TimeShift.from_dict([1, 0]), InvalidSchedule),
        (lambda: wrap(Isotropic(LAW, 1.0), TimeShift(1, 0, "calibrated", variance=1.0)), InvalidSchedule),
        (lambda: TimeShift(1, 0).network_times(LAW, torch.ones(2, 1), torch.ones(2)), InvalidInput),
    ],
)
def test_what_makes_no_sense_is_refused(broken: Callable[[], object], error: type[FewstepError]) -> None:
    """Windows that are none, unknown words, targets without their variance, and variances that tell no time."""
    with pytest.raises(error):
        broken()


def test_the_command_line_shows_a_shift(tmp_path: Path) -> None:
    """``fewstep show`` tells its target and window, and nothing where there is none."""
    path, plain = tmp_path / "schedule.json", solvers.named("ddim").schedule(VPLinear(), 3)
    for schedule, told in ((plain, False), (replace(plain, shift=TimeShift(0.1, 0.3)), True)):
        path.write_text(schedule.to_json())
        shown = CliRunner().invoke(app, ["show", str(path)]).stdout
        assert ("time shift paper, window 0.1" in shown) == told


def test_pixel_variance_is_of_one_image_at_a_time() -> None:
    """Brightness differs between images, but it is no variance within one."""
    images = torch.tensor([[[-1.0, 1.0]], [[5.0, 5.0]]])
    assert pixel_variance(images) == pytest.approx((2 + 0) / 2)
