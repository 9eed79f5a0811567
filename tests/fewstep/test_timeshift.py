"""Time shift: the published rule by hand, the calibrated target on a Gaussian, per-sample times, what is refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from fewstep import Schedule, Step, compile, grids, sample, shifted_start, solvers
from fewstep.errors import FewstepError, InvalidInput, InvalidSchedule, UnknownName
from fewstep.models import Denoiser, from_callable, zoo
from fewstep.models.base import per_sample
from fewstep.processes import VE, Cosine, Discrete, Flow, Process, VPLinear
from fewstep.timeshift import TimeShift, pixel_variance, wrap

TABLE = Discrete((0.9, 0.7, 0.5, 0.3, 0.1))  # 1 − ᾱ = 0.1, 0.3, 0.5, 0.7, 0.9
LAW = Discrete.linear_betas()


def states(*variances: float) -> torch.Tensor:
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
    assert shift.told(TABLE, states(variance), torch.tensor([float(t)])).tolist() == [told]


def test_every_sample_has_its_own_time() -> None:
    """A batch is shifted as its samples are one by one, at times of their own."""
    x, t, shift = states(0.95, 0.35, 0.5, 0.0), torch.tensor([2.0, 2.0, 3.0, 1.0]), TimeShift(2, 0)
    together = shift.told(TABLE, x, t)
    assert together.tolist() == [3, 1, 2, 0]
    assert torch.equal(together, torch.cat([shift.told(TABLE, x[i : i + 1], t[i : i + 1]) for i in range(4)]))


def test_the_calibrated_target_counts_the_datas_variance() -> None:
    """With V = 0.5 the table expects 0.55, 0.65, 0.75, 0.85, 0.95."""
    shift = TimeShift(4, 0, "calibrated", variance=0.5)
    assert shift.expected(TABLE, np.arange(5.0)).tolist() == pytest.approx([0.55, 0.65, 0.75, 0.85, 0.95])
    assert shift.told(TABLE, states(0.86, 0.7, 0.56), torch.full((3,), 2.0)).tolist() == [3, 2, 0]


@pytest.mark.parametrize("process", [VPLinear(), VE(), Cosine(), Flow()], ids=lambda p: p.kind)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_state_of_another_time_is_told_that_time(process: Process, share: float) -> None:
    """In continuous time the shift undoes a wrong time to the fineness of its candidates, where v rises there."""
    t = process.t_min + share * (process.t_max - process.t_min)
    window = 0.2 * (process.t_max - process.t_min)
    shift = TimeShift(window, 0, "calibrated", variance=0.1)
    true = t + 0.4 * window
    x = states(float(shift.expected(process, true)))
    told = shift.told(process, x, torch.tensor([t], dtype=torch.float64))
    assert float(told) == pytest.approx(true, abs=window / 256)


class Isotropic:
    """The exact denoiser of N(0, V I) in any dimension."""

    def __init__(self, process: Process, variance: float) -> None:
        self.process, self.variance = process, variance

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = per_sample(self.process.alpha(t), x), per_sample(self.process.sigma(t), x)
        return alpha * self.variance / (alpha**2 * self.variance + sigma**2) * x


@pytest.mark.parametrize("mode", ["network", "start"])
@pytest.mark.parametrize("nfe", [10, 20])
@pytest.mark.parametrize("process", [LAW, VPLinear()], ids=lambda p: p.kind)
def test_the_calibrated_target_mends_the_variance_of_ddims_samples(process: Process, nfe: int, mode: str) -> None:
    """d = 1024, V = 0.25: DDIM's samples have 0.56 and 0.75 of the variance; shifted, at most half as far from 1."""
    denoiser, noise = Isotropic(process, 0.25), torch.randn(16, 1024, generator=torch.Generator().manual_seed(0))
    schedule = solvers.named("ddim").schedule(process, nfe, "time")
    window = 2 * (process.t_max - process.t_zero) / nfe
    shift = TimeShift(window, 0.0, "calibrated", mode, 0.25)

    def off(samples: torch.Tensor) -> float:
        return abs(pixel_variance(samples) / 0.25 - 1)

    assert off(run(denoiser, schedule, shift, noise)) <= 0.5 * off(sample(denoiser, schedule, noise))


