"""The recipe of the zoo's digits mixture."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fewstep.models import zoo
from training import data, mixture


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The tables that the recipe makes here, from its own seed."""
    path = tmp_path_factory.mktemp("weights") / "digits-mixture.safetensors"
    mixture.fit(path)
    return load_file(path)


def test_digits_are_scaled() -> None:
    """1797 digits of 64 numbers fill [−1, 1]."""
    digits = data.digits()
    assert digits.shape == (1797, 64)
    assert digits.dtype == np.float64
    assert (digits.min(), digits.max()) == (-1.0, 1.0)


def test_the_recipe_rebuilds_the_shipped_weights(rebuilt: dict[str, torch.Tensor]) -> None:
    """Same tensors, shapes and precision; same numbers up to the rounding of another machine's linear algebra."""
    shipped = zoo.read_weights(zoo.describe("digits-mixture").path)
    assert rebuilt.keys() == shipped.keys() == {"weights", "means", "covariances"}
    for name, table in shipped.items():
        assert rebuilt[name].dtype == table.dtype == torch.float32
        torch.testing.assert_close(rebuilt[name], table, rtol=1e-3, atol=1e-4)


def test_the_shipped_mixture_is_one_of_digits() -> None:
    """Forty positive weights that sum to one, and the mean and variance of the digits to the fit's regularisation."""
    shipped = {name: table.double() for name, table in zoo.read_weights(zoo.describe("digits-mixture").path).items()}
    weights, means, covariances = shipped["weights"], shipped["means"], shipped["covariances"]
    assert weights.shape == (mixture.COMPONENTS,)
    assert (weights > 0).all()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-6)
    digits = torch.from_numpy(data.digits())
    mean = weights @ means
    second = torch.einsum("k,kde->de", weights, covariances + means[:, :, None] * means[:, None, :])
    torch.testing.assert_close(mean, digits.mean(0), rtol=0, atol=1e-4)
    spread = second - mean[:, None] * mean - mixture.REGULARISATION * torch.eye(64)
    torch.testing.assert_close(spread, torch.cov(digits.T, correction=0), rtol=0, atol=1e-3)


def test_the_command_writes_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m training --recipe digits-mixture --out FILE --seed N`` runs the recipe with that seed."""
    out = tmp_path / "new" / "weights.safetensors"
    monkeypatch.setattr(mixture, "COMPONENTS", 2)
    monkeypatch.setattr(sys, "argv", ["training", "--recipe", "digits-mixture", "--out", str(out), "--seed", "3"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("training", run_name="__main__")
    assert end.value.code == 0
    assert load_file(out)["means"].shape == (2, 64)
    assert "wrote" in capsys.readouterr().out
    before = out.read_bytes()
    mixture.fit(out, seed=3)
    assert out.read_bytes() == before


def test_an_unknown_recipe_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line lists the known recipes."""
    monkeypatch.setattr(sys, "argv", ["training", "--recipe", "imagenet"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("training", run_name="__main__")
    assert end.value.code == 2
    assert "digits-mixture" in capsys.readouterr().err
