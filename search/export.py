"""A search's trials as an Optuna study: for optuna.visualization in memory, for optuna-dashboard in a file.

    space = space_of(trials)
    study = optuna_study(trials, space)                       # optuna.visualization.plot_optimization_history(study), …
    save(trials, space, Path("search.db"), "digits, 8 calls")  # then: optuna-dashboard sqlite:///search.db

Optuna's plots compare trials by their parameters. A trial whose schedule is no point of the search space (a singlestep
solver, fitted rows) has none, and is marked as failed, its score among its attributes.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState, create_trial

from fewstep.errors import Conflict, InvalidInput
from fewstep.search.samplers.optuna import distributions
from fewstep.search.space import Space
from fewstep.values.trial import Trial

__all__ = ["optuna_study", "save", "space_of"]

OURS = "study_directions"  # a table that every Optuna storage has


def space_of(trials: Sequence[Trial]) -> Space:
    """The space that the trials of one search, at least one, were drawn from: with those time shifts that occur."""
    first, shifts = trials[0].schedule, [trial.schedule.shift for trial in trials]
    variances = (shift.variance or 0.0 for shift in shifts if shift is not None)
    return Space(first.process, first.nfe, variance=max(variances, default=None))


def optuna_study(
    trials: Sequence[Trial], space: Space, name: str | None = None, storage: BaseStorage | None = None
) -> OptunaStudy:
    """The study of trials of one space, lower is better, in ``storage`` or in memory."""
    study = optuna.create_study(storage=storage, study_name=name)
    study.add_trials([_frozen(trial, space) for trial in sorted(trials, key=lambda trial: trial.number)])
    return study


def save(trials: Sequence[Trial], space: Space, path: Path, name: str) -> None:
    """Write the study to the SQLite file at ``path``, which may hold other studies but nothing else.

    Raises `InvalidInput` where the file is of something else (the service's own database, say: its tables would clash)
    and `Conflict` where it has a study of that name.
    """
    if path.exists():
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
                tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError as error:
            raise InvalidInput(f"{path} is no SQLite file: {error}; name a new one") from error
        if tables and OURS not in tables:
            raise InvalidInput(f"{path} holds the tables of something else than Optuna: name a file of its own")
    storage = RDBStorage(f"sqlite:///{path.absolute()}")
    try:
        optuna_study(trials, space, name, storage)
    except optuna.exceptions.DuplicatedStudyError as error:
        raise Conflict(f"{path} has a study {name!r} already: choose another name") from error
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _frozen(trial: Trial, space: Space) -> FrozenTrial:
    inside = space.holds(trial.schedule)
    attributes = {"number": trial.number, "origin": str(trial.origin), "schedule": trial.schedule.digest}
    if trial.score is not None:
        attributes |= {"score": trial.score.value, "standard error": trial.score.standard_error}
    attributes |= {"predicted": trial.predicted} if trial.predicted is not None else {}
    if trial.reason or not inside:
        attributes["reason"] = trial.reason or "no point of the search space"
    return create_trial(
        state=TrialState.COMPLETE if inside and trial.score else TrialState.FAIL,
        value=trial.score.value if inside and trial.score else None,
        params=space.encode(trial.schedule) if inside else {},
        distributions=distributions(space) if inside else {},
        user_attrs=attributes,
    )
