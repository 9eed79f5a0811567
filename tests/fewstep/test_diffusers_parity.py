"""Compiled tableaus against diffusers' own scheduler classes, on the digits mixture under DDPM's table of ᾱ.

Times are those that the diffusers scheduler really used: its integer time steps, then t = 0 (``final_sigmas_type``
"sigma_min") or t = −1, clean data ("zero"). Where it leaves the plain method, the test does the same, and says so.

Two precisions. As shipped, diffusers keeps σ in float32, takes λ as a difference of float32 logarithms and casts states
to float32; where a state lies between two digits, the mixture amplifies that rounding a thousandfold. So the equality
of the methods is shown in float64, to 1e-9: σ from the same table by the same formula in float64, states in a tensor
that does not let itself be narrowed. The shipped arithmetic is compared in the mean over the numbers of a sample.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from fewstep import Schedule, Step, Tableau, compile, sample, solvers
from fewstep.models import GaussianMixture
from fewstep.processes import Discrete

pytestmark = [  # diffusers' own, about itself
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*algorithm_types dpmsolver and sde-dpmsolver.*:FutureWarning"),
]

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SHIPPED = 2e-4  # root mean square of differences between states of size one
LENGTHS = (3, 10, 16)


class Wide(torch.Tensor):
    """A float64 tensor that stays float64 where a scheduler asks for float32."""

    def to(self, *args: object, **kwargs: object) -> torch.Tensor:
        return self if args == (torch.float32,) else super().to(*args, **kwargs)


def noise() -> torch.Tensor:
    """Four start noises (4, 1, 8, 8), float64."""
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def process_of(scheduler: DDIMScheduler | DPMSolverMultistepScheduler) -> Discrete:
    """The scheduler's own table, float32 as it is."""
    return Discrete(scheduler.alphas_cumprod.double().tolist())


def widen(scheduler: DPMSolverMultistepScheduler) -> None:
    """Put σ(t) = √((1 − ᾱ)/ᾱ) of the scheduler's time steps in place in float64; they must be its own to rounding."""
    table = scheduler.alphas_cumprod.double()
    last = [0.0] if scheduler.config.final_sigmas_type == "zero" else [((1 - table[0]) / table[0]) ** 0.5]
    wide = torch.tensor([*(((1 - table) / table) ** 0.5)[scheduler.timesteps], *last], dtype=torch.float64)
    torch.testing.assert_close(wide.float(), scheduler.sigmas, rtol=1e-6, atol=0)
    scheduler.sigmas = wide


def run(scheduler, denoiser: GaussianMixture, start: torch.Tensor) -> torch.Tensor:
    """diffusers' sampling loop with the network output that the scheduler's config asks for."""
    x = start * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        told = torch.full((len(x),), float(t), dtype=x.dtype)
        output = denoiser(x, told)
        if scheduler.config.prediction_type == "epsilon":
            alpha, sigma = denoiser.process.alpha(told), denoiser.process.sigma(told)
            output = (x - alpha.reshape(-1, 1, 1, 1) * output) / sigma.reshape(-1, 1, 1, 1)
        state = x.as_subclass(Wide) if x.dtype == torch.float64 else x
        x = scheduler.step(output, t, state).prev_sample.as_subclass(torch.Tensor)
    return x


def used_times(scheduler: DPMSolverMultistepScheduler) -> tuple[float, ...]:
    """Integer time steps and the time of the last σ."""
    end = -1.0 if scheduler.config.final_sigmas_type == "zero" else 0.0
    return (*(float(t) for t in scheduler.timesteps), end)


CASES = {
    # name of ours: (algorithm_type, solver_order); solver_type is midpoint, the default
    "ddim": ("dpmsolver++", 1),
    "dpmpp-2m": ("dpmsolver++", 2),
    "dpmpp-3m": ("dpmsolver++", 3),
    "dpm-2m": ("dpmsolver", 2),
    "dpm-3m": ("dpmsolver", 3),
}
each_case = pytest.mark.parametrize("name", CASES)
each_spacing = pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])


