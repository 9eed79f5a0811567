"""Noise processes read out of scheduler configs against the schedulers themselves."""

import contextlib
import inspect
import json
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from hypothesis import given
from hypothesis import strategies as st

from fewstep.diffusers.importer import from_diffusers
from fewstep.errors import InvalidInput, InvalidModel, UnknownName
from fewstep.models import betas, scheduler_config
from fewstep.models.predictions import DIFFUSERS
from fewstep.processes import VE, Discrete, Flow

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers'
MADE = [
    name for name in scheduler_config.TABLE if name != "DPMSolverSDEScheduler"
]  # that one needs a package of its own
BETAS = [
    {"beta_schedule": "linear"},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"trained_betas": np.linspace(1e-3, 0.3, 40).tolist()},
    {"beta_schedule": "linear", "num_train_timesteps": 4000, "beta_end": 0.005},
]


def saved(scheduler, folder: Path) -> dict:
    """The config as a file brings it."""
    scheduler.save_pretrained(folder)
    return json.loads((folder / "scheduler_config.json").read_text())


@pytest.mark.parametrize("name", MADE)
def test_a_table_is_the_schedulers_own(name: str, tmp_path: Path) -> None:
    """ᾱ of every class, to the float32 that diffusers keeps it in, for each way to give β."""
    cosine = [{"beta_schedule": "squaredcos_cap_v2"}, {"num_train_timesteps": 40}]
    for options in cosine if name == "UnCLIPScheduler" else BETAS:
        scheduler = getattr(diffusers, name)(**options)
        read = scheduler_config.read(saved(scheduler, tmp_path))
        assert isinstance(read.process, Discrete)
        wanted = scheduler.alphas_cumprod.double().numpy()
        np.testing.assert_allclose(read.process.alphas_cumprod, wanted, rtol=2e-4)  # 4000 roundings of float32
        assert (read.prediction, read.time_scale) == ("noise", 1.0)


@pytest.mark.parametrize("name", MADE)
def test_settings_that_are_left_out_are_the_classes_own(name: str) -> None:
    """A config without betas means what the class makes without arguments."""
    defaults = inspect.signature(getattr(diffusers, name).__init__).parameters
    rule = {key: value for key, value in scheduler_config.TABLE[name].items() if key in defaults}
    assert rule
    assert all(defaults[key].default == value for key, value in rule.items())
    assert scheduler_config.read({"_class_name": name}).process == scheduler_config.table(
        name, scheduler_config.TABLE[name]
    )


@pytest.mark.parametrize(
    "name", ["DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler"]
)
@pytest.mark.parametrize("options", BETAS[:3])
def test_zero_terminal_snr(name: str, options: dict) -> None:
    """The rescaled table is the scheduler's own up to its last entry, which is all but zero."""
    scheduler = getattr(diffusers, name)(rescale_betas_zero_snr=True, **options)
    read = scheduler_config.read(dict(scheduler.config) | {"_class_name": name}).process
    assert isinstance(read, Discrete)
    np.testing.assert_allclose(
        read.alphas_cumprod[:-1], scheduler.alphas_cumprod.double().numpy()[:-1], rtol=2e-3, atol=1e-9
    )
    assert 0 < read.alphas_cumprod[-1] <= 2.0**-24


