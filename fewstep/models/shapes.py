"""Checks by shape that weights are those of a network, which is built on the meta device: no memory, no numbers."""

from pathlib import Path

import torch

from fewstep.errors import InvalidModel
from fewstep.models.header import check
from fewstep.models.layout import locate
from fewstep.models.manifest import Manifest

__all__ = ["check_shapes"]

NAMES_IN_MESSAGE = 4


def check_shapes(manifest: Manifest, folder: Path) -> None:
    """Raise `InvalidModel` unless the weights have exactly the tensors of the config's network, in their shapes.

    The same where diffusers is missing or cannot build a network from the config.
    """
    try:
        import diffusers
    except ImportError as error:
        raise InvalidModel("this model needs the package diffusers: pip install 'fewstep[diffusers]'") from error
    shapes = {entry.name: entry.shape for path in locate(folder).weights for entry in check(path)}
    try:
        with torch.device("meta"):
            network = getattr(diffusers, manifest.network).from_config(dict(manifest.config))
    except Exception as error:  # whatever a config from outside makes a constructor do
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise InvalidModel(f"diffusers cannot make a {manifest.network} of this config: {what}") from error
    network._fix_state_dict_keys_on_load(shapes)  # names of older versions
    required = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    faults = {
        "lack": sorted(required.keys() - shapes.keys()),
        "have besides": sorted(shapes.keys() - required.keys()),
        "have in another shape": sorted(n for n in required.keys() & shapes.keys() if required[n] != shapes[n]),
    }
    reasons = [
        f"{what} {len(names)} tensors ({', '.join(names[:NAMES_IN_MESSAGE])[:200]})"
        for what, names in faults.items()
        if names
    ]
    if reasons:
        raise InvalidModel(f"the weights are not those of the config's {manifest.network}: they {'; '.join(reasons)}")
