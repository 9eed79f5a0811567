"""Every pool: results and exceptions come back; a worker's death costs at most one task."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fewstep import solvers
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models import zoo
from fewstep.models.reference import ModelReference
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.local_pool import LocalPool
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.evaluation.pool import InlinePool, Pool, WorkerLost

NOISES = NoiseSet(0, SEARCH, 4)


def process_id(evaluator: Evaluator) -> int:
    return os.getpid()


def shape_of(evaluator: Evaluator) -> tuple[int, ...]:
    return evaluator.shape


def refuse(evaluator: Evaluator, what: str) -> None:
    raise InvalidInput(f"no {what} today")


def die(evaluator: Evaluator) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(evaluator: Evaluator, marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def sleep(evaluator: Evaluator) -> None:
    time.sleep(60)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPool]:
    with LocalPool(("cpu", "cpu"), tmp_path_factory.mktemp("teachers")) as pool:
        yield pool


@pytest.fixture(params=["inline", "local"])
def pool(request: pytest.FixtureRequest, local: LocalPool) -> Pool:
    """One pool of each kind on the digits mixture."""
    if request.param == "local":
        return local.model(ModelReference.zoo("digits-mixture"))
    return InlinePool(Evaluator(zoo.load("digits-mixture"), (1, 8, 8)))


def test_results_come_back(pool: Pool) -> None:
    """A function gets the slot's evaluator and its result lands in the future."""
    assert pool.submit(shape_of).result() == (1, 8, 8)


def test_exceptions_come_back_as_they_are(pool: Pool) -> None:
    """The caller sees the function's own error, and the slot goes on working."""
    with pytest.raises(InvalidInput, match="no tea today"):
        pool.submit(refuse, "tea").result()
    assert pool.submit(shape_of).result() == (1, 8, 8)


def test_every_pool_measures_the_same(pool: Pool) -> None:
    """A schedule's errors do not depend on where they are computed, to the last bit."""
    schedule = solvers.named("dpmpp-2m").schedule(zoo.describe("digits-mixture").process, 3)
    here = evaluate.measure(Evaluator(zoo.load("digits-mixture"), (1, 8, 8)), NOISES, schedule)
    assert np.array_equal(pool.submit(evaluate.measure, NOISES, schedule).result(), here)


def test_slots_are_processes_of_their_own(local: LocalPool) -> None:
    """A local pool computes outside this process."""
    assert local.model(ModelReference.zoo("digits-mixture")).submit(process_id).result() != os.getpid()
    assert len(local) == 2


def test_a_killed_worker_is_replaced_and_its_task_tried_again(local: LocalPool, tmp_path: Path) -> None:
    """SIGKILL in the middle of a task: the task succeeds on its second attempt."""
    pool = local.model(ModelReference.zoo("digits-mixture"))
    assert pool.submit(die_once, tmp_path / "died").result() == "alive"


@pytest.mark.parametrize("wait", [0.0, 1.0])
def test_a_worker_killed_while_idle_is_replaced(local: LocalPool, wait: float) -> None:
    """SIGKILL between two tasks: the next ones run, whether the death was noticed by then or not."""
    pool = local.model(ModelReference.zoo("digits-mixture"))
    for _ in range(3):
        os.kill(pool.submit(process_id).result(), signal.SIGKILL)
        time.sleep(wait)
        assert [future.result() for future in [pool.submit(shape_of) for _ in range(4)]] == [(1, 8, 8)] * 4


def test_a_poisonous_task_fails_alone(local: LocalPool) -> None:
    """A task that kills its worker every time fails with the reason; tasks beside and after it succeed."""
    pool = local.model(ModelReference.zoo("digits-mixture"))
    poison, others = pool.submit(die), [pool.submit(shape_of) for _ in range(4)]
    with pytest.raises(WorkerLost, match=r"died.*attempt 3 of 3"):
        poison.result()
    assert [other.result() for other in others] == [(1, 8, 8)] * 4


def test_a_task_out_of_time_fails_and_frees_its_slot() -> None:
    """After the time limit, on every attempt, the task is lost and the slot takes the next one."""
    with LocalPool(("cpu",), timeout=2.0) as pool:
        model = pool.model(ModelReference.zoo("digits-mixture"))
        model.submit(shape_of).result()
        late, after = model.submit(sleep), model.submit(shape_of)
        with pytest.raises(WorkerLost, match="no result within 2 s"):
            late.result()
        assert after.result() == (1, 8, 8)


def test_a_model_with_other_weights_is_refused(local: LocalPool) -> None:
    """A reference whose digest does not fit the weights at hand names both."""
    stale = ModelReference("zoo", "digits-mixture", "0" * 64)
    with pytest.raises(InvalidModel, match=r"digest 0000.*submit it again"):
        local.model(stale).submit(shape_of).result()


def test_a_pool_wants_devices() -> None:
    """No slot, no pool."""
    with pytest.raises(InvalidInput, match="at least one device"):
        LocalPool(())
