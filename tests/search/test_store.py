"""What is kept: files that are whole or made anew, and memory that has a size."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fewstep import models
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.evaluation.store import CacheEntry, Recent, load, save

NOISES = NoiseSet(0, SEARCH, 8)
TENSORS = {"half": torch.ones(3, 2, dtype=torch.bfloat16), "one": torch.tensor(7), "none": torch.zeros(0, 4)}


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def emptied(content: bytes) -> bytes:
    return b""


def flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 4]) + content[-4:]


def renamed(content: bytes) -> bytes:
    return content.replace(b'"me"', b'"he"')


DAMAGES = [truncated, emptied, flipped]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Every dtype and shape, with the owner; nothing else is left in the folder."""
    save(tmp_path / "a.safetensors", CacheEntry(TENSORS, "me"))
    kept = load(tmp_path / "a.safetensors")
    assert kept is not None
    assert kept.owner == "me"
    assert kept.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(kept.tensors[name], TENSORS[name]) for name in TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert load(tmp_path / "b.safetensors") is None


@pytest.mark.parametrize("damage", [*DAMAGES, renamed])
def test_a_damaged_file_counts_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    """Truncated, emptied, a bit flipped or its owner changed: it is not there, and the log says so."""
    path = tmp_path / "a.safetensors"
    save(path, CacheEntry(TENSORS | {"last": torch.arange(5.0)}, "me"))
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    with caplog.at_level(logging.WARNING):
        assert load(path) is None
    assert "is made anew" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_teacher_with_damaged_files_is_made_anew(
    blobs: models.GaussianMixture, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """With every file damaged, targets and trajectories are what they were, and the files are whole again."""
    first, before = (evaluate.follow(Evaluator(blobs, (4,), cache=tmp_path), NOISES) for _ in range(2))
    files = sorted(tmp_path.glob("*.safetensors"))
    whole = {path: path.read_bytes() for path in files}
    assert len(files) == 3  # the size of pieces, trajectories, targets
    for path, content in whole.items():
        path.write_bytes(damage(content))
    again = Evaluator(blobs, (4,), cache=tmp_path)
    followed = evaluate.follow(again, NOISES)
    assert np.array_equal(followed.states, first.states)
    assert np.array_equal(before.states, first.states)
    ends = Evaluator(blobs, (4,)).pairs(NOISES, teacher.CALLS)[1]
    torch.testing.assert_close(again.pairs(NOISES, teacher.CALLS)[1], ends)
    assert all(load(path) is not None for path in files)


def test_memory_has_a_size() -> None:
    """What was used least recently goes first; a single thing stays whatever its size."""
    recent = Recent[str](most=1000)
    for name in "abc":
        recent.put(name, CacheEntry({"x": torch.zeros(100)}, name))
        recent.get("a")
    assert recent.bytes == 800
    assert [recent.get(name) is None for name in "abc"] == [False, True, False]
    recent.put("large", CacheEntry({"x": torch.zeros(1000)}, ""))
    assert recent.bytes == 4000
    assert recent.get("large") is not None


def test_an_evaluator_keeps_no_more_targets_than_it_may(blobs: models.GaussianMixture) -> None:
    """After many sets of noises the targets in memory are within the size, and those that went come back the same."""
    evaluator = Evaluator(blobs, (4,), targets=Recent(3 * 2 * 8 * 4 * 4))
    ends = [evaluator.pairs(NoiseSet(seed, SEARCH, 8), teacher.CALLS)[1] for seed in range(6)]
    assert evaluator.targets.bytes == evaluator.targets.most
    assert evaluator.targets.get((NoiseSet(0, SEARCH, 8), teacher.CALLS)) is None
    assert torch.equal(evaluator.pairs(NoiseSet(0, SEARCH, 8), teacher.CALLS)[1], ends[0])
