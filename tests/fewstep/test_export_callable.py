"""Schedules as k-diffusion samplers: the samples of `sample`, told and fed as such hosts do."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, compile, models, sample, solvers
from fewstep.errors import InvalidInput
from fewstep.export import sampler
from fewstep.export.sigmas import strides
from fewstep.processes import DDM, VE, Discrete, Flow, Process, VPLinear

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def own(schedule: Schedule) -> torch.Tensor:
    """The sigmas that a host would pass."""
    return torch.tensor(schedule.process.sampler_sigma(strides(schedule)))


def host(denoiser: models.Denoiser):
    """The denoiser as hosts have it: x/α (x itself for flow) and σ/α (σ) in, clean data out."""
    process = denoiser.process

    def model(x: torch.Tensor, sigma: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        assert sigma.shape == x.shape[:1]
        if process.kind == "flow":
            return scale * denoiser(x, process.time(torch.log1p(-sigma) - sigma.log()))
        t = process.time(-sigma.log())
        return scale * denoiser(x * process.alpha(t).reshape(-1, *(1,) * (x.ndim - 1)), t)

    return model


def scale_of(process: Process, t: float) -> float:
    return 1.0 if process.kind == "flow" else float(process.alpha(t))


@pytest.mark.parametrize("law", [VPLinear(), Discrete.linear_betas(), VE(), Flow(shift=3.0)], ids=lambda law: law.kind)
@pytest.mark.parametrize("name", ["ddim", "dpmpp-3m", "heun", "unipc-2-bh2"])
def test_it_makes_the_samples_of_sample(make_mixture, name: str, law: Process) -> None:
    """Whatever the schedule does: several orders, several calls at one level, correctors."""
    denoiser, schedule = make_mixture(law), solvers.named(name).schedule(law, 7)
    start = law.prior_std * noise(2, 3) / scale_of(law, schedule.times[0])
    got = sampler(schedule)(host(denoiser), start, own(schedule))
    want = sample(denoiser, schedule, noise(2, 3)) / scale_of(law, schedule.times[-1])
    torch.testing.assert_close(got, want, **EXACT)


LAW = VPLinear()
SCHEDULE = solvers.named("dpmpp-2m").schedule(LAW, 5)


def test_fitted_rows_and_network_times(make_mixture) -> None:
    """What no line of sigmas can say: dense rows, and a level for the network beside the state's."""
    tableau, denoiser = compile(SCHEDULE), make_mixture(LAW)
    told = tableau.network_times * 0.98
    schedule = replace(SCHEDULE, fitted=replace(tableau, outputs=tableau.outputs * 1.05, network_times=told))
    got = sampler(schedule)(host(denoiser), noise(2, 3) / scale_of(LAW, 1.0), own(schedule))
    want = sample(denoiser, schedule, noise(2, 3)) / scale_of(LAW, schedule.times[-1])
    torch.testing.assert_close(got, want, **EXACT)


@pytest.mark.parametrize("left", [1, 3])
def test_the_last_few_sigmas_start_from_a_less_noisy_state(left: int) -> None:
    """As hosts do with a strength below one: the rest of the schedule, begun at first order."""
    sigmas = own(SCHEDULE)[-left - 1 :]
    later = Schedule(LAW, SCHEDULE.times[-left - 1 :], (Step(), *SCHEDULE.steps[len(SCHEDULE.steps) - left + 1 :]))
    got = sampler(SCHEDULE)(lambda x, sigma: 0.3 * x, noise(2, 3), sigmas)
    want = sampler(later)(lambda x, sigma: 0.3 * x, noise(2, 3), sigmas)
    torch.testing.assert_close(got, want, **EXACT)


@pytest.mark.parametrize("law", [LAW, Flow(shift=3.0)], ids=lambda law: law.kind)
@pytest.mark.parametrize("name", ["ddim", "heun"])
def test_the_first_few_sigmas_stop_on_the_way(make_mixture, name: str, law: Process) -> None:
    """A split between two models of noise levels: head and tail in a row are the whole, for one-step solvers."""
    schedule = solvers.named(name).schedule(law, 7)
    run, model, sigmas = sampler(schedule), host(make_mixture(law)), own(schedule)
    start = noise(2, 3) / scale_of(law, schedule.times[0])
    halfway = run(model, start, sigmas[:3])
    torch.testing.assert_close(run(model, halfway, sigmas[2:]), run(model, start, sigmas), **EXACT)


