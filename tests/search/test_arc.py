"""The model's own arc length in a search: seeds and proposals, all of them counted."""

from itertools import islice

import numpy as np
import pytest
import torch

from fewstep import models, processes, solvers
from fewstep.grids.arc_length import ArcLength
from fewstep.search.engine import run
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks
from fewstep.search.samplers import operators as proposals
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.space import Space
from fewstep.search.stages import arc_length as arc
from fewstep.search.stages.baselines import baselines
from fewstep.search.stages.fit import MOST as FINAL_TRIALS
from fewstep.values.origin import Origin
from fewstep.values.problem import Problem
from fewstep.values.score import Score
from fewstep.values.stages import STAGES
from fewstep.values.trial import Candidate, Trial

LAW = processes.VPLinear()


@pytest.fixture(scope="module")
def bent() -> ArcLength:
    """Four fifths of the length lie in the last fifth of λ."""
    lam = np.linspace(*LAW.log_snr(np.array([LAW.t_max, LAW.t_min])), 101)
    return ArcLength(LAW, "corrector", lam, np.interp(np.arange(101), [0, 80, 100], [0.0, 0.2, 1.0]))


def test_it_is_measured_the_same_everywhere(blobs: models.GaussianMixture) -> None:
    """The same noises give the same curve, and the calls it reports are those that the model saw."""
    seen = 0

    def count(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += len(x)
        return blobs(x, t)

    evaluator = Evaluator(models.from_callable(count, blobs.process, prediction="data"), (4,))
    first = arc.measure(InlinePool(evaluator), seed=3)
    again = arc.arc_length(Evaluator(blobs, (4,)), NoiseSet(3, SEARCH, arc.SAMPLES))
    assert first is not None
    assert first.to_dict() == again.to_dict()
    assert first.calls == seen


def test_a_model_that_cannot_be_measured_has_none(blobs: models.GaussianMixture) -> None:
    """Outputs that are not finite leave a search without arc length, not without result."""
    broken = models.from_callable(lambda x, t: x * torch.nan, blobs.process, prediction="data")
    assert arc.measure(InlinePool(Evaluator(broken, (4,))), seed=0) is None


def test_the_best_solvers_by_hand_are_tried_on_it(bent: ArcLength) -> None:
    """In the order of their best scores, each on the score-optimal grid and on its blend, as many as asked for."""
    by_hand = baselines(LAW, 5)
    scores = {"dpmpp-3m time": 0.1, "ipndm-2 edm": 0.2, "dpmpp-3m logsnr": 0.3, "ddim logsnr": 0.4}
    trials = [
        Trial(i, Candidate(by_hand[name], Origin("baselines", name)), Score(value, 0.01, 8, 40))
        for i, (name, value) in enumerate(scores.items())
    ]
    failed = Candidate(by_hand["ddim time"], Origin("baselines", "deis-3 time"))
    trials.append(Trial(9, failed, None, "made to fail"))
    found = dict(islice(arc.along(bent, 5, arc.best_solvers(trials[::-1])), 5))
    assert list(found) == [
        "dpmpp-3m score-optimal",
        "dpmpp-3m score-blend",
        "ipndm-2 score-optimal",
        "ipndm-2 score-blend",
        "ddim score-optimal",
    ]
    assert found["ipndm-2 score-optimal"].times == bent.times(5, blend=1.0)
    assert found["dpmpp-3m score-blend"].steps == solvers.named("dpmpp-3m").schedule(LAW, 5, bent.grid(0.7)).steps


@pytest.mark.parametrize("nfe", [1, 2, 7])
def test_proposals_on_it_are_points_of_the_space(bent: ArcLength, nfe: int) -> None:
    """As all proposals, they are encoded without loss."""
    space, rng = Space(LAW, nfe, bent), np.random.default_rng(0)
    for _ in range(30):
        made = proposals.uniform(space, rng)
        again = space.decode(space.encode(made))
        assert again.steps == made.steps
        np.testing.assert_allclose(again.times, made.times, rtol=1e-9)


def test_proposals_put_their_times_where_the_scores_change(bent: ArcLength) -> None:
    """Half of them have most of their times in the last fifth of λ; without arc length hardly any does."""
    lam = bent.log_snrs[80]

    def late(space: Space) -> float:
        rng = np.random.default_rng(0)
        each = [proposals.uniform(space, rng).times[1:-1] for _ in range(400)]
        return float(np.mean([np.mean(LAW.log_snr(np.array(times)) > lam) > 0.5 for times in each]))

    assert late(Space(LAW, 8, bent)) > 0.3
    assert late(Space(LAW, 8)) < 0.05


def test_a_search_tries_its_grids_in_their_place(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """Seeds on the arc come after the hand-made schedules and before everything else; the arc is told, once."""
    trials: list[Trial] = []
    told: list[ArcLength] = []
    problem, on = Problem("blobs", 3, budget=40, noises=16), Callbacks(trial=trials.append, curve=told.append)
    stages = [STAGES[name] for name in ("baselines", "arc-length", "guided", "fit")]
    result = run(problem, blobs.process, inline, by_replay, on=on, stages=stages)
    words = [trial.origin.stage for trial in sorted(trials, key=lambda trial: trial.number)]
    last = len(words) - 1 - words[::-1].index("arc-length")
    assert words[words.index("arc-length") - 1] == "baselines"
    assert "baselines" not in words[last:]
    assert set(words[words.index("arc-length") : last]) <= {"arc-length"}
    assert 40 - FINAL_TRIALS < len(trials) <= 40  # distinct fits may be fewer than there is room for
    assert result.cost.evaluations == sum(trial.score is not None for trial in trials)
    measured = arc.measure(inline, problem.seed)
    assert measured is not None
    assert [each.to_dict() for each in told] == [measured.to_dict()]
