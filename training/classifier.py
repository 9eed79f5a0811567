"""Fit the zoo's `digits-features`: a small classifier of the digits whose penultimate layer is the feature space."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from fewstep.models.features import Classifier
from training.data import Images, split
from training.train import Settings, train

__all__ = ["SETTINGS", "accuracy", "build", "cross_entropy"]

SETTINGS = Settings(iterations=3000)
NOISE = 0.1  # standard deviation added to training images, so that features do not depend on single grey levels


def cross_entropy(
    network: nn.Module, data: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """The batch's mean loss, a scalar, under a little noise: ``data`` (B, 1, 8, 8) and ``labels`` (B,)."""
    noise = torch.randn(data.shape, generator=generator).to(data.device)
    return nn.functional.cross_entropy(network(data + NOISE * noise), labels)


def accuracy(network: nn.Module, images: Images) -> float:
    """Share of ``images`` that the network classifies correctly."""
    with torch.no_grad():
        return float((network(images.images).argmax(1) == images.labels).float().mean())


def build(out: Path, seed: int, device: str = "cpu") -> float:
    """Train the classifier, write its weights to ``out`` and return its accuracy on the test digits."""
    train_set, test = split()
    network = train(
        Classifier, cross_entropy, train_set, replace(SETTINGS, seed=seed), out.with_suffix(".checkpoint"), device
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), out)
    return accuracy(network, test)
