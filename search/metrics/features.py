"""What a distribution metric sees of an image: any function from images (n, ...) to features (n, F).

Images are as the denoiser makes them, in [−1, 1] where its data are. Pixels need nothing; a classifier's method, an
exported program, Inception (`fewstep.search.metrics.inception`) and EfficientNet-Lite0
(`fewstep.search.metrics.lite0`) are functions of the same kind. The last two see 8-bit pictures, as published scores
do; all others see the samples as they are, which may be latents.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.search.limit import Limit

__all__ = ["Features", "batched", "eight_bits", "pixels", "program", "rows_of"]

Features = Callable[[torch.Tensor], torch.Tensor]
BATCH = 256  # images at a time


def pixels(images: torch.Tensor) -> torch.Tensor:
    """The images themselves, flat.

    >>> pixels(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 64])
    """
    return images.flatten(1)


def eight_bits(images: torch.Tensor) -> torch.Tensor:
    """Images (n, ...) as a file would keep them: clipped to [−1, 1] and rounded to the nearest of 256 levels.

    The rounding passes gradients on unchanged. What is not finite becomes NaN, so that diverged samples are not
    mistaken for black or white ones.

    >>> eight_bits(torch.tensor([-2.0, 0.001, 1.0])).mul(255).round().tolist()
    [-255.0, 1.0, 255.0]
    """
    clipped = images.clamp(-1, 1)
    rounded = ((clipped.detach() + 1) * 127.5).round() / 127.5 - 1
    levels = clipped + (rounded - clipped.detach())
    return levels.where(images.isfinite(), torch.nan)


def batched(features: Features, size: int = BATCH) -> Features:
    """The same features, made of at most ``size`` images at a time, fewer where memory is short, and without gradients.

    Raises `InvalidInput` where ``features`` does not give one row for each image.
    """
    limit = Limit(size)

    @torch.no_grad()
    def computed(images: torch.Tensor) -> torch.Tensor:
        parts = limit.over(len(images), lambda part: features(images[part]))
        rows = torch.cat(parts) if parts else features(images)
        if rows.ndim != 2 or len(rows) != len(images):
            raise InvalidInput(f"features of {len(images)} images are rows (n, F), got {tuple(rows.shape)}")
        return rows

    return computed


def rows_of(features: Features, images: torch.Tensor) -> np.ndarray:
    """The features (n, F) of images (n, ...), float64; as `batched`."""
    rows: np.ndarray = batched(features)(images).cpu().double().numpy()
    return rows


def program(path: Path, device: str = "cpu") -> Features:
    """The features of a program that torch.export wrote: images (B, ...) -> (B, F), for a batch of any size.

    Such a file is code: open only one that the operator supplied. Raises `InvalidModel` where it is none, or takes
    anything but one tensor with a free batch size.
    """
    try:
        exported = torch.export.load(str(path))
    except Exception as error:  # whatever a foreign archive makes torch raise
        raise InvalidModel(f"torch cannot read {path.name}: {type(error).__name__}: {str(error)[:200]}") from error
    names = set(exported.graph_signature.user_inputs)
    inputs = [n.meta.get("val") for n in exported.graph.nodes if n.op == "placeholder" and n.name in names]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor):
        raise InvalidModel(f"a program of features takes one tensor of images, this one takes {len(inputs)} inputs")
    if isinstance(inputs[0].shape[0], int):
        raise InvalidModel(
            f"{path.name} was exported for batches of exactly {inputs[0].shape[0]}: export it anew with "
            "dynamic_shapes={'x': {0: Dim('B')}}"
        )
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        exported = move_to_device_pass(exported, device)
    shape, dtype, network = tuple(inputs[0].shape[1:]), inputs[0].dtype, exported.module()

    def computed(images: torch.Tensor) -> torch.Tensor:
        if tuple(images.shape[1:]) != shape:
            raise InvalidInput(f"{path.name} takes images (B, {', '.join(map(str, shape))}), got {tuple(images.shape)}")
        rows: torch.Tensor = network(images.to(dtype))
        return rows

    return computed
