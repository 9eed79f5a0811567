"""A schedule as free numbers: times, network times and rows that a gradient can move, and back to a schedule.

| symbol | meaning | shape |
|---|---|---|
| u | the λ-gaps are proportional to exp(u): times fall for every u, and both ends stay | (N,) |
| o | the network is told the time at λ_i + o_i; the first call is told the first time | (N,) |
| v | rows are w_i = w_i⁰ + v_i R_i | (N, N+1) |
| R_i | L⁻¹ with L Lᵀ the Gram of (y_0, D_0, …, D_i): equal moves of v move the next state equally far | (N, N+1, N+1) |
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch

import fewstep
from fewstep import Schedule, Tableau
from fewstep.models import Denoiser
from fewstep.sampling import guidance
from fewstep.search.gaps import ends, log_gaps, log_snrs
from fewstep.search.projection import projected

__all__ = ["Call", "Free", "Numbers", "Relaxed", "walk"]

RIDGE = 1e-9  # of the Gram's mean diagonal: nearly equal outputs are separated no further

Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Free(NamedTuple):
    """u (N,), o (N,) and v (N, N+1), float64."""

    gaps: torch.Tensor
    offsets: torch.Tensor
    rows: torch.Tensor


class Numbers(NamedTuple):
    """Numbers that a walk takes: times (N+1,), network times (N,) and rows (N, N+1), whose first column weighs y_0."""

    times: torch.Tensor
    network_times: torch.Tensor
    rows: torch.Tensor


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The schedule that the free numbers move, with its rows w⁰ (N, N+1) and their coordinates R."""

    schedule: Schedule
    rows: torch.Tensor
    frames: torch.Tensor

    @classmethod
    def at(cls, schedule: Schedule, frames: torch.Tensor) -> Self:
        """With coordinates made before."""
        tableau = fewstep.compile(schedule)
        return cls(schedule, torch.from_numpy(np.column_stack([tableau.start, tableau.outputs])), frames)

    @classmethod
    def around(cls, schedule: Schedule, denoiser: Denoiser, noise: torch.Tensor) -> Self:
        """Coordinates from a walk of ``noise`` (n, ...) along the schedule, for n·nfe network calls."""
        return cls.along(schedule, [(denoiser, noise)])

    @classmethod
    def along(cls, schedule: Schedule, walks: Iterable[tuple[Denoiser, torch.Tensor]]) -> Self:
        """Coordinates from several walks one after the other, each of a denoiser and its noise (n, ...)."""
        tableau = fewstep.compile(schedule)
        rows = torch.from_numpy(np.column_stack([tableau.start, tableau.outputs]))
        numbers = Numbers(torch.tensor(tableau.times), torch.tensor(tableau.network_times), rows)
        gram, size = torch.zeros(tableau.calls + 1, tableau.calls + 1, dtype=torch.float64), 0
        for denoiser, noise in walks:
            with torch.no_grad():
                basis = walk(guidance.denoisers(denoiser, tableau), numbers, denoiser.process.prior_std * noise)[1]
            flat = torch.from_numpy(np.stack([projected(value).ravel() for value in basis]))  # (N+1, n·p)
            gram, size = gram + flat @ flat.T, size + flat.shape[1]
        gram = gram / size
        frames = torch.zeros(len(rows), *gram.shape, dtype=torch.float64)
        for i in range(len(rows)):
            part = gram[: i + 2, : i + 2]
            part = part + RIDGE * part.diagonal().mean() * torch.eye(i + 2, dtype=part.dtype)
            frames[i, : i + 2, : i + 2] = torch.linalg.inv(torch.linalg.cholesky(part))
        return cls.at(schedule, frames)

    def free(self) -> Free:
        """The free numbers at which nothing has moved."""
        tableau = fewstep.compile(self.schedule)
        lam = log_snrs(self.schedule.process, tableau.times)
        gaps = torch.from_numpy(log_gaps(np.diff(lam)))
        offsets = log_snrs(self.schedule.process, tableau.network_times) - lam[:-1]
        return Free(gaps, torch.from_numpy(offsets), torch.zeros_like(self.rows))

    def numbers(self, free: Free) -> Numbers:
        """What ``free`` amounts to, differentiably."""
        process = self.schedule.process
        first, last = ends(process)
        inner = first + (last - first) * free.gaps.softmax(0).cumsum(0)[:-1]
        both = inner.new_tensor([process.t_max, process.t_min])
        times = torch.cat([both[:1], process.time(inner), both[1:]])
        network_times = torch.cat([both[:1], process.time((inner + free.offsets[1:]).clamp(first, last))])
        return Numbers(times, network_times, self.rows + torch.einsum("im,imk->ik", free.rows, self.frames))

    def build(self, free: Free) -> Schedule:
        """The schedule that ``free`` amounts to; raises `InvalidSchedule` where a number is not finite."""
        with torch.no_grad():
            times, network_times, rows = (values.numpy() for values in self.numbers(free))
        scales = fewstep.compile(self.schedule).guidance
        tableau = Tableau(times, network_times, rows[:, 0], np.tril(rows[:, 1:]), np.zeros((len(rows), 0)), scales)
        return replace(self.schedule, times=tuple(times.tolist()), fitted=tableau)


def walk(calls: Sequence[Call], numbers: Numbers, start: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The end (n, ...) of a walk from ``start`` (n, ...), and (y_0, D_0, …, D_{N−1}) on the way; ``calls`` (N) are the
    denoiser of each call."""
    basis, state = [start], start
    network_times, rows = (each.to(start.dtype).to(start.device) for each in (numbers.network_times, numbers.rows))
    for i, time in enumerate(network_times):
        network_time = time if i else time.detach()  # the first is fixed: no gradient goes back through its call
        basis.append(calls[i](state, network_time.expand(len(state))))
        row = rows[i, : i + 2]
        state = sum((weight * value for weight, value in zip(row, basis, strict=True)), torch.zeros_like(start))
    return state, basis