def run(
    denoiser: Denoiser,
    schedule: Schedule,
    shift: TimeShift,
    noise: torch.Tensor,
    fresh: Callable[[int], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Shifted samples in either mode."""
    if shift.mode == "network":
        return sample(wrap(denoiser, shift), schedule, noise)
    state = denoiser.process.prior_std * noise
    return list(shifted_start.states(denoiser, schedule, shift, state, fresh or (lambda k: noise * 0)))[-1]


def all_solvers() -> Iterator[tuple[str, Process]]:
    """Every solver with a process that it is made for."""
    for name in solvers.names():
        for process in (VPLinear(), Flow(), VE()):
            if solvers.named(name).applies(process):
                yield name, process
                break


@pytest.mark.parametrize(("name", "process"), list(all_solvers()))
def test_a_window_too_narrow_to_shift_changes_nothing(name: str, process: Process) -> None:
    """Both loops then make every solver's samples, stochastic ones included, to rounding."""
    generator = torch.Generator().manual_seed(0)
    denoiser, noise = Isotropic(process, 0.25), torch.randn(3, 8, generator=generator, dtype=torch.float64)
    schedule = solvers.named(name).schedule(process, 7)
    fresh = torch.randn(8, 3, 8, generator=generator, dtype=torch.float64)
    count = sum(step.eta > 0 for step in schedule.canonical().steps)
    plain = sample(denoiser, schedule, noise, fresh=fresh[:count])
    narrow = TimeShift(1e-12, 0.0, mode="start")
    shifted = run(denoiser, schedule, narrow, noise, lambda k: fresh[k])
    torch.testing.assert_close(shifted, plain, rtol=1e-9, atol=1e-9)
    told = sample(wrap(denoiser, TimeShift(1e-12, 0.0)), schedule, noise, fresh=fresh[:count])
    torch.testing.assert_close(told, plain, rtol=1e-9, atol=1e-9)


def test_a_shifted_start_is_the_first_order_step_from_there() -> None:
    """DDIM on two samples, by hand: x' = (σ'/σ_s) x + (α' − α_s σ'/σ_s) D(x, t_s), with t_s of each sample."""
    process, shift = VPLinear(), TimeShift(0.1, 0.0, "calibrated", "start", 0.25)
    denoiser, times = Isotropic(process, 0.25), (1.0, 0.6, 0.2)
    noise = torch.randn(2, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise[1] *= 1.1
    first, last = shifted_start.states(denoiser, Schedule(process, times, (Step(),) * 2), shift, noise, lambda k: noise)
    for b in range(2):
        x = first[b : b + 1]
        told = shift.told(process, x, torch.tensor([0.6], dtype=torch.float64))
        ratio = process.sigma(0.2) / process.sigma(told)
        made = ratio * x + (process.alpha(0.2) - process.alpha(told) * ratio) * denoiser(x, told)
        torch.testing.assert_close(last[b : b + 1], made)
    assert not torch.equal(last, sample(denoiser, Schedule(process, times, (Step(),) * 2), noise))


@pytest.mark.parametrize("mode", ["network", "start"])
def test_no_call_is_added(mode: str) -> None:
    """The network is called once a step, as without, and is told times of each sample."""
    process, told = VPLinear(), []

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        told.append(t.clone())
        return 0.3 * x

    denoiser = from_callable(network, process, prediction="data")
    schedule = solvers.named("unipc-2-bh2").schedule(process, 6, "time")
    noise = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    run(denoiser, schedule, TimeShift(0.1, 0.0, "calibrated", mode, 0.1), noise)
    assert len(told) == 6
    assert torch.equal(told[0], torch.ones(4))
    assert len(set(told[3].tolist())) > 1


def frechet(samples: torch.Tensor, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians, with the samples' own mean and covariance."""
    flat = samples.flatten(1).double().numpy()
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    own = np.cov(flat.T)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ own @ root), 0, None)).sum()
    return float(((flat.mean(0) - mean) ** 2).sum() + np.trace(covariance) + np.trace(own) - 2 * cross)


def test_digits_are_no_worse_at_ten_steps() -> None:
    """Cut-off 0.3 of the range, window half a step: DDIM's Fréchet distance to the digits does not rise.

    The trained network where the zoo has it, else the exact mixture with its noise prediction 2 % too large.
    """
    data = load_digits().data / 8 - 1
    name = "digits-unet"
    if name in zoo.names():
        denoiser = zoo.load(name)
    else:
        exact = zoo.load("digits-mixture")

        def overshooting(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            alpha, sigma = per_sample(exact.process.alpha(t), x), per_sample(exact.process.sigma(t), x)
            return 1.02 * (x - alpha * exact(x, t)) / sigma

        denoiser = from_callable(overshooting, exact.process, prediction="noise")
    process = denoiser.process
    span, zero = process.t_max - process.t_zero, process.t_zero
    shift = TimeShift(0.5 * span / 10, zero + 0.3 * span, "calibrated", variance=pixel_variance(torch.from_numpy(data)))
    schedule = solvers.named("ddim").schedule(process, 10, "time")
    noise = torch.randn(1024, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    mean, covariance = data.mean(0), np.cov(data.T)
    plain, shifted = (
        frechet(samples, mean, covariance)
        for samples in (sample(denoiser, schedule, noise), run(denoiser, schedule, shift, noise))
    )
    assert shifted <= plain


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
        (lambda: TimeShift(1, 0, "magic"), UnknownName),
        (lambda: TimeShift(1, 0, mode="magic"), UnknownName),
        (lambda: TimeShift(1, 0, "calibrated"), InvalidSchedule),
        (lambda: TimeShift(1, 0, "calibrated", variance=-0.1), InvalidSchedule),
        (lambda: TimeShift(1, 0, "paper", variance=0.5), InvalidSchedule),
        (lambda: TimeShift.from_dict({"window": 1}), InvalidSchedule),
        (lambda: TimeShift.from_dict({"window": None, "cutoff": 0}), InvalidSchedule),
        (lambda: TimeShift.from_dict({"window": 1, "cutoff": None}), InvalidSchedule),
        (lambda: TimeShift.from_dict({"window": 1, "cutoff": 0, "width": 2}), InvalidSchedule),
        (lambda: TimeShift.from_dict([1, 0]), InvalidSchedule),
        (lambda: wrap(Isotropic(LAW, 1.0), TimeShift(1, 0, "calibrated", variance=1.0)), InvalidSchedule),
        (lambda: TimeShift(1, 0).told(LAW, torch.ones(2, 1), torch.ones(2)), InvalidInput),
    ],
)
def test_what_makes_no_sense_is_refused(broken: Callable[[], object], error: type[FewstepError]) -> None:
    """Windows that are none, unknown words, targets without their variance, and variances that tell no time."""
    with pytest.raises(error):
        broken()


def test_fitted_rows_keep_their_own_times() -> None:
    """Rows fitted for one start cannot leave from another."""
    schedule = solvers.named("ddim").schedule(LAW, 2, grids.time)
    fitted, noise = replace(schedule, rows=compile(schedule)), torch.ones(1, 8)
    with pytest.raises(InvalidInput, match="their own times"):
        run(Isotropic(LAW, 0.25), fitted, TimeShift(40, 300, mode="start"), noise)
    assert sample(wrap(Isotropic(LAW, 0.25), TimeShift(40, 300)), fitted, noise).shape == noise.shape
