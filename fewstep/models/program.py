"""Programs of torch.export: networks saved with their code, as a graph. Opened in worker processes only.

A program takes states (B, *shape) and the network's times (B,) and returns the prediction that its manifest names. It
must be exported with a batch of any size:

    torch.export.export(net, (x, t), dynamic_shapes={"x": {0: Dim("B")}, "t": {0: Dim("B")}})
"""

from pathlib import Path
from typing import Any

import torch

from fewstep.errors import InvalidModel
from fewstep.models.layout import locate
from fewstep.models.manifest import Manifest
from fewstep.models.network import NetworkDenoiser
from fewstep.models.reading import reading

__all__ = ["open_program"]

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def open_program(manifest: Manifest, folder: Path, device: str = "cpu") -> NetworkDenoiser:
    """The denoiser of a folder with ``program.pt2``; raises `InvalidModel` where the program is not of that form."""
    path = locate(folder).program
    try:
        exported = torch.export.load(str(path))
    except Exception as error:  # whatever a foreign archive makes torch raise
        raise InvalidModel(f"torch cannot read program.pt2: {type(error).__name__}: {str(error)[:200]}") from error
    inputs = _inputs(exported)
    if len(inputs) != 2:
        raise InvalidModel(f"a program takes two tensors, states and times; this one takes {len(inputs)}")
    states, times = inputs
    if tuple(states.shape[1:]) != manifest.shape or times.ndim != 1:
        sizes = ", ".join(map(str, manifest.shape))
        raise InvalidModel(
            f"a program for samples of shape {manifest.shape} takes states (B, {sizes}) and times (B,); "
            f"this one takes {tuple(states.shape)} and {tuple(times.shape)}"
        )
    if any(isinstance(tensor.shape[0], int) for tensor in inputs):
        raise InvalidModel(
            f"this program was exported for batches of exactly {states.shape[0]}: export it anew with "
            "dynamic_shapes={'x': {0: Dim('B')}, 't': {0: Dim('B')}}"
        )
    if states.dtype not in FLOATS:
        raise InvalidModel(f"a program takes floating point states, this one {states.dtype}")
    network = _on(exported, device)
    return NetworkDenoiser(lambda x, t, conditions: network(x, t.to(times.dtype)), reading(manifest.spec), states.dtype)


def _inputs(exported: Any) -> list[Any]:
    """The program's inputs, as tensors without values."""
    names = set(exported.graph_signature.user_inputs)
    nodes = [node for node in exported.graph.nodes if node.op == "placeholder" and node.name in names]
    inputs = [node.meta.get("val") for node in nodes]
    if not all(isinstance(value, torch.Tensor) for value in inputs):
        raise InvalidModel("a program takes two tensors, states and times; this one takes something else")
    return inputs


def _on(exported: Any, device: str) -> Any:
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        exported = move_to_device_pass(exported, device)
    return exported.module()
