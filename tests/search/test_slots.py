"""URLs of pools: the slots that they ask for, the settings of these, and what is refused."""

from typing import Any

import pytest
import torch

from fewstep.errors import InvalidInput, UnknownName
from fewstep.search.evaluation import local_pool, ray_url
from fewstep.search.evaluation.local_pool import LocalPool, local_slots
from fewstep.search.evaluation.pool import open_pool
from fewstep.search.evaluation.ray_cluster import Need
from fewstep.search.evaluation.slots import SlotSettings
from fewstep.search.evaluation.watch import TASK_SECONDS


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two of them, as far as torch says."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.fixture
def on_ray(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What pools on Ray are made of, in the place of the pools."""
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(ray_url, "RayPool", lambda *arguments, **options: made.append((arguments, options)))
    return made


def test_a_local_pool_has_the_slots_of_its_url() -> None:
    """A number of CPU slots, or devices by name."""
    for url, slots in (("local:2", 2), ("local:cpu", 1), ("local:cpu,cpu,cpu", 3)):
        with open_pool(url) as host:
            assert isinstance(host, LocalPool)
            assert len(host) == slots


@pytest.mark.parametrize(
    ("rest", "slots"),
    [
        ("2", [SlotSettings()] * 2),
        ("2?", [SlotSettings()] * 2),
        ("1?threads=2&models=1", [SlotSettings("cpu", 2, None, 1)]),
        ("cuda", [SlotSettings("cuda:0"), SlotSettings("cuda:1")]),
        ("cuda:1?gpu_memory=0.25", [SlotSettings("cuda:1", gpu_memory=0.25)]),
        ("cuda?per_gpu=2", [SlotSettings(f"cuda:{i}", gpu_memory=0.5) for i in (0, 1, 0, 1)]),
        ("cuda:1?per_gpu=4&gpu_memory=0.2&models=1", [SlotSettings("cuda:1", 1, 0.2, 1)] * 4),
        ("cuda:0,cuda:0,cuda:1", [SlotSettings("cuda:0", gpu_memory=0.5)] * 2 + [SlotSettings("cuda:1")]),
        ("cpu,cuda:0?per_gpu=2", [SlotSettings(), *[SlotSettings("cuda:0", gpu_memory=0.5)] * 2]),
        ("cpu,cuda:0?gpu_memory=0.2", [SlotSettings(), SlotSettings("cuda:0", gpu_memory=0.2)]),
    ],
)
def test_slots_have_the_settings_of_their_url(gpus: None, rest: str, slots: list[SlotSettings]) -> None:
    """Those that share a GPU have equal parts of its memory unless the URL names one; GPUs take turns."""
    assert local_slots(rest) == slots


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "local:N with N from 1 to 1024"),
        ("0", "got local:0, and the GPUs here are cuda:0, cuda:1"),
        ("4096", "got local:4096"),
        ("9999999999999", "got local:9999999999999"),
        ("-1", "got local:-1"),
        ("tpu", "got local:tpu"),
        ("cuda:2", "got local:cuda:2"),
        ("cuda:0,", "got local:cuda:0,"),
        ("2?thread=2", "options of this pool are per_gpu, threads, gpu_memory, models; got 'thread', which is none"),
        ("2?threads=2&threads=3", "got 'threads', twice"),
        ("2?threads=two", "option threads is a whole number from 1 to 1024, got 'two'"),
        ("2?threads", "option threads is a whole number from 1 to 1024, got ''"),
        ("2?threads=0", "option threads is a whole number from 1 to 1024, got '0'"),
        ("2?models=0", "option models is a whole number from 1 to 1024, got '0'"),
        ("cuda?per_gpu=0", "option per_gpu is a whole number from 1 to 1024, got '0'"),
        ("cuda?per_gpu=1024", "at most 1024 slots, got 2048"),
        ("cuda?gpu_memory=0", "option gpu_memory is a number above 0 and at most 1, got '0'"),
        ("cuda?gpu_memory=1.1", "option gpu_memory is a number above 0 and at most 1, got '1.1'"),
        ("cuda?gpu_memory=nan", "option gpu_memory is a number above 0 and at most 1, got 'nan'"),
        ("2?per_gpu=2&gpu_memory=0.5", "per_gpu and gpu_memory want slots on GPUs, got local:2"),
    ],
)
def test_a_local_url_that_makes_no_pool_is_refused(gpus: None, rest: str, message: str) -> None:
    """The message says what was given, what may be, and what is here."""
    with pytest.raises(InvalidInput, match=message):
        open_pool(f"local:{rest}")


def test_an_unknown_scheme_is_refused() -> None:
    """The message names those that are known."""
    with pytest.raises(UnknownName, match="unknown pool 'remote'; known: local"):
        open_pool("remote:4")


@pytest.mark.parametrize("rest", ["cuda", "cuda:0"])
def test_without_a_gpu_there_is_no_slot_on_one(no_gpu: None, rest: str) -> None:
    """A pool of all of them is refused too."""
    with pytest.raises(InvalidInput, match="the GPUs here are none"):
        open_pool(f"local:{rest}")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threads": 0}, "threads of a slot is a whole number from 1 to 1024, got 0"),
        ({"models": 0}, "models of a slot is a whole number from 1 to 1024, got 0"),
        ({"device": "cuda:0", "gpu_memory": 2.0}, "gpu_memory of a slot is a number above 0 and at most 1, got 2"),
        ({"gpu_memory": 0.5}, "gpu_memory is a part of a GPU's, got 0.5 for a slot on the CPU"),
    ],
)
def test_settings_that_no_slot_can_have_are_refused(wrong: dict[str, Any], message: str) -> None:
    """When they are made, wherever they come from."""
    with pytest.raises(InvalidInput, match=message):
        SlotSettings(**wrong)


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        (SlotSettings("cpu", threads=2), []),
        (SlotSettings("cuda:1"), []),
        (SlotSettings("cuda:1", gpu_memory=0.25), [(0.25, 1)]),
        (SlotSettings("cuda", gpu_memory=0.5), [(0.5, None)]),
    ],
)
def test_a_worker_limits_the_memory_that_it_takes(
    monkeypatch: pytest.MonkeyPatch, settings: SlotSettings, limits: list[tuple[float, int | None]]
) -> None:
    """On its own GPU, by torch's limit for the process, and only where its settings have one; its threads are set."""
    called: list[tuple[float, int | None]] = []
    threads: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *arguments: called.append(arguments))
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    for name in ("_settings", "_pulse"):  # put back afterwards
        monkeypatch.setattr(local_pool, name, getattr(local_pool, name))
    local_pool._start(settings, [0.0, 0.0])
    assert (called, threads) == (limits, [settings.threads])
    assert local_pool._settings is settings


