"""Every pool: results and exceptions come back; a worker's death costs at most one task."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewstep import solvers
from fewstep.errors import InvalidInput, InvalidModel, UnknownName
from fewstep.models import zoo
from fewstep.models.reference import ModelReference
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.local_pool import LocalPool
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.evaluation.pool import POOLS, InlinePool, Pool, WorkerLost, WorkerPool, open_pool
from fewstep.search.evaluation.ray_cluster import Need
from fewstep.search.evaluation.ray_pool import RayPool
from fewstep.search.samplers.ranking import by_replay
from fewstep.values.problem import Problem
from fewstep.values.stages import STAGES
from tests.search.tasks import die, die_once, identity_of, process_id, refuse, shape_of, sleep

NOISES = NoiseSet(0, SEARCH, 4)
MIXTURE = ModelReference.zoo("digits-mixture")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPool]:
    with LocalPool(("cpu", "cpu"), tmp_path_factory.mktemp("teachers")) as pool:
        yield pool


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayPool]:
    """Two slots on a Ray that is started here, which has room for two more."""
    with RayPool(None, Need(), 2, tmp_path_factory.mktemp("teachers"), here=4) as pool:
        yield pool


class ThreadHost:
    """A host from outside: one thread of this process, as a package might add it."""

    def __init__(self, rest: str, cache: Path | None, metrics: Path | None, timeout: float) -> None:
        self.rest, self._threads = rest, ThreadPoolExecutor(1)

    def __len__(self) -> int:
        return 1

    def model(self, reference: ModelReference) -> "ThreadPool":
        return ThreadPool(self, reference)

    def run(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return self._threads.submit(function, *args)

    def close(self) -> None:
        self._threads.shutdown()

    def __enter__(self) -> "ThreadHost":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ThreadPool:
    """Its slot for one model."""

    metrics = None

    def __init__(self, host: ThreadHost, reference: ModelReference) -> None:
        self._host, self._reference = host, reference

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        return self._host.run(self._work, function, args, kwargs)

    def _work(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        denoiser, shape = self._reference.open()
        return function(Evaluator(denoiser, shape, self._reference.digest), *args, **kwargs)


@pytest.fixture(scope="module")
def threads() -> Iterator[WorkerPool]:
    """The added host, opened by its URL."""
    POOLS.add("threads", ThreadHost)
    with open_pool("threads:any") as host:
        yield host
    POOLS.remove("threads")


@pytest.fixture(params=["local", "ray", "threads"])
def host(request: pytest.FixtureRequest) -> WorkerPool:
    """One host of each kind."""
    opened: WorkerPool = request.getfixturevalue(request.param)
    return opened


@pytest.fixture(params=["local", "ray"])
def workers(request: pytest.FixtureRequest) -> LocalPool | RayPool:
    """One host of each kind whose slots are processes."""
    opened: LocalPool | RayPool = request.getfixturevalue(request.param)
    return opened


@pytest.fixture(params=["inline", "local", "ray", "threads"])
def pool(request: pytest.FixtureRequest) -> Pool:
    """One pool of each kind on the digits mixture."""
    if request.param == "inline":
        return InlinePool(Evaluator(zoo.load("digits-mixture"), (1, 8, 8)))
    opened: WorkerPool = request.getfixturevalue(request.param)
    return opened.model(ModelReference.zoo("digits-mixture"))


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


def test_a_host_runs_tasks_without_a_model(host: WorkerPool) -> None:
    """Results and errors come back in the future; a host knows how many slots it has."""
    assert host.run(divmod, 7, 3).result() == (2, 1)
    with pytest.raises(ZeroDivisionError):
        host.run(divmod, 7, 0).result()
    assert len(host) >= 1


def test_a_host_works_for_one_model_after_the_other(host: WorkerPool) -> None:
    """Each pool of it has its own model."""
    names = ("digits-mixture", "digits-unet")
    pools = [host.model(ModelReference.zoo(name)) for name in names]
    found = [pool.submit(identity_of).result() for pool in pools for _ in range(2)]
    assert found == [zoo.describe(name).digest for name in names for _ in range(2)]


def test_a_search_runs_on_an_added_host(threads: WorkerPool) -> None:
    """It finds what it finds in this process."""
    process, problem = zoo.describe("digits-mixture").process, Problem("m", 3, budget=4, noises=8)
    inline = InlinePool(Evaluator(*ModelReference.zoo("digits-mixture").open()))
    pools, stages = (inline, threads.model(MIXTURE)), [STAGES["baselines"], STAGES["guided"]]
    ours, theirs = (run(problem, process, pool, by_replay, stages=stages) for pool in pools)
    assert theirs.schedule.digest == ours.schedule.digest
    assert theirs.score == ours.score


def test_a_pools_url_says_its_slots() -> None:
    """A number of CPU slots, or devices by name."""
    for url, slots in (("local:2", 2), ("local:cpu", 1), ("local:cpu,cpu,cpu", 3)):
        with open_pool(url) as host:
            assert len(host) == slots


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("remote:4", UnknownName, "unknown pool 'remote'; known: local"),
        ("local", InvalidInput, "local:N with N from 1 to 1024"),
        ("local:0", InvalidInput, "got local:0"),
        ("local:4096", InvalidInput, "got local:4096"),
        ("local:-1", InvalidInput, "got local:-1"),
        ("local:tpu", InvalidInput, "got local:tpu"),
        (f"local:cuda:{torch.cuda.device_count()}", InvalidInput, "the GPUs here are"),
    ],
)
def test_a_url_that_makes_no_pool_is_refused(url: str, error: type[InvalidInput], message: str) -> None:
    """The message says what may follow, and what is here."""
    with pytest.raises(error, match=message):
        open_pool(url)


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="for a machine without a GPU")
def test_every_gpu_is_none_here() -> None:
    """Without a GPU a pool of all of them is refused."""
    with pytest.raises(InvalidInput, match="the GPUs here are none"):
        open_pool("local:cuda")


def test_slots_are_processes_of_their_own(workers: LocalPool | RayPool) -> None:
    """Such a pool computes outside this process."""
    assert workers.model(ModelReference.zoo("digits-mixture")).submit(process_id).result() != os.getpid()
    assert len(workers) == 2


def test_a_killed_worker_is_replaced_and_its_task_tried_again(workers: LocalPool | RayPool, tmp_path: Path) -> None:
    """SIGKILL in the middle of a task: the task succeeds on its second attempt."""
    pool = workers.model(ModelReference.zoo("digits-mixture"))
    assert pool.submit(die_once, tmp_path / "died").result() == "alive"


@pytest.mark.parametrize(("wait", "times"), [(0.0, 2), (1.0, 1)])
def test_a_worker_killed_while_idle_is_replaced(workers: LocalPool | RayPool, wait: float, times: int) -> None:
    """SIGKILL between two tasks: the next ones run, whether the death was noticed by then or not."""
    pool = workers.model(ModelReference.zoo("digits-mixture"))
    for _ in range(times):
        os.kill(pool.submit(process_id).result(), signal.SIGKILL)
        time.sleep(wait)
        assert [future.result() for future in [pool.submit(shape_of) for _ in range(4)]] == [(1, 8, 8)] * 4


def test_a_poisonous_task_fails_alone(workers: LocalPool | RayPool) -> None:
    """A task that kills its worker every time fails with the reason; tasks beside and after it succeed."""
    pool = workers.model(ModelReference.zoo("digits-mixture"))
    poison, others = pool.submit(die), [pool.submit(shape_of) for _ in range(4)]
    with pytest.raises(WorkerLost, match=r"died.*attempt 3 of 3"):
        poison.result()
    assert [other.result() for other in others] == [(1, 8, 8)] * 4


@pytest.mark.parametrize("kind", ["local", "ray"])
def test_a_task_out_of_time_fails_and_frees_its_slot(kind: str, request: pytest.FixtureRequest) -> None:
    """After the time limit, on every attempt, the task is lost and the slot takes the next one."""
    request.getfixturevalue(kind)  # of Ray there is one in a process
    with LocalPool(("cpu",), timeout=2.0) if kind == "local" else RayPool(None, Need(), 1, timeout=2.0) as pool:
        model = pool.model(ModelReference.zoo("digits-mixture"))
        model.submit(shape_of).result()
        late, after = model.submit(sleep), model.submit(shape_of)
        with pytest.raises(WorkerLost, match=r"no result (and no network call )?within 2 s, in attempt 3 of 3"):
            late.result()
        assert after.result() == (1, 8, 8)


def test_a_model_with_other_weights_is_refused(workers: LocalPool | RayPool) -> None:
    """A reference whose digest does not fit the weights at hand names both."""
    stale = ModelReference("zoo", "digits-mixture", "0" * 64)
    with pytest.raises(InvalidModel, match=r"digest 0000.*submit it again"):
        workers.model(stale).submit(shape_of).result()


def test_a_pool_wants_devices() -> None:
    """No slot, no pool."""
    with pytest.raises(InvalidInput, match="at least one device"):
        LocalPool(())
