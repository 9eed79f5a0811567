"""Pictures from packages: sizes, scales, classes, weights, and what to do where a package is missing."""

from pathlib import Path

import pytest
import torch

from fewstep.errors import InvalidInput
from training.data import CATEGORIES, GARMENTS, emoji, fashion


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("part", ["train", "t10k"])
def test_garments_are_padded_to_32_pixels(part: str) -> None:
    """Two black pixels round 28 × 28 grey ones; grey 51 k is 0.4 k − 1."""
    images, labels, weights = fashion(part)
    assert images.shape == (6, 1, 32, 32)
    assert labels.tolist() == list(range(6))
    assert weights is None
    torch.testing.assert_close(images[:, 0, 2:30, 2:30], (0.4 * labels - 1)[:, None, None].expand(-1, 28, 28))
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[2:30, 2:30] = True
    assert (images[:, 0, ~inside] == -1).all()
    assert len(GARMENTS) == 10


@pytest.mark.usefixtures("packages")
def test_emoji_are_halved_on_white() -> None:
    """A red square stays one in the middle of white; swatches and emoji without a picture are left out."""
    images, labels, weights = emoji()
    assert images.shape == (4, 3, 32, 32)
    assert [CATEGORIES[label] for label in labels] == ["Flags", *["People & Body"] * 3]
    assert weights is not None
    assert weights.tolist() == [1, 1, 0.5, 0.5]  # the two tones share one weight
    torch.testing.assert_close(images[:, :, 16, 16], torch.tensor([1.0, -1, -1]).expand(4, 3))
    assert (images[:, :, :4] == 1).all()
    assert len(CATEGORIES) == 9


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where it was looked for, and how to get it."""
    monkeypatch.setenv("FASHION_MNIST", str(tmp_path / "garments"))
    with pytest.raises(InvalidInput, match=r"garments.*apt-get install dataset-fashion-mnist.*FASHION_MNIST"):
        fashion()
    monkeypatch.setenv("EMOJI_DATASOURCE", str(tmp_path / "faces"))
    with pytest.raises(InvalidInput, match=r"faces.*npm install emoji-datasource-google.*EMOJI_DATASOURCE"):
        emoji()


def test_a_damaged_package_is_named(packages: Path) -> None:
    """A file that is no gzip is refused with its name."""
    (packages / "fashion-mnist" / "train-labels-idx1-ubyte.gz").write_bytes(b"labels")
    with pytest.raises(InvalidInput, match=r"cannot read .*train-labels"):
        fashion()
