"""Random schedules with measured errors, for judging rankers; errors are cached in var/benchmarks.

A cache file holds one error for each schedule's digest, and is named after what else decides it: the model's digest,
the number and seed of the noises, the teacher's calls. Delete them where sampling itself has changed.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fewstep import Schedule, grids, models, sample, solvers
from fewstep.search.evaluation import teacher
from fewstep.search.samplers import operators as proposals
from fewstep.search.space import Space
from fewstep.trajectory import Trajectories
from fewstep.values.origin import Origin
from fewstep.values.score import Score
from fewstep.values.trial import Candidate, Trial

__all__ = ["NOISES", "draw", "measure", "trajectories", "trials"]

GRID_WIDTH = 0.5  # standard deviation of the log λ-gaps round a named grid
FOLLOWED, NOISES, TEACHER_CALLS = 24, 128, 200
FOLDER = Path("var/benchmarks/trials")
SAVED_EVERY = 20  # measurements; an interrupted run loses at most so many


def draw(space: Space, count: int, seed: int) -> list[Schedule]:
    """Random schedules: every choice uniform, times scattered round the named grids in turn."""
    rng, solver = np.random.default_rng(seed), solvers.named("ddim")
    centres = [space.logits(solver.schedule(space.process, space.nfe, grid)) for grid in grids.EVEN]
    return [
        space.build(
            centres[i % len(centres)] + rng.normal(0, GRID_WIDTH, space.nfe),
            list(proposals.uniform(space, rng).steps),
        )
        for i in range(count)
    ]


def trials(model: str, nfe: int, count: int) -> list[Trial]:
    """``count`` drawn and measured trials of a zoo model; more of them begin with the same."""
    space = Space(models.zoo.load(model).process, nfe)
    return measure(model, draw(space, count, seed=nfe), seed=1)


def measure(model: str, schedules: Sequence[Schedule], seed: int) -> list[Trial]:
    """A trial of each schedule: root mean square distance to the teacher's ends, on noises of that seed."""
    about = models.zoo.describe(model)
    path = FOLDER / f"{model}-{about.digest[:12]}-{NOISES}-noises-{seed}-teacher-{TEACHER_CALLS}.json"
    errors: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    missing = [schedule for schedule in schedules if schedule.digest not in errors]
    if missing:
        denoiser = models.zoo.load(model)
        noise = torch.randn(NOISES, *about.shape, generator=torch.Generator().manual_seed(seed))
        ends = teacher.ends(denoiser, noise.double(), TEACHER_CALLS)
        for i, schedule in enumerate(missing):
            errors[schedule.digest] = float((sample(denoiser, schedule, noise) - ends).square().mean().sqrt())
            if i % SAVED_EVERY == 0 or schedule is missing[-1]:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".part")
                partial.write_text(json.dumps(errors))
                partial.replace(path)
    return [
        Trial(i, Candidate(s, Origin("guided", "random")), Score(errors[s.digest], 0.0, NOISES, NOISES * s.nfe))
        for i, s in enumerate(schedules)
    ]


def trajectories(model: str, seed: int = 2) -> Trajectories:
    """The teacher's trajectories in double precision, on noises of that seed."""
    shape = models.zoo.describe(model).shape
    noise = torch.randn(FOLLOWED, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return teacher.follow(models.zoo.load(model), noise)
