"""The pool on Ray: what its URL says, whom its ports serve, and what is lost with a node, the head, a pool."""

import ipaddress
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fewstep.errors import InvalidInput
from fewstep.search.evaluation.pool import PoolLost, WorkerLost, open_pool
from fewstep.search.evaluation.ray_cluster import Need
from fewstep.search.evaluation.ray_pool import RayPool
from fewstep.search.evaluation.shares import SILENT_SECONDS, Shares, divide
from tests.search import tasks

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ray() -> Iterator[RayPool]:
    """Two slots on a Ray that is started here."""
    with open_pool("ray:2") as pool:
        assert isinstance(pool, RayPool)
        yield pool


def test_a_pool_on_this_machine_serves_this_machine_alone(ray: RayPool) -> None:
    """Every port of Ray's processes is bound to a loopback address; its reports of usage are off."""
    assert ray.run(os.getpid).result() != os.getpid()
    own = {process.pid for process in psutil.Process().children(recursive=True)}
    ports = [each.laddr for each in psutil.net_connections("inet") if each.status == "LISTEN" and each.pid in own]
    assert len(ports) >= 4
    hosts = [ipaddress.ip_address(port.ip.removeprefix("::ffff:")) for port in ports]
    assert [host for host in hosts if not host.is_loopback] == []
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize(
    "story",
    [
        pytest.param("nodes", id="a lost node costs no attempt"),
        pytest.param("head", id="a lost head is said and the search resumes"),
        pytest.param("shares", id="pools share a cluster"),
        pytest.param("lonely", id="no slot at all is said"),
    ],
)
def test_what_happens_on_a_cluster(story: str) -> None:
    """Each story of `tests.search.ray_clusters` is told to its end, on a cluster of several nodes."""
    command = [sys.executable, "-m", "tests.search.ray_clusters", story]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_AUTH_TOKEN"):  # of the pool beside it
        environment.pop(name, None)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "told"


def test_a_closed_pool_asks_its_tasks_to_stop(ray: RayPool, tmp_path: Path) -> None:
    """One that looks stops by itself, one that does not is lost with its worker, one that waits is cancelled; the pool
    takes no more."""
    ray.close()
    with open_pool("ray:2") as pool:
        polite, deaf = pool.run(tasks.until_cancelled, tmp_path), pool.run(tasks.sleep, None)
        while not (tmp_path / "started").exists() or not deaf.running():
            assert not polite.done()
            time.sleep(0.05)
        waits = [pool.run(divmod, 7, 3) for _ in range(3)]
    assert (tmp_path / "stopped").exists()
    with pytest.raises(WorkerLost, match="the pool was closed, in attempt 1 of 3"):
        deaf.result()
    assert all(future.cancelled() for future in waits)
    with pytest.raises(RuntimeError, match="was closed"):
        pool.run(divmod, 7, 3)


def test_a_cluster_that_is_not_there_is_said() -> None:
    """The error may be retried, and names the address."""
    with pytest.raises(PoolLost, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        open_pool("ray://127.0.0.1:1")


@pytest.mark.parametrize(
    "wrong", [{"cpus": -1}, {"gpus": 1.5}, {"cpus": 0, "gpus": 0}, {"memory": -1}, {"gpus": float("nan")}]
)
def test_a_slot_takes_something(wrong: dict[str, float]) -> None:
    """A part of one GPU or whole ones, some CPUs, some memory: anything else is refused."""
    with pytest.raises(InvalidInput, match="a slot takes"):
        Need(**wrong)  # type: ignore[arg-type]


def test_slots_are_placed_by_memory_and_kind_of_gpu() -> None:
    """A node has as many as the scarcest of its resources allows; CPUs are always named, or Ray would take one."""
    node = {"CPU": 16.0, "GPU": 4.0, "memory": 64e9, "accelerator_type:H100": 1.0}
    assert Need(gpus=0.5).slots(node) == 8
    assert Need(cpus=0, gpus=0.1).slots(node) == 40
    assert Need(gpus=0.5, memory=int(20e9)).slots(node) == 3
    assert Need(gpus=1, gpu="H100").slots(node) == 4
    assert Need(gpus=1, gpu="A100").slots(node) == 0
    assert Need(cpus=0, gpus=1, gpu="H100").options() == {"num_cpus": 0, "num_gpus": 1, "accelerator_type": "H100"}


def test_shares_are_fair_whatever_is_wanted() -> None:
    """All slots are given; whoever has less than it wants has at most one less than the largest share."""
    for slots in (0, 1, 7, 64):
        for wanted in ({"a": 5}, {"a": 0, "b": 0}, {"a": 100, "b": 100, "c": 2}, {"a": 1, "b": 3, "c": 9, "d": 0}):
            shares = divide(slots, wanted)
            assert sum(shares.values()) == slots
            short = [shares[name] for name in wanted if shares[name] < wanted[name]]
            taken = [min(shares[name], wanted[name]) for name in wanted]
            assert all(share >= max(taken) - 1 for share in short)


def test_a_runner_that_reports_no_more_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have its slots when it has left, or has been silent for long."""
    now = [0.0]
    monkeypatch.setattr("fewstep.search.evaluation.shares.time.monotonic", lambda: now[0])
    shares = Shares()
    assert shares.report("a", 8, 8) == 8
    assert shares.report("b", 8, 8) == 4
    shares.leave("b")
    assert shares.report("a", 8, 8) == 8
    assert shares.report("b", 8, 8) == 4
    now[0] = 2 * SILENT_SECONDS
    assert shares.report("b", 8, 8) == 8
