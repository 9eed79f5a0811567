"""What happens on a Ray cluster, one story in a process of its own: ``python -m tests.search.ray_clusters STORY``.

The process of a driver knows one cluster for good, and a lost one ends it.
"""

import os
import secrets
import signal
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from fewstep.models import zoo
from fewstep.models.reference import ModelReference
from fewstep.search.engine import run
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import InlinePool, PoolLost, open_pool
from fewstep.search.evaluation.ray_pool import ATTEMPTS, RayPool
from fewstep.search.log import Callbacks, TrialLog
from fewstep.search.samplers.ranking import by_replay
from fewstep.values.problem import Problem
from fewstep.values.stages import STAGES
from fewstep.values.trial import Trial
from tests.search import tasks

MIXTURE = ModelReference.zoo("digits-mixture")


def cluster(*cpus: int) -> tuple[Any, list[Any]]:
    """A head without slots, and nodes with so many CPUs, which share a token of their own."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    return made, [made.add_node(num_cpus=count) for count in cpus]


def first_line(path: Path) -> str:
    """What a task writes to say that it runs."""
    while not (path.exists() and path.read_text().endswith("\n")):
        time.sleep(0.05)
    return path.read_text().strip()


def nodes() -> None:
    """A task loses as many nodes as it has attempts, and succeeds; the pool's length follows the cluster."""
    made, there = cluster(1, 1)
    folder = Path(tempfile.mkdtemp())
    with open_pool(f"ray://{made.address}") as pool:
        assert len(pool) == 2
        future = pool.run(tasks.wait_at, folder)
        for turn in range(ATTEMPTS):
            where = first_line(folder / f"here-{turn}")
            (lost,) = (node for node in there if node.node_id == where)
            there.remove(lost)
            there.append(made.add_node(num_cpus=1))
            made.remove_node(lost, allow_graceful=False)
        (folder / "go").touch()
        assert future.result(120) == "gone"
        there.append(made.add_node(num_cpus=1))
        while len(pool) != 3:
            time.sleep(0.1)


def head() -> None:
    """The head dies: whoever waits, and whoever comes, is told; a search resumed by its log ends as if undisturbed."""
    made, _ = cluster(2)
    process, problem = zoo.describe("digits-mixture").process, Problem("m", 3, budget=6, noises=8)
    stages = [STAGES["baselines"], STAGES["guided"]]
    trials: list[Trial] = []
    handler = signal.getsignal(signal.SIGTERM)
    pool = open_pool(f"ray://{made.address}?patience=1")
    assert signal.getsignal(signal.SIGTERM) is handler
    waiting: list[Future[None]] = []

    def record(trial: Trial) -> None:
        trials.append(trial)
        if len(trials) == 3:
            waiting.append(pool.run(time.sleep, 600))
            made.head_node.kill_gcs_server()
            for future in (*waiting, pool.run(time.sleep, 600)):
                error = future.exception(60)
                assert isinstance(error, PoolLost), error
                assert "has not answered" in str(error)

    try:
        run(problem, process, pool.model(MIXTURE), by_replay, stages=stages, on=Callbacks(trial=record))
        raise SystemExit("the search did not notice")
    except PoolLost:
        assert len(trials) >= 3
    pool.close()
    inline = InlinePool(Evaluator(*MIXTURE.open()))
    again = run(problem, process, inline, by_replay, stages=stages, log=TrialLog(trials, 1.0))
    whole = run(problem, process, inline, by_replay, stages=stages)
    assert (again.schedule.digest, again.score) == (whole.schedule.digest, whole.score)


def shares() -> None:
    """A pool that holds every slot gives some to one that comes later, and each of its models has its turn."""
    made, _ = cluster(2)
    with open_pool(f"ray://{made.address}") as ours, RayPool(made.address) as theirs:
        long = [ours.run(time.sleep, 0.2) for _ in range(400)]
        long[0].result(60)
        assert ours.model(MIXTURE).submit(tasks.shape_of).result(60) == (1, 8, 8)
        assert [theirs.run(divmod, 7, 3).result(60) for _ in range(3)] == [(2, 1)] * 3
        assert not long[-1].done()


def lonely() -> None:
    """A cluster without nodes that can work: the tasks are told after a while."""
    made, _ = cluster()
    made.wait_for_nodes()
    pool = RayPool(made.address, slots=1, wait=0.5)
    error = pool.run(divmod, 7, 3).exception(60)
    assert isinstance(error, PoolLost), error
    assert "no slot of the Ray cluster took a task" in str(error)
    pool.close()


if __name__ == "__main__":
    {story.__name__: story for story in (nodes, head, shares, lonely)}[sys.argv[1]]()
    print("told")
