"""Closed-form fit: for given times, the rows that best lead the student's own path onto the teacher's states.

Walk the calls; at each, solve one ridge regression for the row (c, W_0 … W_i) of the teacher's state y*(t_{i+1}) on the
student's own (y_0, D_0, …, D_i), pulled towards the compiled row; then take the fitted state and call the network
there. No gradients; N calls per noise; works for any denoiser.

    min_w  mean ‖F w − y*‖² + ρ·s·‖w − w_compiled‖²,   F = (y_0, D_0, …, D_i),   s = mean diagonal of FᵀF
"""

from dataclasses import replace

import numpy as np
import torch

import fewstep
from fewstep import Schedule, Tableau
from fewstep.trajectory import Trajectories
from search import teacher
from search.evaluate import Evaluator
from search.noises import NoiseSet

__all__ = ["fit"]


@torch.no_grad()
def fit(
    evaluator: Evaluator, noises: NoiseSet, trajectories: Trajectories, schedule: Schedule, ridge: float
) -> Schedule:
    """The schedule with fitted rows. ``trajectories`` are the teacher's for the same ``noises``; ``ridge`` is ρ.

    Costs n·nfe sample-calls. Raises `InvalidSchedule` where the path diverges.
    """
    compiled = fewstep.compile(schedule)
    noise = noises.draw(evaluator.shape).to(evaluator.device)
    denoiser = evaluator.under(noises)
    start = denoiser.process.prior_std * noise
    project = teacher.projection(start[0].numel())

    def seen(values: torch.Tensor) -> np.ndarray:
        flat: np.ndarray = (values.flatten(1).double().cpu().numpy() @ project).reshape(-1)
        return flat

    targets = trajectories.at(trajectories.states, denoiser.process.log_snr(compiled.times[1:]))
    basis, features, state = [start], [seen(start)], start
    starts, outputs = np.zeros(compiled.calls), np.zeros((compiled.calls, compiled.calls))
    for i in range(compiled.calls):
        times = state.new_full((len(state),), float(compiled.network_times[i]))
        basis.append(denoiser(state, times))
        features.append(seen(basis[-1]))
        given = np.stack(features, axis=1)  # (n·p, i+2)
        prior = np.array([compiled.start[i], *compiled.outputs[i, : i + 1]])
        gram = given.T @ given / len(given)
        pull = ridge * gram.trace() / len(gram) * np.eye(len(gram))
        left = given.T @ (targets[i].reshape(-1) - given @ prior) / len(given)
        row = prior + np.linalg.solve(gram + pull, left)
        starts[i], outputs[i, : i + 1] = row[0], row[1:]
        state = sum((float(weight) * value for weight, value in zip(row, basis, strict=True)), torch.zeros_like(start))
    rows = Tableau(compiled.times, compiled.network_times, starts, outputs, compiled.noise)
    return replace(schedule, rows=rows)
