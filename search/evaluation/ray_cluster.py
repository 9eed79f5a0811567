"""A Ray cluster: what a slot takes of its nodes, and how to come to one with nothing but our own ports and reports."""

import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fewstep.errors import InvalidInput
from fewstep.search.evaluation.pool import PoolLost
from fewstep.search.evaluation.shares import Shares
from fewstep.search.evaluation.slots import SlotSettings

__all__ = ["CALL_SECONDS", "NAMESPACE", "Need", "connect", "first_line", "knock", "shares_of"]

NAMESPACE = "fewstep"
CALL_SECONDS = 5.0  # for a call of the cluster's own


@dataclass(frozen=True)
class Need:
    """What one slot takes of its node: CPUs, GPUs (a fraction where several slots share one), bytes of memory, and the
    kind of the GPU as Ray names it ("H100", "A10G"). Raises `InvalidInput`."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0
    gpu: str = ""

    def __post_init__(self) -> None:
        whole = self.gpus <= 1 or self.gpus % 1 == 0
        if not (0 <= self.cpus < 1e6 and 0 <= self.gpus < 1e6 and whole and 0 <= self.memory < 2**60):
            raise InvalidInput(
                f"a slot takes some CPUs, a part of one GPU or whole ones, and bytes of memory; got {self.cpus:g} "
                f"CPUs, {self.gpus:g} GPUs, {self.memory} bytes"
            )
        if not (self.cpus or self.gpus):
            raise InvalidInput("a slot takes at least a part of a CPU or of a GPU, got none of either")

    def options(self) -> dict[str, Any]:
        """As options of a Ray actor, where what is left out would mean one CPU."""
        kind = {"accelerator_type": self.gpu} if self.gpu else {}
        memory = {"memory": self.memory} if self.memory else {}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **memory, **kind}

    def settings(self, slot: SlotSettings) -> SlotSettings:
        """The settings of a slot on the device that it takes; of a part of a GPU it has as large a part of the memory,
        unless they name one."""
        part = self.gpus if 0 < self.gpus < 1 else None
        return replace(slot, device="cuda" if self.gpus else "cpu", gpu_memory=slot.gpu_memory or part)

    def slots(self, resources: dict[str, float]) -> int:
        """How many slots a node with these resources has room for."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        if self.gpu and f"accelerator_type:{self.gpu}" not in resources:
            return 0
        return min(int(resources.get(name, 0.0) / need + 1e-6) for name, need in needs.items() if need)


def first_line(error: BaseException) -> str:
    """The line of one of Ray's long messages that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("The actor is dead because", "The actor died because"))]
    return (told or lines or [type(error).__name__])[0][:300]


def knock(address: str, seconds: float) -> None:
    """Connect to "host:port" and leave; raises `OSError` where nobody answers within so many seconds."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()


def shares_of(ray: Any) -> Any:
    """The actor that divides a cluster's slots among its runners, of which there is one."""
    options = {"name": "shares", "namespace": NAMESPACE, "get_if_exists": True, "lifetime": "detached"}
    return ray.remote(Shares).options(**options, num_cpus=0, max_restarts=-1, max_task_retries=0).remote()


def connect(address: str | None, cpus: float | None, host: str | None) -> tuple[Any, bool]:
    """Ray, connected; and whether this call did it. Raises `InvalidInput` without the package, `PoolLost` where nothing
    answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        if host is None:  # the switch by which Ray keeps to the loopback address, read when it is imported
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # not written to a file
    try:
        import ray
    except ImportError as error:
        raise InvalidInput(f"a pool on Ray wants the package ray: pip install 'fewstep[ray]' ({error})") from error
    if ray.is_initialized():
        return ray, False
    options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "configure_logging": False}
    if address is None:
        options.update(address="local", include_dashboard=False, num_cpus=cpus, _node_ip_address=host or "127.0.0.1")
    else:
        try:  # Ray itself would try for ten minutes
            knock(address, CALL_SECONDS)
        except OSError as error:
            raise PoolLost(f"no Ray cluster at {address}: {error}") from error
        options.update(address=address)
    try:
        with _signals_kept():
            ray.init(**options)
    except Exception as error:
        where = f"at {address}" if address else "on this machine"
        raise PoolLost(f"no Ray cluster {where}: {first_line(error)}") from error
    return ray, True


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray's own handler of SIGTERM would end the process in the place of the one that is there."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)