def multistep(name: str, **config: object) -> DPMSolverMultistepScheduler:
    """diffusers' multistep solver of that name on the linear β table."""
    algorithm, order = CASES[name]
    return DPMSolverMultistepScheduler(
        beta_schedule="linear", algorithm_type=algorithm, solver_order=order, solver_type="midpoint", **config
    )


def schedule_of(name: str, scheduler: DPMSolverMultistepScheduler) -> Schedule:
    """Our named solver at the scheduler's times.

    Two rules of diffusers are followed: ``lower_order_final`` acts below 15 steps only (our default does the same), and
    the last step is of first order whatever the setting where the last σ is zero, since λ is infinite there.
    """
    nfe = len(scheduler.timesteps)
    lower = None if scheduler.config.lower_order_final else False
    schedule = solvers.named(name).schedule(process_of(scheduler), nfe, "time", lower_order_final=lower)
    steps = schedule.steps
    if scheduler.config.final_sigmas_type == "zero":
        steps = (*steps[:-1], Step())
    return replace(schedule, times=used_times(scheduler), steps=steps)


@each_case
@each_spacing
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("final", ["sigma_min", "zero"])
def test_multistep(digits_on, name: str, spacing: str, lower: bool, final: str) -> None:
    """DPM-Solver and ++ (1, 2M, 3M) end where diffusers ends, at every spacing, with either last σ and last order."""
    if CASES[name][0] == "dpmsolver" and final == "zero":
        with pytest.raises(ValueError, match="not supported for `algorithm_type` dpmsolver"):
            multistep(name, final_sigmas_type=final)
        return
    scheduler = multistep(name, timestep_spacing=spacing, lower_order_final=lower, final_sigmas_type=final)
    denoiser = digits_on(process_of(scheduler))
    for nfe in LENGTHS:
        scheduler.set_timesteps(nfe)
        schedule = schedule_of(name, scheduler)
        shipped = run(scheduler, denoiser, noise().float())
        assert (sample(denoiser, schedule, noise().float()) - shipped).square().mean().sqrt() < SHIPPED
        scheduler.set_timesteps(nfe)
        widen(scheduler)
        torch.testing.assert_close(sample(denoiser, schedule, noise()), run(scheduler, denoiser, noise()), **EXACT)


@pytest.mark.parametrize("name", ["dpmpp-2m", "dpm-2m"])
def test_heun_type_is_the_plain_taylor_step(digits_on, name: str) -> None:
    """solver_type "heun" is the second-order step without the bh2 factor."""
    algorithm, _ = CASES[name]
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="linear", algorithm_type=algorithm, solver_type="heun", final_sigmas_type="sigma_min"
    )
    denoiser = digits_on(process_of(scheduler))
    for nfe in LENGTHS:
        scheduler.set_timesteps(nfe)
        widen(scheduler)
        schedule = schedule_of(name, scheduler)
        schedule = replace(schedule, steps=tuple(replace(step, scale="none") for step in schedule.steps))
        torch.testing.assert_close(sample(denoiser, schedule, noise()), run(scheduler, denoiser, noise()), **EXACT)


