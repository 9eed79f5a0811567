"""Inception features for published Fréchet scores, from a file of weights that the operator supplies.

The network is Inception-v3 (Szegedy et al. 2016, table 1) as the original Fréchet score used it: averages that leave
the padding out, and a maximum in the last block's pool. Weights are named as torchvision names them; the usual file is
``pt_inception-2015-12-05``, as a PyTorch state dictionary or as safetensors.

**Preprocessing**, as published scores have it: grey images become three equal colours; values are clipped to [−1, 1]
and rounded to 8 bits; the images are stretched to 299 × 299 by bilinear interpolation, without antialiasing.

A block is a list of branches, a branch a chain of convolutions (name, channels, kernel, stride), a list in a chain its
fork; every convolution with stride 1 keeps the size.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.search.metrics.features import Features, eight_bits

__all__ = ["Block", "Convolution", "Inception", "load"]

SIZE = 299  # pixels, to which images are stretched
SMALL = 1e-3  # added to the variance of a batch normalisation
WIDE, TALL = (1, 7), (7, 1)


def _early(pool: int) -> list[Any]:
    return [
        [("branch1x1", 64, 1)],
        [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
        ["average", ("branch_pool", pool, 1)],
    ]


def _middle(width: int) -> list[Any]:
    tail = [("branch7x7dbl_4", width, TALL), ("branch7x7dbl_5", 192, WIDE)]
    return [
        [("branch1x1", 192, 1)],
        [("branch7x7_1", width, 1), ("branch7x7_2", width, WIDE), ("branch7x7_3", 192, TALL)],
        [("branch7x7dbl_1", width, 1), ("branch7x7dbl_2", width, TALL), ("branch7x7dbl_3", width, WIDE), *tail],
        ["average", ("branch_pool", 192, 1)],
    ]


def _late(pool: str) -> list[Any]:
    forks = [[(f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1))] for name in ("branch3x3_2", "branch3x3dbl_3")]
    return [
        [("branch1x1", 320, 1)],
        [("branch3x3_1", 384, 1), forks[0]],
        [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), forks[1]],
        [pool, ("branch_pool", 192, 1)],
    ]


BLOCKS: dict[str, list[Any]] = {
    "Mixed_5b": _early(32),
    "Mixed_5c": _early(64),
    "Mixed_5d": _early(64),
    "Mixed_6a": [
        [("branch3x3", 384, 3, 2)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2)],
        ["halve"],
    ],
    "Mixed_6b": _middle(128),
    "Mixed_6c": _middle(160),
    "Mixed_6d": _middle(160),
    "Mixed_6e": _middle(192),
    "Mixed_7a": [
        [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)],
        [
            ("branch7x7x3_1", 192, 1),
            ("branch7x7x3_2", 192, WIDE),
            ("branch7x7x3_3", 192, TALL),
            ("branch7x7x3_4", 192, 3, 2),
        ],
        ["halve"],
    ],
    "Mixed_7b": _late("average"),
    "Mixed_7c": _late("maximum"),
}


class Convolution(nn.Module):
    """Convolution without bias, batch normalisation, rectifier; ``outside`` is the padding, None keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: Any, stride: int = 1, outside: int | None = None) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if outside is None and stride == 1 else (outside or 0, outside or 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=SMALL)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, inputs, H, W) -> (B, outputs, H', W')."""
        return functional.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """The branches of one block side by side, their channels joined; ``channels`` is how many come out."""

    def __init__(self, branches: list[Any], inputs: int) -> None:
        super().__init__()
        self.branches, self.channels = branches, 0
        for branch in branches:
            width = inputs
            for part in branch:
                convolutions = part if isinstance(part, list) else [] if isinstance(part, str) else [part]
                for name, outputs, *shape in convolutions:
                    self.add_module(name, Convolution(width, outputs, *shape))
                width = sum(each[1] for each in convolutions) or width
            self.channels += width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs, H, W) -> (B, channels, H', W')."""
        joined = []
        for branch in self.branches:
            state = x
            for part in branch:
                state = self._part(part, state)
            joined.append(state)
        return torch.cat(joined, 1)

    def _part(self, part: Any, x: torch.Tensor) -> torch.Tensor:
        if part == "average":
            return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        if part in ("maximum", "halve"):
            return functional.max_pool2d(x, 3, *((1, 1) if part == "maximum" else (2, 0)))
        if isinstance(part, list):
            return torch.cat([self._part(each, x) for each in part], 1)
        made: torch.Tensor = self.get_submodule(part[0])(x)
        return made


class Inception(nn.Module):
    """Images (B, 1 or 3, H, W) in [−1, 1] -> the 2048 averages behind the last block."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, outside=0)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, outside=0)
        width = 192
        for name, branches in BLOCKS.items():
            block = Block(branches, width)
            self.add_module(name, block)
            width = block.channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, 2048); raises `InvalidInput` for images that are neither grey nor in colour."""
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise InvalidInput(f"Inception wants images (B, 1 or 3, H, W), got {tuple(images.shape)}")
        x = eight_bits(images.float()).expand(-1, 3, -1, -1)
        x = functional.interpolate(x, size=(SIZE, SIZE), mode="bilinear")
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = functional.max_pool2d(x, 3, 2)
        for name in BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


def load(path: Path, device: str = "cpu") -> Features:
    """The features of the weights at ``path``; the classifier's own last layer may be there and is not read.

    Raises `InvalidModel` where the file is missing, damaged or of another network.
    """
    try:
        safe = path.suffix == ".safetensors"
        weights = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes the readers raise
        raise InvalidModel(f"{path.name} holds no weights: {type(error).__name__}: {str(error)[:200]}") from error
    network = Inception()
    heads = ("fc.", "AuxLogits.")
    try:
        network.load_state_dict({k: v for k, v in weights.items() if not k.startswith(heads)})
    except (AttributeError, RuntimeError) as error:
        raise InvalidModel(f"{path.name} does not fit Inception-v3: {str(error)[:300]}") from error
    return network.eval().requires_grad_(False).to(device)
