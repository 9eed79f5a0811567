"""All steps of a schedule as one tableau: each state in terms of the start state, past outputs and fresh noise."""

from collections.abc import Sequence

import numpy as np

from fewstep.steps.step import Step
from fewstep.steps.weights import Levels, Weights, correct, predict
from fewstep.tableau import Tableau

__all__ = ["compile_steps"]


def compile_steps(levels: Levels, steps: Sequence[Step]) -> Tableau:
    """The tableau of valid ``steps`` (N) in canonical form, taken at the times of ``levels`` (N+1)."""
    n = len(steps)
    fresh = [i for i, step in enumerate(steps) if step.eta]
    # Rows are vectors in the basis (y_0, D_0, …, D_{N−1}, z_0, …).
    unit = np.eye(1 + n + len(fresh))
    data = unit[1 : n + 1]  # D_j
    noise = np.zeros((n, len(unit)))  # ε_j = (y_j − α_j D_j)/σ_j
    called = np.zeros((n + 1, len(unit)))  # states as the network sees them
    called[0] = unit[0]
    starts = called.copy()  # the same, or as a corrector left them: what steps start from

    def state(weights: Weights, i: int) -> np.ndarray:
        row: np.ndarray = weights.state * starts[i + 1 + steps[i].start]
        for outputs, by_call in ((data, weights.data), (noise, weights.noise)):
            for j, weight in by_call.items():
                row = row + weight * outputs[j]
        return row + weights.fresh * unit[1 + n + fresh.index(i)] if weights.fresh else row

    for i, step in enumerate(steps):
        noise[i] = (called[i] - levels.alpha[i] * data[i]) / levels.sigma[i]
        if i and steps[i - 1].corrector:
            starts[i] = state(correct(levels, steps[i - 1], i - 1), i - 1)
        called[i + 1] = starts[i + 1] = state(predict(levels, step, i), i)
    network_times = levels.t[:-1] + np.array([step.offset for step in steps])
    rows = called[1:]
    return Tableau(levels.t, network_times, rows[:, 0], rows[:, 1 : n + 1], rows[:, n + 1 :])
