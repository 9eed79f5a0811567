"""Whether weights are those of a network, told from shapes alone: the network is made without any numbers in it."""

from pathlib import Path

import torch

from fewstep.errors import InvalidModel
from fewstep.models.header import check
from fewstep.models.layout import locate
from fewstep.models.manifest import Manifest

__all__ = ["check_shapes"]

SHOWN = 4  # names in a message


def check_shapes(manifest: Manifest, folder: Path) -> None:
    """Raise `InvalidModel` unless every tensor that the config's network needs is in the weights, in its shape, and
    nothing else; or where diffusers is missing or cannot make a network of the config.
    """
    try:
        import diffusers
    except ImportError as error:
        raise InvalidModel("this model needs the package diffusers: pip install 'fewstep[diffusers]'") from error
    found = {entry.name: entry.shape for path in locate(folder).weights for entry in check(path)}
    try:
        with torch.device("meta"):
            network = getattr(diffusers, manifest.network).from_config(dict(manifest.config))
    except Exception as error:  # whatever a config from outside makes a constructor do
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise InvalidModel(f"diffusers cannot make a {manifest.network} of this config: {what}") from error
    network._fix_state_dict_keys_on_load(found)  # names of older versions
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    faults = {
        "lack": sorted(wanted.keys() - found.keys()),
        "have besides": sorted(found.keys() - wanted.keys()),
        "have in another shape": sorted(n for n in wanted.keys() & found.keys() if wanted[n] != found[n]),
    }
    told = [
        f"{what} {len(names)} tensors ({', '.join(names[:SHOWN])[:200]})" for what, names in faults.items() if names
    ]
    if told:
        raise InvalidModel(f"the weights are not those of the config's {manifest.network}: they {'; '.join(told)}")
