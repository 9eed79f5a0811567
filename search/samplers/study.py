"""The Optuna study of a search, in memory: ask and tell for one problem, whatever sampler proposes.

What is asked for next depends on the seed and on the trials told so far, in their order, and on nothing else: not on
how many workers measured them. So a study can be rebuilt from its trials at any time.
"""

import contextlib
from collections.abc import Sequence

import optuna
from optuna.trial import TrialState, create_trial

from fewstep.errors import UnknownName
from fewstep.search.samplers.evolution import Evolution
from fewstep.search.samplers.guided import Exhausted, Guided, Proposal
from fewstep.search.samplers.optuna import OPTUNA, OptunaSampler, ProposingSampler
from fewstep.search.space import Space
from fewstep.values.problem import SAMPLERS
from fewstep.values.trial import Rank, Trial

__all__ = ["Proposal", "Study"]

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """Ask and tell for one problem. Trials are numbered from 0; those added by hand come first.

    ``sampler`` is one of `fewstep.values.problem.SAMPLERS`; only "guided" asks ``rank`` and works in generations of
    ``batch``. Raises `UnknownName`.
    """

    def __init__(self, space: Space, rank: Rank, batch: int, seed: int, sampler: str = "guided") -> None:
        if sampler not in SAMPLERS:
            raise UnknownName("sampler", sampler, SAMPLERS)
        self.trials: list[Trial] = []
        self._space, self._remembers = space, sampler not in OPTUNA
        self._sampler: ProposingSampler | OptunaSampler
        if sampler in OPTUNA:
            self._sampler = OptunaSampler(space, sampler, self.trials, seed)
        elif sampler == "evolution":
            self._sampler = ProposingSampler(space, Evolution(space, self.trials, seed))
        else:
            self._sampler = ProposingSampler(space, Guided(space, rank, self.trials, batch, seed))
        self._study = optuna.create_study(sampler=self._sampler)

    def add(self, trial: Trial) -> None:
        """Take a trial that was not asked for; one outside the space only counts, for there is nothing to vary."""
        value, held = None if trial.score is None else trial.score.value, self._space.holds(trial.schedule)
        self._study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if held and value is not None else TrialState.FAIL,
                params=self._space.encode(trial.schedule) if held else {},
                distributions=self._sampler.distributions if held else {},
                value=value if held else None,
            )
        )
        self.trials.append(trial)

    def ask(self, count: int) -> list[Proposal]:
        """The next ``count`` proposals, numbered on from the trials so far; fewer where the space is used up."""
        numbers = []
        with contextlib.suppress(Exhausted):
            for _ in range(count):
                numbers.append(self._study.ask(self._sampler.distributions).number)
        return [self._sampler.drawn[number] for number in numbers]

    def tell(self, trials: Sequence[Trial]) -> None:
        """The outcomes of everything that the last `ask` proposed, in the order of their numbers."""
        for trial in trials:
            asked = self._sampler.drawn.pop(trial.number)
            if trial.score is None or trial.schedule != asked.schedule:
                self._study.tell(trial.number, state=TrialState.FAIL)
            else:
                self._study.tell(trial.number, trial.score.value)
            self.trials.append(trial)

    def resume(self, trials: Sequence[Trial]) -> None:
        """Take what an earlier run was told after one `ask`: the study then goes on as that run would have.

        Our proposers know all from the trials. Optuna's samplers remember more than that, so they are asked again;
        where another version proposes other schedules, the old ones still count, but it learns nothing from them.
        """
        if not self._remembers:
            self.ask(len(trials))
            self.tell(trials)
            return
        for trial in trials:
            self.add(trial)
