"""The gradient polish: better on unseen noise, the same however it is cut up, honest about what it cannot do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fewstep
from fewstep import Schedule, Step, models, processes, solvers
from fewstep.errors import InvalidInput, UnknownName
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, TEST, VALIDATION, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.metrics.features import eight_bits
from fewstep.search.metrics.paired import Typical
from fewstep.search.optimize import descent as polish
from fewstep.search.optimize import gradient_check as gradient
from fewstep.search.optimize.descent import Task
from fewstep.search.optimize.relaxed import Relaxed, walk

SEEN, JUDGE, UNSEEN = NoiseSet(0, SEARCH, 64), NoiseSet(0, VALIDATION, 64), NoiseSet(0, TEST, 200)


def task(model: models.Denoiser, iterations: int = 60, solver: str = "dpmpp-2m", nfe: int = 4, **more: object) -> Task:
    schedule = solvers.named(solver).schedule(model.process, nfe)
    return Task(schedule, SEEN, JUDGE, iterations, **more)  # type: ignore[arg-type]


def error(evaluator: Evaluator, schedule: Schedule, noises: NoiseSet = UNSEEN) -> float:
    return Typical().value(evaluate.measure(evaluator, noises, schedule)[:, None])


@pytest.fixture(scope="module")
def shared(blobs: models.GaussianMixture) -> Evaluator:
    """The blobs and the teacher's samples of all noises here."""
    return Evaluator(blobs, (4,))


@pytest.fixture(scope="module")
def straight(blobs: models.GaussianMixture, shared: Evaluator) -> list[polish.Polished]:
    """One polish that nothing gets in the way of."""
    return polish.polish(InlinePool(shared), [task(blobs)])


@pytest.mark.parametrize("loss", ["robust", "l1", "l2", "log"])
def test_a_polish_lowers_the_error_on_unseen_noise(
    blobs: models.GaussianMixture, shared: Evaluator, straight: list[polish.Polished], loss: str
) -> None:
    """From a hand-made solver, a few iterations lower the error by a quarter on noises that had no part in it."""
    work = task(blobs, loss=loss)
    [found] = straight if work == task(blobs) else polish.polish(InlinePool(shared), [work])
    assert found.schedule is not None
    assert error(shared, found.schedule) < 0.75 * error(shared, work.schedule)
    assert found.error == pytest.approx(error(shared, found.schedule, JUDGE))
    assert found.before == pytest.approx(error(shared, work.schedule, JUDGE))
    assert Schedule.from_json(found.schedule.to_json()) == found.schedule


@pytest.mark.parametrize(
    "process", [processes.Flow(), processes.DDM(), processes.VE(), processes.Discrete.linear_betas()]
)
def test_every_process_can_be_polished(process: processes.Process) -> None:
    """From pure noise, to clean data, on a table: times stay inside, and the error on unseen noise falls."""
    model = models.GaussianMixture(
        process, torch.ones(2), torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.05 * torch.eye(2).expand(2, 2, 2)
    )
    evaluator, work = Evaluator(model, (2,)), task(model, solver="ddim")
    assert gradient.obstacle(evaluator) is None
    [found] = polish.polish(InlinePool(evaluator), [work])
    assert found.schedule is not None
    assert error(evaluator, found.schedule) < 0.8 * error(evaluator, work.schedule)
    assert (found.schedule.times[0], found.schedule.times[-1]) == (process.t_max, process.t_min)


def test_free_numbers_begin_at_the_schedule_itself(blobs: models.GaussianMixture) -> None:
    """Before anything moves, the relaxed schedule makes the samples of the schedule."""
    steps = (Step(), Step(order=2, offset=0.01), Step(order=2))
    schedule = Schedule(blobs.process, (1.0, 0.6, 0.2, 1e-3), steps)
    noise = SEEN.draw((4,)).double()
    relaxed = Relaxed.around(schedule, blobs, noise)
    end, _ = walk([blobs] * 5, relaxed.numbers(relaxed.free()), noise)
    torch.testing.assert_close(end, fewstep.sample(blobs, schedule, noise), rtol=1e-9, atol=1e-9)
    assert fewstep.compile(relaxed.build(relaxed.free())).close_to(fewstep.compile(schedule))


def test_coordinates_are_white(blobs: models.GaussianMixture) -> None:
    """Moving a row by a unit vector of its coordinates moves the next state by one, root mean square."""
    noise = SEEN.draw((4,)).double()
    relaxed = Relaxed.around(solvers.named("dpmpp-2m").schedule(blobs.process, 4), blobs, noise)
    _, basis = walk([blobs] * 5, relaxed.numbers(relaxed.free()), noise)
    for i in range(4):
        moved = torch.einsum("ck,knd->cnd", relaxed.frames[i, : i + 2, : i + 2], torch.stack(basis[: i + 2]))
        torch.testing.assert_close(moved.square().mean((1, 2)).sqrt(), torch.ones(i + 2).double(), rtol=1e-3, atol=1e-3)


def test_a_broken_off_polish_goes_on_from_its_chunks(
    blobs: models.GaussianMixture, straight: list[polish.Polished], tmp_path: Path
) -> None:
    """Stopped after a chunk and begun again by another worker on the same cache: the same result, and no forward or
    backward call of a finished chunk is made again."""
    model, seen = counted(blobs)

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 2 * polish.CHUNK:
            raise Stop

    with pytest.raises(Stop):
        polish.polish(InlinePool(Evaluator(model, (4,), cache=tmp_path)), [task(model)], stop)
    first = seen[0]
    assert polish.polish(InlinePool(Evaluator(model, (4,), cache=tmp_path)), [task(model)]) == straight
    whole, again = counted(blobs)
    polish.polish(InlinePool(Evaluator(whole, (4,), cache=tmp_path / "other")), [task(whole)])
    assert seen[0] == again[0]
    assert first < seen[0]


