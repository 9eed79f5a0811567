"""Compiles the steps of a schedule into a tableau: each state from the start state, past outputs and fresh noise."""

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
    # States and outputs are vectors in the basis (y_0, D_0, …, D_{N−1}, z_0, …).
    unit = np.eye(1 + n + len(fresh))
    data = unit[1 : n + 1]  # D_j
    noise = np.zeros((n, len(unit)))  # ε_j = (y_j − α_j D_j)/σ_j
    inputs = np.zeros((n + 1, len(unit)))  # states as the network gets them
    inputs[0] = unit[0]
    starts = inputs.copy()  # states as steps start from them: corrected, where there is a corrector

    def state(weights: Weights, i: int) -> np.ndarray:
        total: np.ndarray = weights.state * starts[i + 1 + steps[i].start]
        for outputs, by_call in ((data, weights.data), (noise, weights.noise)):
            for j, weight in by_call.items():
                total = total + weight * outputs[j]
        return total + weights.fresh * unit[1 + n + fresh.index(i)] if weights.fresh else total

    for i, step in enumerate(steps):
        noise[i] = (inputs[i] - levels.alpha[i] * data[i]) / levels.sigma[i]
        if i and steps[i - 1].corrector:
            starts[i] = state(correct(levels, steps[i - 1], i - 1), i - 1)
        inputs[i + 1] = starts[i + 1] = state(predict(levels, step, i), i)
    network_times = levels.t[:-1] + np.array([step.offset for step in steps])
    states = inputs[1:]
    return Tableau(levels.t, network_times, states[:, 0], states[:, 1 : n + 1], states[:, n + 1 :])
