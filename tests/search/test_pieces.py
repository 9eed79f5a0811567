"""The teacher in pieces and the time limit of tasks: no model is too slow, and a lost worker costs one piece."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fewstep import models
from fewstep.models.reference import ModelReference
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import pace, teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.local_pool import LocalPool
from fewstep.search.evaluation.noises import SEARCH, VALIDATION, NoiseSet, NoiseSplit
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.evaluation.targets import prepare_teacher
from fewstep.search.evaluation.watch import FACTOR, TASK_SECONDS, Watch
from fewstep.values.problem import Problem
from tests.search.tasks import beat_for, follow_and_die_once

NOISES = NoiseSet(0, SEARCH, 16)


class Slow:
    """A clock that a model moves on: two calls a second."""

    def __init__(self, blobs: models.Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.calls = 0.0, 0
        monkeypatch.setattr(pace, "clock", lambda: self.now)
        self._blobs = blobs
        self.model = models.from_callable(self, blobs.process, "data")

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.now += 0.5 * len(x)
        self.calls += len(x)
        return self._blobs(x, t)


def test_pieces_follow_from_the_measured_seconds_of_a_call(
    blobs: models.GaussianMixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a model of two calls a second no task of the teacher takes longer than a piece may, whatever the noises are in
    all; the size is measured once for the cache."""
    slow = Slow(blobs, monkeypatch)
    evaluator, seconds = Evaluator(slow.model, (4,), cache=tmp_path), list[float]()

    class Timed(InlinePool):
        def submit(self, function, *args, **kwargs):  # type: ignore[no-untyped-def]
            began = slow.now
            future = super().submit(function, *args, **kwargs)
            seconds.append(slow.now - began)
            return future

    split = NoiseSplit.of(Problem("blobs", 4, noises=32))
    given = prepare_teacher(Timed(evaluator), split, "me", lambda *_: None)
    assert given.calls * 0.5 > TASK_SECONDS  # in one task it would be lost
    assert max(seconds) <= pace.BLOCK_SECONDS
    asked = slow.calls
    assert Evaluator(slow.model, (4,), cache=tmp_path).block == evaluator.block == 4
    assert slow.calls == asked


def test_pieces_make_what_a_whole_makes(blobs: models.GaussianMixture) -> None:
    """Trajectories and targets equal those of all noises together, and targets of any part are there afterwards."""
    pieces, whole = Evaluator(blobs, (4,)), Evaluator(blobs, (4,))
    pieces._block = 4
    parts = NOISES.split(6, 10)
    ours, paid = evaluate.follow_for(pieces, "me", NOISES, parts)
    assert paid == NOISES.count * (teacher.CALLS + 1)
    theirs = evaluate.follow(whole, NOISES)
    np.testing.assert_allclose(ours.states, theirs.states, atol=1e-5)
    np.testing.assert_allclose(ours.outputs, theirs.outputs, atol=1e-5)
    pieces.denoiser = models.from_callable(lambda x, t: x / 0, blobs.process, "data")  # nobody may ask it now
    for noises in (NOISES, *parts):
        noise, ends = pieces.pairs(noises, teacher.CALLS)
        assert torch.equal(noise, noises.draw((4,)))
        torch.testing.assert_close(ends, whole.pairs(noises, teacher.CALLS)[1], atol=1e-5, rtol=0)


def test_a_worker_killed_in_the_teacher_costs_one_piece(tmp_path: Path) -> None:
    """SIGKILL in its third piece: the next attempt makes the third and the fourth, and no more."""
    calls = 4 * (teacher.CALLS + 1)
    with LocalPool(("cpu",), tmp_path / "teachers") as pool:
        model = pool.model(ModelReference.zoo("digits-mixture"))
        task = model.submit(follow_and_die_once, tmp_path / "died", NOISES, 4, 2 * calls + 10)
        assert task.result() == 2 * calls
    assert (tmp_path / "died").exists()


def test_a_model_of_two_calls_a_second_is_never_out_of_time() -> None:
    """Nothing is lost in a task of 12 544 calls in a row, each a sign of life; silence is found out."""
    now = [0.0]
    watch = Watch(TASK_SECONDS, 120.0, lambda: now[0])
    for call in range(256 * (teacher.CALLS + 1)):
        now[0] += 0.5
        assert not watch.expired(call + 1, 0.5)
    assert now[0] > 10 * TASK_SECONDS
    last = 256 * (teacher.CALLS + 1)
    now[0] += TASK_SECONDS
    assert not watch.expired(last, 0.5)
    now[0] += 1.0
    assert watch.expired(last, 0.5)
    assert not watch.expired(last, 60.0)  # whose calls take a minute has twenty
    assert watch.allowed(60.0) == FACTOR * 60.0


def test_calls_keep_a_task_alive_beyond_its_limit() -> None:
    """A task of twice the limit, with calls on the way, ends at its first attempt."""
    with LocalPool(("cpu",), timeout=1.0) as pool:
        model = pool.model(ModelReference.zoo("digits-mixture"))
        assert model.submit(beat_for, 2.0, 0.05).result() == "done"


def test_blocks_have_the_borders_of_their_set() -> None:
    """They are consecutive, end at multiples of the size, and those of a part lie within those of the whole."""
    whole = NoiseSet(1, VALIDATION, 50, first=3)
    blocks = whole.blocks(16)
    assert [(block.first, block.count) for block in blocks] == [(3, 13), (16, 16), (32, 16), (48, 5)]
    part = NoiseSet(1, VALIDATION, 20, first=10)
    for block in part.blocks(16):
        assert any(block.common(each) == block for each in blocks)
    assert whole.common(NoiseSet(1, SEARCH, 50)) is None
    assert whole.common(NoiseSet(1, VALIDATION, 3)) is None
