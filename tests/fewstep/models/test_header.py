"""The header check: what the safetensors library writes passes, lies are refused, and nothing else comes out."""

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fewstep.errors import InvalidModel
from fewstep.models.header import HeaderLimits, check, check_finite

KINDS = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
GOOD = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
}


def packed(header: Any, data: bytes = bytes(32), length: int | None = None) -> bytes:
    """A file of that header, which may be text already; ``length`` overrules the header's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def changed(**fields: Any) -> bytes:
    """The good file with other fields of its first tensor."""
    return packed(GOOD | {"a": GOOD["a"] | fields})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_what_the_library_writes_passes(file: Path) -> None:
    """Every dtype, scalars, empty tensors and metadata; names, shapes and bytes are the library's own."""
    tensors = {kind: torch.ones(3, 5).to(getattr(torch, kind)) for kind in KINDS}
    tensors |= {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 4), "ümlaut": torch.ones(1)}
    save_file(tensors, file, metadata={"format": "pt"})
    content = file.read_bytes()
    entries = {entry.name: entry for entry in check(file)}
    assert set(entries) == set(load_file(file)) == set(tensors)
    for name, tensor in tensors.items():
        entry = entries[name]
        assert entry.shape == tuple(tensor.shape)
        raw = bytearray(content[entry.begin : entry.end])
        if raw:
            assert torch.frombuffer(raw, dtype=tensor.dtype).reshape(entry.shape).equal(tensor)
    check_finite(file)


LIES = {
    "a pickle": (pickle.dumps({"a": [1.0] * 99}), "no safetensors file"),
    "nothing": (b"", "0 bytes"),
    "seven bytes": (b"\x02" + bytes(6), "7 bytes"),
    "an empty header": (packed(b"", length=0), "got 0"),
    "a header longer than the file": (packed(GOOD, length=10_000), "got 10000"),
    "a length that is negative as signed": (packed(GOOD, length=2**64 - 1), str(2**64 - 1)),
    "a header above the limit": (packed(json.dumps(GOOD).encode().ljust(2**24 + 1), length=2**24 + 1), str(2**24)),
    "no JSON": (packed(b"{]"), "not valid JSON"),
    "no UTF-8": (packed(b'{"\xff": 1}'), "not valid JSON"),
    "deep JSON": (packed(b"[" * 200_000), "not valid JSON"),
    "a number without end": (packed(b'{"a": ' + b"9" * 10_000 + b"}"), "not valid JSON"),
    "NaN as a number": (packed(b'{"a": NaN}'), "NaN"),
    "a list": (packed([]), "got list"),
    "one name twice": (packed(b'{"a": 1, "a": 2}'), "twice"),
    "metadata that are no text": (packed(GOOD | {"__metadata__": {"a": 1}}), "__metadata__"),
    "a tensor that is no object": (packed(GOOD | {"a": 3}), "exactly the fields"),
    "an unknown field": (changed(code="import os"), "exactly the fields"),
    "an unknown dtype": (changed(dtype="object"), "'object'; known: F64"),
    "a dtype that is no text": (changed(dtype=["F32"]), "known: F64"),
    "a negative size": (changed(shape=[-2, -3]), "whole numbers"),
    "a size that is no number": (changed(shape=[2, True, 3]), "whole numbers"),
    "a shape that is no list": (changed(shape=6), "whole numbers"),
    "sizes whose product would wrap": (changed(shape=[2**32, 2**32, 6]), "bytes, got 24"),
    "too many dimensions": (changed(shape=[1] * 7 + [2, 3]), "at most 8"),
    "a shape that needs more bytes": (changed(shape=[2, 4]), "takes 32 bytes, got 24"),
    "offsets backwards": (changed(data_offsets=[24, 0]), "got -24"),
    "negative offsets": (changed(data_offsets=[-24, 0]), "data_offsets"),
    "three offsets": (changed(data_offsets=[0, 24, 32]), "data_offsets"),
    "two tensors in one place": (packed(GOOD | {"b": GOOD["b"] | {"data_offsets": [20, 28]}}), "overlaps"),
    "a tensor inside another": (
        packed(GOOD | {"c": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}}),
        "overlaps",
    ),
    "a gap at the start": (packed({"b": GOOD["b"]}), "leaves a gap"),
    "a gap in the middle": (packed({"a": GOOD["a"], "b": GOOD["b"] | {"data_offsets": [25, 33]}}), "leaves a gap"),
    "a file that was cut": (packed(GOOD)[:-1], "cut or added to"),
    "a file with more behind": (packed(GOOD) + b"\0", "cut or added to"),
}


