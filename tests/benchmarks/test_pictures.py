"""The measures of pictures: draws with even classes, averages, and no distance between a set and itself."""

import pytest
import torch

from benchmarks import pictures
from training.data import Images


def test_draws_have_even_classes() -> None:
    """A class of one picture is drawn as often as one of three, of which the weights choose."""
    images = Images(torch.zeros(4, 1, 32, 32), torch.tensor([0, 1, 1, 1]), torch.tensor([1.0, 2.0, 1.0, 0.0]))
    images.images[:, 0, 0, 0] = torch.arange(4.0)
    chosen = pictures.drawn(images, 3000, 0)
    assert chosen.labels.float().mean().item() == pytest.approx(0.5, abs=0.03)
    counts = torch.bincount(chosen.images[:, 0, 0, 0].long(), minlength=4)
    assert counts[3] == 0
    assert counts[1] / counts[2] == pytest.approx(2, rel=0.15)


def test_averages_are_over_eight_pixels() -> None:
    """A picture becomes 4 × 4 means in each channel."""
    images = torch.zeros(1, 3, 32, 32)
    images[0, 1, 8:16, 24:32] = 1
    means = pictures.averaged(images).reshape(3, 4, 4)
    assert means[1, 1, 3] == 1
    assert means.sum() == 1


def test_a_set_is_at_no_distance_from_itself() -> None:
    """And a brighter one is further in averaged pixels: by 16 numbers that differ by 0.5 each."""
    noise = torch.rand(40, 1, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    labels = torch.arange(40) % 10
    classifier = pictures.Classifier(1, 10).eval()
    same = pictures.measure(classifier, Images(noise, labels), Images(noise, labels))
    assert same["frechet"] == pytest.approx(0, abs=1e-5)
    assert same["pixels"] == pytest.approx(0, abs=1e-5)
    brighter = pictures.measure(classifier, Images(noise + 0.5, labels), Images(noise, labels))
    assert brighter["pixels"] == pytest.approx(16 * 0.25, rel=1e-3)
