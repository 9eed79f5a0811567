"""The Optuna study of a search, in memory: ask and tell for one problem, whatever sampler proposes.

What is proposed next depends on the seed and on the trials so far, in their order, and on nothing else: not on how many
workers evaluated them. So a study can be rebuilt from its trials at any time.
"""

import contextlib
from collections.abc import Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from fewstep.search.samplers.base import Exhausted, Setting
from fewstep.search.samplers.optuna import OptunaSampler, ProposingSampler
from fewstep.search.space import Space
from fewstep.values.samplers import SAMPLERS
from fewstep.values.trial import Candidate, Rank, Trial

__all__ = ["Study"]

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """Ask and tell for one problem. Trials are numbered from 0; those that were not asked for come first.

    ``sampler`` is the name of one of `fewstep.values.samplers.SAMPLERS`, which works with ``rank``, ``batch`` and
    ``seed`` as far as it has a use for them. Raises `UnknownName`.
    """

    def __init__(self, space: Space, rank: Rank, batch: int, seed: int, sampler: str = "guided") -> None:
        self.trials: list[Trial] = []
        self._space = space
        entry, setting = SAMPLERS[sampler], Setting(space, rank, self.trials, batch, seed)
        inner = entry.build(setting)
        self._sampler: ProposingSampler | OptunaSampler
        if isinstance(inner, BaseSampler):
            self._sampler = OptunaSampler(setting, inner, sampler, entry.times_only)
        else:
            self._sampler = ProposingSampler(setting, inner)
        self._study = optuna.create_study(sampler=self._sampler)

    def add(self, trial: Trial) -> None:
        """Take a trial that was not asked for; one outside the space only counts, for there is nothing to vary."""
        value = None if trial.score is None else trial.score.value
        held = self._space.holds(trial.schedule)
        self._study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if held and value is not None else TrialState.FAIL,
                params=self._space.encode(trial.schedule) if held else {},
                distributions=self._sampler.distributions if held else {},
                value=value if held else None,
            )
        )
        self.trials.append(trial)

    def ask(self, count: int) -> list[Candidate]:
        """The next ``count`` proposals, numbered on from the trials so far; fewer where the space is used up."""
        numbers = []
        with contextlib.suppress(Exhausted):
            for _ in range(count):
                numbers.append(self._study.ask(self._sampler.distributions).number)
        return [self._sampler.proposals[number] for number in numbers]

    def take(self, trials: Sequence[Trial]) -> None:
        """The outcomes of everything that the last `ask` proposed, in the order of their numbers, or those of an
        earlier run, which were not asked for: the study then goes on as that run would have.

        Our samplers know all from the trials. Optuna's remember more than that, so they are asked again; where another
        version proposes other schedules, the old ones still count, but it learns nothing from them.
        """
        asked = all(trial.number in self._sampler.proposals for trial in trials)
        if not asked and isinstance(self._sampler, OptunaSampler):
            self.ask(len(trials))
            asked = True
        for trial in trials:
            if asked:
                self._tell(trial)
            else:
                self.add(trial)

    def _tell(self, trial: Trial) -> None:
        proposal = self._sampler.proposals.pop(trial.number)
        if trial.score is None or trial.schedule != proposal.schedule:
            self._study.tell(trial.number, state=TrialState.FAIL)
        else:
            self._study.tell(trial.number, trial.score.value)
        self.trials.append(trial)
