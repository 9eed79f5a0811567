"""Guidance call by call, for a bound of passes: which calls go without guidance, at which times, at which scales.

A call at scale 1 takes a pass less. So many calls keep guidance as the bound allows; a pattern says which. Every
pattern is placed by replay, whose dictionary has the model's outputs without guidance beside the guided ones, for no
network call; the first of these have rows fitted and measured crosswise (`fewstep.search.optimize.fit.cross_fit`).
Later generations change the best ones: a call gives its guidance to another, or the guided calls take another scale.
Rows make up for a part of what a call without guidance lacks, out of the calls that have it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from fewstep import Schedule, Step
from fewstep.search.budget import Share
from fewstep.search.evaluation.guidance import UNGUIDED, contrast_calls, follow_both
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.optimize import replay
from fewstep.search.optimize.fit import ORDER
from fewstep.search.stages import cross_fit
from fewstep.search.state import Batch, SearchState
from fewstep.trajectory import Trajectories
from fewstep.values.trial import Trial

__all__ = ["NAME", "cost", "propose"]

NAME = "guidance"
FEW = 8  # noises of the replay
GENERATION = 4  # candidates of one
MOST = 16  # candidates
SHARE = 0.2  # of the calls that are left, where a polish is to follow: as many as cross-fitted times would take
PATTERNS = 256  # that are placed
FACTORS = (1.0, 1.5, 2.0)  # of the scales of guided calls, counted from 1
PARENTS = 2


def cost(state: SearchState, left: Share) -> Share:
    """As many candidates as there is room for; nothing where passes are not bounded."""
    if not state.bounded:
        return Share(0, 0)
    fixed, each = contrast_calls(_few(state).count), cross_fit.calls(state)
    room = left.calls * SHARE if state.problem.sizes.starts else left.calls
    most = int(min(MOST, max(left.trials, 0), max(room - fixed, 0) // each))
    return Share(most, fixed + most * each if most else 0)


def propose(state: SearchState) -> Iterator[Batch]:
    """Generations of cross-fitted candidates; the first is what replay ranks first."""
    count = state.budget.share(NAME).trials
    if count <= 0:
        return
    noises = _few(state)
    trajectories, made = state.pool.submit(follow_both, state.owner, noises).result()
    state.budget.spend(NAME, contrast_calls(noises.count), made=made)
    ahead = _placed(state, trajectories, _patterns(state.problem.nfe, state.guided_calls))
    seen = set[tuple[float, ...]]()
    while count > 0:
        chosen = [point for point in ahead if point[0] not in seen][: min(GENERATION, count)]
        if not chosen:
            return
        seen |= {scales for scales, _ in chosen}
        starts = [_schedule(state, *point) for point in chosen]
        count -= len(starts)

        def make(starts: list[Schedule] = starts) -> list[cross_fit.Outcome]:
            return cross_fit.measured(state, starts, NAME)

        yield Batch(len(starts), make, early_stopping=False)
        ahead = _children(state, trajectories, seen) + ahead


Point = tuple[tuple[float, ...], np.ndarray]
"""Scales (N,) as amounts (`fewstep.search.optimize.replay`), and log λ-gaps (N,)."""


def _few(state: SearchState) -> NoiseSet:
    train = state.split.train
    return replace(train, count=min(FEW, train.count))


def _schedule(state: SearchState, amounts: tuple[float, ...], logits: np.ndarray) -> Schedule:
    own = state.guidance.own if state.guidance else UNGUIDED
    scales = tuple(UNGUIDED + (own - UNGUIDED) * amount for amount in amounts)
    return replace(state.space.build(logits, [Step(order=ORDER)] * state.space.nfe), guidance=scales)


@lru_cache(maxsize=8)
def _patterns(nfe: int, guided: int) -> tuple[tuple[float, ...], ...]:
    """Which calls are guided (1) and which are not (0): all patterns, or where these are too many the intervals, those
    that are evenly spread and random ones."""
    if comb(nfe, guided) <= PATTERNS:
        chosen = list(combinations(range(nfe), guided))
    else:
        rng = np.random.default_rng(0)
        chosen = [tuple(range(first, first + guided)) for first in range(nfe - guided + 1)]
        chosen.append(tuple(int(i * nfe / guided) for i in range(guided)))
        while len(chosen) < PATTERNS:
            chosen.append(tuple(sorted(rng.choice(nfe, guided, replace=False).tolist())))
    return tuple(dict.fromkeys(tuple(float(i in calls) for i in range(nfe)) for calls in chosen))


def _placed(state: SearchState, trajectories: Trajectories, patterns: Sequence[tuple[float, ...]]) -> list[Point]:
    """Each pattern on the best times that replay finds from the even grids, at each scale; of lowest loss first."""
    even = state.space.even
    starts, amounts = np.tile(even, (len(patterns), 1)), np.repeat(np.array(patterns), len(even), axis=0)
    places = replay.place(trajectories, starts, amounts)
    losses = replay.loss(trajectories, places, amounts).reshape(len(patterns), len(even))
    best = places.reshape(len(patterns), len(even), -1)[np.arange(len(patterns)), losses.argmin(1)]
    order = np.argsort(losses.min(1), kind="stable")
    return [(patterns[i], best[i]) for i in order]


def _children(state: SearchState, trajectories: Trajectories, seen: set[tuple[float, ...]]) -> list[Point]:
    """Changes of the best candidates so far, placed by replay from their parents' times: half swaps, half scales."""
    measured = sorted((t for t in state.of(NAME) if t.score), key=_value)
    points = list[Point]()
    for trial in measured[:PARENTS]:
        amounts = _amounts(state, trial.schedule)
        swapped = [each for each in _swaps(amounts) if each not in seen]
        scaled = [each for each in _scales(amounts) if each not in seen]
        logits = state.space.logits(trial.schedule)
        ranked = list[Point]()
        for group in (scaled, swapped):
            if group:
                table = np.array(group)
                places = replay.place(trajectories, np.tile(logits, (len(group), 1)), table)
                i = int(np.argmin(replay.loss(trajectories, places, table)))
                # at larger scales replay's places leave the parent's, whose rows have been measured
                ranked.append((group[i], places[i] if group is swapped else logits))
        points += ranked
    return points


def _amounts(state: SearchState, schedule: Schedule) -> tuple[float, ...]:
    own = state.guidance.own if state.guidance else UNGUIDED
    return tuple(round((scale - UNGUIDED) / (own - UNGUIDED), 6) for scale in schedule.guidance or ())


def _swaps(amounts: tuple[float, ...]) -> list[tuple[float, ...]]:
    """All in which one guided call gives its guidance to one without."""
    swaps = []
    for i, j in combinations(range(len(amounts)), 2):
        if (amounts[i] == 0.0) != (amounts[j] == 0.0):
            swapped = list(amounts)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            swaps.append(tuple(swapped))
    return swaps


def _scales(amounts: tuple[float, ...]) -> list[tuple[float, ...]]:
    """The same calls guided, at other scales."""
    return [tuple(factor * float(amount > 0.0) for amount in amounts) for factor in FACTORS]


def _value(trial: Trial) -> float:
    return trial.score.value if trial.score else np.inf
