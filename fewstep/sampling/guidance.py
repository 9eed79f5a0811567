"""Guidance call by call: the denoiser of each call of a schedule, and the network passes that the calls take."""

from fewstep.errors import InvalidInput
from fewstep.models.base import Denoiser
from fewstep.schedule import Schedule, compile
from fewstep.tableau import Tableau

__all__ = ["denoisers", "passes_per_sample"]


def denoisers(denoiser: Denoiser, schedule: Schedule | Tableau) -> list[Denoiser]:
    """The denoiser of each call: N times the same where the schedule sets no guidance, else one for each scale.

    Raises `InvalidInput` where the schedule sets a guidance that the denoiser does not have.

    >>> from dataclasses import replace
    >>> from fewstep import models, solvers
    >>> model = models.zoo.load("digits-cond")
    >>> schedule = replace(solvers.named("ddim").schedule(model.process, nfe=3), guidance=(1.0, 3.0, 1.0))
    >>> [each.guidance for each in denoisers(model, schedule)]
    [1.0, 3.0, 1.0]
    """
    tableau = schedule if isinstance(schedule, Tableau) else compile(schedule)
    if tableau.guidance is None:
        return [denoiser] * tableau.calls
    scales: list[float] = tableau.guidance.tolist()
    try:
        by_scale = {scale: denoiser.guided(scale) for scale in dict.fromkeys(scales)}
    except InvalidInput as error:
        raise InvalidInput(f"the schedule sets the guidance of each call, to {scales}: {error}") from error
    return [by_scale[scale] for scale in scales]


def passes_per_sample(denoiser: Denoiser, schedule: Schedule | Tableau) -> int:
    """Network passes of one sampling run for one sample: those of every call at its guidance scale.

    Raises `InvalidInput` as `denoisers` does.

    >>> from dataclasses import replace
    >>> from fewstep import models, solvers
    >>> model = models.zoo.load("digits-cond")
    >>> schedule = solvers.named("ddim").schedule(model.process, nfe=3)
    >>> passes_per_sample(model, schedule), passes_per_sample(model, replace(schedule, guidance=(1.0, 3.0, 1.0)))
    (6, 4)
    """
    return sum(each.passes for each in denoisers(denoiser, schedule))