@pytest.mark.parametrize(
    ("need", "slot", "settings"),
    [
        (Need(), SlotSettings(threads=2), SlotSettings("cpu", 2)),
        (Need(gpus=1), SlotSettings(models=1), SlotSettings("cuda", models=1)),
        (Need(gpus=0.5), SlotSettings(), SlotSettings("cuda", gpu_memory=0.5)),
        (Need(gpus=0.5), SlotSettings("cuda", gpu_memory=0.4), SlotSettings("cuda", gpu_memory=0.4)),
        (Need(gpus=2), SlotSettings(), SlotSettings("cuda")),
    ],
)
def test_a_slot_on_ray_has_the_device_that_it_takes(need: Need, slot: SlotSettings, settings: SlotSettings) -> None:
    """Of a part of a GPU it has as large a part of the memory, unless its settings say otherwise."""
    assert need.settings(slot) == settings


def test_what_a_url_of_ray_says(on_ray: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    """The cluster, what a slot takes and does first, how many there are, and how long to wait."""
    times = {"timeout": TASK_SECONDS, "patience": 30.0, "wait": 600.0}
    usual = {"slot": SlotSettings(), **times, "here": None, "host": None}
    open_pool("ray:")
    open_pool("ray:4?threads=2&models=1&cpus=2&timeout=5", timeout=60.0)
    open_pool("ray:?host=10.0.0.1", timeout=60.0)
    open_pool("ray://head:6379?gpus=0.5&gpu=H100&memory=16e9&slots=16&patience=1&wait=2")
    open_pool("ray://[::1]:6379?gpu_memory=0.3")
    assert on_ray == [
        ((None, None, None, None, None), usual),
        (
            (None, Need(2.0), 4, None, None),
            {**usual, "slot": SlotSettings("cpu", 2, None, 1), "timeout": 5.0, "here": 8.0},
        ),
        ((None, None, None, None, None), {**usual, "timeout": 60.0, "host": "10.0.0.1"}),
        (
            ("head:6379", Need(1.0, 0.5, 16_000_000_000, "H100"), 16, None, None),
            {**usual, "slot": SlotSettings("cuda"), "patience": 1.0, "wait": 2.0},
        ),
        (
            ("[::1]:6379", Need(1.0, 1.0), None, None, None),
            {**usual, "slot": SlotSettings("cuda", gpu_memory=0.3)},
        ),
    ]


@pytest.mark.parametrize(
    "rest", ["0", "4096", "two", "99999999", "//head", "//:6379", "//head:0", "//head:99999", "//head:1?host=0.0.0.0"]
)
def test_a_url_that_makes_no_pool_on_ray_is_refused(rest: str) -> None:
    """Before anything is started, with what may follow the scheme."""
    with pytest.raises(InvalidInput, match=r"a pool on Ray is ray: or ray:N.*got ray:"):
        open_pool(f"ray:{rest}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("slot=4", "options of this pool are cpus, gpus, .*, host; got 'slot', which is none of them"),
        ("per_gpu=2", "got 'per_gpu', which is none of them"),
        ("slots=2&slots=4", "got 'slots', twice"),
        ("cpus=two", "option cpus is a number, at least 0, got 'two'"),
        ("memory=inf", "option memory is a number, at least 0, got 'inf'"),
        ("slots=0", "option slots is a whole number from 1 to 1024, got '0'"),
        ("threads=0", "option threads is a whole number from 1 to 1024, got '0'"),
        ("timeout=0", "option timeout is a number of seconds above 0, got '0'"),
        ("wait=nan", "option wait is a number of seconds above 0, got 'nan'"),
        ("gpus=0&gpu_memory=0.5", "gpu_memory is a part of a GPU's, got 0.5 for a slot on the CPU"),
        ("gpus=1.5", "a slot takes some CPUs, a part of one GPU or whole ones"),
    ],
)
def test_an_option_that_no_pool_on_ray_has_is_refused(query: str, message: str) -> None:
    """Its name or its value, before anything is started."""
    with pytest.raises(InvalidInput, match=message):
        open_pool(f"ray://head:6379?{query}")
