"""Every class and setting that `from_diffusers` reads makes the samples of the genuine scheduler, with its own noise.

A case is run twice with one nonlinear network: by diffusers' loop from its own start state, and by `fewstep.sample`
from the schedule that was read. Noise is drawn by one generator in diffusers' order; a case says which draws it uses.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from fewstep import Schedule, models, sample
from fewstep.diffusers.importer import from_diffusers
from fewstep.models import scheduler_config
from fewstep.processes import Discrete

pytestmark = [  # diffusers' own, about itself
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
]

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SVD = {**SD, "prediction_type": "v_prediction", "sigma_max": 700.0, "sigma_min": 0.002, "timestep_type": "continuous",
       "use_karras_sigmas": True, "timestep_spacing": "leading", "steps_offset": 1}  # fmt: skip
ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
PREDICTIONS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "flow"}
CLOSE = 2e-5  # of states of size one, in float32 throughout


def every(calls: int) -> Sequence[int]:
    return range(calls)


@dataclass(frozen=True)
class Genuine:
    """One scheduler with its settings; ``used`` says which of its draws a schedule with so many of them uses."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    used: Callable[[int], Sequence[int]] = every
    tolerance: float = CLOSE
    arguments: dict[str, Any] = field(default_factory=dict)

    def make(self) -> Any:
        return getattr(diffusers, self.name)(**self.settings)


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    ramp = torch.arange(x.shape[1]).reshape(1, -1, 1, 1)
    return 0.9 * torch.tanh(0.7 * x + 0.3 * torch.sin(t.float() / 300 + ramp)) + 0.1 * x


def noise() -> torch.Tensor:
    return torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(5))


def theirs(scheduler: Any, arguments: dict[str, Any], schedule: Schedule) -> torch.Tensor:
    """diffusers' own loop; states of the Euler family are x/α."""
    scheduler.set_timesteps(**arguments)
    scaled = isinstance(schedule.process, Discrete) and type(scheduler).__name__.startswith(("Euler", "KDPM2"))
    x = noise() * float(getattr(scheduler, "init_noise_sigma", 1.0))
    if scaled:  # diffusers starts from a little less noise than the law has
        x = noise() / float(schedule.process.alpha(schedule.times[0]))
    parameters = inspect.signature(scheduler.step).parameters
    draws = {"generator": torch.Generator().manual_seed(7)} if "generator" in parameters else {}
    old = None
    for i, t in enumerate(scheduler.timesteps):
        x_in = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = network(x_in, t)
        if "old_pred_original_sample" in parameters:
            back = scheduler.timesteps[i - 1] if i else None
            x, old = scheduler.step(output, old, t, back, x, return_dict=False, **draws)
        else:
            x = scheduler.step(output, t, x, return_dict=False, **draws)[0]
    return x * float(schedule.process.alpha(schedule.times[-1])) if scaled else x


def denoiser(scheduler: Any, schedule: Schedule) -> models.Denoiser:
    """The network as the scheduler reads its outputs."""
    process, config = schedule.process, scheduler.config
    if process.kind == "ve":
        data, sign = config.get("sigma_data", 1.0), 1.0 if config.prediction_type == "epsilon" else -1.0

        def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            """Karras et al. 2022, table 1."""
            sigma = t.reshape(-1, 1, 1, 1)
            total = (sigma**2 + data**2).sqrt()
            return data**2 / total**2 * x + sign * sigma * data / total * network(x / total, 0.25 * t[0].log())

        return models.from_callable(denoise, process, "data")
    if process.kind == "flow" and config.get("invert_sigmas"):
        return models.from_callable(lambda x, t: -network(x, 1000 * (1 - t[0])), process, "flow")
    if process.kind == "flow":
        return models.from_callable(lambda x, t: network(x, 1000 * t[0]), process, "flow")
    kind = PREDICTIONS[config.get("prediction_type", "v_prediction")]
    return models.from_callable(lambda x, t: network(x, t[0]), process, kind)


