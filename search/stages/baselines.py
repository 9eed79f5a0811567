"""The hand-made competition: every deterministic solver on every grid, with and without lowering the last orders.

And, once it is known which solvers do best, those on the grids that were measured on the model.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

import fewstep
from fewstep import Schedule, grids, solvers
from fewstep.grids.arc_length import BLEND, ArcLength
from fewstep.processes import Process
from fewstep.values.trial import Trial

__all__ = ["BY_HAND", "GRID", "SOLVER", "along", "baselines", "on_arc", "varied"]

BY_HAND = "baseline"  # first word of the origin of every trial of these
SOLVER, GRID = 0, 1  # words of their names
BLENDS = {"score-optimal": 1.0, "score-blend": BLEND}


def baselines(process: Process, nfe: int) -> dict[str, Schedule]:
    """Name -> schedule of exactly ``nfe`` calls, without doubles: all solvers made for such a process, on its grids.

    A name reads "solver grid", with "full-order" where the last orders stay. Of solvers that come to the same numbers
    the first is named.

    >>> from fewstep import processes
    >>> list(baselines(processes.VPLinear(), 1))[0]
    'ddim logsnr'
    """
    found: dict[str, Schedule] = {}
    seen: set[bytes] = set()
    for name in solvers.names():
        solver = solvers.named(name)
        if solver.stochastic or not solver.applies(process):
            continue
        for grid in grids.suitable(process):
            for lower, suffix in ((True, ""), (False, " full-order")):
                schedule = solver.schedule(process, nfe, grid, lower)
                tableau = fewstep.compile(schedule)
                numbers = np.concatenate([tableau.times, tableau.start, tableau.outputs.ravel()])
                same = (np.round(numbers, 9) + 0.0).tobytes()
                if same not in seen:
                    seen.add(same)
                    found[f"{name} {grid}{suffix}"] = schedule
    return found


def varied(names: Sequence[str], word: int, count: int) -> list[str]:
    """``count`` of the names, the first ones of every solver or of every grid (``word``) before others of the same.

    >>> varied(["ddim time", "ddim edm", "deis-2 time", "deis-2 edm"], SOLVER, 3)
    ['ddim time', 'deis-2 time', 'ddim edm']
    """
    firsts = list({name.split()[word]: name for name in reversed(names)}.values())[::-1]
    return sorted(names, key=lambda name: (name not in firsts, names.index(name)))[:count]


def on_arc(arc: ArcLength, nfe: int, trials: Sequence[Trial], most: int) -> dict[str, Schedule]:
    """Name -> schedule, ``most`` at most: the solvers that did best by hand, on the score-optimal grid and its blend.

    The last orders are lowered, for the last step of these grids is long. ``trials`` are those of `baselines`.

    >>> from fewstep import processes
    >>> from fewstep.values.trial import Candidate
    >>> from fewstep.values.origin import Origin
    >>> from fewstep.values.score import Score
    >>> process = processes.VPLinear()
    >>> arc = ArcLength(process, "corrector", np.linspace(-5, 4.6, 101), np.linspace(0, 2, 101))
    >>> by_hand = solvers.named("ddim").schedule(process, 4)
    >>> candidate = Candidate(by_hand, Origin("baselines", "ddim logsnr"))
    >>> trial = Trial(0, candidate, Score(0.1, 0.01, noises=8, calls=32))
    >>> list(on_arc(arc, 4, [trial], most=8))
    ['ddim score-optimal', 'ddim score-blend']
    """
    scored = sorted(
        (t.score.value, t.number, t.origin.name) for t in trials if t.score and t.origin.stage == "baselines"
    )
    best = dict.fromkeys(name.split()[0] for *_, name in scored)
    return dict(islice(along(arc, nfe, best), most))


def along(arc: ArcLength, nfe: int, names: Iterable[str]) -> Iterator[tuple[str, Schedule]]:
    """Names and schedules of the named solvers on the score-optimal grid and its blend, the last orders lowered."""
    for name in names:
        for grid, blend in BLENDS.items():
            made = solvers.named(name).schedule(arc.process, nfe, arc.grid(blend), True)
            yield f"{name} {grid}", made.canonical()
