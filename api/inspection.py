"""Inspection of untrusted model folders, in a separate process with limits of time and memory."""

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

MEMORY = 6 * 2**30  # bytes, of one inspection; weights are read in pieces, and networks built without


@dataclass(frozen=True)
class Inspected:
    """Description of a model, read from its folder: for a program, ``network`` is "" and ``parameters`` None.

    ``process`` is JSON.
    """

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
        raise InvalidModel(str(error)) from None  # a class that can be pickled
    except (MemoryError, RecursionError, OverflowError) as error:
        raise InvalidModel(f"the model's description cannot be held: {type(error).__name__}") from None


def _inspect(folder: Path) -> Inspected:
    layout = locate(folder)
    if layout.program is not None:
        check_archive(layout.program)
    for path in (*layout.weights, *filter(None, [layout.conditions])):
        check_finite(path)
    manifest = Manifest.read(folder)
    if manifest.kind == "diffusers":
        check_shapes(manifest, folder)
    return describe(folder, manifest)


def describe(folder: Path, manifest: Manifest) -> Inspected:
    """The description of the model in a trusted folder, by its manifest and headers; raises `InvalidModel`."""
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
    """One process that inspects folders in turn; it is replaced where it dies or takes too long.

    ``seconds`` is the limit for one folder.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = Lock()
        self._pool: ProcessPool | None = None

    def __call__(self, folder: Path) -> Inspected:
        """See `inspect`; raises `ServiceError` where the service stops meanwhile."""
        try:
            future = self._running().schedule(inspect, args=(folder,), timeout=self.seconds)
            inspected: Inspected = future.result()
            return inspected
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
    """Limit the memory of the process, before it reads anything."""
    hard_limit = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft_limit = MEMORY if hard_limit == resource.RLIM_INFINITY else min(MEMORY, hard_limit)
    resource.setrlimit(resource.RLIMIT_DATA, (soft_limit, hard_limit))
