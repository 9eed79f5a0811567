"""Folders that are no models, and what they are told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from safetensors.torch import load_file, save_file

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models import folder
from fewstep.models.manifest import Manifest
from tests.fewstep.models.tiny import sd3, shaken, text_unet, unet
from tests.fewstep.models.truths import Save, rewrite

OWN = {
    '{"module": "os"}': "unknown keys",
    '{"format": 2}': "another format than 1",
    '{"shape": [1, 8, -8]}': "shape is that of one sample",
    '{"shape": "1, 8, 8"}': "shape is that of one sample",
    '{"shape": [99999999, 8, 8]}': "shape is that of one sample",
    '{"prediction": "score"}': "unknown prediction 'score'",
    '{"prediction": ["noise"]}': "unknown prediction",
    '{"prediction": "heads"}': "makes 1 channels of 1; wanted twice as many",
    '{"preconditioning": "edm"}': "belongs to the process ve",
    '{"preconditioning": "os.system"}': "unknown preconditioning",
    '{"process": {"kind": "none"}}': "unknown process 'none'",
    '{"process": "vp-linear"}': "a process is an object",
    '{"process": {"kind": "ve", "path": "/etc"}}': "cannot be made from",
    '{"guidance": "7"}': "guidance is a finite number",
    '{"guidance": 7}': "guidance leads away from a condition, but this model has none",
    '{"time_scale": true}': "time_scale is a finite number",
    '{"guidance": NaN}': "NaN is no number",
    '{"guidance": 1, "guidance": 2}': "a name stands twice",
    "[1]": "must hold an object",
    "{": "not valid JSON",
    "[" * 100_000: "not valid JSON",
}


@pytest.mark.parametrize(("text", "message"), OWN.items(), ids=range(len(OWN)))
def test_what_our_own_file_may_not_say(save: Save, text: str, message: str) -> None:
    """Unknown keys, wrong values and broken JSON are refused with the reason."""
    path = save(unet(), DDPMScheduler())
    (path / "fewstep.json").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        Manifest.read(path)


CONFIGS = {
    "class": (
        {"_class_name": "StableDiffusionPipeline"},
        "unknown network class 'StableDiffusionPipeline'; known: DiT",
    ),
    "code": ({"_class_name": "os.system"}, "unknown network class"),
    "quantised": ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised networks cannot be opened"),
    "size": ({"sample_size": None}, "neither the configs nor fewstep.json say shape"),
    "inpainting": ({"in_channels": 9, "out_channels": 4}, "makes 4 channels of 9"),
    "prompt": ({"_class_name": "UNet2DConditionModel"}, "wants conditions.safetensors with prompt"),
}


@pytest.mark.parametrize(("change", "message"), CONFIGS.values(), ids=CONFIGS)
def test_what_a_network_config_may_not_say(save: Save, change: dict, message: str) -> None:
    """Classes outside the list, quantised weights, sizes and channels that make no sampler."""
    path = save(unet(), DDPMScheduler())
    rewrite(path / "unet" / "config.json", lambda config: config | change)
    with pytest.raises(InvalidInput, match=message):
        Manifest.read(path)


def test_folders_that_are_no_models(save: Save, tmp_path: Path) -> None:
    """Nothing, no weights, weights as pickles, no scheduler, a program beside a network, shards with a path."""
    with pytest.raises(InvalidModel, match="is not a folder"):
        Manifest.read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidModel, match="not neither"):
        Manifest.read(tmp_path / "empty")
    path = save(unet(), DDPMScheduler())
    (path / "program.pt2").write_bytes(b"")
    with pytest.raises(InvalidModel, match="not both"):
        Manifest.read(path)
    (path / "program.pt2").unlink()
    scheduler = path / "scheduler" / "scheduler_config.json"
    scheduler.rename(scheduler.with_suffix(".old"))
    with pytest.raises(InvalidModel, match=r"neither the configs nor .* say process and prediction"):
        Manifest.read(path)
    scheduler.with_suffix(".old").rename(scheduler)
    weights = path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InvalidModel, match="save with safe_serialization=True"):
        Manifest.read(path)
    index = path / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    for named in ('{"weight_map": {"a": "../../secret.safetensors"}}', '{"weight_map": {"a": 3}}', "{}"):
        index.write_text(named)
        with pytest.raises(InvalidModel, match="must name shards such as"):
            Manifest.read(path)


def test_shards_belong_to_their_variant(save: Save) -> None:
    """An index of one variant that names files of another, or none at all."""
    path = save(unet(), DDPMScheduler())
    folder = path / "unet"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    index = folder / "diffusion_pytorch_model.safetensors.index.fp16.json"
    for name in ("diffusion_pytorch_model-00001-of-00001.safetensors", "../model.fp16-00001-of-00001.safetensors"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(InvalidModel, match="must name shards such as"):
            Manifest.read(path)
    index.unlink()
    with pytest.raises(InvalidModel, match=r"nor a variant or an index of shards$"):
        Manifest.read(path)


STORED = {
    "unknown": ({"prompt": torch.ones(2, 3, 6), "code": torch.ones(1)}, "unknown tensors"),
    "lacking": ({"labels": torch.ones(2, dtype=torch.int64)}, "lacks prompt"),
    "flat": ({"prompt": torch.ones(2, 6)}, "prompt wants 3 dimensions of floats"),
    "whole": ({"prompt": torch.ones(2, 3, 6, dtype=torch.int64)}, "prompt wants 3 dimensions of floats"),
    "none": ({"prompt": torch.ones(0, 3, 6)}, "none of them empty"),
    "uneven": ({"prompt": torch.ones(3, 3, 6), "negative": torch.ones(2, 3, 6)}, "has 3 conditions in prompt"),
    "unlike": ({"prompt": torch.ones(3, 3, 6), "negative": torch.ones(1, 4, 6)}, "negative and prompt differ in shape"),
    "unguided": ({"prompt": torch.ones(3, 3, 6)}, "guidance leads away from negative"),
}


@pytest.mark.parametrize(("stored", "message"), STORED.values(), ids=STORED)
def test_conditions_that_do_not_fit(save: Save, stored: dict, message: str) -> None:
    """They are refused by their header alone."""
    path = save(text_unet(), DDIMScheduler(), **stored)
    (path / "fewstep.json").write_text('{"guidance": 2.0}')
    with pytest.raises(InvalidModel, match=message):
        Manifest.read(path)


def test_conditions_of_a_network_that_takes_none(save: Save) -> None:
    """Better refused than ignored."""
    with pytest.raises(InvalidModel, match="takes no conditions: leave it out"):
        Manifest.read(save(unet(), DDPMScheduler(), labels=torch.arange(3)))
    with pytest.raises(InvalidModel, match="lacks pooled"):
        Manifest.read(save(sd3(), DDPMScheduler(), "other", prompt=torch.ones(1, 3, 6)))


WRONG = {
    "missing": (lambda tensors: tensors.pop("conv_out.bias"), r"lack 1 tensors \(conv_out.bias\)"),
    "unexpected": (lambda tensors: tensors.update(extra=torch.ones(2)), r"have besides 1 tensors \(extra\)"),
    "shape": (
        lambda tensors: tensors.update({"conv_out.bias": torch.ones(2)}),
        r"have in another shape 1 tensors \(conv_out.bias\)",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_weights_that_do_not_fit_the_config(save: Save, change: Callable[[dict], object], message: str) -> None:
    """Nothing is filled with chance and nothing is left over."""
    path = save(shaken(unet()), DDPMScheduler())
    weights = path / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, weights)
    with pytest.raises(InvalidModel, match=message):
        folder.open(path)
