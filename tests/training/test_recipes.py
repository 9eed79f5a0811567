"""Recipes of the zoo's networks: what they save, and that the shipped weights are of the same kind."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DModel
from safetensors.torch import load_file

from fewstep.models import features, folder, zoo
from fewstep.models.manifest import Manifest
from training import classifier, recipes
from training.recipes import RECIPES, WEIGHTS
from training.report import draw
from training.train import Settings

each_network = pytest.mark.parametrize("name", recipes.NETWORKS)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of two iterations."""
    monkeypatch.setattr(recipes, "Settings", lambda iterations, seed: Settings(2, batch=4, seed=seed))
    monkeypatch.setattr(classifier, "SETTINGS", Settings(2, batch=4))


def test_every_model_of_the_zoo_has_a_recipe() -> None:
    """And every recipe a shipped model, or the classifier."""
    assert set(zoo.names()) | {"digits-features"} == set(RECIPES)


@each_network
@pytest.mark.usefixtures("short")
def test_a_recipe_saves_a_folder_like_the_shipped_one(name: str, tmp_path: Path) -> None:
    """The same files; the same manifest but for the weights' hash; a denoiser that can be called."""
    recipes.build(name, tmp_path / name, seed=1)
    made, shipped = tmp_path / name, WEIGHTS / name
    assert {p.relative_to(made) for p in made.rglob("*")} == {p.relative_to(shipped) for p in shipped.rglob("*")}
    one, two = (Manifest.read(path).to_dict() for path in (made, shipped))
    assert one.pop("files")["weights"] != two.pop("files")["weights"]
    assert one == two
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    denoiser = folder.open(made)
    assert denoiser(x, torch.full((2,), denoiser.process.t_max)).isfinite().all()


@each_network
def test_shipped_networks_are_small(name: str) -> None:
    """At most half a million parameters in 2.2 MB."""
    path = WEIGHTS / name / "unet" / "diffusion_pytorch_model.safetensors"
    assert path.stat().st_size <= 2.2e6
    assert sum(table.numel() for table in load_file(path).values()) <= 500_000


def test_all_weights_together_are_small() -> None:
    """At most 12 MB."""
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 12e6


@pytest.mark.parametrize("name", ["digits-unet", "digits-unet-debiased"])
def test_diffusers_opens_and_runs_the_pipelines(name: str) -> None:
    """A real `DDPMPipeline` directory: images of the digits' size come out."""
    pipeline = DDPMPipeline.from_pretrained(WEIGHTS / name, low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(batch_size=2, num_inference_steps=4, output_type="np").images
    assert made.shape == (2, 8, 8, 1)


def test_diffusers_opens_the_other_networks() -> None:
    """Classes and their "none", two heads, and the schedulers' configs, as diffusers reads them."""
    for name, key, value in (("digits-cond", "num_class_embeds", 11), ("digits-ddm", "out_channels", 2)):
        unet = UNet2DModel.from_pretrained(WEIGHTS / name / "unet", low_cpu_mem_usage=False)
        assert unet.config[key] == value
    assert isinstance(DDPMScheduler.from_pretrained(WEIGHTS / "digits-cond" / "scheduler"), DDPMScheduler)
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(WEIGHTS / "digits-flow" / "scheduler")
    assert scheduler.config.shift == 1.0


def test_the_shipped_networks_know_digits() -> None:
    """Ten samples of each class of `digits-cond`: the classifier names the class that was asked for."""
    denoiser = zoo.load("digits-cond")
    assert denoiser.conditions == 10
    assert denoiser.passes == 2
    made = draw(denoiser, (100, 1, 8, 8), "dpmpp-2m", 15, "quadratic")
    with torch.no_grad():
        named = features.load()(made).argmax(1)
    assert (named == torch.arange(100) % 10).float().mean() >= 0.95


@pytest.mark.usefixtures("short")
def test_the_command_trains_networks_and_the_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m training --recipe NAME --out PATH`` for a folder and for a file."""
    threads = torch.get_num_threads()
    for name, out in (("digits-flow", tmp_path / "flow"), ("digits-features", tmp_path / "new" / "f.safetensors")):
        argv = ["training", "--recipe", name, "--out", str(out), "--threads", str(threads)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as end:
            runpy.run_module("training", run_name="__main__")
        assert end.value.code == 0
        assert "wrote" in capsys.readouterr().out
        assert out.exists()
    features.load(tmp_path / "new" / "f.safetensors")