def test_extra_arguments_and_callback() -> None:
    """extra_args reach the model; the callback hears of every call what k-diffusion's callbacks hear."""
    seen: list[dict] = []
    schedule = solvers.named("heun").schedule(LAW, 5)
    sigmas = own(schedule)

    def model(x: torch.Tensor, sigma: torch.Tensor, half: bool) -> torch.Tensor:
        return x * (0.5 if half else 1.0)

    sampler(schedule)(model, noise(2, 3), sigmas, {"half": True}, seen.append, disable=True)
    assert [at["i"] for at in seen] == [0, 1, 1, 2, 2]
    for at in seen:
        torch.testing.assert_close(at["denoised"], 0.5 * at["x"])
        torch.testing.assert_close(at["sigma"], sigmas[at["i"]], **EXACT)
        torch.testing.assert_close(at["sigma_hat"], at["sigma"], **EXACT)


def test_fresh_noise_comes_from_the_hosts_noise_sampler() -> None:
    """noise_sampler(sigma, next sigma), once a call that adds noise; by default from torch's own generator."""
    schedule, asked = solvers.named("ddpm").schedule(LAW, 4), []

    def noise_sampler(here: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        asked.append((float(here), float(there)))
        return torch.full((2, 3), float(len(asked)), dtype=torch.float64)

    def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return 0.0 * x

    run = sampler(schedule)
    got = run(model, torch.zeros(2, 3, dtype=torch.float64), own(schedule), noise_sampler=noise_sampler)
    sigmas, tableau = own(schedule).tolist(), compile(schedule)
    np.testing.assert_allclose(asked, list(pairwise(sigmas))[: len(asked)])
    want = tableau.noise[-1] @ np.arange(1.0, len(asked) + 1) / scale_of(LAW, schedule.times[-1])
    torch.testing.assert_close(got, torch.full_like(got, want), **EXACT)
    torch.manual_seed(5)
    first = run(model, torch.zeros(2, 3), own(schedule))
    torch.manual_seed(5)
    assert torch.equal(run(model, torch.zeros(2, 3), own(schedule)), first)
    assert first.std() > 0


def test_half_precision_stays_outside() -> None:
    """x, sigma and the result are in the host's dtype; sums are not."""

    def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        assert x.dtype == sigma.dtype == torch.bfloat16
        return 0.3 * x

    got = sampler(SCHEDULE)(model, noise(2, 3).bfloat16(), own(SCHEDULE).float())
    assert got.dtype == torch.bfloat16
    want = sampler(SCHEDULE)(lambda x, sigma: 0.3 * x, noise(2, 3), own(SCHEDULE))
    torch.testing.assert_close(got.double(), want, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("wrong", [[3.0, 2.0, 0.0], [1.0], [], [9.0] * 8])
def test_other_sigmas_are_refused(wrong: list[float]) -> None:
    """The schedule was made for its own levels; the message lists them."""
    with pytest.raises(InvalidInput, match=r"goes with the sigmas \[152\.1"):
        sampler(SCHEDULE)(lambda x, sigma: x, noise(2, 3), torch.tensor(wrong))


def test_a_start_without_data_is_refused() -> None:
    """At α = 0 σ/α is infinite, and so would be the host's state."""
    with pytest.raises(InvalidInput, match="sigma is infinite in these samplers: begin the schedule later"):
        sampler(solvers.named("ddm").schedule(DDM(t_max=1.0), 4, "time"))


@pytest.mark.parametrize("law", [Flow(shift=8.0), LAW], ids=lambda law: law.kind)
@pytest.mark.parametrize("cut", [2, 3])
def test_a_head_and_a_tail_are_the_whole(law: Process, cut: int) -> None:
    """Two experts split at a noise level: the first sigmas run in one sampler, the rest in another."""
    schedule = solvers.named("ddim").schedule(law, 4)
    run, sigmas = sampler(schedule), own(schedule)
    x, model = noise(1, 3), lambda x, sigma: 0.3 * torch.tanh(x)
    whole = run(model, x, sigmas)
    middle = run(model, x, sigmas[:cut])
    torch.testing.assert_close(run(model, middle, sigmas[cut - 1 :]), whole, **EXACT)
    torch.testing.assert_close(run(model, run(model, middle, sigmas[cut - 1 : cut + 1]), sigmas[cut:]), whole, **EXACT)
