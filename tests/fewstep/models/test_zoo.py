"""The models that ship: identity, loading, and damaged weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fewstep import sample, solvers
from fewstep.errors import InvalidModel, UnknownName
from fewstep.models import Denoiser, zoo

each_model = pytest.mark.parametrize("name", zoo.names())


@each_model
def test_a_model_loads_and_samples(name: str) -> None:
    """Every model denoises its own shape and makes finite samples in the range of its data."""
    described, denoiser = zoo.describe(name), zoo.load(name)
    assert isinstance(denoiser, Denoiser)
    assert denoiser.process == described.process
    noise = torch.randn(4, *described.shape, generator=torch.Generator().manual_seed(0))
    made = sample(denoiser, solvers.named("dpmpp-2m").schedule(denoiser.process, 10), noise)
    assert made.shape == noise.shape
    assert made.abs().max() < 2


@each_model
def test_a_model_says_what_it_is(name: str) -> None:
    """Name, summary, shape, and a digest that is the same every time."""
    described = zoo.describe(name)
    assert described.name == name
    assert described.summary
    files = [described.path, *described.path.rglob("*.safetensors")]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 4e6
    assert len(bytes.fromhex(described.digest)) == 32
    assert described.digest == zoo.describe(name).digest


@each_model
def test_a_model_is_loaded_once(name: str) -> None:
    """Workers share one copy."""
    assert zoo.load(name) is zoo.load(name)


def test_float64_is_exact(digits_on) -> None:
    """The loaded digits mixture runs float64 states on exact tables, not on rounded ones."""
    loaded = zoo.load("digits-mixture")
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)
    loaded(x.float(), t.float())
    assert torch.equal(loaded(x, t), digits_on(loaded.process)(x, t))


def test_an_unknown_model_is_named() -> None:
    """The error lists the known ones."""
    for ask in (zoo.describe, zoo.load):
        with pytest.raises(UnknownName, match="unknown zoo model 'sdxl'; known: digits-mixture"):
            ask("sdxl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read weights digits.safetensors \(missing\)"),
        (b"", r"\(0 bytes\)"),
        (b"these are not weights, but a perfectly readable line of text\n", r"\(61 bytes\)"),
        ("truncated", "cannot read weights digits.safetensors"),
    ],
    ids=["missing", "empty", "text", "truncated"],
)
def test_damaged_weights_are_refused(tmp_path: Path, content: object, message: str) -> None:
    """A missing, empty, foreign or truncated file raises `InvalidModel` with its name, size and what to do."""
    path = tmp_path / "digits.safetensors"
    if content == "truncated":
        content = zoo.describe("digits-mixture").path.read_bytes()[:-1000]
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(InvalidModel, match=f"{message}.*restore the file"):
        zoo.read_weights(path)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    """A readable file that lacks a mixture's tensors names the missing ones; a wrong shape is named too."""
    described = zoo.describe("digits-mixture")
    path = tmp_path / "digits.safetensors"
    save_file({"weights": torch.ones(2), "bias": torch.ones(2)}, path)
    with pytest.raises(InvalidModel, match=r"lacks the tensors \['covariances', 'means'\]"):
        zoo.read_mixture(path, described.process)
    save_file({"weights": torch.ones(2), "means": torch.ones(2, 3), "covariances": torch.ones(2, 3)}, path)
    with pytest.raises(InvalidModel, match=r"got \(2,\), \(2, 3\), \(2, 3\)"):
        zoo.read_mixture(path, described.process)


def test_missing_weights_have_no_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Identity cannot be taken from a file that is not there."""
    monkeypatch.setattr(zoo.resources, "files", lambda package: tmp_path)
    with pytest.raises(InvalidModel, match="weights of 'digits-mixture' are missing: reinstall"):
        _ = zoo.describe("digits-mixture").digest
