"""Searches for Optuna's own tools: figures from the study in memory, a file that its storage reads."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import optuna
import pytest

from fewstep import Schedule, processes, solvers
from fewstep.errors import Conflict, InvalidInput
from fewstep.search.export import optuna_study, save, space_of
from fewstep.search.genes import CHOICES, NONE
from fewstep.search.samplers import operators as proposals
from fewstep.search.space import Space
from fewstep.values.score import Score
from fewstep.values.trial import Trial
from tests.trials import trial_of

SPACE = Space(processes.VPLinear(), 4)


def score(schedule: Schedule) -> Score:
    """Any number that depends on the schedule."""
    return Score(1.0 + schedule.times[1], 0.1, 64, 256)


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """Forty points of the space, one failure, and one solver outside the space that beats them all."""
    rng = np.random.default_rng(0)
    made = [proposals.uniform(SPACE, rng) for _ in range(40)]
    known = [trial_of(i, s, score(s), "uniform", 0.5, 0.1) for i, s in enumerate(made)]
    outside = solvers.named("heun").schedule(SPACE.process, 4)
    failed = trial_of(40, proposals.uniform(SPACE, rng), None, "mutation", reason="diverged on 3 of 64 noises")
    return [*known, failed, trial_of(41, outside, Score(0.1, 0.01, 64, 256), "baseline heun logsnr")]


@pytest.fixture(scope="module")
def saved(trials: list[Trial], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The search in a file."""
    file = tmp_path_factory.mktemp("saved") / "search.db"
    save(trials, SPACE, file, "first")
    return file


@pytest.fixture
def file(saved: Path, tmp_path: Path) -> Path:
    """The search in a file of its own."""
    return Path(shutil.copy(saved, tmp_path))


def load(path: Path, name: str) -> optuna.Study:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.load_study(study_name=name, storage=storage)
    study.trials  # noqa: B018 - read everything before the file is closed
    storage.remove_session()
    storage.engine.dispose()
    return study


def test_the_history_shows_every_score_of_the_space(trials: list[Trial]) -> None:
    """Optuna's history has one point for each scored trial, in order, and the best so far below them."""
    figure = optuna.visualization.plot_optimization_history(optuna_study(trials, SPACE))
    values = [trial.score.value for trial in trials[:40] if trial.score]
    np.testing.assert_allclose(figure.data[0].y, values)
    np.testing.assert_allclose(figure.data[1].y[:40], np.minimum.accumulate(values))


def test_the_importances_name_what_decides() -> None:
    """The figure has a bar for every parameter, and of the choices the one that the score is made of comes first."""
    rng = np.random.default_rng(1)
    made = [proposals.uniform(SPACE, rng) for _ in range(150)]
    values = [1 + sum(step.prediction == "noise" for step in s.steps) + 0.3 * rng.random() for s in made]
    trials = [trial_of(i, s, Score(v, 0.0, 1, 4), "uniform") for i, (s, v) in enumerate(zip(made, values, strict=True))]
    study = optuna_study(trials, SPACE)
    figure = optuna.visualization.plot_param_importances(study)
    shares = dict(zip(figure.data[0].y, figure.data[0].x, strict=True))
    assert set(shares) == set(study.best_params)
    genes = {choice.name for choice in CHOICES}
    choices = {name: share for name, share in shares.items() if name.rpartition("_")[0] in genes}
    assert max(choices, key=choices.__getitem__) in {"prediction_1", "prediction_2", "prediction_3"}


def test_a_study_comes_back_from_its_file(trials: list[Trial], file: Path) -> None:
    """Numbers, parameters, scores and what is known beside them; trials without a point are failures that say why."""
    study = load(file, "first")
    assert [trial.number for trial in study.trials] == list(range(42))
    for ours, theirs in zip(trials[:40], study.trials, strict=False):
        assert SPACE.decode(theirs.params).steps == ours.schedule.steps
        assert theirs.value == pytest.approx(ours.score.value if ours.score else None)
        assert theirs.user_attrs["origin"] == "uniform"
        assert theirs.user_attrs["schedule"] == ours.schedule.digest
    failed, outside = study.trials[40:]
    assert {failed.state, outside.state} == {optuna.trial.TrialState.FAIL}
    assert failed.user_attrs["reason"] == "diverged on 3 of 64 noises"
    assert outside.user_attrs["reason"] == "no point of the search space"
    assert outside.user_attrs["score"] == 0.1
    assert study.best_value == min(trial.score.value for trial in trials[:40] if trial.score)


def test_a_file_takes_several_studies(trials: list[Trial], file: Path) -> None:
    """Another name is added, the same name is refused."""
    save(trials[:5], SPACE, file, "second")
    assert len(load(file, "second").trials) == 5
    assert len(load(file, "first").trials) == 42
    with pytest.raises(Conflict, match="'second' already"):
        save(trials, SPACE, file, "second")


def test_files_of_something_else_are_left_alone(trials: list[Trial], tmp_path: Path) -> None:
    """Neither a database with other tables nor a file that is none is written to."""
    with sqlite3.connect(tmp_path / "service.db") as other:
        other.execute("CREATE TABLE trials (number INTEGER)")
    other.close()
    (tmp_path / "notes.db").write_text("not a database, but longer than its header would be " * 4)
    for name in ("service.db", "notes.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InvalidInput, match=name):
            save(trials, SPACE, tmp_path / name, "first")
        assert (tmp_path / name).read_bytes() == before


def test_the_space_is_told_from_the_trials(trials: list[Trial]) -> None:
    """Without time shifts it has no genes for them; with them the study has, and every point is read back."""
    assert space_of(trials) == SPACE
    rng, shifting = np.random.default_rng(1), Space(SPACE.process, 4, variance=0.5)
    made = [proposals.uniform(shifting, rng) for _ in range(30)]
    shifted = [*trials, *(trial_of(50 + i, s, score(s), "uniform") for i, s in enumerate(made))]
    assert space_of(shifted) == shifting
    told = optuna_study(shifted, shifting).get_trials()
    assert [t.params["shift"] for t in told[-30:]] == [NONE if s.shift is None else s.shift.target for s in made]
    assert len({t.params["shift"] for t in told[-30:]}) > 1
    assert all(shifting.decode(t.params).steps == s.steps for t, s in zip(told[-30:], made, strict=True))
