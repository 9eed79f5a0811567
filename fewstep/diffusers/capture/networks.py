"""The denoising networks of a pipeline: which they are, how many rows pass them, what tells them apart."""

import hashlib
import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import ModelMixin

from fewstep.errors import InvalidModel

__all__ = ["check_hooks", "counting", "denoising", "fingerprint", "plain"]

TIMES = {"timestep", "timesteps", "t", "timestep_ratio", "r"}  # names of a network's time ...
STATES = ("hidden_states", "sample", "x", "latent_model_input")  # ... and of its state
SAMPLED = 1024  # numbers of each tensor that a fingerprint is made of


def denoising(pipe: Any) -> dict[str, Any]:
    """The networks by name that take a time and make no pictures; raises `InvalidModel` where there is none.

    Control networks and the like are left out: they run beside the denoising one.
    """
    found = {}
    for name, component in pipe.components.items():
        network = plain(component)
        if not isinstance(network, ModelMixin) or hasattr(network, "decode") or "control" in name:
            continue
        if TIMES & set(inspect.signature(type(network).forward).parameters):
            found[name] = component
    if not found:
        raise InvalidModel(
            f"{type(pipe).__name__} has no network that takes a time, among {', '.join(pipe.components)}: only "
            "pipelines with a denoising loop of their own can be searched"
        )
    return found


def check_hooks(pipe: Any) -> None:
    """Raise `InvalidModel` where a network leaves calls out by a cache: its output is then no function of its input."""
    for name, network in denoising(pipe).items():
        if getattr(plain(network), "is_cache_enabled", False):
            raise InvalidModel(
                f"{name} reuses outputs of earlier steps (enable_cache), so a step is no function of state and time: "
                f"call pipe.{name}.disable_cache() first; a schedule with fewer calls saves more"
            )


@contextmanager
def counting(pipe: Any) -> Iterator[list[int]]:
    """Counts rows that pass the denoising networks, in the list's one entry."""
    count = [0]

    def counted(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        states = args[0] if args else next(kwargs[name] for name in STATES if name in kwargs)
        count[0] += len(states)

    hooks = [network.register_forward_hook(counted, with_kwargs=True) for network in denoising(pipe).values()]
    try:
        yield count
    finally:
        for hook in hooks:
            hook.remove()


def fingerprint(pipe: Any) -> str:
    """SHA-256 of what makes the networks of a pipeline: configs, active adapters, and of every tensor the name, shape,
    type and up to 1,024 evenly spaced values. Other weights, adapters or quantisation give another one."""
    digest = hashlib.sha256()
    for name, component in denoising(pipe).items():
        network = plain(component)
        config = {key: repr(value) for key, value in sorted(dict(network.config).items()) if key != "_name_or_path"}
        adapters = {
            layer: [sorted(map(str, module.active_adapters)), repr(module.scaling)]
            for layer, module in network.named_modules()
            if hasattr(module, "active_adapters") and hasattr(module, "scaling")
        }
        digest.update(json.dumps([name, type(network).__name__, config, adapters], sort_keys=True).encode())
        for key, tensor in sorted(network.state_dict().items()):
            if not isinstance(tensor, torch.Tensor):
                digest.update(f"{key} {tensor!r}".encode())
                continue
            flat = tensor.detach().reshape(-1)
            some = flat[torch.linspace(0, len(flat) - 1, min(SAMPLED, len(flat))).long().to(flat.device)]
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(some.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def plain(network: Any) -> Any:
    """The network inside one that ``torch.compile`` made."""
    return getattr(network, "_orig_mod", network)
