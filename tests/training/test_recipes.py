"""Recipes of the zoo's networks: what they save, and that the shipped weights are of the same kind."""

import runpy
import sys
from dataclasses import replace
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
    for name, recipe in recipes.NETWORKS.items():
        monkeypatch.setitem(recipes.NETWORKS, name, replace(recipe, settings=Settings(2, batch=4)))
    monkeypatch.setattr(classifier, "SETTINGS", Settings(2, batch=4))


def test_every_model_of_the_zoo_has_a_recipe() -> None:
    """And every recipe a shipped model, or the classifier."""
    assert set(zoo.names()) | {"digits-features"} == set(RECIPES)


@each_network
@pytest.mark.usefixtures("short", "packages")
def test_a_recipe_saves_a_folder_like_the_shipped_one(name: str, tmp_path: Path) -> None:
    """The same files; the same manifest but for the weights' hash; a denoiser that can be called."""
    recipes.build(name, tmp_path / name, seed=1)
    made, shipped = tmp_path / name, WEIGHTS / name
    assert {p.relative_to(made) for p in made.rglob("*")} == {p.relative_to(shipped) for p in shipped.rglob("*")}
    one, two = (Manifest.read(path).to_dict() for path in (made, shipped))
    assert one.pop("files")["weights"] != two.pop("files")["weights"]
    assert one == two
    x = torch.randn(2, *one["shape"], generator=torch.Generator().manual_seed(0))
    denoiser = folder.open(made)
    assert denoiser(x, torch.full((2,), denoiser.process.t_max)).isfinite().all()


@each_network
def test_shipped_networks_are_small(name: str) -> None:
    """At most half a million parameters in float32 for digits, two million in float16 for pictures."""
    path = WEIGHTS / name / "unet" / "diffusion_pytorch_model.safetensors"
    tables = load_file(path).values()
    most, bytes_each = (500_000, 4) if name.startswith("digits") else (2_000_000, 2)
    parameters = sum(table.numel() for table in tables)
    assert parameters <= most
    assert bytes_each * parameters < path.stat().st_size < bytes_each * parameters + 50_000


@pytest.mark.parametrize("name", ["fashion-unet", "emoji-flow"])
@pytest.mark.usefixtures("short", "packages")
def test_a_training_goes_on_from_saved_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate near 0 the shipped weights come out again, to float16's rounding."""
    recipe = recipes.NETWORKS[name]
    monkeypatch.setitem(recipes.NETWORKS, name, replace(recipe, settings=Settings(1, batch=2, rate=1e-12)))
    recipes.build(name, tmp_path / name, seed=5, start=WEIGHTS / name)
    made, shipped = (
        load_file(path / name / "unet" / "diffusion_pytorch_model.safetensors") for path in (tmp_path, WEIGHTS)
    )
    torch.testing.assert_close(made, shipped, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("name", "classes"), [("fashion-unet", 10), ("emoji-flow", 9)])
def test_the_picture_models_are_guided_by_a_class(name: str, classes: int) -> None:
    """Two passes a call; at scale 0 every class makes the same of a state, at the shipped scale each another."""
    denoiser = zoo.load(name)
    assert (denoiser.conditions, denoiser.passes) == (classes, 2)
    assert denoiser.guidance == recipes.GUIDANCE
    x = torch.randn(1, *zoo.describe(name).shape, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1)
    t = torch.full((2,), 0.8 * denoiser.process.t_max)
    under = denoiser.bound([1, 2])
    first, second = under.guided(0.0)(x, t)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-4)
    first, second = under(x, t)
    assert first.isfinite().all()
    assert (first - second).abs().max() > 0.05


def test_all_weights_together_are_small() -> None:
    """At most 20 MB."""
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 20e6


@pytest.mark.parametrize("name", ["digits-unet", "digits-unet-debiased"])
def test_diffusers_opens_and_runs_the_pipelines(name: str) -> None:
    """A real `DDPMPipeline` directory: images of the digits' size come out."""
    pipeline = DDPMPipeline.from_pretrained(WEIGHTS / name, low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(batch_size=2, num_inference_steps=4, output_type="np").images
    assert made.shape == (2, 8, 8, 1)


def test_diffusers_opens_the_other_networks() -> None:
    """Classes and their "none", two heads, and the schedulers' configs, as diffusers reads them."""
    facts = (
        ("digits-cond", "num_class_embeds", 11),
        ("digits-ddm", "out_channels", 2),
        ("fashion-unet", "num_class_embeds", 11),
        ("emoji-flow", "num_class_embeds", 10),
    )
    for name, key, value in facts:
        unet = UNet2DModel.from_pretrained(WEIGHTS / name / "unet", low_cpu_mem_usage=False)
        assert unet.config[key] == value
    for name in ("digits-cond", "fashion-unet"):
        assert isinstance(DDPMScheduler.from_pretrained(WEIGHTS / name / "scheduler"), DDPMScheduler)
    for name, shift in (("digits-flow", 1.0), ("emoji-flow", recipes.SHIFT)):
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(WEIGHTS / name / "scheduler")
        assert scheduler.config.shift == shift


def test_the_shipped_networks_know_digits() -> None:
    """Ten samples of each class of `digits-cond`: the classifier names the class that was asked for."""
    denoiser = zoo.load("digits-cond")
    assert denoiser.conditions == 10
    assert denoiser.passes == 2
    made = draw(denoiser, (100, 1, 8, 8), "dpmpp-2m", 15, "quadratic")
    with torch.no_grad():
        named = features.load()(made).argmax(1)
    assert (named == torch.arange(100) % 10).float().mean() >= 0.95


@pytest.mark.parametrize("option", [("--start", "somewhere"), ("--iterations", "5")])
def test_only_networks_go_on(
    option: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mixture and the classifier are made anew each time; the command says so before it begins."""
    threads = str(torch.get_num_threads())
    argv = ["training", "--recipe", "digits-mixture", "--threads", threads, *option]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("training", run_name="__main__")
    assert end.value.code == 2
    assert "for networks" in capsys.readouterr().err


@pytest.mark.usefixtures("short", "packages")
def test_the_command_goes_on_from_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One iteration from the shipped weights ends beside them."""
    threads, out = str(torch.get_num_threads()), tmp_path / "longer"
    options = ["--start", str(WEIGHTS / "fashion-unet"), "--iterations", "1"]
    argv = ["training", "--recipe", "fashion-unet", "--out", str(out), "--threads", threads, *options]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("training", run_name="__main__")
    assert end.value.code == 0
    file = Path("unet") / "diffusion_pytorch_model.safetensors"
    made, shipped = (load_file(folder / file) for folder in (out, WEIGHTS / "fashion-unet"))
    far = max(float((made[name].float() - shipped[name].float()).abs().max()) for name in made)
    assert 0 < far < 1e-3  # one step at the warm-up's first rate


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