@pytest.mark.parametrize("name", ["dpmpp-2m", "dpmpp-3m"])
@pytest.mark.parametrize("spacing", ["use_karras_sigmas", "use_lu_lambdas", "use_exponential_sigmas"])
def test_placed_sigmas(digits_on, name: str, spacing: str) -> None:
    """With σ placed by Karras, Lu or exponentially, states lie at those σ but the network is told another time.

    The told times are rounded or interpolated; the schedule has the times t(λ) of the σ, its rows the told ones. The
    network predicts data here: diffusers converts a noise prediction with the state's σ, our wrappers with the σ of the
    told time. Only ends at zero: at "sigma_min" diffusers repeats the smallest σ and makes a step of length zero.
    """
    scheduler = multistep(name, prediction_type="sample", final_sigmas_type="zero", **{spacing: True})
    denoiser = digits_on(process_of(scheduler))
    for nfe in LENGTHS:
        scheduler.set_timesteps(nfe)
        largest = float(np.exp(-denoiser.process.log_snr(denoiser.process.t_max)))
        scheduler.sigmas = scheduler.sigmas.double().clamp(max=largest)  # float32 may round it past the table
        placed = denoiser.process.time(-np.log(scheduler.sigmas[:-1].numpy()))
        schedule = replace(schedule_of(name, scheduler), times=(*placed, -1.0))
        told = replace(compile(schedule), network_times=scheduler.timesteps.double().numpy())
        got = sample(denoiser, replace(schedule, fitted=told), noise())
        torch.testing.assert_close(got, run(scheduler, denoiser, noise()), **EXACT)


def ddim(**config: object) -> DDIMScheduler:
    """diffusers' DDIM without clipping, its table widened to float64, so that it computes in the states' precision."""
    scheduler = DDIMScheduler(beta_schedule="linear", clip_sample=False, **config)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    scheduler.final_alpha_cumprod = (
        scheduler.alphas_cumprod[0]
        if not config.get("set_alpha_to_one", True)
        else (torch.tensor(1.0, dtype=torch.float64))
    )
    return scheduler


@pytest.mark.parametrize("to_one", [True, False])
@pytest.mark.parametrize("nfe", LENGTHS)
def test_ddim_with_leading_spacing(digits_on, nfe: int, to_one: bool) -> None:
    """`ddim` at diffusers' times is its DDIM to rounding; set_alpha_to_one chooses t = −1 or t = 0 as the end.

    ``steps_offset`` is 1, as in Stable Diffusion: at 0 the last step of set_alpha_to_one=False has length zero.
    """
    scheduler = ddim(timestep_spacing="leading", steps_offset=1, set_alpha_to_one=to_one)
    scheduler.set_timesteps(nfe)
    process = process_of(scheduler)
    schedule = solvers.named("ddim").schedule(process, nfe, "time")
    schedule = replace(schedule, times=(*(float(t) for t in scheduler.timesteps), -1.0 if to_one else 0.0))
    denoiser, start = digits_on(process), noise()
    torch.testing.assert_close(sample(denoiser, schedule, start), run(scheduler, denoiser, start), **EXACT)


@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize("nfe", LENGTHS)
def test_ddim_where_diffusers_jumps_beside_the_next_time(digits_on, nfe: int, spacing: str) -> None:
    """diffusers' DDIM always jumps 1000 // N time steps down, then says it is at the next time of its list.

    With other spacings than "leading" the two differ: the state made for t_i − 1000 // N is taken for one at t_{i+1}.
    No schedule means that, but a tableau can say it: rows made for the jumps, network times from the list.
    """
    scheduler = ddim(timestep_spacing=spacing)
    scheduler.set_timesteps(nfe)
    process = process_of(scheduler)
    told = scheduler.timesteps.double().numpy()
    made = np.maximum(told - 1000 // nfe, -1.0)  # where each step really ends
    rows = np.zeros((nfe + 1, nfe + 1))  # states in the basis y_0, D_0, …
    rows[0, 0] = 1.0
    for i in range(nfe):
        clean = np.eye(nfe + 1)[i + 1]
        predicted = (rows[i] - process.alpha(told[i]) * clean) / process.sigma(told[i])
        rows[i + 1] = process.alpha(made[i]) * clean + process.sigma(made[i]) * predicted
    tableau = Tableau(np.append(told, made[-1]), told, rows[1:, 0], rows[1:, 1:], np.zeros((nfe, 0)))
    denoiser, start = digits_on(process), noise()
    torch.testing.assert_close(sample(denoiser, tableau, start), run(scheduler, denoiser, start), **EXACT)
