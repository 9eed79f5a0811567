"""Gradient polish: times, network times and rows of a schedule, moved together through the sampler by descent.

The loss is a distance to the teacher's targets on batches of the search's noises. Adam, its rate rising and falling
once, moves the free numbers of `fewstep.search.optimize.relaxed`. What counts is the moving average of its iterates
(Polyak and Juditsky 1992): single ones jump with their batches. The work comes in chunks of iterations, each a function
of the task and of the state before it, so that a polish can be followed, cancelled, and taken up where it was broken
off. After every chunk the average is measured on judging noises, in a search those that move it; one that went astray
goes back. Gradients of a batch are made in parts where memory is short, and summed up. Of several tasks of which few
are kept, the others end after the first part of the way. The result is the average with the lowest error, kept only
where that is lower than the error that the polish began with.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from fewstep import Schedule
from fewstep.errors import FewstepError, InvalidInput, InvalidSchedule, UnknownName
from fewstep.models.memory import out_of_memory
from fewstep.sampling import guidance
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import Pool
from fewstep.search.metrics.base import value_of
from fewstep.search.optimize import adam
from fewstep.search.optimize.losses import LOSSES, SMALLEST
from fewstep.search.optimize.relaxed import Call, Free, Relaxed, walk
from fewstep.values.objective import Objective

__all__ = [
    "CHUNK",
    "FRAMED",
    "PolishFailed",
    "Polished",
    "State",
    "TRIED",
    "Task",
    "advance",
    "begin",
    "iteration",
    "polish",
]

CHUNK = 20  # iterations between two looks at the judging noises
PATIENCE = 4  # chunks without a better state after which it ends, in the last third
WARM = 0.1  # share of the iterations in which the rate rises
RATES = {"gaps": 0.0225, "offsets": 0.045, "rows": 0.15}  # at the peak, in units of the error to begin with
AVERAGED = 0.95  # share of the old average in the new one, once there are iterates enough
TRIED = 0.2  # of the iterations, after which the worse of several tasks end
ASTRAY = 1.5  # times the lowest error so far: from there it goes back to that state, at half the rates
SPREAD = 1.5  # of the errors, about: so much larger is their root mean square than their median
LARGEST = 0.2  # error, beside the data's size, that sets the rates
BETAS = (0.9, 0.99)
CLIP, SHORTEST = 1.0, 1e-6  # longest gradient; added to its length
FRAMED = 128  # noises that the coordinates of the rows are after from
WIDE = 2**20  # numbers in the states of a batch on its way; a wider batch is called a second time going back

Slopes = tuple[torch.Tensor, ...]
State = dict[str, torch.Tensor]
"""Everything that the next chunk needs: free numbers, their moments, coordinates, the best so far, counts."""


@dataclass(frozen=True)
class Task:
    """What to polish, on which ``noises`` (moved on) and ``judge`` (measured on), with how many ``iterations``; ``by``
    is the paired error that is measured there.

    Raises `UnknownName` for a loss that is not in `fewstep.search.optimize.losses.LOSSES`.
    """

    schedule: Schedule
    noises: NoiseSet
    judge: NoiseSet
    iterations: int
    batch: int = 8
    loss: str = "robust"
    by: str = "typical"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UnknownName("loss", self.loss, LOSSES)

    @property
    def key(self) -> str:
        """Identity of the work in a cache."""
        content = repr((self.schedule.digest, replace(self, schedule=None), RATES, CHUNK))  # type: ignore[arg-type]
        return hashlib.sha256(content.encode()).hexdigest()


class PolishFailed(FewstepError):
    """A task of a polish failed; the message says why."""


class Polished(NamedTuple):
    """The best schedule, None where none was better than the task's own; its error on the judging noises and the
    task's own; iterations done and network calls spent."""

    schedule: Schedule | None
    error: float
    before: float
    iterations: int
    calls: int


def polish(
    pool: Pool,
    tasks: Sequence[Task],
    progress: Callable[[int, int], None] = lambda done, total: None,
    keep: int | None = None,
) -> list[Polished]:
    """Polish each task's schedule, side by side where the pool has slots for it; deterministic for any number of them.

    With ``keep`` only so many go beyond the first fifth of their iterations, those of the lowest error there.

    ``progress`` gets (iterations done, of all) after every chunk; an exception that it raises ends the work. Raises
    `PolishFailed` where a task fails.
    """
    states = [_outcome(future) for future in [pool.submit(begin, task) for task in tasks]]
    total = sum(task.iterations for task in tasks)
    while busy := [i for i in _kept(tasks, states, keep) if not _ended(tasks[i], states[i])]:
        for i, future in [(i, pool.submit(advance, tasks[i], states[i])) for i in busy]:
            states[i] = _outcome(future)
        progress(min(sum(int(state["done"]) for state in states), total - 1), total)
    progress(total, total)
    return [_result(task, state) for task, state in zip(tasks, states, strict=True)]