@pytest.mark.parametrize("steps", [1000, 500])
def test_flow_schedulers_shift_and_scale_time(steps: int) -> None:
    """The times that a flow scheduler tells its network are time_scale·σ, its sigmas the process's on an even grid."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, num_train_timesteps=steps)
    read = scheduler_config.read(dict(scheduler.config) | {"_class_name": type(scheduler).__name__})
    assert (read.process, read.prediction, read.time_scale) == (Flow(shift=3.0), "flow", steps)
    scheduler.set_timesteps(4)
    told = read.time_scale * scheduler.sigmas[:-1].double()
    torch.testing.assert_close(told, scheduler.timesteps.double(), rtol=1e-6, atol=0)
    times = np.linspace(1, 1 / steps, steps)
    all_of_them = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, num_train_timesteps=steps).sigmas.numpy()
    np.testing.assert_allclose(read.process.sigma(times), all_of_them, rtol=1e-5)


def test_flow_sigmas_of_other_schedulers() -> None:
    """DPM-Solver and its kin may run flows: use_flow_sigmas and flow_shift say so."""
    scheduler = diffusers.DPMSolverMultistepScheduler(
        use_flow_sigmas=True, flow_shift=5.0, prediction_type="flow_prediction"
    )
    read = scheduler_config.read(dict(scheduler.config) | {"_class_name": type(scheduler).__name__})
    assert (read.process, read.prediction, read.time_scale) == (Flow(shift=5.0), "flow", 1000.0)


def test_edm_schedulers_precondition() -> None:
    """Both EDM classes, and Euler on continuous time with a velocity, whose data have unit variance."""
    for name in ("EDMDPMSolverMultistepScheduler", "EDMEulerScheduler"):
        read = scheduler_config.read({"_class_name": name, "sigma_min": 0.01, "sigma_max": 50.0, "sigma_data": 0.7})
        assert read == scheduler_config.NetworkSpec(VE(t_min=0.01, t_max=50.0), "noise", sigma_data=0.7)
    euler = {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous", "prediction_type": "v_prediction"}
    assert scheduler_config.read(euler | {"sigma_min": 0.002, "sigma_max": 700.0}).sigma_data == 1.0


@pytest.mark.parametrize("name", ["CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"])
def test_cogvideox_shifts_its_table(name: str) -> None:
    """ᾱ/(s + (1 − s)·ᾱ), then the stretch to zero terminal SNR; other classes do not read that setting."""
    for options in ({}, {"snr_shift_scale": 1.0}, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}):
        scheduler = getattr(diffusers, name)(**options)
        read = scheduler_config.read(dict(scheduler.config) | {"_class_name": name}).process
        assert isinstance(read, Discrete)
        wanted = scheduler.alphas_cumprod.double().numpy()
        np.testing.assert_allclose(read.alphas_cumprod[:-1], wanted[:-1], rtol=2e-3, atol=1e-9)
    plain = {"_class_name": "DDIMScheduler"}
    assert scheduler_config.read(plain | {"snr_shift_scale": 3.0}) == scheduler_config.read(plain)


def test_a_dynamic_shift_is_that_of_an_image_size() -> None:
    """By the mu that a pipeline passed, by the length of the image, else the config's largest image; never 1 unsaid."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    config = dict(scheduler.config) | {"_class_name": type(scheduler).__name__}
    for size, mu in ((256, 0.5), (4096, 1.15), (1024, calculate_shift(1024))):
        for read in (scheduler_config.read(config, mu=mu), scheduler_config.read(config, tokens=size)):
            scheduler.set_timesteps(4, mu=mu)
            wanted = read.process.sigma(np.linspace(1, 1e-3, 4))
            np.testing.assert_allclose(wanted, scheduler.sigmas[:-1].double().numpy(), rtol=1e-5)
    assert scheduler_config.read(config) == scheduler_config.read(config, mu=1.15)
    assert scheduler_config.of(scheduler, mu=0.5) == scheduler_config.read(config, mu=0.5)
    linear = config | {"time_shift_type": "linear"}
    assert scheduler_config.read(linear, mu=2.5).process == Flow(shift=2.5)
    for wrong, message in (
        (({"max_shift": 9.0}), "mu is the logarithm"),
        ({"max_image_seq_len": 256}, "differ, got 256"),
    ):
        with pytest.raises(InvalidModel, match=message):
            scheduler_config.read(config | wrong)