def counted(model: models.Denoiser) -> tuple[models.Denoiser, list[int]]:
    """The model, and a list of one: sample-calls forward, and backward where a gradient came back."""
    seen = [0]

    def add(count: int) -> None:
        seen[0] += count

    def call(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        add(len(x))
        output = model(x, t)
        if output.requires_grad:
            output.register_hook(lambda slope: add(len(slope)))
        return output

    return models.from_callable(call, model.process, prediction="data"), seen


@pytest.mark.parametrize("kept", [2**20, 1])
def test_calls_are_counted_forward_and_backward(
    blobs: models.GaussianMixture, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """What is told as spent is what the model saw, whether or not calls are made again on the way back."""
    monkeypatch.setattr(polish, "WIDE", kept)
    model, seen = counted(blobs)
    evaluator = Evaluator(model, (4,))
    for noises in (SEEN, JUDGE):
        evaluate.teach(evaluator, noises, teacher.CALLS)
    seen[0] = 0
    [found] = polish.polish(InlinePool(evaluator), [task(model, 25)])
    assert seen[0] == found.calls


def test_calls_made_again_change_nothing(
    blobs: models.GaussianMixture,
    shared: Evaluator,
    straight: list[polish.Polished],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With and without keeping what lies between the calls: the same schedule."""
    monkeypatch.setattr(polish, "WIDE", 1)
    once, again = straight[0].schedule, polish.polish(InlinePool(shared), [task(blobs)])[0].schedule
    assert once is not None
    assert again is not None
    assert fewstep.compile(again).close_to(fewstep.compile(once), tolerance=1e-6)


def test_what_is_not_better_is_not_kept(
    blobs: models.GaussianMixture, shared: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every state is worse than the beginning, as with rates far too high, nothing is given."""
    monkeypatch.setattr(polish, "RATES", dict.fromkeys(polish.RATES, 1e4))
    [found] = polish.polish(InlinePool(shared), [task(blobs)])
    assert found.schedule is None
    assert found.error == found.before


@pytest.mark.parametrize("seen", [lambda x: x, lambda x: 4 * eight_bits(x / 4)], ids=["as it is", "of 8 bits"])
def test_a_loss_in_a_feature_space_lowers_that_distance(
    blobs: models.GaussianMixture, seen: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """With the first coordinate as the only feature its error falls by half, also where the feature is rounded."""
    first = Evaluator(blobs, (4,), features=lambda x: seen(x)[:, :1])
    work = task(blobs, 200, loss="features", batch=32)
    [found] = polish.polish(InlinePool(first), [work])
    assert found.schedule is not None
    noise, ends = first.pairs(UNSEEN, teacher.CALLS)
    before, after = (fewstep.sample(blobs, s, noise) - ends for s in (work.schedule, found.schedule))
    gains = (after.square().mean(0) / before.square().mean(0)).sqrt()
    assert gains[0] < 0.5
    with pytest.raises(InvalidInput, match="wants an evaluator with features"):
        polish.polish(InlinePool(Evaluator(blobs, (4,))), [work])
    with pytest.raises(UnknownName, match="loss"):
        replace(work, loss="l3")


def test_progress_is_told_after_every_chunk(blobs: models.GaussianMixture, shared: Evaluator) -> None:
    """Iterations done rise to their total over all tasks."""
    told: list[tuple[int, int]] = []
    tasks = [task(blobs, 50), task(blobs, 30)]
    polish.polish(InlinePool(shared), tasks, lambda *p: told.append(p))
    assert told == sorted(told)
    assert told[-1] == (80, 80)
    assert len(told) == 4


Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
BLACK: list[tuple[str, Callable[[Call], Call]]] = [
    ("no gradient", lambda f: torch.no_grad()(f)),
    ("gradient in the states", lambda f: lambda x, t: f(0.5 * x + 0.5 * x.detach(), t)),
    ("gradient in the time", lambda f: lambda x, t: f(x, t.detach())),
    ("gradient in the time", lambda f: lambda x, t: f(x, (1e3 * t).round() / 1e3)),
]


@pytest.mark.parametrize(("reason", "cut"), BLACK)
def test_a_model_without_a_true_gradient_is_told_apart(
    blobs: models.GaussianMixture, reason: str, cut: Callable[[Call], Call]
) -> None:
    """One without autograd, and ones that cut or round a part of their inputs, are refused with the reason."""
    model = models.from_callable(cut(blobs), blobs.process, prediction="data")
    assert reason in (gradient.obstacle(Evaluator(model, (4,))) or "")
    assert gradient.obstacle(Evaluator(blobs, (4,))) is None


def test_fast_waves_in_time_are_no_obstacle(blobs: models.GaussianMixture) -> None:
    """Networks see the time through waves of about one radian for a thousandth of it: their gradient is true."""
    wavy = models.from_callable(lambda x, t: blobs(x, t) + 0.1 * (1e3 * t).sin()[:, None], blobs.process, "data")
    assert gradient.obstacle(Evaluator(wavy, (4,))) is None


@pytest.mark.parametrize("name", models.zoo.names())
def test_every_network_of_the_zoo_can_be_polished(name: str) -> None:
    """None of the trained networks is taken for one without a gradient."""
    evaluator = Evaluator(models.zoo.load(name), models.zoo.describe(name).shape)
    assert gradient.obstacle(evaluator) is None
