"""The quality benchmark: every stage has its row, and costs what it says."""

import pytest
import torch

from benchmarks import quality
from benchmarks.quality import CallCounter, Judge, compare, load
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet


def test_every_stage_has_a_row_and_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small search: the fit sees as many noises as a search of the service, and pays teacher and path for each."""
    monkeypatch.setattr(quality, "ROUNDS", ((8, 12), (16, 4)))
    denoiser, shape = load("digits-mixture")
    judge = Judge(Evaluator(denoiser, shape), NoiseSet(1, "unseen", 64), digits=True)
    rows = {row["method"]: row for row in compare("digits-mixture", 3, 8, 100_000, judge)}
    assert list(rows)[:5] == ["baseline", "ddim", "score-optimal grid", "baseline at twice the calls", "replay + fit"]
    assert list(rows)[-1] == "published"
    assert rows["baseline"]["calls"] == 0
    assert rows["replay + fit"]["calls"] == 256 * (teacher.CALLS + 1 + 3)
    assert 100_000 > rows["published"]["calls"] > rows["search"]["calls"] > rows["replay + fit"]["calls"]
    assert rows["baseline"]["rmse"] <= rows["ddim"]["rmse"]
    assert rows["replay + fit"]["rmse"] < rows["ddim"]["rmse"]


def test_a_counter_counts_over_all_that_is_bound_of_it() -> None:
    """Forward and backward, for each sample; in all else it is the model inside."""
    model, shape = load("digits-cond")
    counter, x, t = CallCounter(model), torch.ones(3, *shape, requires_grad=True), torch.full((3,), 600.0)
    assert (counter.process, counter.conditions, counter.passes) == (model.process, 10, 2)
    with torch.no_grad():
        assert torch.equal(counter.bound([7, 7, 7])(x, t), model.bound([7, 7, 7])(x, t))
    assert counter.calls == [3]
    counter.bound([7, 7, 7])(x, t).sum().backward()
    assert counter.calls == [9]