def test_no_law_is_read_as_a_plain_flow_unsaid() -> None:
    """Mochi's inverted sigmas and Cosmos 2's range of σ change how a network is fed; any true value switches on."""
    plain = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    assert scheduler_config.read(plain | {"invert_sigmas": 1}).preconditioning == "inverted"
    cosmos = scheduler_config.read(plain | {"sigma_max": 80.0, "sigma_min": 0.01})
    assert cosmos == scheduler_config.NetworkSpec(VE(0.01, 80.0), "noise", 1000.0, None, "pipeline")
    table = {"_class_name": "DDIMScheduler"}
    assert scheduler_config.read(table | {"rescale_betas_zero_snr": 1}) != scheduler_config.read(table)
    uni = {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": 1, "prediction_type": "epsilon"}
    assert (scheduler_config.read(uni).process, scheduler_config.read(uni).prediction) == (Flow(), "noise")
    for name in ("SCMScheduler", "DDPMWuerstchenScheduler"):
        with pytest.raises(UnknownName, match=name):
            scheduler_config.read({"_class_name": name})


def test_continuous_time_without_a_range_has_that_of_the_table() -> None:
    """Euler on continuous time takes σ from its betas where no smallest and largest σ is set."""
    scheduler = diffusers.EulerDiscreteScheduler(timestep_type="continuous", prediction_type="v_prediction")
    scheduler.set_timesteps(1000)
    read = scheduler_config.of(scheduler)
    assert read.process.t_max == pytest.approx(float(scheduler.sigmas[0]), rel=1e-4)
    assert read.process.t_min == pytest.approx(float(scheduler.sigmas[-2]), rel=1e-4)


def test_the_object_may_know_more_than_its_config() -> None:
    """A table that was set by hand is the law, and so is that of a class of somebody's own; a subclass is its base."""
    scheduler = diffusers.DDIMScheduler()
    scheduler.alphas_cumprod = scheduler.alphas_cumprod**1.5
    table = scheduler_config.of(scheduler).process
    assert isinstance(table, Discrete)
    np.testing.assert_allclose(table.alphas_cumprod, scheduler.alphas_cumprod.numpy())

    class Mine(diffusers.DDIMScheduler):
        """A class of one's own."""

    assert scheduler_config.of(Mine()) == scheduler_config.of(diffusers.DDIMScheduler())

    class Other:
        config = {"prediction_type": "v_prediction"}  # noqa: RUF012
        alphas_cumprod = diffusers.DDIMScheduler().alphas_cumprod

    assert scheduler_config.of(Other()).prediction == "velocity"
    with pytest.raises(UnknownName, match="SCMScheduler"):
        scheduler_config.of(diffusers.SCMScheduler())
    with pytest.raises(UnknownName, match="CMStochastic"):
        scheduler_config.of(diffusers.CMStochasticIterativeScheduler())


def test_the_recipe_of_the_first_pages_takes_a_zero_terminal_snr() -> None:
    """Discrete(tuple(alphas_cumprod)) of classes that keep the zero at the end: nearly zero, as in a config."""
    settings = {"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    for name in ("DDIMScheduler", "DDPMScheduler", "LCMScheduler", "TCDScheduler"):
        scheduler = getattr(diffusers, name)(**settings)
        assert scheduler.alphas_cumprod[-1] == 0
        recipe = Discrete(tuple(scheduler.alphas_cumprod.tolist()))
        read = scheduler_config.of(scheduler).process
        assert isinstance(read, Discrete)
        np.testing.assert_allclose(recipe.alphas_cumprod[:-1], read.alphas_cumprod[:-1], rtol=2e-3, atol=1e-9)
        assert 0 < recipe.alphas_cumprod[-1] <= 2.0**-24


@pytest.mark.parametrize("kind", DIFFUSERS)
def test_every_prediction_type_is_known(kind: str) -> None:
    """The four words of diffusers."""
    assert (
        scheduler_config.read({"_class_name": "DDIMScheduler", "prediction_type": kind}).prediction == DIFFUSERS[kind]
    )


def test_an_imported_schedule_is_on_the_same_process() -> None:
    """What a pipeline runs now can be evaluated on its model: both are read from one table."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False, beta_schedule="scaled_linear")
    config = dict(scheduler.config) | {"_class_name": "DDIMScheduler"}
    assert from_diffusers(scheduler, 5).process == scheduler_config.read(config).process


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "unknown scheduler class 'None'; known: CogVideoXDDIM"),
        ({"_class_name": "os.system"}, "unknown scheduler class 'os.system'"),
        ({"_class_name": ["DDIMScheduler"]}, "unknown scheduler class"),
        ({"_class_name": "DDIMScheduler", "beta_schedule": "laplace"}, "unknown beta_schedule 'laplace'"),
        ({"_class_name": "DDIMScheduler", "beta_schedule": ["linear"]}, "unknown beta_schedule"),
        ({"_class_name": "DDIMScheduler", "prediction_type": "score"}, "unknown prediction_type 'score'"),
        ({"_class_name": "DDIMScheduler", "beta_start": "0"}, "beta_start is a finite number, got '0'"),
        ({"_class_name": "DDIMScheduler", "beta_end": 2.0}, "betas lie between 0 and 1"),
        ({"_class_name": "DDIMScheduler", "beta_start": -1.0, "beta_schedule": "scaled_linear"}, "betas lie between"),
        ({"_class_name": "DDIMScheduler", "num_train_timesteps": 10**12}, "num_train_timesteps is a whole number"),
        ({"_class_name": "DDIMScheduler", "num_train_timesteps": True}, "num_train_timesteps is a whole number"),
        ({"_class_name": "DDIMScheduler", "trained_betas": "0.1"}, "trained_betas is a list"),
        ({"_class_name": "DDIMScheduler", "trained_betas": [0.1, None]}, r"trained_betas\[1\] is a finite number"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 0}, "flow wants a shift"),
        ({"_class_name": "EDMEulerScheduler", "sigma_min": 90.0}, "t_min"),
        ({"_class_name": "EDMEulerScheduler", "sigma_data": 0.0}, "sigma_data"),
    ],
)
def test_what_a_config_cannot_say_is_refused(config: dict, message: str) -> None:
    """With the value that was given and what was wanted."""
    with pytest.raises(InvalidInput, match=message) as error:
        scheduler_config.read(config)
    assert isinstance(error.value, (InvalidModel, UnknownName, InvalidInput))


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.floats(), max_size=4)
    | st.sampled_from([*betas.BETAS, *DIFFUSERS, "continuous", *scheduler_config.FLOW])
)  # fmt: skip
KEYS = [
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "num_train_timesteps",
    "prediction_type",
    "shift",
    "use_flow_sigmas",
    "flow_shift",
    "use_dynamic_shifting",
    "rescale_betas_zero_snr",
    "timestep_type",
    "sigma_min",
    "sigma_max",
    "sigma_data",
    "snr_shift_scale",
    "invert_sigmas",
    "base_shift",
    "max_shift",
    "max_image_seq_len",
    "time_shift_type",
]


@given(
    st.sampled_from([*scheduler_config.TABLE, *scheduler_config.FLOW, *scheduler_config.EDM]),
    st.dictionaries(st.sampled_from(KEYS), VALUES),
)
def test_any_config_is_read_or_refused(name: str, settings: dict) -> None:
    """Whatever the values, a process comes out, or an error of fewstep."""
    with contextlib.suppress(InvalidInput):
        assert scheduler_config.read({"_class_name": name, **settings}).process.t_max > 0
