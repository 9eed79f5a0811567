"""A plan: a tableau's rows rewritten as short sums over what a loop has at hand, so that a call costs few passes.

A row names the start state and every output so far. Most solvers look back a few calls only: then y_{i+1} is the last
state and a few outputs, for whatever reaches further back is in y_i already. The plan finds that form by itself and
falls back to the row as it stands.

    y_{i+1} = s_i·y_i + w_i·F_i + Σ_m v_m·m,    m of what was kept: y_0, X_j (j < i), z_k

| symbol | meaning |
|---|---|
| F_i | what the network returned in call i; D_i = p_i·y_i + q_i·F_i is its data prediction |
| X_i | what later calls need of call i: D_i or F_i, up to a factor |
| z_k | fresh standard normal noise |

Memory decides what a call costs: passes over a state, and new tensors. A value is therefore kept in units of the weight
of its last use: there it enters as it is, and the sum is made in its place.
"""

from dataclasses import dataclass

import numpy as np

from fewstep.processes import Process
from fewstep.tableau import Tableau

__all__ = ["Key", "Update", "make", "tail"]

Key = tuple[str, int]  # ("start", 0), ("output", j) or ("noise", k)
START: Key = ("start", 0)
ROUNDING = 1e-12  # a weight this small beside its row is what is left of a cancellation
CANCELLING = 10.0  # a sum of terms so much larger than itself would lose a digit


@dataclass(frozen=True)
class Update:
    """What call i does: the weights of the present state and output and of kept values, and what it keeps.

    ``past`` has pairs (key, weight); ``onto`` the kept value that enters with weight 1 and that the sum is made in, so
    that it is gone; ``fresh`` the noises to draw first; ``keeps`` triples (key, weight of the state, weight of the
    output); ``drops`` the keys that no later call uses.

    >>> Update(0.5, 0.5, onto=("output", 0), keeps=((("output", 1), 0.0, 0.1),)).passes
    3
    """

    state: float
    output: float
    past: tuple[tuple[Key, float], ...] = ()
    onto: Key | None = None
    fresh: tuple[Key, ...] = ()
    keeps: tuple[tuple[Key, float, float], ...] = ()
    drops: tuple[Key, ...] = ()

    @property
    def passes(self) -> int:
        """How often the call goes over a whole state, roughly what it costs."""
        sums = [weights for _, *weights in self.keeps]
        sums.append([1.0] * (self.onto is not None) + [self.state, self.output, *(weight for _, weight in self.past)])
        return sum(_passes(weights) for weights in sums)


def _passes(weights: list[float]) -> int:
    """Passes of a sum: one for each term but the first, and one for the first where it has a weight to be given."""
    used = [weight for weight in weights if weight]
    return max(1, len(used) - (1.0 in used))


def make(tableau: Tableau, state: np.ndarray | None = None, output: np.ndarray | None = None) -> list[Update]:
    """The cheaper of two plans: one that keeps data predictions and one that keeps the network's own outputs.

    ``state`` and ``output`` (N,) are p and q of D_i = p_i·y_i + q_i·F_i; by default the network predicts data.

    >>> from fewstep import compile, processes, solvers
    >>> tableau = compile(solvers.named("dpmpp-2m").schedule(processes.VPLinear(), nfe=8))
    >>> [update.passes for update in make(tableau)]
    [3, 3, 3, 3, 3, 3, 2, 2]
    """
    n = tableau.calls
    p, q = np.zeros(n) if state is None else state, np.ones(n) if output is None else output
    data = _updates(_rows(tableau, np.zeros(n), np.ones(n)), p, q)
    if not p.any():
        return data
    outputs = _updates(_rows(tableau, p, q), np.zeros(n), np.ones(n))
    return min((data, outputs), key=lambda updates: sum(update.passes for update in updates))


