"""A schedule as a sampler function of k-diffusion's convention, for ComfyUI and other hosts."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.export.shift import refuse_shift
from fewstep.sampling import plan
from fewstep.sampling.history import History
from fewstep.schedule import Schedule, compile

__all__ = ["Sampler", "sampler"]

SIGMA_TOLERANCE = 1e-3  # relative: hosts pass sigmas in float32, and some interpolate them from tables


class Sampler(Protocol):
    """``sample(model, x, sigmas)``: from the state ``x`` at ``sigmas[0]`` to the one at ``sigmas[-1]``."""

    def __call__(
        self,
        model: Callable[..., torch.Tensor],
        x: torch.Tensor,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None,
        disable: bool | None = None,
        noise_sampler: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    ) -> torch.Tensor: ...


def sampler(schedule: Schedule) -> Sampler:
    """The schedule as ``sample(model, x, sigmas, extra_args, callback, disable)``, k-diffusion's convention.

    ``model(x, sigma, **extra_args)``, with sigma (B,), returns its estimate of the clean data. ``x`` (B, ...) is the
    state at the first sigma and the result the one at the last, both in x's dtype; sums are made in float32 or better.
    The host's ``sigmas`` must be the schedule's own (`Process.sampler_sigma` of its times, without repeats) or a run of
    them: the last few for a start from a less noisy state, the first few where another model takes over. A run has a
    history of its own, so a multistep solver begins it at first order. ``noise_sampler(sigma, next sigma)`` draws the
    fresh noise of stochastic schedules.

    Raises `InvalidInput` where the first sigma would be infinite and, when it is run, for other sigmas;
    `InvalidSchedule` where the schedule has a time shift.

    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("euler").schedule(processes.Flow(), nfe=2)
    >>> sample = sampler(schedule)
    >>> sample(lambda x, sigma: 0.0 * x, torch.ones(1, 2), torch.tensor([1.0, 0.5, 0.0]))
    tensor([[0., 0.]])
    """
    refuse_shift(schedule)
    tableau = compile(schedule)
    process = schedule.process
    levels = process.sampler_sigma(tableau.times)
    scale = process.sampler_scale(tableau.times)
    network_levels = process.sampler_sigma(tableau.network_times)
    network_scale = process.sampler_scale(tableau.network_times)
    if not np.isfinite(levels[0]):
        raise InvalidInput(
            f"{process.kind} has no data left at t = {schedule.times[0]}, where sigma is infinite in these samplers: "
            "begin the schedule later"
        )
    strides = np.flatnonzero(np.append(np.diff(tableau.times) < 0, True))  # the last state at each of the levels

    own = levels[strides]

    def run(sigmas: torch.Tensor) -> tuple[int, int]:
        """The first and the last state of what the host asks for."""
        received = sigmas.detach().cpu().double().numpy().ravel()  # some devices have no float64
        for first in range(len(own) - len(received) + 1 if len(received) > 1 else 0):
            expected = own[first : first + len(received)]
            if np.allclose(received, expected, rtol=SIGMA_TOLERANCE, atol=1e-6):
                return int(strides[first]), int(strides[first + len(received) - 1])
        raise InvalidInput(
            f"this sampler goes with the sigmas {[float(f'{s:.6g}') for s in own]} or a run of them, got "
            f"{[float(f'{s:.6g}') for s in received]}"
        )

    def sample(
        model: Callable[..., torch.Tensor],
        x: torch.Tensor,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None,
        disable: bool | None = None,
        noise_sampler: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    ) -> torch.Tensor:
        first, end = run(sigmas)
        history = History()
        state = x.to(torch.promote_types(x.dtype, torch.float32)) * scale[first]
        updates = plan.make(plan.tail(tableau, process, first))[: end - first]
        for i, update in enumerate(updates, start=first):
            scaled = (state / network_scale[i]).to(x.dtype)
            sigma = x.new_full((len(x),), network_levels[i])
            denoised = model(scaled, sigma, **(extra_args or {}))
            if callback is not None:
                callback(
                    {
                        "x": scaled,
                        "i": int(np.searchsorted(strides, i) - np.searchsorted(strides, first)),
                        "denoised": denoised,
                        "sigma": x.new_tensor(levels[i]),
                        "sigma_hat": sigma[0],
                    }
                )
            pair = x.new_tensor(levels[i]), x.new_tensor(levels[i + 1])

            def draw(like: torch.Tensor = state, pair: tuple[torch.Tensor, torch.Tensor] = pair) -> torch.Tensor:
                return torch.randn_like(like) if noise_sampler is None else noise_sampler(*pair).to(like)

            state = history.advance(update, state, denoised, draw)
        last: torch.Tensor = (state / scale[end]).to(x.dtype)
        return last

    return sample