def _outcome(future: Future[State]) -> State:
    try:
        return future.result()
    except InvalidInput:  # the task's own fault, not the model's
        raise
    except Exception as error:
        reason = "the device has no memory for the gradient of a single sample" if out_of_memory(error) else str(error)
        raise PolishFailed(reason.splitlines()[0][:200] if reason else type(error).__name__) from error


def _kept(tasks: Sequence[Task], states: Sequence[State], keep: int | None) -> list[int]:
    """The tasks that go on: all, until each has come the first part of its way."""
    every = list(range(len(tasks)))
    early = (int(state["done"]) < TRIED * task.iterations for task, state in zip(tasks, states, strict=True))
    if keep is None or any(early):
        return every
    return sorted(sorted(every, key=lambda i: (float(states[i]["error"]), i))[:keep])


def begin(evaluator: Evaluator, task: Task) -> State:
    """The state before the first iteration, for (judging noises + at most 128)·nfe network calls."""

    def make() -> State:
        frame = replace(task.noises, count=min(FRAMED, task.noises.count))
        parts = frame.blocks(evaluator.at_once(task.schedule.nfe + 3))
        walks = ((evaluator.under(part), part.draw(evaluator.shape).to(evaluator.device)) for part in parts)
        relaxed = Relaxed.along(task.schedule, walks)
        free = relaxed.free()
        state = {"frames": relaxed.frames, "done": torch.tensor(0), "stale": torch.tensor(0)}
        for name, values in free._asdict().items():
            state |= {name: values, f"best {name}": values.clone(), f"average {name}": values.clone()}
            state |= {f"mean {name}": torch.zeros_like(values), f"square {name}": torch.zeros_like(values)}
        error, middle = _judged(evaluator, task, task.schedule)
        if task.loss == "features":
            middle = torch.ones_like(middle)  # in units of the features, whatever they are
        calls = (frame.count + task.judge.count) * task.schedule.nfe
        size = torch.tensor(evaluator.size(task.noises, teacher.CALLS), dtype=torch.float64).clamp_min(1e-12)
        unit = (SPREAD * middle.sqrt() / size).clamp(max=LARGEST)
        numbers = {"before": error, "error": error.clone(), "unit": unit, "middle": middle}
        return state | numbers | {"calls": torch.tensor(calls)}

    return evaluator.cached("polish", f"{task.key}/0", make)


def advance(evaluator: Evaluator, task: Task, state: State) -> State:
    """The state one chunk of iterations later.

    Costs an `iteration` each, and a look at the judging noises. Where a batch is wide, N − 1 forward calls are after a
    second time, so that memory does not grow with N. Raises `InvalidInput` for the loss "features" where the evaluator
    has none.
    """
    return evaluator.cached("polish", f"{task.key}/{int(state['done'])}+", lambda: _advance(evaluator, task, state))


def iteration(batch: int, nfe: int, size: int) -> int:
    """Sample-calls of an iteration on samples of ``size`` numbers: N forward and N − 1 backward for each noise, since
    the first call has nothing to move; N − 1 forward more where the batch is wide.

    >>> iteration(32, 5, 64), iteration(32, 5, 3 * 256 * 256)
    (288, 416)
    """
    return batch * (2 * nfe - 1 + (nfe - 1) * _wide(batch, nfe, size))


def _wide(batch: int, nfe: int, size: int) -> bool:
    return batch * nfe * size > WIDE


