"""A plan: a tableau's rows rewritten as short sums over stored tensors, so that a call takes few passes over the state.

A row weights the start state and every output so far. Most solvers look back a few calls only: then y_{i+1} is a sum of
the last state and a few outputs, since y_i already contains everything older. The plan finds that form from the numbers
and falls back to the whole row.

    y_{i+1} = s_i·y_i + w_i·F_i + Σ_m v_m·m,    m stored: y_0, X_j (j < i), z_k

| symbol | meaning |
|---|---|
| F_i | the network's output in call i; D_i = p_i·y_i + q_i·F_i is its data prediction |
| X_i | stored output of call i: D_i or F_i, up to a factor |
| z_k | fresh standard normal noise |

The cost of a call is memory traffic: passes over a state, and new tensors. A value is therefore stored in units of the
weight of its last use: it enters there with weight 1, and the sum is computed in its place.
"""

from dataclasses import dataclass

import numpy as np

from fewstep.processes import Process
from fewstep.tableau import Tableau

__all__ = ["Key", "Update", "make", "tail"]

Key = tuple[str, int]  # ("start", 0), ("output", j) or ("noise", k)
START: Key = ("start", 0)
ROUNDING = 1e-12  # relative to its row, a weight this small is the rounding error of a cancellation
CANCELLING = 10.0  # a sum of terms so many times larger than itself loses a digit


@dataclass(frozen=True)
class Update:
    """The sum of call i: weights of the present state, of its output and of stored values, and what to store.

    ``past`` has pairs (key, weight); ``onto`` is the stored value that enters with weight 1 and that the sum
    overwrites; ``fresh`` the noises to draw first; ``keeps`` triples (key, weight of the state, weight of the output)
    to store; ``drops`` the keys that no later call uses.

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
        """Passes over a whole state, the cost of the call beside the network's."""
        sums = [weights for _, *weights in self.keeps]
        sums.append([1.0] * (self.onto is not None) + [self.state, self.output, *(weight for _, weight in self.past)])
        return sum(_passes(weights) for weights in sums)


def _passes(weights: list[float]) -> int:
    """Passes of a sum: one for each term but the first, and one for the first unless its weight is 1."""
    terms = [weight for weight in weights if weight]
    return max(1, len(terms) - (1.0 in terms))


def make(tableau: Tableau, state: np.ndarray | None = None, output: np.ndarray | None = None) -> list[Update]:
    """The cheaper of two plans: one that stores data predictions and one that stores the network's own outputs.

    ``state`` and ``output`` (N,) are p and q of D_i = p_i·y_i + q_i·F_i; by default the network predicts data.

    >>> from fewstep import compile, processes, solvers
    >>> tableau = compile(solvers.named("dpmpp-2m").schedule(processes.VPLinear(), nfe=8))
    >>> [update.passes for update in make(tableau)]
    [3, 3, 3, 3, 3, 3, 2, 2]
    """
    n = tableau.calls
    p = np.zeros(n) if state is None else state
    q = np.ones(n) if output is None else output
    data = _updates(_rows(tableau, np.zeros(n), np.ones(n)), p, q)
    if not p.any():
        return data
    outputs = _updates(_rows(tableau, p, q), np.zeros(n), np.ones(n))
    return min((data, outputs), key=lambda updates: sum(update.passes for update in updates))