@pytest.mark.parametrize(("content", "words"), LIES.values(), ids=LIES)
def test_lies_are_refused(file: Path, content: bytes, words: str) -> None:
    """Every lie gets a reason of its own, and the file's name."""
    file.write_bytes(packed(GOOD))
    assert [entry.name for entry in check(file)] == ["a", "b"]
    file.write_bytes(content)
    with pytest.raises(InvalidModel) as refused:
        check(file)
    assert words in str(refused.value)
    assert "model.safetensors" in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_limits_hold(file: Path) -> None:
    """The caller's limits on header, tensors, dimensions and sizes are kept; a missing file is named."""
    file.write_bytes(packed(GOOD))
    for limits in (HeaderLimits(header=40), HeaderLimits(tensors=1), HeaderLimits(dimensions=1), HeaderLimits(size=2)):
        with pytest.raises(InvalidModel):
            check(file, limits)
    with pytest.raises(InvalidModel, match=r"nonesuch\.safetensors"):
        check(file.with_name("nonesuch.safetensors"))


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_found(
    file: Path, kind: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One NaN or infinity anywhere is found, also past the first chunk; the largest finite numbers are no infinity."""
    monkeypatch.setattr("fewstep.models.header.CHECK_CHUNK", 64)
    dtype = getattr(torch, kind)
    good = torch.tensor([torch.finfo(dtype).max, torch.finfo(dtype).min, torch.finfo(dtype).tiny, 0.0], dtype=dtype)
    save_file({"first": good.repeat(20), "second": good}, file)
    check_finite(file)
    wrong = good.repeat(20)
    wrong[57] = value
    save_file({"first": good, "second": wrong}, file)
    with pytest.raises(InvalidModel, match="'second' holds NaN or infinity"):
        check_finite(file)


def accepted(file: Path, content: bytes) -> None:
    """Either the check refuses with `InvalidModel`, or what it says is what the library reads."""
    file.write_bytes(content)
    try:
        entries = check(file)
        check_finite(file)
    except InvalidModel:
        return
    assert {entry.name: entry.shape for entry in entries} == {
        name: tuple(tensor.shape) for name, tensor in load_file(file).items()
    }


slow = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["F32", "BF16"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@slow
@given(content=st.binary(max_size=120) | st.binary(max_size=60).map(lambda data: packed(data, b"")))
def test_no_bytes_bring_it_down(file: Path, content: bytes) -> None:
    """Whatever bytes there are, with or without a fitting length before them."""
    accepted(file, content)


@slow
@given(data=st.data())
def test_no_change_of_a_good_file_brings_it_down(file: Path, data: st.DataObject) -> None:
    """Bytes of a good file changed, cut out or put in at any place."""
    content = bytearray(packed(GOOD))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    accepted(file, bytes(content))


@slow
@given(
    name=st.sampled_from(["a", "b", "c", "__metadata__"]),
    field=st.sampled_from(["dtype", "shape", "data_offsets", "more"]),
    value=json_values | st.lists(st.integers(-1, 40), max_size=3),
)
def test_no_value_in_a_header_brings_it_down(file: Path, name: str, field: str, value: Any) -> None:
    """Any JSON value in the place of any field."""
    accepted(file, packed(GOOD | {name: {**GOOD.get(name, {}), field: value}}))
