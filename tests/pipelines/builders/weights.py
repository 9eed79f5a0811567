"""Random weights for a network of any class: drawn from a seed, on a scale at which every input is felt."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import nn

__all__ = ["draw", "network"]


Network = TypeVar("Network", bound=nn.Module)


def network(kind: type[Network], config: Mapping[str, Any] | Any, seed: int = 0) -> Network:
    """A network of class `kind` in evaluation mode with weights from `seed`.

    `config` is a mapping of keyword arguments for a network of diffusers, a configuration for one of transformers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = kind(**config) if isinstance(config, Mapping) else kind(config)
    draw(made, seed)
    return made.float().eval()


def draw(network: nn.Module, seed: int) -> None:
    """Draws all weights anew: N(0, 1/fan-in) for matrices and kernels, N(1, 0.1²) for gains, N(0, 0.1²) for biases.

    So the layers that diffusers starts at zero (last layers, gates of adaptive norms, control networks' ways out) let
    the time and the condition through as well.
    """
    generator = torch.Generator().manual_seed(seed)
    embeddings = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if not weight.is_floating_point() or weight.ndim == 0:
                continue
            noise = torch.randn(weight.shape, generator=generator)
            if id(weight) in embeddings:
                weight.copy_(noise)
            elif weight.ndim > 1:
                weight.copy_(noise / math.sqrt(math.prod(weight.shape[1:])))
            else:
                weight.copy_(0.1 * noise + (0.0 if name.endswith("bias") else 1.0))
