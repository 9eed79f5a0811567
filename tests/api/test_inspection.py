"""Looking through models: only `InvalidModel` comes out, whatever is in them, and no description holds the service."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from api.inspection import MEMORY, Inspector, inspect
from fewstep.errors import InvalidModel, ServiceError
from fewstep.models.manifest import Manifest
from fewstep.models.shapes import check_shapes
from tests.api.uploads import parts_of, pipeline

KEYS = ["sample_size", "in_channels", "block_out_channels", "layers_per_block", "norm_num_groups", "down_block_types"]
KEYS += [
    "_class_name",
    "num_class_embeds",
    "time_embedding_type",
    "act_fn",
    "attention_head_dim",
    "center_input_sample",
]
SCHEDULER = ["_class_name", "beta_schedule", "beta_start", "beta_end", "trained_betas", "num_train_timesteps"]
MANIFEST = [
    "format",
    "shape",
    "process",
    "prediction",
    "preconditioning",
    "guidance",
    "time_scale",
    "code",
    "sigma_data",
]
ODD = [10**20, -(10**20), 1e308, 1e-320, 0.5, "", "edm", "ve", "DownBlock2D", "silu", "kind", "UNet2DModel"]
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 20) | st.sampled_from(ODD) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "t_min"]), inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipeline(tmp_path_factory.mktemp("inspected") / "tiny")


def changed(folder: Path, to: Path, name: str, fields: dict[str, Any]) -> Path:
    """A copy of the folder, of links where nothing changed, with other values in one of its descriptions."""
    inner = {"config.json": "unet", "scheduler_config.json": "scheduler", "fewstep.json": ""}[name]
    for path in folder.rglob("*"):
        place = to / path.relative_to(folder)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif not place.exists():
            os.link(path, place)
    path = to / inner / name
    plain = json.loads((folder / inner / name).read_text()) if (folder / inner / name).exists() else {"format": 1}
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(plain | fields))
    return to


@pytest.mark.parametrize(
    ("name", "keys"), [("config.json", KEYS), ("scheduler_config.json", SCHEDULER), ("fewstep.json", MANIFEST)]
)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_description_brings_it_down(
    folder: Path, tmp_path: Path, name: str, keys: list[str], data: st.DataObject
) -> None:
    """Any JSON value in the place of any setting: the model is described, or refused with a reason of some length."""
    fields = data.draw(st.dictionaries(st.sampled_from(keys), values, min_size=1, max_size=2))
    reason = "described"
    try:
        inspect(changed(folder, tmp_path / "copy", name, fields))
    except InvalidModel as error:
        reason = str(error)
    assert 5 < len(reason) < 2000


def test_weights_of_another_network_are_told_by_name_and_shape(folder: Path, tmp_path: Path) -> None:
    """What is missing, what is too much and what has another shape; with the right config nothing is said."""
    check_shapes(Manifest.read(folder), folder)
    weights = tmp_path / "copy" / "unet" / "diffusion_pytorch_model.safetensors"
    copy = changed(folder, tmp_path / "copy", "fewstep.json", {})
    tensors = load_file(weights)
    tensors["extra.weight"] = tensors.pop("conv_in.bias")
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:4].contiguous()
    weights.unlink()
    save_file(tensors, weights)
    with pytest.raises(InvalidModel) as refused:
        check_shapes(Manifest.read(copy), copy)
    for words in (
        "lack 1 tensors (conv_in.bias)",
        "besides 1 tensors (extra.weight)",
        "shape 1 tensors (conv_in.weight)",
    ):
        assert words in str(refused.value)


def test_a_description_that_takes_too_long_is_refused(folder: Path, tmp_path: Path, inspector: Inspector) -> None:
    """The time limit ends it, and the next model is looked through as if nothing had been."""
    assert inspector(folder) == inspect(folder)
    endless = changed(folder, tmp_path / "copy", "config.json", {"layers_per_block": 10**7})
    inspector.seconds, usual = 2.0, inspector.seconds
    try:
        with pytest.raises(InvalidModel, match="more than 2 s"):
            inspector(endless)
    finally:
        inspector.seconds = usual
    assert inspector(folder) == inspect(folder)


def test_a_process_that_is_killed_costs_one_model(folder: Path, tmp_path: Path, inspector: Inspector) -> None:
    """As by the out-of-memory killer: the model that it looked through is refused or to be sent again; then it is
    replaced."""
    assert inspector(folder) == inspect(folder)
    for child in psutil.Process().children(recursive=True):
        if any("spawn_main" in part for part in child.cmdline()):
            os.kill(child.pid, signal.SIGKILL)
    for _ in range(3):
        try:
            found = inspector(folder)
        except (InvalidModel, ServiceError):
            continue
        assert found == inspect(folder)
        return
    pytest.fail("the process was not replaced")


def test_memory_is_bounded(folder: Path, tmp_path: Path, inspector: Inspector) -> None:
    """The process gets no more memory than its ceiling; a shape without end is refused before it counts."""
    assert inspector(folder) == inspect(folder)
    with pytest.raises(MemoryError):
        inspector._running().schedule(bytearray, args=(MEMORY + 2**20,)).result()
    with pytest.raises(InvalidModel, match="shape is that of one sample"):
        inspector(changed(folder, tmp_path / "copy", "fewstep.json", {"shape": [1] * 10**5}))
    assert inspector(folder) == inspect(folder)


def test_the_flat_folder_of_an_upload_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    """Shape, parameters and digest do not depend on where in the folder the files lie."""
    for name, content in parts_of(folder).items():
        (tmp_path / name).write_bytes(content)
    assert inspect(tmp_path) == inspect(folder)
