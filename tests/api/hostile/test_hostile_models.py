"""Uploads that mean harm: each refused with a 4xx that says why, with nothing left on disk or in the database."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.uploads import MOST, WEIGHTS, Parts, changed_json, changed_weights, upload_body


def header(parts: Parts, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The weights with a header that ``change`` has changed in place; the data stay."""
    weights = parts[WEIGHTS]
    (length,) = struct.unpack("<Q", weights[:8])
    entries = json.loads(weights[8 : 8 + length])
    change(entries)
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + weights[8 + length :]


def zipped(kind: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    """A zip archive; "__" in a name stands for "/"."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "/"), data)
    return content.getvalue()


WRONG_WEIGHTS: dict[str, tuple[str, Callable[[Parts, Path], bytes]]] = {
    "a pickle": ("no safetensors file", lambda parts, _: pickle.dumps({"conv_in.weight": [1.0] * 99})),
    "a pickle in a zip": ("no safetensors file", lambda parts, _: zipped(archive__data__pkl=pickle.dumps([1]))),
    "nothing": ("0 bytes", lambda parts, _: b""),
    "a huge length": ("no safetensors file", lambda parts, _: struct.pack("<Q", 2**62) + parts[WEIGHTS][8:]),
    "a negative length": ("no safetensors file", lambda parts, _: b"\xff" * 8 + parts[WEIGHTS][8:]),
    "a length beyond the file": (
        "no safetensors file",
        lambda parts, _: struct.pack("<Q", len(parts[WEIGHTS])) + parts[WEIGHTS][8:],
    ),
    "ten gigabytes declared": (
        "tensors end at byte",
        lambda parts, _: header(
            parts,
            lambda entries: entries.update(
                z={"dtype": "U8", "shape": [10**10], "data_offsets": [len_(entries), len_(entries) + 10**10]}
            ),
        ),
    ),
    "overlapping tensors": (
        "overlaps",
        lambda parts, _: header(parts, overlap),
    ),
    "a gap": ("gap", lambda parts, _: header(parts, lambda entries: entries.pop("conv_in.bias"))),
    "an unknown dtype": (
        "known: F64",
        lambda parts, _: header(parts, lambda entries: entries["conv_in.bias"].update(dtype="OBJECT")),
    ),
    "a file that was cut": ("it was cut", lambda parts, _: parts[WEIGHTS][:-4]),
    "more behind the end": ("cut or added to", lambda parts, _: parts[WEIGHTS] + b"\0" * 64),
    "deep JSON": ("not valid JSON", lambda parts, _: struct.pack("<Q", 10**6) + b"[" * 10**6),
    "NaN": ("'conv_out.weight' holds NaN", lambda _, folder: changed_weights(folder, float("nan"))),
    "infinity": ("'conv_out.weight' holds NaN or infinity", lambda _, folder: changed_weights(folder, float("-inf"))),
}


def overlap(entries: dict[str, Any]) -> None:
    """Move a tensor into the one before it."""
    begin, end = entries["conv_in.weight"]["data_offsets"]
    entries["conv_in.weight"]["data_offsets"] = [begin - 4, end - 4]


def len_(entries: dict[str, Any]) -> int:
    """Where the data end, by the header."""
    return max(entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__")


@pytest.mark.parametrize("what", WRONG_WEIGHTS)
def test_wrong_weights(refused: Any, parts: Parts, folder: Path, what: str) -> None:
    """Weights that are something else, lie about themselves or are no numbers."""
    words, make = WRONG_WEIGHTS[what]
    refused(422, words, upload_body(parts | {WEIGHTS: make(parts, folder)}))


WRONG_CONFIGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "wider": ("config.json", "in another shape", {"block_out_channels": [12, 16]}),
    "deeper": ("config.json", "they lack", {"layers_per_block": 2}),
    "other blocks": ("config.json", "have besides", {"down_block_types": ["DownBlock2D", "DownBlock2D"]}),
    "impossible": ("config.json", "cannot make", {"norm_num_groups": 7}),
    "a class that is code": ("config.json", "unknown network class 'os.system'", {"_class_name": "os.system"}),
    "another class": ("config.json", "unknown network class", {"_class_name": "AutoencoderKL"}),
    "a path as class": ("config.json", "unknown network class", {"_class_name": "../../evil.py"}),
    "unknown settings of a manifest": ("fewstep.json", "unknown keys", {"format": 1, "code": "import os"}),
    "modules in a manifest": ("fewstep.json", "unknown keys", {"format": 1, "module": "evil", "entry": "run"}),
    "paths in a manifest": ("fewstep.json", "unknown keys", {"format": 1, "weights": "/etc/passwd"}),
    "another format": ("fewstep.json", "another format", {"format": 2}),
    "a shape without end": ("fewstep.json", "shape", {"format": 1, "shape": [1, 10**30, 8]}),
    "a wrong process": ("fewstep.json", "", {"format": 1, "process": {"kind": "os.system"}}),
    "an unknown scheduler": ("scheduler_config.json", "scheduler class", {"_class_name": "subprocess.Popen"}),
    "betas above one": ("scheduler_config.json", "betas", {"beta_end": 3.0}),
    "steps without end": ("scheduler_config.json", "num_train_timesteps", {"num_train_timesteps": 10**12}),
}


@pytest.mark.parametrize("what", WRONG_CONFIGS)
def test_wrong_descriptions(refused: Any, parts: Parts, what: str) -> None:
    """Configs that do not fit the weights, ask for too much, or name code, modules and paths."""
    name, words, values = WRONG_CONFIGS[what]
    refused(422, words, upload_body(parts | {name: changed_json(parts.get(name, b"{}"), **values)}))


@pytest.mark.parametrize("name", ["config.json", "scheduler_config.json", "fewstep.json"])
@pytest.mark.parametrize(
    "text",
    [
        b"[" * 10**6,
        b'{"a":' * 10**5,
        b"\x80\x04]",
        b"",
        b"[]",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
    ids=["deep list", "deep object", "pickle", "nothing", "list", "NaN", "twice", "digits"],
)
def test_wrong_json(refused: Any, parts: Parts, name: str, text: bytes) -> None:
    """What is no JSON object, or one that only a careless parser takes."""
    refused(422, name, upload_body(parts | {name: text}))


BOMB = bytes(MOST - 2**12)
PROGRAMS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "no archive": ("not a zip archive", lambda: pickle.dumps([1])),
    "a bomb": ("unpacks to", lambda: zipped(zipfile.ZIP_DEFLATED, archive__data=BOMB)),
    "a bomb of many": (
        "unpacks to",
        lambda: zipped(zipfile.ZIP_DEFLATED, **{f"a{i}": BOMB[: 10**5] for i in range(50)}),
    ),
    "a path out": ("leads out", lambda: zipped(**{"..__..__etc__passwd": b"x"})),
    "an absolute path": ("leads out", lambda: zipped(**{"__etc__passwd": b"x"})),
    "a Windows path": ("leads out", lambda: zipped(**{"C:\\evil": b"x"})),
    "many entries": ("entries", lambda: zipped(**{f"a{i}": b"" for i in range(20_001)})),
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_wrong_programs(refused: Any, what: str) -> None:
    """Archives that are none, grow, or lead out; none is opened as a program."""
    words, make = PROGRAMS[what]
    manifest = b'{"format": 1, "shape": [1, 8, 8], "process": {"kind": "vp-linear"}, "prediction": "noise"}'
    refused(422, words, upload_body({"program.pt2": make(), "fewstep.json": manifest}))


@pytest.mark.parametrize("missing", ["config.json", "scheduler_config.json", WEIGHTS])
def test_missing_parts(refused: Any, parts: Parts, missing: str) -> None:
    """A model without its config, its scheduler or its weights, or with nothing at all."""
    refused(422, "", upload_body({name: content for name, content in parts.items() if name != missing}))
    refused(422, "wants either a network", upload_body({}))
