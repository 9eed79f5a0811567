"""The tables of docs/time-shift.md: effect of shifted times on samples. ``python -m benchmarks.time_shift``.

First an exact Gaussian, N(0, 0.25 I) in 1024 dimensions: variance of the samples over that of the data, ideally 1. Then
the digits mixture, exact and with an error in its noise prediction, as a trained network has: squared Fréchet
distance of 1024 samples to the digits, between Gaussians in pixel space. Then the zoo's trained networks, the same.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from sklearn.datasets import load_digits

from fewstep import models, processes, sample, solvers
from fewstep.models import Denoiser, from_callable
from fewstep.models.base import per_sample
from fewstep.processes import Process
from fewstep.search.metrics.frechet import between
from fewstep.timeshift import TimeShift, pixel_variance

__all__ = ["main"]

VARIANCE, WIDTH = 0.25, 1024
TRAINED = ("digits-unet", "digits-unet-debiased", "digits-flow")
LATE = 0.3  # the cut-off, as a share of the times


def shifts(process: Process, calls: int, variance: float) -> dict[str, TimeShift | None]:
    """What is compared: windows as shares of a step, with and without cut-off."""
    step, late = (process.t_max - process.t_zero) / calls, process.t_zero + LATE * (process.t_max - process.t_zero)
    zero = process.t_zero
    calibrated = partial(TimeShift, target="calibrated", variance=variance)
    return {
        "none": None,
        "paper, cut off": TimeShift(0.5 * step, late),
        "paper": TimeShift(0.5 * step, zero),
        "calibrated, cut off": calibrated(0.5 * step, late),
        "calibrated": calibrated(step, zero),
        "calibrated, start": calibrated(step, zero, mode="start"),
    }


def gaussian(process: Process) -> Denoiser:
    """The exact denoiser of N(0, 0.25 I)."""

    def data(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = per_sample(process.alpha(t), x), per_sample(process.sigma(t), x)
        return alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2) * x

    return from_callable(data, process, prediction="data")


def wrong(exact: Denoiser, gain: float, noise: float) -> Denoiser:
    """The denoiser whose noise prediction is ``gain`` times the exact one plus ``noise`` times white noise."""
    draw = torch.Generator().manual_seed(7)

    def prediction(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = per_sample(exact.process.alpha(t), x), per_sample(exact.process.sigma(t), x)
        return gain * (x - alpha * exact(x, t)) / sigma + noise * torch.randn(x.shape, generator=draw)

    return from_callable(prediction, exact.process, prediction="noise")


def main() -> None:
    """Print both tables."""
    draw, law = torch.Generator().manual_seed(0), processes.Discrete.linear_betas()
    print("| solver, calls |", " | ".join(shifts(law, 5, VARIANCE)), "|")
    noise = torch.randn(32, WIDTH, generator=draw)
    for name in ("ddim", "dpmpp-2m"):
        for calls in (5, 10, 20):
            schedule = solvers.named(name).schedule(law, calls, "time")
            batches = (
                sample(gaussian(law), replace(schedule, shift=shift), noise)
                for shift in shifts(law, calls, VARIANCE).values()
            )
            print(f"| {name}, {calls} |", " | ".join(f"{pixel_variance(x) / VARIANCE:.3f}" for x in batches), "|")
    digits = torch.from_numpy(load_digits().data / 8 - 1)
    variance = pixel_variance(digits)
    noise = torch.randn(1024, 1, 8, 8, generator=draw)

    def row(name: str, make: Callable[[], Denoiser], calls: int) -> None:
        process = make().process
        schedule, cells = solvers.named("ddim").schedule(process, calls, "time"), []
        for shift in shifts(process, calls, variance).values():
            cells.append(between(sample(make(), replace(schedule, shift=shift), noise).flatten(1), digits))
        print(f"| {name}, {calls} |", " | ".join(f"{cell:.3f}" for cell in cells), "|")

    exact = models.zoo.load("digits-mixture")
    print("\n| network, calls |", " | ".join(shifts(exact.process, 5, variance)), "|")
    for gain, white in ((1.0, 0.0), (1.02, 0.0), (0.98, 0.0), (1.0, 0.1)):
        for calls in (10, 20):
            row(f"gain {gain}, noise {white}", partial(wrong, exact, gain, white), calls)
    for name in TRAINED:
        row(name, partial(models.zoo.load, name), 10)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
