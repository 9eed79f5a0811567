"""What a URL "ray:…" says: the cluster, what a slot takes of its nodes, and how long to wait for whom."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewstep.errors import InvalidInput
from fewstep.search.evaluation.ray_cluster import Need
from fewstep.search.evaluation.ray_pool import RayPool
from fewstep.search.evaluation.slots import (
    AMOUNT,
    COUNT,
    MAX_SLOTS,
    SECONDS,
    SLOT_OPTIONS,
    TEXT,
    Kind,
    read_options,
    slot_settings,
)
from fewstep.search.evaluation.watch import TASK_SECONDS

__all__ = ["OPTIONS", "open_ray"]

NEEDS: Mapping[str, Kind] = {"cpus": AMOUNT, "gpus": AMOUNT, "gpu": TEXT, "memory": AMOUNT}
TIMES: Mapping[str, Kind] = {"timeout": SECONDS, "patience": SECONDS, "wait": SECONDS}
OPTIONS: Mapping[str, Kind] = {**NEEDS, **SLOT_OPTIONS, "slots": COUNT, **TIMES, "host": TEXT}
"""The options of the URL."""


def open_ray(
    rest: str, cache: Path | None = None, metrics: Path | None = None, timeout: float = TASK_SECONDS
) -> RayPool:
    """The pool of a URL "ray:…".

    | URL | slots |
    |---|---|
    | ``ray:`` | Ray is started on this machine, with its ports on the loopback address: a slot on every GPU, else CPU |
    | ``ray:4`` | the same with four CPU slots |
    | ``ray://head:6379`` | on the cluster whose head is there and of which this machine is a node |
    | ``ray://head:6379?gpus=0.5&gpu=H100&memory=16e9&slots=16`` | what a slot takes of its node, and how many at most |
    | ``ray://head:6379?gpus=1&models=1&timeout=900`` | a model at a time, whose worker may be silent for 900 seconds |

    Options after "?": cpus, gpus, gpu, memory (bytes of main memory), slots, timeout, patience, wait (seconds), for
    "ray:" host, and those of `fewstep.search.evaluation.slots`; whoever says a ``gpu_memory`` takes a GPU. A slot on a
    part of a GPU has as large a part of its memory unless ``gpu_memory`` says otherwise.
    Raises `InvalidInput` for another URL, `PoolLost` where no cluster answers.
    """
    place, _, query = rest.partition("?")
    options = read_options(query, OPTIONS)
    cluster, local = re.fullmatch("//(.+):([0-9]{1,5})", place), re.fullmatch("([0-9]{1,4})?", place)
    good = bool(cluster and 0 < int(cluster[2]) < 2**16) or bool(local and 0 < int(local[1] or 1) <= MAX_SLOTS)
    if not good or (cluster and "host" in options):
        raise InvalidInput(
            f"a pool on Ray is ray: or ray:N, with N from 1 to {MAX_SLOTS} slots on this machine, or ray://head:6379, "
            f"each with options such as ?cpus=2&gpus=0.5&slots=16&timeout=900, host without a head; "
            f"got ray:{rest[:80]}"
        )
    count = int(place) if place and not cluster else None
    need = _need(options) if count or options.keys() & {*NEEDS, "gpu_memory"} else None
    return RayPool(
        place.removeprefix("//") if cluster else None,
        need,
        count or options.get("slots"),
        cache,
        metrics,
        slot=slot_settings("cuda" if need is not None and need.gpus else "cpu", options),
        timeout=options.get("timeout", timeout),
        patience=options.get("patience", 30.0),
        wait=options.get("wait", 600.0),
        here=count * need.cpus if count and need is not None else None,
        host=options.get("host"),
    )


def _need(options: Mapping[str, Any]) -> Need:
    """What a slot takes: a CPU, and a GPU where its kind or a part of its memory is asked for."""
    gpus = options.get("gpus", float("gpu" in options or "gpu_memory" in options))
    return Need(options.get("cpus", 1.0), gpus, int(options.get("memory", 0)), options.get("gpu", ""))
