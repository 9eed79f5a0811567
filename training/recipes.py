"""Recipes of the zoo's networks: architecture, loss, training, and the diffusers folder that is saved."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file
from torch import nn

from fewstep.processes import DDM, Discrete, Flow, to_dict
from training import classifier, mixture, networks
from training.data import split
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


@dataclass(frozen=True)
class Recipe:
    """``make`` the network, train it on ``loss`` for ``iterations``; save it with a ``scheduler`` or a ``manifest``.

    ``manifest`` holds what diffusers' own files cannot say; ``conditions`` the labels that samples are drawn under.
    """

    make: Callable[[], nn.Module]
    loss: Loss
    iterations: int = 4500
    scheduler: Any = DDPM
    manifest: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, torch.Tensor] = field(default_factory=dict)


NETWORKS: dict[str, Recipe] = {
    "digits-unet": Recipe(networks.unet, Denoising(VP), iterations=6000),
    "digits-unet-debiased": Recipe(networks.unet, Denoising(VP, weight="debiased"), iterations=6000),
    "digits-cond": Recipe(
        lambda: networks.unet(classes=NO_CLASS + 1),
        Denoising(VP, no_class=NO_CLASS),
        manifest={"guidance": GUIDANCE},
        conditions={"labels": torch.arange(NO_CLASS), "negative_labels": torch.tensor([NO_CLASS])},
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
}


def build(name: str, out: Path, seed: int, device: str = "cpu") -> None:
    """Train the network ``name`` and save it as the folder ``out``; an interrupted training resumes."""
    recipe = NETWORKS[name]
    settings = Settings(recipe.iterations, seed=seed)
    network = train(recipe.make, recipe.loss, split()[0], settings, out.with_suffix(".checkpoint"), device)
    save(recipe, network, out)


def save(recipe: Recipe, network: Any, out: Path) -> None:
    """Write the folder: the network, its scheduler, its manifest, its conditions; whichever the recipe has."""
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
