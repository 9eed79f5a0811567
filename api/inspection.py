"""Looking through a model folder from outside, in a process of its own that may be killed: nothing in it is trusted."""

import resource
from concurrent.futures import TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from math import prod
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import Any

from pebble import ProcessExpired, ProcessPool

from fewstep import processes
from fewstep.errors import InvalidInput, InvalidModel, ServiceError
from fewstep.models.archive import check_archive
from fewstep.models.header import check, check_finite
from fewstep.models.layout import locate
from fewstep.models.manifest import Manifest
from fewstep.models.shapes import check_shapes

__all__ = ["Inspected", "Inspector", "describe", "inspect"]

MEMORY = 6 * 2**30  # bytes that describing a model may take; weights are read in pieces, networks are made without


@dataclass(frozen=True)
class Inspected:
    """What a folder says of its model. ``process`` is JSON, ``network`` "" for a program, ``parameters`` None there."""

    digest: str
    shape: tuple[int, ...]
    process: dict[str, Any]
    network: str
    prediction: str
    parameters: int | None
    conditions: int
    guidance: float


def inspect(folder: Path) -> Inspected:
    """Check headers, numbers, archive, configs and shapes of a model folder, and say what it is.

    No weight is mapped and no program opened. Raises `InvalidModel` with the reason.
    """
    try:
        return _inspect(folder)
    except InvalidInput as error:
        raise InvalidModel(str(error)) from None  # of a kind that travels between processes
    except (MemoryError, RecursionError, OverflowError) as error:
        raise InvalidModel(f"the model's description cannot be held: {type(error).__name__}") from None


def _inspect(folder: Path) -> Inspected:
    layout = locate(folder)
    if layout.program is not None:
        check_archive(layout.program)
    for path in (*layout.weights, *filter(None, [layout.conditions])):
        check_finite(path)
    found = Manifest.read(folder)
    if found.kind == "diffusers":
        check_shapes(found, folder)
    return describe(folder, found)


def describe(folder: Path, manifest: Manifest) -> Inspected:
    """What a folder that can be trusted says of its model, whose manifest was read before; raises `InvalidModel`."""
    entries = [entry for path in locate(folder).weights for entry in check(path)]
    return Inspected(
        digest=manifest.digest,
        shape=manifest.shape,
        process=processes.to_dict(manifest.process),
        network=manifest.network,
        prediction=manifest.prediction,
        parameters=sum(prod(entry.shape) for entry in entries) if entries else None,
        conditions=manifest.conditions,
        guidance=manifest.guidance,
    )


class Inspector:
    """One process that looks through folders, one after the other; it is replaced where it dies or takes too long.

    ``seconds`` is the most for one folder.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self._lock = seconds, Lock()
        self._pool: ProcessPool | None = None

    def __call__(self, folder: Path) -> Inspected:
        """See `inspect`; raises `ServiceError` where the service stops meanwhile."""
        try:
            future = self._running().schedule(inspect, args=(folder,), timeout=self.seconds)
            found: Inspected = future.result()
            return found
        except TimeoutError:
            raise InvalidModel(f"looking through the model took more than {self.seconds:g} s") from None
        except ProcessExpired as error:
            raise InvalidModel(
                f"the process that looked through the model died, with exit code {error.exitcode}"
            ) from None
        except (RuntimeError, BrokenProcessPool) as error:
            self.close()
            raise ServiceError("the process that looks through models was lost: try again") from error

    def _running(self) -> ProcessPool:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPool(max_workers=1, initializer=_limit, context=get_context("spawn"))
            return self._pool

    def close(self) -> None:
        """End the process at once."""
        with self._lock:
            if self._pool is not None:
                self._pool.stop()  # type: ignore[no-untyped-call]
                self._pool.join()
                self._pool = None


def _limit() -> None:
    """First thing in the process: a ceiling for its memory, whatever a description asks for."""
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most))