def _rows(tableau: Tableau, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """States y_0 … y_N in the basis (y_0, F_0 … F_{N−1}, z_0 …), where D_j = p_j·y_j + q_j·F_j; (N+1, 1+N+K)."""
    n, fresh = tableau.calls, tableau.noise.shape[1]
    rows = np.zeros((n + 1, 1 + n + fresh))
    rows[0, 0] = 1.0
    data = np.zeros((n, rows.shape[1]))
    for i in range(n):
        data[i] = p[i] * rows[i]
        data[i, 1 + i] += q[i]
        rows[i + 1] = tableau.outputs[i] @ data
        rows[i + 1, 0] += tableau.start[i]
        rows[i + 1, 1 + n :] += tableau.noise[i]
    return rows


def _updates(rows: np.ndarray, p: np.ndarray, q: np.ndarray) -> list[Update]:
    """Updates for ``rows`` in the basis (y_0, X_0 …, z_0 …), where X_i = p_i·y_i + q_i·F_i."""
    n = len(p)
    keys: list[Key] = [START, *(("output", j) for j in range(n)), *(("noise", k) for k in range(rows.shape[1] - 1 - n))]
    scale = np.maximum(np.abs(p), np.abs(q))  # what is kept has no need of it, and is one pass cheaper without
    updates: list[Update] = []
    drawn: set[Key] = set()
    for i in range(n):
        anchor, rest = _anchored(rows[i], rows[i + 1], n)
        now, rest[1 + i] = float(rest[1 + i]), 0.0
        rest[1 : 1 + n] *= scale
        past = tuple((keys[m], float(rest[m])) for m in np.flatnonzero(rest))
        fresh = tuple(key for key, _ in past if key[0] == "noise" and key not in drawn)
        drawn.update(fresh)
        updates.append(Update(float(anchor + p[i] * now), float(q[i] * now), past, fresh=fresh))
    return _with_memory(updates, p / scale, q / scale)


def _with_memory(updates: list[Update], p: np.ndarray, q: np.ndarray) -> list[Update]:
    """The updates with what each keeps and drops: a value lives from its call to its last use."""
    units: dict[Key, float] = {}
    backwards = []
    for i, update in reversed(list(enumerate(updates))):
        keeps: list[tuple[Key, float, float]] = []
        if (unit := units.get(("output", i))) is not None:
            keeps.append((("output", i), float(p[i]) * unit, float(q[i]) * unit))
        if i == 0 and START in units:
            keeps.append((START, units[START], 0.0))
        last = [key for key, _ in update.past if key not in units]
        # noise is not ours to write to; what takes a sum to keep is cheaper kept with one weight 1
        ours = [key for key in last if key[0] != "noise"]
        onto = min(ours, key=lambda key: key[0] == "output" and bool(p[key[1]] and q[key[1]]), default=None)
        weights = dict(update.past)
        units |= {key: weights[key] if key == onto else 1.0 for key in last}
        past = tuple((key, weight / units[key]) for key, weight in update.past if key != onto)
        drops = tuple(key for key in last if key != onto)
        backwards.append(Update(update.state, update.output, past, onto, update.fresh, tuple(keeps), drops))
    return backwards[::-1]


def _anchored(before: np.ndarray, row: np.ndarray, n: int) -> tuple[float, np.ndarray]:
    """``row`` as a multiple of the state before it and the rest, or as it stands where that is no gain."""
    fixed = np.append(0, np.arange(1 + n, len(row)))  # y_0 and noises: nothing but the state brings them along
    largest = fixed[np.argmax(np.abs(before[fixed]))]
    if not before[largest]:
        return 0.0, row.copy()
    anchor = float(row[largest] / before[largest])
    rest, size = row - anchor * before, np.abs(row).max()
    rest[np.abs(rest) <= ROUNDING * size] = 0.0
    gains = np.count_nonzero(rest) < np.count_nonzero(row) or abs(anchor) <= 1
    cancels = np.abs(anchor * before).max() > CANCELLING * size
    return (anchor, rest) if gains and not cancels else (0.0, row.copy())


def tail(tableau: Tableau, process: Process, begin: int) -> Tableau:
    """The tableau of calls ``begin`` … N−1 alone, for a run that starts from a state y_b at ``times[begin]``.

    Earlier outputs, the start state and earlier noises are replaced by what they would most likely have been, had the
    network's first output here been its output before too: a multistep solver thus begins at first order.

    >>> from fewstep import compile, processes, solvers
    >>> process = processes.VPLinear()
    >>> tail(compile(solvers.named("dpmpp-2m").schedule(process, nfe=8)), process, 5).calls
    3
    """
    if begin == 0:
        return tableau
    alpha, variance = float(process.alpha(tableau.times[0])), float(process.sigma(tableau.times[0])) ** 2
    c, outputs, noise = tableau.start, tableau.outputs, tableau.noise
    past = np.any(noise[:begin], axis=0)  # noises that are in y_b already
    # y_b = mean·D_b + deviation; the deviation's share of y_0 and of each past z is its regression on y_b
    mean = c[begin - 1] * alpha + outputs[begin - 1].sum()
    total = c[begin - 1] ** 2 * variance + (noise[begin - 1, past] ** 2).sum()
    from_start = c[begin - 1] * variance / total if total else 0.0
    from_noise = noise[begin - 1, past] / (total or 1.0)
    start = c[begin:] * from_start + noise[begin:, past] @ from_noise
    kept = outputs[begin:, begin:].copy()
    kept[:, 0] += outputs[begin:, :begin].sum(1) + c[begin:] * alpha - start * mean
    return Tableau(tableau.times[begin:], tableau.network_times[begin:], start, kept, noise[begin:, ~past])
