"""The trainer: what it learns, that seeds decide, and that an interruption changes nothing."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from fewstep import processes
from fewstep.errors import InvalidInput
from training import networks
from training.data import Images, split
from training.losses import Denoising
from training.train import Loss, Settings, train

LOSS = Denoising(processes.Discrete.linear_betas())
SHORT = Settings(iterations=7, batch=8, every=3, seed=2)


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether all weights are equal to the bit."""
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def small_unet() -> nn.Module:
    """With dropout, which draws random numbers of its own."""
    return networks.unet(dropout=0.2)


def run(checkpoint: Path | None = None, loss: Loss = LOSS, settings: Settings = SHORT) -> nn.Module:
    return train(small_unet, loss, split()[0], settings, checkpoint)


@pytest.fixture(scope="module")
def uninterrupted() -> nn.Module:
    """The network after all iterations."""
    return run()


def test_the_same_seed_makes_the_same_weights(uninterrupted: nn.Module) -> None:
    """Twice the same to the bit, whatever the global generator was; another seed makes another network."""
    state = torch.get_rng_state()
    torch.manual_seed(99)
    assert same(run(), uninterrupted)
    assert not same(run(settings=Settings(iterations=7, batch=8, every=3, seed=3)), uninterrupted)
    torch.set_rng_state(state)
    run()
    assert torch.equal(torch.get_rng_state(), state)  # and the caller's own generator is left as it was


@pytest.mark.parametrize("stop", [2, 4, 6], ids=["before the first checkpoint", "after it", "after the second"])
def test_an_interruption_changes_nothing(stop: int, tmp_path: Path, uninterrupted: nn.Module) -> None:
    """Killed in the middle and started again: from the last checkpoint, to the same weights, and tidied up."""
    checkpoint, calls = tmp_path / "new" / "training.checkpoint", []

    def dying(*arguments: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) > stop:
            raise KeyboardInterrupt
        return LOSS(*arguments)

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint, dying)
    assert checkpoint.exists() == (stop >= SHORT.every)
    calls.clear()

    def counting(*arguments: object) -> torch.Tensor:
        calls.append(1)
        return LOSS(*arguments)

    assert same(run(checkpoint, counting), uninterrupted)
    assert len(calls) == SHORT.iterations - stop // SHORT.every * SHORT.every
    assert not checkpoint.exists()


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    """A checkpoint under other settings is not silently mixed in."""
    checkpoint, calls = tmp_path / "training.checkpoint", []

    def dying(*arguments: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return LOSS(*arguments)

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint, dying)
    with pytest.raises(InvalidInput, match="remove it to start anew"):
        run(checkpoint, settings=Settings(iterations=9, batch=8, every=3, seed=2))


def test_a_linear_network_finds_the_least_squares_answer() -> None:
    """A quadratic loss with a known minimum: the averaged weights end there."""
    inputs = torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([[1.0, -2.0, 0.5]])

    def loss(network: nn.Module, data: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return (network(data) - data @ truth.T).square().mean()

    data = Images(inputs, torch.zeros(256))
    network = train(lambda: nn.Linear(3, 1), loss, data, Settings(500, batch=32, rate=0.05, decay=0.9))
    torch.testing.assert_close(network.weight.detach(), truth, rtol=0, atol=1e-3)
    assert not network.training


def test_the_average_follows_the_weights() -> None:
    """One iteration: the average is what the weights were after it; two: decay·first + (1 − decay)·second."""
    data = Images(torch.ones(4, 1), torch.zeros(4))

    def loss(network: nn.Module, data: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.append(network.weight.item())
        return network(data).mean()

    def make() -> nn.Module:
        return nn.Linear(1, 1, bias=False)

    seen: list[float] = []
    averaged = train(make, loss, data, Settings(2, batch=4, decay=0.75)).weight.item()
    first = seen[1]
    seen.clear()
    last = train(make, loss, data, Settings(2, batch=4, decay=0.0)).weight.item()
    assert averaged == pytest.approx(0.75 * first + 0.25 * last, abs=1e-7)


def test_images_are_drawn_by_their_weights() -> None:
    """Three quarters of the draws are of the image with weight 3, none of that with weight 0."""
    counts = torch.zeros(3)

    def loss(network: nn.Module, data: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        counts.add_(torch.bincount(labels, minlength=3))
        return network(data).mean()

    data = Images(torch.ones(3, 1), torch.arange(3), torch.tensor([1.0, 3.0, 0.0]))
    train(lambda: nn.Linear(1, 1), loss, data, Settings(4, batch=1000))
    assert counts[2] == 0
    assert counts[1] / counts.sum() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_bfloat16_is_of_the_networks_calls_only(bfloat16: bool) -> None:
    """The network answers in it; the trained weights are float32 either way."""
    answers = []

    def loss(network: nn.Module, data: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        answers.append(network(data))
        return answers[0].float().mean()

    settings = Settings(1, batch=2, bfloat16=bfloat16)
    network = train(lambda: nn.Linear(1, 1), loss, Images(torch.ones(2, 1), torch.zeros(2)), settings)
    assert answers[0].dtype == (torch.bfloat16 if bfloat16 else torch.float32)
    assert network.weight.dtype == torch.float32


@pytest.mark.parametrize("wrong", [{"iterations": 0}, {"batch": 0}, {"rate": 0.0}, {"decay": 1.0}, {"every": 0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    """Counts and the rate are positive, the decay below 1."""
    with pytest.raises(InvalidInput, match="training wants positive counts"):
        Settings(**{"iterations": 5, **wrong})


def test_held_out_digits_are_other_digits() -> None:
    """1797 in all, in [−1, 1], ten classes on both sides, and the same split every time."""
    known, unseen = split()
    assert (len(known.images), len(unseen.images)) == (1500, 297)
    assert known.images.shape[1:] == (1, 8, 8)
    assert known.images.dtype == torch.float32
    assert known.images.abs().max() == 1
    assert set(unseen.labels.tolist()) == set(known.labels.tolist()) == set(range(10))
    assert torch.equal(split()[1].images, unseen.images)


def test_the_guides_example_runs() -> None:
    """The code in docs/training.md trains a network."""
    guide = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    names: dict[str, object] = {}
    exec(code.replace("iterations=10", "iterations=1, batch=4"), {}, names)
    assert isinstance(names["network"], nn.Module)


def test_networks_are_small() -> None:
    """U-Nets of at most half a million parameters, of the shape they say."""
    network = networks.unet(outputs=2, classes=11).eval()
    assert sum(weights.numel() for weights in network.parameters()) <= 500_000
    made = network(torch.zeros(2, 1, 8, 8), torch.zeros(2), class_labels=torch.tensor([0, 10])).sample
    assert made.shape == (2, 2, 8, 8)
    pictures = networks.picture_unet(3, 16, classes=5).eval()
    drawn = pictures(torch.zeros(2, 3, 32, 32), torch.zeros(2), class_labels=torch.tensor([0, 4])).sample
    assert drawn.shape == (2, 3, 32, 32)
    assert networks.MLP()(torch.zeros(3, 1, 8, 8), torch.zeros(3)).shape == (3, 1, 8, 8)