def _rows(tableau: Tableau, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """States y_0 … y_N in the basis (y_0, F_0 … F_{N−1}, z_0 …), where D_j = p_j·y_j + q_j·F_j; (N+1, 1+N+K)."""
    n = tableau.calls
    fresh = tableau.noise.shape[1]
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
    scale = np.maximum(np.abs(p), np.abs(q))  # stored values go without this factor, which saves a pass
    updates: list[Update] = []
    earlier: set[Key] = set()  # noises of earlier calls
    for i in range(n):
        anchor, rest = _anchored(rows[i], rows[i + 1], n)
        now = float(rest[1 + i])
        rest[1 + i] = 0.0
        rest[1 : 1 + n] *= scale
        past = tuple((keys[m], float(rest[m])) for m in np.flatnonzero(rest))
        fresh = tuple(key for key, _ in past if key[0] == "noise" and key not in earlier)
        earlier.update(fresh)
        updates.append(Update(float(anchor + p[i] * now), float(q[i] * now), past, fresh=fresh))
    return _with_memory(updates, p / scale, q / scale)


def _with_memory(updates: list[Update], p: np.ndarray, q: np.ndarray) -> list[Update]:
    """The updates with the values that each stores and drops: a value lives from its call to its last use."""
    units: dict[Key, float] = {}
    backwards = []
    for i, update in reversed(list(enumerate(updates))):
        keeps: list[tuple[Key, float, float]] = []
        if ("output", i) in units:
            unit = units["output", i]
            keeps.append((("output", i), float(p[i]) * unit, float(q[i]) * unit))
        if i == 0 and START in units:
            keeps.append((START, units[START], 0.0))
        last = [key for key, _ in update.past if key not in units]
        # a noise may belong to the caller and is never overwritten; an output that takes a sum to store comes last
        writable = [key for key in last if key[0] != "noise"]
        onto = min(writable, key=lambda key: key[0] == "output" and bool(p[key[1]] and q[key[1]]), default=None)
        weights = dict(update.past)
        units |= {key: weights[key] if key == onto else 1.0 for key in last}
        past = tuple((key, weight / units[key]) for key, weight in update.past if key != onto)
        drops = tuple(key for key in last if key != onto)
        backwards.append(Update(update.state, update.output, past, onto, update.fresh, tuple(keeps), drops))
    return backwards[::-1]


def _anchored(before: np.ndarray, row: np.ndarray, n: int) -> tuple[float, np.ndarray]:
    """``row`` as a multiple of the state before it and a rest, or the whole row where that is no gain."""
    fixed = np.append(0, np.arange(1 + n, len(row)))  # y_0 and noises, which only the state before carries
    largest = fixed[np.argmax(np.abs(before[fixed]))]
    if not before[largest]:
        return 0.0, row.copy()
    anchor = float(row[largest] / before[largest])
    rest = row - anchor * before
    size = np.abs(row).max()
    rest[np.abs(rest) <= ROUNDING * size] = 0.0
    gains = np.count_nonzero(rest) < np.count_nonzero(row) or abs(anchor) <= 1
    cancels = np.abs(anchor * before).max() > CANCELLING * size
    return (anchor, rest) if gains and not cancels else (0.0, row.copy())


def tail(tableau: Tableau, process: Process, begin: int) -> Tableau:
    """The tableau of calls ``begin`` … N−1 alone, for a run that starts from a state y_b at ``times[begin]``.

    Earlier outputs are replaced by the network's first output here, the start state and earlier noises by their
    regression on y_b: a multistep solver thus begins at first order.

    >>> from fewstep import compile, processes, solvers
    >>> process = processes.VPLinear()
    >>> tail(compile(solvers.named("dpmpp-2m").schedule(process, nfe=8)), process, 5).calls
    3
    """
    if begin == 0:
        return tableau
    alpha = float(process.alpha(tableau.times[0]))
    variance = float(process.sigma(tableau.times[0])) ** 2
    c = tableau.start
    outputs = tableau.outputs
    noise = tableau.noise
    past = np.any(noise[:begin], axis=0)  # noises that are in y_b already
    # y_b = mean·D_b + deviation; the deviation's share of y_0 and of each past z is its regression on y_b
    mean = c[begin - 1] * alpha + outputs[begin - 1].sum()
    total = c[begin - 1] ** 2 * variance + (noise[begin - 1, past] ** 2).sum()
    from_start = c[begin - 1] * variance / total if total else 0.0
    from_noise = noise[begin - 1, past] / (total or 1.0)
    start = c[begin:] * from_start + noise[begin:, past] @ from_noise
    later = outputs[begin:, begin:].copy()
    later[:, 0] += outputs[begin:, :begin].sum(1) + c[begin:] * alpha - start * mean
    guidance = None if tableau.guidance is None else tableau.guidance[begin:]
    return Tableau(tableau.times[begin:], tableau.network_times[begin:], start, later, noise[begin:, ~past], guidance)
