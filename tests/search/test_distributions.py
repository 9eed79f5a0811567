"""Searches by a distribution metric: what is lowered, what is chosen by it, what is reported beside it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import fewstep
from fewstep import models
from fewstep.errors import InvalidInput, UnknownName
from fewstep.search import metrics
from fewstep.search.engine import run
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import TEST, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks
from fewstep.search.metrics import spaces
from fewstep.search.samplers.ranking import by_replay
from fewstep.values.catalogue import Catalogue
from fewstep.values.objective import Objective
from fewstep.values.problem import Problem
from fewstep.values.stages import STAGES
from fewstep.values.trial import Trial


@pytest.mark.parametrize("metric", ["frechet", "kid", "cmmd", "wasserstein"])
def test_a_search_lowers_a_distribution_metric(inline: InlinePool, blobs: models.GaussianMixture, metric: str) -> None:
    """The published score is that metric's on held-out noises against the teacher's samples, no worse than the best
    hand-made solver's; the mean distance of both is reported beside it."""
    problem = Problem("blobs", nfe=3, metric=metric, budget=24, noises=32)
    trials: list[Trial] = []
    stages = [STAGES[name] for name in ("baselines", "guided", "fit")]
    result = run(problem, blobs.process, inline, by_replay, on=Callbacks(trial=trials.append), stages=stages)
    noise = NoiseSet(0, TEST, 256).draw((4,))
    targets, judge = teacher.ends(blobs, noise), metrics.of(Objective(metric))
    samples = {s: fewstep.sample(blobs, s, noise) for s in (result.schedule, result.baseline.schedule)}
    for schedule, score, second in (
        (result.schedule, result.score, result.winner.secondary),
        (result.baseline.schedule, result.baseline, result.baseline.secondary),
    ):
        observations = judge.observe(samples[schedule], targets)
        assert score.value == pytest.approx(judge.value(observations), rel=1e-3, abs=1e-5)
        assert second is not None
        distances = (samples[schedule] - targets).square().mean(1).sqrt()
        assert second.value == pytest.approx(float(distances.mean()), rel=1e-4)
    assert result.winner.interval.low <= result.score.value <= result.winner.interval.high
    assert result.score.value <= result.baseline.value + 2 * result.baseline.standard_error
    assert {trial.origin.stage for trial in trials} >= {"baselines", "fit"}


def test_a_second_metric_is_reported(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """A search by the endpoint error measures another metric on what it publishes, and is the same search."""
    problems = (Problem("blobs", 3, budget=20, noises=16, report=report) for report in (None, "frechet"))
    stages = [STAGES["baselines"], STAGES["fit"]]
    plain, both = (run(problem, blobs.process, inline, by_replay, stages=stages) for problem in problems)
    assert plain.winner.secondary is None
    assert both.winner.secondary is not None
    assert both.winner.secondary.value >= 0
    assert (both.schedule, both.score) == (plain.schedule, plain.score)
    spent = [each.calls + each.cost.shared_calls for each in (both, plain)]  # the second finds the first one's teacher
    assert spent[0] == spent[1]


def test_digits_have_features_and_a_reference() -> None:
    """The built-in classifier sees digits, and scikit-learn's digits are a reference of both kinds of features."""
    noise = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    evaluator = Evaluator(models.zoo.load("digits-mixture"), (1, 8, 8))
    for features in ("digits", "pixels"):
        metric = metrics.of(Objective("frechet", features, "digits"))
        assert evaluator.metric(Objective("frechet", features, "digits")).observe(noise, noise).shape == (4, 64)
        assert metric.values(np.zeros((4, 64)), np.ones((1, 4)))[0] > 0


def test_the_operators_files_are_named_by_their_stems(tmp_path: Path) -> None:
    """A folder's programs and weights are features, its .npz references; names that are not there are refused, and so
    is a path."""
    program = torch.export.export(
        torch.nn.Flatten(), (torch.zeros(2, 1, 2),), dynamic_shapes={"input": {0: torch.export.Dim("B")}}
    )
    torch.export.save(program, tmp_path / "flat.pt2")
    np.savez(tmp_path / "coco.npz", mu=np.zeros(2), sigma=np.eye(2))
    assert Catalogue(tmp_path).features == ("pixels", "digits", "lite0", "flat")
    assert Catalogue(tmp_path).references == ("teacher", "digits", "coco")
    assert spaces.features("flat", tmp_path)(torch.zeros(5, 1, 2)).shape == (5, 2)
    metric = metrics.of(Objective("frechet", "flat", "coco"), folder=tmp_path)
    assert metric.values(np.zeros((4, 2)), np.ones((1, 4)))[0] == pytest.approx(2.0)
    with pytest.raises(UnknownName, match="unknown features 'round'; known: pixels, digits, lite0, flat"):
        spaces.features("round", tmp_path)
    with pytest.raises(UnknownName, match="unknown reference 'imagenet'"):
        metrics.of(Objective("kid", "flat", "imagenet"), folder=tmp_path)
    with pytest.raises(InvalidInput):
        Objective("kid", f"../{tmp_path.name}/flat")
