"""A model folder's manifest: the same for the same model, and no folder that says nothing or too much."""

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fewstep import processes
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models import folder
from fewstep.models.execution import Execution
from fewstep.models.layout import parse
from fewstep.models.manifest import Manifest
from fewstep.models.reference import ModelReference
from tests.fewstep.models.tiny import states, text_unet, unet
from tests.fewstep.models.truths import Save, rewrite


def test_a_real_pipeline_folder(tmp_path: Path) -> None:
    """What DDPMPipeline.save_pretrained writes is a model, with nothing of ours in it."""
    network = unet()
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(tmp_path / "saved")
    manifest = Manifest.read(tmp_path / "saved")
    assert (manifest.kind, manifest.network, manifest.shape) == ("diffusers", "UNet2DModel", (1, 8, 8))
    assert manifest.process == processes.Discrete.linear_betas()
    assert (manifest.prediction, manifest.preconditioning, manifest.conditions) == ("noise", "none", 0)
    assert set(manifest.files) == {"weights"}


def test_equal_models_have_one_identity(save: Save, tmp_path: Path) -> None:
    """A copy, files at the top level, another order of keys, another version of diffusers, another solver: the same."""
    path = save(unet(), DDPMScheduler())
    digest = Manifest.read(path).digest
    flat = tmp_path / "flat"
    shutil.copytree(path / "unet", flat)
    shutil.copy(path / "scheduler" / "scheduler_config.json", flat)
    assert Manifest.read(flat).digest == digest
    rewrite(flat / "config.json", lambda config: dict(reversed(config.items())) | {"_diffusers_version": "9.9"})
    rewrite(flat / "scheduler_config.json", lambda config: config | {"_class_name": "DDIMScheduler", "extra": 1})
    assert Manifest.read(flat).digest == digest


def test_different_models_have_different_identities(save: Save) -> None:
    """One weight, one setting, the law, the prediction or the guidance make another model."""
    network = unet(num_class_embeds=3)
    path = save(network, DDPMScheduler())
    seen = [Manifest.read(path).digest]
    (path / "fewstep.json").write_text('{"format": 1, "guidance": 2.0}')
    seen.append(Manifest.read(path).digest)
    for options in ({"prediction_type": "sample"}, {"beta_end": 0.03}):
        DDPMScheduler(**options).save_pretrained(path / "scheduler")
        seen.append(Manifest.read(path).digest)
    weights = path / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_in.bias"][0] += 1e-3
    save_file(tensors, weights)
    seen.append(Manifest.read(path).digest)
    rewrite(path / "unet" / "config.json", lambda config: config | {"norm_eps": 1e-6})
    seen.append(Manifest.read(path).digest)
    assert len(set(seen)) == 6


def test_how_a_network_runs_is_part_of_what_it_is(save: Save) -> None:
    """Another precision makes other numbers, and so another model; an execution that sets nothing leaves the manifest
    and the digest as they were before there was one."""
    path = save(unet(), DDPMScheduler())
    bare = Manifest.read(path)
    assert "execution" not in bare.to_dict()
    digests = {bare.digest}
    for execution in ({"dtype": "bfloat16"}, {"dtype": "float16"}, {"channels_last": True}, {"compile": "default"}):
        (path / "fewstep.json").write_text(json.dumps({"execution": execution}))
        manifest = Manifest.read(path)
        assert manifest.execution == Execution(**execution)
        assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest
        digests.add(manifest.digest)
    assert len(digests) == 5
    for nothing in ({}, {"dtype": None, "channels_last": None, "compile": None}):
        (path / "fewstep.json").write_text(json.dumps({"execution": nothing}))
        assert Manifest.read(path).digest == bare.digest
        assert Manifest.from_dict(bare.to_dict() | {"execution": nothing}) == bare


def test_a_manifest_travels_as_json(save: Save) -> None:
    """Through JSON and back it is equal and has the same digest; an unknown or missing key is refused."""
    manifest = Manifest.read(save(text_unet(), DDIMScheduler(), prompt=torch.ones(2, 3, 6)))
    plain = json.loads(json.dumps(manifest.to_dict()))
    assert Manifest.from_dict(plain) == manifest
    assert Manifest.from_dict(plain).digest == manifest.digest
    for broken in ({**plain, "code": "import os"}, {k: v for k, v in plain.items() if k != "shape"}, [], None):
        with pytest.raises(InvalidModel, match="a manifest is an object with"):
            Manifest.from_dict(broken)
    with pytest.raises(InvalidModel, match="a manifest's files is an object"):
        Manifest.from_dict({**plain, "files": []})


def test_a_reference_opens_a_folder_of_its_digest_only(save: Save) -> None:
    """The digest is compared before anything is opened."""
    path = save(unet(), DDPMScheduler())
    reference = ModelReference("upload", "mine", Manifest.read(path).digest, path)
    denoiser, shape = reference.open()
    assert shape == (1, 8, 8)
    x, t = states(1, 8, 8)
    assert torch.equal(denoiser(x, 999 * t), folder.open(path)(x, 999 * t))
    with pytest.raises(InvalidModel, match=r"submitted with digest 0000.*submit it again"):
        replace(reference, digest="0" * 64).open()
    with pytest.raises(InvalidModel, match="wants the folder where it lies"):
        replace(reference, folder=None).open()


def test_a_name_or_a_path_is_enough_on_this_machine(save: Save) -> None:
    """The zoo's models by name, folders by path; what is neither is said to be no zoo model."""
    path = save(unet(), DDPMScheduler())
    reference = ModelReference.at(str(path))
    assert (reference.source, reference.folder, reference.digest) == ("folder", path, Manifest.read(path).digest)
    assert ModelReference.at("digits-mixture") == ModelReference.zoo("digits-mixture")
    with pytest.raises(InvalidInput, match="unknown zoo model 'nowhere'"):
        ModelReference.at("nowhere")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_parse_or_are_refused(text: bytes) -> None:
    """No other error than ours comes out of the parser."""
    with contextlib.suppress(InvalidModel):
        assert isinstance(parse("x.json", text), dict)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["process", "prediction", "shape", "guidance", "time_scale", "conditions", "config",
                                     "kind", "network", "files", "sigma_data", "preconditioning", "execution"]), VALUES)
)  # fmt: skip
def test_any_values_make_a_manifest_or_are_refused(changes: dict) -> None:
    """A manifest with anything in the place of anything is valid or raises our own error."""
    good = Manifest("diffusers", "UNet2DModel", {}, processes.VPLinear(), "noise", (1, 8, 8)).to_dict()
    with contextlib.suppress(InvalidInput):
        assert len(Manifest.from_dict(good | changes).digest) == 64
