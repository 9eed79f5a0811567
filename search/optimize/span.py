"""Out-of-span share: how much of a schedule's error no coefficients could remove.

A schedule ends in the span of (y_0, D_0, …, D_{N−1}) of its own path. For each sample alone the teacher's target is
projected on its span: an oracle that knows the target and chooses coefficients for this sample, which no schedule can.
Where its typical error is near that of the schedule, better coefficients cannot pay: other times, another model or more
calls can.
"""

import numpy as np
import torch

import fewstep
from fewstep import Schedule
from fewstep.sampling import guidance
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.paired import Typical, squared_distances
from fewstep.search.optimize.relaxed import Numbers, walk

__all__ = ["out_of_span"]


@torch.no_grad()
def out_of_span(evaluator: Evaluator, noises: NoiseSet, count: int, schedule: Schedule) -> float | None:
    """The oracle's typical error over the schedule's on the first ``count`` noises, from 0 to 1.

    None for schedules with fresh noise and where a path diverges. Costs count·nfe network calls.
    """
    tableau = fewstep.compile(schedule)
    if tableau.noise.any() or schedule.shift is not None:
        return None
    rows = torch.from_numpy(np.column_stack([tableau.start, tableau.outputs]))
    numbers = Numbers(torch.tensor(tableau.times), torch.tensor(tableau.network_times), rows)
    oracles, errors = [], []
    size = evaluator.at_once(tableau.calls + 1)
    for picks in (range(first, min(first + size, count)) for first in range(0, count, size)):
        noise, targets = evaluator.picked(noises, picks, teacher.CALLS)
        denoiser = evaluator.under(noises, picks)
        last, basis = walk(guidance.denoisers(denoiser, tableau), numbers, denoiser.process.prior_std * noise)
        spans = torch.stack([each.flatten(1) for each in basis], 2).cpu().double()  # (n, d, N+1)
        ends = targets.flatten(1).cpu().double()[..., None]  # (n, d, 1)
        if not bool(spans.isfinite().all()):
            return None
        nearest = spans @ torch.linalg.lstsq(spans, ends, driver="gelsd").solution
        oracles.append((nearest - ends).square().mean((1, 2)).numpy())
        errors.append(squared_distances(last, targets))
    oracle, error = (Typical().value(np.concatenate(each)[:, None]) for each in (oracles, errors))
    return min(oracle / error, 1.0) if error > 0 else None
