"""Sampling with time shift: a Gaussian's variance, both modes on every solver, documents and exports."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits

from fewstep import Schedule, Step, compile, export, grids, sample, solvers, states
from fewstep.errors import InvalidInput, InvalidModel, InvalidSchedule
from fewstep.models import from_callable, zoo
from fewstep.processes import VE, Discrete, Flow, Process, VPLinear
from fewstep.search.metrics.frechet import between
from fewstep.timeshift import MODES, TimeShift, pixel_variance, wrap
from tests.fewstep.isotropic import Isotropic, run

LAW = Discrete.linear_betas()


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
    for mode in MODES:
        shifted = run(denoiser, schedule, TimeShift(1e-12, 0.0, mode=mode), noise, fresh[:count])
        torch.testing.assert_close(shifted, plain, rtol=1e-9, atol=1e-9)


def test_corrected_states_use_the_noise_that_was_drawn() -> None:
    """Noise from a generator is drawn once for each step, whatever the mode, also where a corrector needs it again."""
    process = VPLinear()
    denoiser, noise = Isotropic(process, 0.25), torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    steps = (Step(corrector=2, eta=1.0), Step(order=2, corrector=2, eta=0.5), Step(order=2))
    plain = Schedule(process, (1.0, 0.6, 0.3, 0.1), steps)
    shifted = replace(plain, shift=TimeShift(1e-12, 0.0, mode="start"))
    made = [sample(denoiser, s, noise, generator=torch.Generator().manual_seed(1)) for s in (plain, shifted)]
    torch.testing.assert_close(*made, rtol=1e-4, atol=1e-5)


def test_a_shifted_start_is_the_first_order_step_from_there() -> None:
    """DDIM on two samples, by hand: x' = (σ'/σ_s) x + (α' − α_s σ'/σ_s) D(x, t_s), with t_s of each sample."""
    process, shift = VPLinear(), TimeShift(0.1, 0.0, "calibrated", "start", 0.25)
    denoiser, times = Isotropic(process, 0.25), (1.0, 0.6, 0.2)
    noise = torch.randn(2, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise[1] *= 1.1
    _, first, last = states(denoiser, Schedule(process, times, (Step(),) * 2, shift=shift), noise)
    for b in range(2):
        x = first[b : b + 1]
        told = shift.network_times(process, x, torch.tensor([0.6], dtype=torch.float64))
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


def test_digits_are_no_worse_at_ten_steps() -> None:
    """Cut-off 0.3 of the range, window half a step: DDIM's Fréchet distance to the digits does not rise."""
    data = torch.from_numpy(load_digits().data / 8 - 1)
    denoiser = zoo.load("digits-unet")
    process = denoiser.process
    span, zero = process.t_max - process.t_zero, process.t_zero
    shift = TimeShift(0.5 * span / 10, zero + 0.3 * span, "calibrated", variance=pixel_variance(data))
    schedule = solvers.named("ddim").schedule(process, 10, "time")
    noise = torch.randn(512, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, shifted = (
        between(samples.flatten(1), data)
        for samples in (sample(denoiser, schedule, noise), run(denoiser, schedule, shift, noise))
    )
    assert shifted <= plain


def test_fitted_rows_keep_their_paper_times() -> None:
    """Rows fitted for one start cannot leave from another."""
    schedule = solvers.named("ddim").schedule(LAW, 2, grids.time)
    fitted, noise = replace(schedule, fitted=compile(schedule)), torch.ones(1, 8)
    with pytest.raises(InvalidSchedule, match="their own times"):
        replace(fitted, shift=TimeShift(40, 300, mode="start"))
    assert run(Isotropic(LAW, 0.25), fitted, TimeShift(40, 300), noise).shape == noise.shape


def test_wrapping_is_what_a_schedules_shift_does() -> None:
    """A wrapped denoiser in any loop samples as the schedule with that shift does."""
    shift, noise = TimeShift(80, 0.0, "calibrated", variance=0.25), torch.randn(4, 32)
    denoiser, schedule = Isotropic(LAW, 0.25), solvers.named("unipc-2-bh2").schedule(LAW, 6, "time")
    assert torch.equal(sample(wrap(denoiser, shift), schedule, noise), run(denoiser, schedule, shift, noise))


def test_a_schedule_without_shift_keeps_its_digest() -> None:
    """The entry is in a document, and in the digest, only where there is a shift; all of it comes back."""
    plain = solvers.named("ddim").schedule(VPLinear(), 3)
    assert "shift" not in plain.to_dict()
    seen = {plain.digest}
    for shift in (
        TimeShift(0.1, 0.3),
        TimeShift(0.1, 0.3, mode="start"),
        TimeShift(0.1, 0.3, "calibrated", variance=0.5),
    ):
        shifted = replace(plain, shift=shift)
        assert Schedule.from_json(shifted.to_json()) == shifted
        assert compile(shifted) == compile(plain)
        seen.add(shifted.digest)
    assert len(seen) == 4


def test_numbers_of_another_library_do_not_run_from_shifted_starts() -> None:
    """Where stored numbers differ from the choices, mode "network" keeps them as rows and mode "start" refuses."""
    stored = solvers.named("ddim").schedule(VPLinear(), 3).to_dict()
    stored["tableau"]["start"][0] += 0.01
    del stored["digest"], stored["tableau_digest"]
    assert Schedule.from_dict(stored | {"shift": {"window": 0.1, "cutoff": 0.0}}).fitted is not None
    with pytest.raises(InvalidSchedule, match="mode 'start'"):
        Schedule.from_dict(stored | {"shift": {"window": 0.1, "cutoff": 0.0, "mode": "start"}})


def test_noise_predictions_at_pure_noise_are_refused_in_both_modes() -> None:
    """As without a shift: a noise prediction says nothing about the data at α = 0."""
    process = Flow()
    denoiser = from_callable(lambda x, t: x, process, prediction="noise")
    for mode in MODES:
        with pytest.raises(InvalidInput, match="alpha = 0"):
            run(
                denoiser,
                solvers.named("flow-euler").schedule(process, 2),
                TimeShift(0.1, 0, mode=mode),
                torch.ones(1, 4),
            )


@pytest.mark.parametrize("mode", MODES)
def test_denoisers_that_change_the_shape_are_refused(mode: str) -> None:
    """The same error as without a shift."""
    denoiser = from_callable(lambda x, t: x[:, :2], LAW, prediction="data")
    with pytest.raises(InvalidModel, match="wanted the same"):
        run(denoiser, solvers.named("ddim").schedule(LAW, 2), TimeShift(40, 300, mode=mode), torch.ones(1, 4))


def test_exports_say_that_they_have_no_shift() -> None:
    """Sigmas, samplers and plain numbers cannot tell each sample its own time: they refuse."""
    shifted = replace(solvers.named("ddim").schedule(LAW, 3, "time"), shift=TimeShift(40, 300))
    for made in (export.portable, export.sampler, lambda s: export.sigmas(s, "euler")):
        with pytest.raises(InvalidSchedule, match="time shift"):
            made(shifted)
    assert export.samplers(shifted) == []
