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

from fewstep import solvers
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models import zoo
from fewstep.models.reference import ModelReference
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import local_pool
from fewstep.search.evaluation.busy import Busy
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.local_pool import LocalPool
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.evaluation.pool import POOLS, InlinePool, Pool, WorkerLost, WorkerPool, open_pool
from fewstep.search.evaluation.ray_cluster import Need
from fewstep.search.evaluation.ray_pool import RayPool
from fewstep.search.evaluation.ray_slot import SIGNS, RaySlot
from fewstep.search.evaluation.ray_worker import RayWorker
from fewstep.search.evaluation.slots import SlotSettings
from fewstep.search.evaluation.watch import Watch
from fewstep.search.samplers.ranking import by_replay
from fewstep.values.problem import Problem
from fewstep.values.stages import STAGES
from tests.search import tasks
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
        self.rest, self._threads, self._busy = rest, ThreadPoolExecutor(1), Busy()

    def __len__(self) -> int:
        return 1

    def model(self, reference: ModelReference) -> "ThreadPool":
        return ThreadPool(self, reference)

    def run(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return self._threads.submit(self._run, function, args)

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        with self._busy:
            return function(*args)

    def busy(self) -> list[float]:
        return [self._busy.seconds()]

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


def test_a_host_says_how_long_its_slots_were_busy(host: WorkerPool) -> None:
    """The seconds of a task are added to those of its slot; of slots that wait none are."""
    before = host.busy()
    assert len(before) == len(host)
    for future in [host.run(time.sleep, 0.2) for _ in range(3)]:
        future.result()
    after = host.busy()
    assert sum(after) >= sum(before) + 0.6
    assert all(now >= then for now, then in zip(after, before, strict=True))
    assert host.busy() == after


def test_the_first_idle_slot_works() -> None:
    """One task after the other has one worker, with the model that it holds; the others were never busy."""
    with LocalPool(("cpu", "cpu")) as pool:
        assert len({pool.run(os.getpid).result() for _ in range(4)}) == 1
        first, second = pool.busy()
        assert first > 0
        assert second == 0


@pytest.mark.parametrize(
    ("query", "threads", "held"),
    [("", 1, ["digits-mixture", "digits-unet"]), ("?threads=3&models=1", 3, ["digits-unet"])],
)
@pytest.mark.parametrize("scheme", ["local", "ray"])
def test_a_urls_options_reach_the_workers(
    scheme: str, query: str, threads: int, held: list[str], request: pytest.FixtureRequest
) -> None:
    """Their threads, in the very thread that runs tasks, and how many models they hold."""
    request.getfixturevalue(scheme)  # of Ray there is one in a process
    with open_pool(f"{scheme}:1{query}") as pool:
        for name in ("digits-mixture", "digits-unet"):
            assert set(pool.run(tasks.threads).result()) == {threads}
            assert pool.model(ModelReference.zoo(name)).submit(shape_of).result() == (1, 8, 8)
        assert pool.run(tasks.models_held).result() == held


def test_a_search_runs_on_an_added_host(threads: WorkerPool) -> None:
    """It finds what it finds in this process."""
    process, problem = zoo.describe("digits-mixture").process, Problem("m", 3, budget=4, noises=8)
    inline = InlinePool(Evaluator(*ModelReference.zoo("digits-mixture").open()))
    pools, stages = (inline, threads.model(MIXTURE)), [STAGES["baselines"], STAGES["guided"]]
    ours, theirs = (run(problem, process, pool, by_replay, stages=stages) for pool in pools)
    assert theirs.schedule.digest == ours.schedule.digest
    assert theirs.score == ours.score


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
        with pytest.raises(WorkerLost, match="no result and no network call within 2 s, in attempt 3 of 3"):
            late.result()
        assert after.result() == (1, 8, 8)


def test_calls_keep_a_task_on_ray_alive_beyond_its_limit(ray: RayPool) -> None:
    """A task of twice the seconds that its worker may be silent, with calls on the way, is not lost."""
    with RayPool(None, Need(), 1, timeout=1.5) as pool:
        assert pool.model(MIXTURE).submit(tasks.beat_for, 3.0, 0.05).result() == "done"


def ray_worker(start: Callable[..., None]) -> RayWorker:
    """A worker on the Ray that was started."""
    import ray

    return RayWorker(ray, ray.remote(concurrency_groups={SIGNS: 1})(RaySlot).remote(start, SlotSettings()))


class Recorded(Watch):
    """What is seen of a task, looked at ten times a second."""

    def __init__(self) -> None:
        super().__init__(0.4)
        self.seen = {(0, 0.0)}

    def expired(self, signs: int, longest: float) -> bool:
        self.seen.add((signs, longest))
        return False


def test_a_worker_on_ray_gives_signs_of_each_task_for_itself(ray: RayPool) -> None:
    """They are seen while it runs, and the next one begins without any; the longest call is remembered."""
    worker = ray_worker(local_pool._start)
    worker.begin(lambda: False)
    first, second = Recorded(), Recorded()
    for watch, count in ((first, 3), (second, 0)):
        assert worker.run(tasks.give_signs, (count, 0.25), watch, lambda: False) == (True, None)
    worker.kill()
    assert (3, 0.25) in first.seen
    assert second.seen <= {(0, 0.0), (0, 0.25)}


def test_why_a_worker_on_ray_cannot_begin_is_said(ray: RayPool) -> None:
    """The error of its first step comes back as it is; the pool's reason quotes it."""
    worker = ray_worker(tasks.fail_to_begin)
    with pytest.raises(InvalidInput, match="no cpu today"):
        worker.begin(lambda: False)
    worker.kill()


def test_a_model_with_other_weights_is_refused(workers: LocalPool | RayPool) -> None:
    """A reference whose digest does not fit the weights at hand names both."""
    stale = ModelReference("zoo", "digits-mixture", "0" * 64)
    with pytest.raises(InvalidModel, match=r"digest 0000.*submit it again"):
        workers.model(stale).submit(shape_of).result()


def test_a_pool_wants_devices() -> None:
    """No slot, no pool."""
    with pytest.raises(InvalidInput, match="at least one device"):
        LocalPool(())