def check(case: Genuine, arguments: dict[str, Any], calls: int | None = None) -> Schedule:
    scheduler = case.make()
    schedule = from_diffusers(scheduler, **arguments)
    want = theirs(case.make(), arguments, schedule)
    columns = 0 if schedule.fitted is None else schedule.fitted.noise.shape[1]
    columns = columns or sum(step.eta > 0 for step in schedule.steps)
    generator = torch.Generator().manual_seed(7)
    drawn = [torch.randn(noise().shape, generator=generator) for _ in range(2 * schedule.nfe + 2)]
    fresh = torch.stack([drawn[i] for i in case.used(columns)]) if columns else None
    got = sample(denoiser(scheduler, schedule), schedule, noise(), fresh=fresh)
    assert (got - want).abs().max() <= case.tolerance * want.abs().max()
    assert calls is None or schedule.nfe == calls
    return schedule


CASES = {
    "ddim parallel": Genuine("DDIMParallelScheduler", {**SD, "clip_sample": False}),
    "ddpm": Genuine("DDPMScheduler", {"clip_sample": False}),
    "ddpm parallel": Genuine("DDPMParallelScheduler", {**SD, "clip_sample": False}),
    "ddpm hunyuan": Genuine(
        "DDPMScheduler",
        {
            "beta_start": 0.00085,
            "beta_end": 0.02,
            "beta_schedule": "scaled_linear",
            "clip_sample": False,
            "prediction_type": "v_prediction",
        },
    ),
    "cogvideox ddim": Genuine("CogVideoXDDIMScheduler", ZERO_SNR),
    "cogvideox ddim, no shift": Genuine("CogVideoXDDIMScheduler", {**ZERO_SNR, "snr_shift_scale": 1.0}),
    "cogvideox dpm": Genuine(
        "CogVideoXDPMScheduler", ZERO_SNR, lambda n: [0, *range(2, 2 * n, 2)], 2e-4
    ),  # its h and r are quotients of float32 differences
    "lcm": Genuine("LCMScheduler", SD),
    "tcd": Genuine("TCDScheduler", SD),
    "flow lcm": Genuine("FlowMatchLCMScheduler", {"shift": 3.0}),
    "flow stochastic": Genuine("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "stochastic_sampling": True}),
    "ipndm": Genuine("IPNDMScheduler"),
    "kdpm2": Genuine("KDPM2DiscreteScheduler", SD),
    "kdpm2 karras": Genuine("KDPM2DiscreteScheduler", {**SD, "use_karras_sigmas": True}),
    "kdpm2 ancestral": Genuine("KDPM2AncestralDiscreteScheduler", {**SD, "timestep_spacing": "trailing"}),
    "dpm sde karras": Genuine(
        "DPMSolverMultistepScheduler", {**SD, "algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}
    ),
    "edm sde": Genuine("EDMDPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, tolerance=2e-4),
    "svd": Genuine("EulerDiscreteScheduler", SVD, tolerance=2e-4),
    "log-linear": Genuine("EulerDiscreteScheduler", {**SD, "interpolation_type": "log_linear"}),
    "mochi": Genuine("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}),
}


@pytest.mark.parametrize("steps", [2, 3, 8, 20])
@pytest.mark.parametrize("name", CASES)
def test_a_scheduler_and_its_schedule_make_the_same_samples(name: str, steps: int) -> None:
    """Whatever the number of steps: weights that are small beside others, but not beside their own row, are kept."""
    check(CASES[name], {"num_inference_steps": steps})


@pytest.mark.parametrize("name", ["ddpm", "dpm sde karras", "edm sde", "cogvideox dpm"])
def test_noise_that_the_space_has_is_read_as_choices(name: str) -> None:
    """η = 1 up to the last step, also where the coefficients of the noise run over decades."""
    schedule = from_diffusers(CASES[name].make(), 20)
    assert [step.eta for step in schedule.steps] == [1.0] * 19 + [0.0]


def test_custom_time_steps_of_ddpm() -> None:
    """The time before each is the next of the list, and clean data at its end."""
    schedule = check(CASES["ddpm"], {"timesteps": [999, 749, 499, 249]})
    assert schedule.times == (999.0, 749.0, 499.0, 249.0, -1.0)


@pytest.mark.parametrize("name", ["LCMScheduler", "TCDScheduler"])
def test_custom_time_steps_of_distilled_models(name: str) -> None:
    """They end at clean data, and at the table's first entry."""
    schedule = check(Genuine(name, SD), {"timesteps": [999, 759, 499, 259]})
    assert schedule.times[:-1] == (999.0, 759.0, 499.0, 259.0)
    assert schedule.times[-1] == (-1.0 if name == "LCMScheduler" else 0.0)


def test_the_law_of_stable_video_diffusion_is_edm() -> None:
    """Continuous time steps of a v-prediction: noise levels from 700 of a process whose network is told log(σ)/4."""
    schedule = from_diffusers(diffusers.EulerDiscreteScheduler(**SVD), 4)
    spec = scheduler_config.read({"_class_name": "EulerDiscreteScheduler", **SVD})
    assert schedule.process == spec.process
    assert schedule.fitted is None
    ready = diffusers.EulerDiscreteScheduler(**SVD)
    ready.set_timesteps(4)
    np.testing.assert_allclose(np.log(schedule.times[:-1]) / 4, ready.timesteps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_learned_range_only_drops_channels(steps: int) -> None:
    """DPM-Solver of DeepFloyd IF reads the same schedule as without a learned variance."""
    law = {"beta_schedule": "squaredcos_cap_v2"}
    learned, plain = (
        from_diffusers(diffusers.DPMSolverMultistepScheduler(variance_type=kind, **law), steps)
        for kind in ("learned_range", None)
    )
    assert learned == plain


@pytest.mark.parametrize(
    ("name", "settings", "arguments", "calls"),
    [
        ("EDMEulerScheduler", {"final_sigmas_type": "sigma_min"}, {"num_inference_steps": 6}, 5),
        ("EDMDPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min"}, {"num_inference_steps": 6}, 5),
        ("FlowMatchEulerDiscreteScheduler", {}, {"sigmas": [1.0, 0.6, 0.2, 0.0]}, 3),
        ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False, "timestep_spacing": "linspace"},
         {"num_inference_steps": 6}, 5),
    ],
)  # fmt: skip
def test_calls_that_move_nothing_are_dropped(name: str, settings: dict, arguments: dict, calls: int) -> None:
    """Where the last noise level is there twice, the call between moves nothing: the samples are the same without."""
    check(Genuine(name, settings, tolerance=1e-4), arguments, calls)


@pytest.mark.parametrize("flag", [1, "yes"])
def test_flags_are_read_as_diffusers_reads_them(flag: Any) -> None:
    """Any true value is true, in JSON written by hand."""
    settings = {**SD, "clip_sample": False, "prediction_type": "v_prediction"}
    case = Genuine("DDIMScheduler", {**settings, "rescale_betas_zero_snr": flag, "timestep_spacing": "trailing"})
    schedule = check(case, {"num_inference_steps": 5})
    assert schedule.process.alpha(999.0) <= 2.0**-12


def test_clipping_is_left_out_and_warned_of() -> None:
    """DDPM and DDIM clip by default: the schedule is that of the same scheduler without."""
    for name in ("DDPMScheduler", "DDIMScheduler"):
        scheduler = getattr(diffusers, name)()
        with pytest.warns(UserWarning, match="clips data predictions"):
            schedule = from_diffusers(scheduler, 5)
        assert scheduler.config.clip_sample
        assert schedule == from_diffusers(getattr(diffusers, name)(clip_sample=False), 5)
