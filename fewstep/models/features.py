"""The classifier of digits; its penultimate layer is the feature space of the built-in distribution metrics."""

from functools import cache
from importlib import resources
from pathlib import Path

import torch
from torch import nn

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models.zoo import read_weights

__all__ = ["Classifier", "load"]


class Classifier(nn.Module):
    """Images (B, 1, 8, 8) in [−1, 1] -> logits (B, 10) of the digits 0 to 9, from 64 features.

    >>> Classifier().features(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64])
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(256, 64),
            nn.SiLU(),
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(64, 10)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, 64) of ``images`` (B, 1, 8, 8); raises `InvalidInput` for another shape."""
        if images.shape[1:] != (1, 8, 8):
            raise InvalidInput(f"the features of digits want images (B, 1, 8, 8), got {tuple(images.shape)}")
        features: torch.Tensor = self.body(images)
        return features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, 10)."""
        logits: torch.Tensor = self.head(self.dropout(self.features(images)))
        return logits


@cache
def load(path: Path | None = None) -> Classifier:
    """The classifier of the zoo's `digits-features`, or one with weights at ``path``; loaded once, ready to predict.

    Raises `InvalidModel` where the weights are missing, damaged or of something else.

    >>> load()(torch.zeros(1, 1, 8, 8)).shape
    torch.Size([1, 10])
    """
    path = path or Path(str(resources.files("fewstep.models") / "weights" / "digits-features.safetensors"))
    classifier = Classifier()
    try:
        classifier.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise InvalidModel(f"{path.name} is no classifier of digits: {error}") from error
    return classifier.eval()
