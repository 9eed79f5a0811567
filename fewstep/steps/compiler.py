"""All steps of a schedule as rows: each state in terms of the start state, the outputs so far and the fresh noise."""

from collections.abc import Sequence

import numpy as np

from fewstep.steps.step import Step
from fewstep.steps.weights import Law, Move, correct, move
from fewstep.tableau import Tableau

__all__ = ["rows"]


def rows(law: Law, steps: Sequence[Step]) -> Tableau:
    """The tableau of valid ``steps`` (N) in canonical form, taken at the law's times (N+1)."""
    n = len(steps)
    fresh = [i for i, step in enumerate(steps) if step.eta]
    # Rows are vectors in the basis (y_0, D_0, …, D_{N−1}, z_0, …).
    unit = np.eye(1 + n + len(fresh))
    data = unit[1 : n + 1]  # D_j
    noise = np.zeros((n, len(unit)))  # ε_j = (y_j − α_j D_j)/σ_j
    called = np.zeros((n + 1, len(unit)))  # states as the network sees them
    called[0] = unit[0]
    starts = called.copy()  # the same, or as a corrector left them: what steps start from

    def state(made: Move, i: int) -> np.ndarray:
        row: np.ndarray = made.state * starts[i + 1 + steps[i].start]
        for outputs, weights in ((data, made.data), (noise, made.noise)):
            for j, weight in weights.items():
                row = row + weight * outputs[j]
        return row + made.fresh * unit[1 + n + fresh.index(i)] if made.fresh else row

    for i, step in enumerate(steps):
        noise[i] = (called[i] - law.alpha[i] * data[i]) / law.sigma[i]
        if i and steps[i - 1].corrector:
            starts[i] = state(correct(law, steps[i - 1], i - 1), i - 1)
        called[i + 1] = starts[i + 1] = state(move(law, step, i), i)
    told = law.t[:-1] + np.array([step.offset for step in steps])
    made = called[1:]
    return Tableau(law.t, told, made[:, 0], made[:, 1 : n + 1], made[:, n + 1 :])
