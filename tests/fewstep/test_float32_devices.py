"""Devices without float64, as Apple's: no tensor of it is made there.

The meta device stands in for one: an operation that makes a float64 tensor on it raises what torch raises on MPS.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from fewstep import export, models, processes, sample, solvers
from fewstep.diffusers import FewstepScheduler
from fewstep.models.reading import Plain
from fewstep.processes import Process
from search.metrics.features import pixels, rows_of

TABLE = processes.Discrete.linear_betas()
SCHEDULE = solvers.named("dpmpp-2m").schedule(TABLE, nfe=4, grid="time")
DEVICE = "meta"


class NoFloat64(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type == DEVICE and made.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return made


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, device=DEVICE)


def levels(process: Process) -> None:
    t = 0.5 * ones(2)
    process.alpha(t)
    process.sigma(t)
    process.time(process.log_snr(t))


def scheduler() -> FewstepScheduler:
    made = FewstepScheduler.from_schedule(SCHEDULE)
    made.set_timesteps(4, device=DEVICE)
    return made


def image_to_image() -> None:
    made = scheduler()
    made.add_noise(ones(1, 4, 8, 8), ones(1, 4, 8, 8), made.timesteps[1:2])
    made.get_velocity(ones(1, 4, 8, 8), ones(1, 4, 8, 8), made.timesteps[1:2])


def text_to_image() -> None:
    made = scheduler()
    x = ones(1, 4, 8, 8)
    for t in made.timesteps:
        x = made.step(0.1 * x, t, made.scale_model_input(x, t)).prev_sample


def k_diffusion() -> None:
    sigmas = torch.tensor([float(level) for level in TABLE.sampler_sigma(torch.tensor(SCHEDULE.times).numpy())])
    export.sampler(SCHEDULE)(lambda x, s, **extra: x, ones(1, 4, 8, 8), sigmas.to(DEVICE))


ATTEMPTS: dict[str, Callable[[], Any]] = {
    "a table": lambda: levels(TABLE),
    "vp-linear": lambda: levels(processes.VPLinear()),
    "cosine": lambda: levels(processes.Cosine()),
    "flow": lambda: levels(processes.Flow(shift=3.0)),
    "ve": lambda: levels(processes.VE()),
    "ddm": lambda: levels(processes.DDM()),
    "a network": lambda: Plain(TABLE, "noise").data(ones(2, 3), ones(2, 3), ones(2)),
    "sample": lambda: sample(models.from_callable(lambda x, t: 0.1 * x, TABLE), SCHEDULE, ones(1, 4, 8, 8)),
    "add_noise": image_to_image,
    "step": text_to_image,
}
COPIES: dict[str, Callable[[], Any]] = {  # these copy to the CPU, which the stand-in cannot
    "a sampler of k-diffusion": k_diffusion,
    "features of a metric": lambda: rows_of(pixels, ones(2, 3)),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_nothing_in_float64_is_made_on_the_device(name: str) -> None:
    """Tables and numbers are cast before they are moved."""
    with NoFloat64():
        ATTEMPTS[name]()


@pytest.mark.parametrize("name", COPIES)
def test_what_is_computed_in_float64_is_moved_first(name: str) -> None:
    """The stand-in has no data to copy, which it says; it does not say that there is no float64."""
    with NoFloat64(), pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        COPIES[name]()


def test_the_stand_in_refuses_float64() -> None:
    """Else this page tests nothing."""
    with NoFloat64(), pytest.raises(TypeError, match="float64"):
        ones(2).double()
