"""Recipes of the zoo's networks: architecture, loss, training, and the diffusers folder that is saved."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file, save_file
from torch import nn

from fewstep.models import scheduler_config
from fewstep.processes import DDM, Discrete, Flow, to_dict
from training import classifier, mixture, networks
from training.data import CATEGORIES, GARMENTS, Images, emoji, fashion, split
from training.decoupled import Decoupled
from training.losses import Denoising
from training.train import Loss, Settings, train

__all__ = ["GUIDANCE", "NETWORKS", "NO_CLASS", "RECIPES", "WEIGHTS", "Recipe", "build", "save"]

WEIGHTS = Path(str(resources.files("fewstep.models") / "weights"))
NO_CLASS = 10  # the null label, after the digits 0 to 9
GUIDANCE = 1.5
VP = Discrete.linear_betas()
DDPM: Any = DDPMScheduler(  # type: ignore[no-untyped-call]
    num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear"
)


SCALED: Any = DDPMScheduler(  # type: ignore[no-untyped-call]  # the law of Stable Diffusion: noisiest SNR 0.0047
    num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
)
DIGITS = Settings(4500)
PICTURES = Settings(2500, batch=64, rate=1.2e-3, decay=0.995, every=100, bfloat16=True)
SHIFT = 2.0  # of the emoji's times


@dataclass(frozen=True)
class Recipe:
    """``make`` the network, train it on ``loss`` and ``data``; save it with a ``scheduler`` or a ``manifest``.

    ``manifest`` holds what diffusers' own files cannot say; ``conditions`` the labels that samples are drawn under;
    ``precision`` is that of the saved weights.
    """

    make: Callable[[], nn.Module]
    loss: Loss
    settings: Settings = DIGITS
    data: Callable[[], Images] = lambda: split()[0]
    precision: torch.dtype = torch.float32
    scheduler: Any = DDPM
    manifest: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, torch.Tensor] = field(default_factory=dict)


def _labels(classes: int) -> dict[str, torch.Tensor]:
    """Conditions: every class in turn, and the null class to guide away from."""
    return {"labels": torch.arange(classes), "negative_labels": torch.tensor([classes])}


NETWORKS: dict[str, Recipe] = {
    "digits-unet": Recipe(networks.unet, Denoising(VP), settings=Settings(6000)),
    "digits-unet-debiased": Recipe(networks.unet, Denoising(VP, weight="debiased"), settings=Settings(6000)),
    "digits-cond": Recipe(
        lambda: networks.unet(classes=NO_CLASS + 1),
        Denoising(VP, no_class=NO_CLASS),
        manifest={"guidance": GUIDANCE},
        conditions=_labels(NO_CLASS),
    ),
    "digits-flow": Recipe(
        networks.unet,
        Denoising(Flow(), "flow", weight="", time_scale=1000.0),
        scheduler=FlowMatchEulerDiscreteScheduler(),  # type: ignore[no-untyped-call]
    ),
    "digits-ddm": Recipe(
        lambda: networks.unet(outputs=2),
        Decoupled(),
        scheduler=None,
        manifest={"process": to_dict(DDM()), "prediction": "heads"},
    ),
    "fashion-unet": Recipe(
        lambda: networks.picture_unet(1, 16, len(GARMENTS) + 1),
        Denoising(
            scheduler_config.read(json.loads(SCALED.to_json_string())).process,
            weight="debiased",
            no_class=len(GARMENTS),
        ),
        settings=PICTURES,
        data=fashion,
        scheduler=SCALED,
        precision=torch.float16,
        manifest={"guidance": GUIDANCE},
        conditions=_labels(len(GARMENTS)),
    ),
    "emoji-flow": Recipe(
        lambda: networks.picture_unet(3, 32, len(CATEGORIES) + 1),
        Denoising(Flow(SHIFT), "flow", weight="", time_scale=1000.0, no_class=len(CATEGORIES)),
        settings=replace(PICTURES, iterations=1700),
        data=emoji,
        precision=torch.float16,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),  # type: ignore[no-untyped-call]
        manifest={"guidance": GUIDANCE},
        conditions=_labels(len(CATEGORIES)),
    ),
}


def build(
    name: str, out: Path, seed: int, start: Path | None = None, iterations: int | None = None, device: str = "cpu"
) -> None:
    """Train the network ``name`` and save it as the folder ``out``; an interrupted training resumes.

    ``start``: the folder of a model of this recipe whose weights the training begins with, instead of random ones;
    ``iterations``: as many instead of the recipe's.
    """
    recipe = NETWORKS[name]
    settings = replace(recipe.settings, seed=seed, iterations=iterations or recipe.settings.iterations)
    make = recipe.make if start is None else partial(_trained, recipe.make, start)
    network = train(make, recipe.loss, recipe.data(), settings, out.with_suffix(".checkpoint"), device)
    save(recipe, network, out)


def _trained(make: Callable[[], nn.Module], folder: Path) -> nn.Module:
    """The network that ``make`` makes with the weights in ``folder``."""
    network = make()
    network.load_state_dict(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    return network


def save(recipe: Recipe, network: Any, out: Path) -> None:
    """Write the folder: the network, its scheduler, its manifest, its conditions; whichever the recipe has."""
    network = network.to(memory_format=torch.contiguous_format)
    if recipe.precision != torch.float32:
        network = network.half()
    if isinstance(recipe.scheduler, DDPMScheduler) and not recipe.conditions:
        pipeline: Any = DDPMPipeline(network, recipe.scheduler)  # type: ignore[no-untyped-call]
        pipeline.save_pretrained(out)
    else:
        network.save_pretrained(out / "unet")
        if recipe.scheduler is not None:
            recipe.scheduler.save_pretrained(out / "scheduler")
    if recipe.manifest:
        (out / "fewstep.json").write_text(json.dumps({"format": 1, **recipe.manifest}, indent=2) + "\n")
    if recipe.conditions:
        save_file(recipe.conditions, out / "conditions.safetensors")


# Every model of the zoo and the classifier: (where to write, seed) -> None or a figure.
RECIPES: dict[str, Callable[[Path, int], object]] = {
    "digits-mixture": mixture.fit,
    "digits-features": classifier.build,
    **{name: partial(build, name) for name in NETWORKS},
}
