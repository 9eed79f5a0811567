"""Inception-v3 for Fréchet scores: its form and its weights' files; the weights are not ours to ship."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.search.metrics.features import batched
from fewstep.search.metrics.inception import Inception, load


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Random weights under the published names, the classifier's last layer among them."""
    torch.manual_seed(0)
    network = Inception()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)  # signals neither die nor explode
    return {**network.state_dict(), "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


@pytest.fixture(scope="module", params=["weights.safetensors", "weights.pth"])
def path(request: pytest.FixtureRequest, weights: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights in either form."""
    file = tmp_path_factory.mktemp("inception") / request.param
    save_file(weights, file) if file.suffix == ".safetensors" else torch.save(weights, file)
    return file


def test_features_of_grey_images_are_those_of_equal_colours(path: Path) -> None:
    """2048 features of images of any size; a grey image is one whose three colours agree."""
    network, grey = load(path), torch.rand(1, 1, 20, 30) * 2 - 1
    made = batched(network)(torch.cat([grey.expand(1, 3, 20, 30), torch.zeros(1, 3, 20, 30)]))
    assert made.shape == (2, 2048)
    assert torch.all(made >= 0)  # averages of rectified values
    torch.testing.assert_close(network(grey)[0], made[0], rtol=1e-4, atol=1e-5)
    assert (made[0] - made[1]).abs().max() > 1e-3


def test_the_network_has_the_published_form(weights: dict) -> None:
    """Layers, numbers and a few shapes as published: 94 convolutions with 21 785 568 trained numbers in all."""
    network = Inception()
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules()) == 94
    assert sum(values.numel() for values in network.parameters()) == 21_785_568
    assert weights["Mixed_6c.branch7x7dbl_2.conv.weight"].shape == (160, 160, 7, 1)
    assert weights["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)


def test_averages_leave_the_padding_out() -> None:
    """A block of averages alone keeps a constant image constant, up to its edge."""
    block = Inception().Mixed_5b
    constant = torch.full((1, 192, 4, 4), 3.0)
    torch.testing.assert_close(block._part("average", constant), constant)


def test_files_of_something_else_are_refused(weights: dict, tmp_path: Path) -> None:
    """No file, no weights, weights of another network, and anything pickled but tensors."""
    save_file({"linear.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.pth").write_text("weights")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"code": Path}, tmp_path / "object.pth")
    for name in ("missing.pth", "other.safetensors", "text.pth", "list.pth", "object.pth"):
        with pytest.raises(InvalidModel, match=name):
            load(tmp_path / name)


def test_other_images_are_refused() -> None:
    """Grey or colour, four dimensions."""
    for shape in ((2, 2, 9, 9), (2, 64)):
        with pytest.raises(InvalidInput, match="1 or 3"):
            Inception()(torch.zeros(shape))
