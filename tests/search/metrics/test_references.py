"""Streaming moments, reference statistics and their files, features."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.search.metrics import features
from fewstep.search.metrics.moments import Moments
from fewstep.search.metrics.reference import Reference, from_images, from_rows, read

ROWS = np.random.default_rng(0).normal(size=(101, 6)) + 1e4  # far from zero: sums of squares would lose digits


@pytest.mark.parametrize("cuts", [[1], [50], [1, 2, 3, 100], list(range(1, 101))], ids=str)
def test_moments_of_chunks_add_up_exactly(cuts: list[int]) -> None:
    """However the rows are cut, mean and covariance are those of all rows, to rounding."""
    made = Moments.over(np.split(ROWS, cuts))
    assert made.count == 101
    np.testing.assert_allclose(made.mean, ROWS.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(made.covariance, np.cov(ROWS.T), rtol=1e-10, atol=1e-10)


def test_moments_do_not_depend_on_the_order_of_adding() -> None:
    """a + b and b + a agree, as do (a + b) + c and a + (b + c)."""
    a, b, c = (Moments.of(part) for part in np.split(ROWS, [10, 40]))
    for first, second in ((a + b, b + a), ((a + b) + c, a + (b + c))):
        np.testing.assert_allclose(first.scatter, second.scatter, rtol=1e-10, atol=1e-8)


def test_moments_refuse_what_they_cannot_use() -> None:
    """No rows, rows that are not finite, other widths, and a covariance of one row."""
    with pytest.raises(InvalidInput, match="at least one chunk"):
        Moments.over([])
    with pytest.raises(InvalidInput, match="1 of 2 noises"):
        Moments.of(np.array([[0.0], [np.nan]]))
    with pytest.raises(InvalidInput, match="do not add"):
        Moments.of(np.zeros((2, 3))) + Moments.of(np.zeros((2, 4)))
    with pytest.raises(InvalidInput, match="at least two rows"):
        _ = Moments.of(np.zeros((1, 3))).covariance


def test_a_reference_survives_its_file(tmp_path: Path) -> None:
    """Published files hold mu and sigma only; rows come along where they are there."""
    known = from_rows(ROWS)
    np.savez(tmp_path / "both.npz", mu=known.mean, sigma=known.covariance.astype(np.float32))
    again = read(tmp_path / "both.npz")
    np.testing.assert_allclose(again.covariance, known.covariance, rtol=1e-6, atol=1e-6)
    assert again.rows is None


@pytest.mark.parametrize(
    ("mu", "sigma", "said"),
    [
        (np.zeros(2), np.eye(3), "got \\(2,\\) and \\(3, 3\\)"),
        (np.zeros(0), np.zeros((0, 0)), "wants mu"),
        (np.array([np.nan]), np.eye(1), "finite"),
        (np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
    ],
    ids=["shapes", "empty", "nan", "asymmetric"],
)
def test_a_reference_that_is_none_is_refused(mu: np.ndarray, sigma: np.ndarray, said: str) -> None:
    """The message says what is wrong with it."""
    with pytest.raises(InvalidInput, match=said):
        Reference(mu, sigma)


def test_a_covariance_has_no_negative_variance() -> None:
    """Rounding is forgiven, a negative eigenvalue is not."""
    np.testing.assert_allclose(Reference(np.zeros(2), np.diag([4.0, -1e-9])).root, np.diag([2.0, 0.0]))
    with pytest.raises(InvalidInput, match="negative variances"):
        _ = Reference(np.zeros(2), np.diag([4.0, -1.0])).root


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    """No archive, no such keys, or pickled objects: each is told."""
    (tmp_path / "text.npz").write_text("mu")
    np.savez(tmp_path / "other.npz", mean=np.zeros(2))
    np.savez(tmp_path / "objects.npz", mu=np.array([{}], dtype=object), sigma=np.eye(1))
    for name in ("text.npz", "other.npz", "objects.npz", "missing.npz"):
        with pytest.raises(InvalidInput, match=name):
            read(tmp_path / name)


def test_a_reference_is_made_once_for_each_data_set_and_features(tmp_path: Path) -> None:
    """The second time nothing is computed; other images or other features are told apart."""
    asked: list[int] = []

    def counted(images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return images.flatten(1)

    images = np.random.default_rng(1).normal(size=(300, 1, 2, 2)).astype(np.float32)
    first = from_images(images, counted, "pixels", tmp_path)
    again = from_images(images, counted, "pixels", tmp_path)
    assert asked == [256, 44]
    np.testing.assert_array_equal(again.covariance, first.covariance)
    np.testing.assert_array_equal(again.rows, images.reshape(300, 4).astype(float))
    from_images(images, counted, "others", tmp_path)
    from_images(images[:-1], counted, "pixels", tmp_path)
    assert len(asked) == 6
    assert len(list(tmp_path.iterdir())) == 3


def test_features_give_one_row_for_each_image() -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidInput, match=r"rows \(n, F\), got \(3, 1, 2\)"):
        features.batched(lambda images: images)(torch.zeros(3, 1, 2))


class Mean(torch.nn.Module):
    """Images to their mean and twice their mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.flatten(1).mean(1, keepdim=True)
        return torch.cat([mean, 2 * mean], 1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of features, for any batch of images (1, 4, 4)."""
    path = tmp_path_factory.mktemp("programs") / "mean.pt2"
    shapes = {"x": {0: torch.export.Dim("B")}}
    torch.export.save(torch.export.export(Mean(), (torch.zeros(3, 1, 4, 4),), dynamic_shapes=shapes), path)
    return path


def test_a_program_gives_features(exported: Path) -> None:
    """Of any number of images, in their own precision; images of another shape are refused."""
    network = features.program(exported)
    images = torch.arange(5.0, dtype=torch.float64)[:, None, None, None].expand(5, 1, 4, 4)
    assert network(images).tolist() == [[value, 2 * value] for value in range(5)]
    with pytest.raises(InvalidInput, match=r"takes images \(B, 1, 4, 4\), got \(2, 3, 4, 4\)"):
        network(torch.zeros(2, 3, 4, 4))


def test_programs_of_another_form_are_refused(tmp_path: Path) -> None:
    """A file that is none, one made for a fixed batch, one that takes two tensors."""
    (tmp_path / "text.pt2").write_text("no program")
    torch.export.save(torch.export.export(Mean(), (torch.zeros(3, 4),)), tmp_path / "fixed.pt2")
    with pytest.raises(InvalidModel, match="cannot read text"):
        features.program(tmp_path / "text.pt2")
    with pytest.raises(InvalidModel, match="batches of exactly 3"):
        features.program(tmp_path / "fixed.pt2")