def _advance(evaluator: Evaluator, task: Task, state: State) -> State:
    batch, nfe, size = min(task.batch, task.noises.count), task.schedule.nfe, math.prod(evaluator.shape)
    wide = _wide(batch, nfe, size)
    relaxed = Relaxed.at(task.schedule, state["frames"])
    free = Free(*(state[name].clone().requires_grad_(True) for name in Free._fields))
    named = free._asdict()
    moments = {name: adam.Moments(state[f"mean {name}"], state[f"square {name}"]) for name in named}
    averages = {name: state[f"average {name}"].clone() for name in named}
    done, until = int(state["done"]), min(int(state["done"]) + CHUNK, task.iterations)
    for k in range(done, until):
        picks = _picks(task, k)

        def slopes(part: slice, picks: torch.Tensor = picks, progress: float = k / task.iterations) -> Slopes:
            """Of the part's share of the loss, a mean over the batch."""
            chosen = picks[part]
            denoiser = evaluator.under(task.noises, chosen.tolist())
            calls: Sequence[Call] = guidance.denoisers(denoiser, task.schedule)
            if wide:
                calls = [partial(_checkpointed, each) for each in calls]
            noise, ends = evaluator.picked(task.noises, chosen.tolist(), teacher.CALLS)
            samples = walk(calls, relaxed.numbers(free), denoiser.process.prior_std * noise)[0]
            compared = _compared(evaluator, task, samples, ends)
            loss = LOSSES[task.loss](*compared, float(state["middle"]), progress)
            share = len(chosen) / len(picks)
            return torch.autograd.grad(share * loss, list(free), materialize_grads=True)

        parts = evaluator.backward.over(len(picks), slopes)
        gradients = [torch.stack(each).sum(0).nan_to_num(0.0, 0.0, 0.0) for each in zip(*parts, strict=True)]
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
        rate = float(state["unit"]) * _rate(k / task.iterations)
        old = min(AVERAGED, (k + 1) / (k + 10))
        for (name, values), gradient in zip(named.items(), gradients, strict=True):
            shorter = gradient * min(CLIP / (norm + SHORTEST), 1.0)
            moments[name] = adam.step(values, shorter, moments[name], k + 1, rate * RATES[name], BETAS)
            averages[name].lerp_(values.detach(), 1 - old)
    spent = (until - done) * iteration(batch, nfe, size) + task.judge.count * nfe
    after = state | {"done": torch.tensor(until), "stale": state["stale"] + 1, "calls": state["calls"] + spent}
    for name, values in named.items():
        after |= {name: values.detach(), f"mean {name}": moments[name].mean, f"square {name}": moments[name].square}
        after |= {f"average {name}": averages[name]}
    try:
        error = _judged(evaluator, task, relaxed.build(Free(*(averages[name] for name in Free._fields))))[0]
    except InvalidSchedule:  # times that met, or numbers that left the range
        error = torch.tensor(torch.inf, dtype=torch.float64)
    if error < state["error"]:
        after |= {"error": error, "stale": torch.tensor(0)}
        after |= {f"best {name}": averages[name].clone() for name in Free._fields}
    elif error > ASTRAY * state["error"]:
        after |= {"unit": state["unit"] / 2}
        for name in Free._fields:
            after |= {each: state[f"best {name}"].clone() for each in (name, f"average {name}")}
        after |= {key: torch.zeros_like(after[key]) for key in after if key.startswith(("mean ", "square "))}
    return after


def _checkpointed(call: Call, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = checkpoint(call, x, t, use_reentrant=False)
    return output


def _picks(task: Task, k: int) -> torch.Tensor:
    """The batch of iteration k: every noise in turn, in a new order every round; the same whatever was done before."""
    each = max(task.noises.count // task.batch, 1)
    draw = torch.Generator().manual_seed(task.seed * 1_000_003 + k // each)
    order = torch.randperm(task.noises.count, generator=draw)
    return order[k % each * task.batch :][: task.batch]


def _rate(progress: float) -> float:
    if progress < WARM:
        return 0.1 + 0.9 * progress / WARM
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM) / (1 - WARM)))


def _compared(
    evaluator: Evaluator, task: Task, samples: torch.Tensor, ends: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    if task.loss != "features":
        return samples, ends
    if evaluator.features is None:
        raise InvalidInput("the loss 'features' wants an evaluator with features, for instance a classifier's")
    return evaluator.features(samples), evaluator.features(ends)


def _judged(evaluator: Evaluator, task: Task, schedule: Schedule) -> tuple[torch.Tensor, torch.Tensor]:
    """The error on the judging noises, infinite where it diverges, and the median of the squared errors."""
    errors = evaluate.measure(evaluator, task.judge, schedule)
    error = value_of(evaluator.metric(Objective(task.by)), errors[:, None])
    middle = max(float(np.median(errors)), SMALLEST)
    return torch.tensor(error, dtype=torch.float64), torch.tensor(middle, dtype=torch.float64)


def _ended(task: Task, state: State) -> bool:
    done = int(state["done"])
    return done >= task.iterations or (3 * done >= 2 * task.iterations and int(state["stale"]) >= PATIENCE)


def _result(task: Task, state: State) -> Polished:
    relaxed = Relaxed.at(task.schedule, state["frames"])
    better = bool(state["error"] < state["before"])
    schedule = relaxed.build(Free(*(state[f"best {name}"] for name in Free._fields))) if better else None
    return Polished(schedule, float(state["error"]), float(state["before"]), int(state["done"]), int(state["calls"]))
