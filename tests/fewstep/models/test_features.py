"""The built-in feature space: its classifier and its weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models import features
from training.classifier import accuracy
from training.data import split


def test_the_shipped_classifier_knows_digits_it_never_saw() -> None:
    """At least 98 % of the held-out digits; and chance on noise."""
    classifier, unseen = features.load(), split()[1]
    assert accuracy(classifier, unseen) >= 0.98
    noise = torch.randn(297, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert accuracy(classifier, unseen._replace(images=noise)) < 0.3


def test_features_say_the_class() -> None:
    """The logits are the head's reading of 64 features, which do not depend on the batch or on chance."""
    classifier, images = features.load(), split()[1].images[:6]
    found = classifier.features(images)
    assert found.shape == (6, 64)
    torch.testing.assert_close(classifier(images), classifier.head(found))
    torch.testing.assert_close(classifier.features(images[2:3]), found[2:3], rtol=1e-4, atol=1e-4)
    assert features.load() is classifier


def test_other_images_are_refused() -> None:
    """The error names the shapes."""
    with pytest.raises(InvalidInput, match=r"want images \(B, 1, 8, 8\), got \(2, 3, 8, 8\)"):
        features.load().features(torch.zeros(2, 3, 8, 8))


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    """A missing file, or tensors of another network."""
    with pytest.raises(InvalidModel, match="missing"):
        features.load(tmp_path / "nothing.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InvalidModel, match=r"other\.safetensors is no classifier of digits"):
        features.load(tmp_path / "other.safetensors")
