"""Published scores on a tiny EDM-preconditioned U-Net with random weights: what is sampled, kept, resumed, shared."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EDMEulerScheduler
from PIL import Image

import fewstep
from benchmarks import published
from benchmarks.published import Sampling, Settings, convert, moments
from fewstep import Schedule, models, solvers
from fewstep.errors import InvalidInput, SearchFailed
from fewstep.search.metrics.features import eight_bits
from fewstep.search.metrics.frechet import between
from fewstep.values.stages import STAGES
from tests.fewstep.models.tiny import shaken, unet

FEWEST = 24  # twice the twelve features


class Edm(torch.nn.Module):
    """EDM's preconditioning (Karras et al. 2022, table 1) of a small residual U-Net with random weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.level = torch.nn.Linear(1, 8)
        self.first, self.last = (torch.nn.Conv2d(*channels, 3, padding=1) for channels in ((3, 8), (8, 3)))
        self.down, self.norm = torch.nn.Conv2d(8, 8, 3, 2, 1), torch.nn.GroupNorm(2, 8)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The denoised image (B, 3, 8, 8) of ``x`` at ``sigma`` (B,)."""
        s = sigma.reshape(-1, 1, 1, 1)
        total = s**2 + 0.25
        high = self.first(x / total.sqrt()) + self.level(s.flatten(1).log() / 4)[:, :, None, None]
        low = self.norm(torch.nn.functional.silu(self.down(high)))
        tokens = low.flatten(2).mT
        low = low + self.attention(tokens, tokens, tokens)[0].mT.reshape(low.shape)
        raw = self.last(high + low.repeat_interleave(2, 2).repeat_interleave(2, 3))
        return 0.25 / total * x + 0.5 * s / total.sqrt() * raw


class Means(torch.nn.Module):
    """Twelve features: the means of an 8-bit image's quarters, by colour."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, 12)."""
        return torch.nn.functional.avg_pool2d(eight_bits(x), 4).flatten(1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model as diffusers saves it, features, and pictures."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    shaken(unet(3)).save_pretrained(folder / "model" / "unet")
    EDMEulerScheduler().save_pretrained(folder / "model" / "scheduler")
    program = torch.export.export(Means(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes={"x": {0: torch.export.Dim("B")}})
    torch.export.save(program, folder / "means.pt2")
    rng = np.random.default_rng(0)
    for i in range(30):
        path = folder / "pictures" / f"{i % 3}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture
def settings(files: Path, tmp_path: Path) -> Settings:
    """Forty samples in three chunks."""
    return Settings(
        files / "model", files / "means.pt2", tmp_path, samples=40, chunk=16, named=1, rounds=((4, 3), (8, 0))
    )


@pytest.fixture
def schedule() -> Schedule:
    """Three calls."""
    return solvers.named("ipndm-3").schedule(fewstep.processes.VE(), 3, "edm")


def rows(settings: Settings, schedule: Schedule) -> torch.Tensor:
    """The features of all samples, made at once."""
    denoiser = models.folder.open(settings.model)
    parts = [noises.draw((3, 8, 8)) for noises in settings.chunks]
    return Means()(fewstep.sample(denoiser, schedule, torch.cat(parts)))


def counted(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """The sizes of all chunks sampled from now on; after ``most`` of them the process is stopped."""
    sizes: list[int] = []

    def sample(denoiser: models.Denoiser, schedule: Schedule, noise: torch.Tensor) -> torch.Tensor:
        if len(sizes) == most:
            raise KeyboardInterrupt
        sizes.append(len(noise))
        return original(denoiser, schedule, noise)

    original: Callable[..., torch.Tensor] = fewstep.sample
    monkeypatch.setattr(fewstep, "sample", sample)
    return sizes


def test_a_converted_network_is_what_it_was(tmp_path: Path) -> None:
    """The folder's denoiser equals the network in memory, at every noise level and batch size."""
    network = Edm()
    convert(network, tmp_path / "model", (3, 8, 8))
    denoiser = models.folder.open(tmp_path / "model")
    assert denoiser.process == fewstep.processes.VE()
    for count, sigma in ((1, 0.002), (5, 1.0), (3, 80.0)):
        x = sigma * torch.randn(count, 3, 8, 8)
        level = torch.full((count,), sigma)
        with torch.no_grad():
            torch.testing.assert_close(denoiser(x, level), network(x, level), rtol=1e-5, atol=1e-5)


def test_moments_are_those_of_all_samples(settings: Settings, schedule: Schedule) -> None:
    """Chunks add up to what sampling at once gives, and only the sum is kept."""
    total = moments(settings, ["cpu"], schedule)
    wanted = rows(settings, schedule).double().numpy()
    assert total is not None
    assert total.count == 40
    np.testing.assert_allclose(total.mean, wanted.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(total.covariance, np.cov(wanted.T), rtol=1e-3, atol=1e-5)
    assert [path.name for path in (settings.folder / "moments").iterdir()] == [Sampling(settings, schedule).total.name]


def test_a_broken_run_goes_on(settings: Settings, schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after two chunks it samples the third alone, then none; a half-written file is not taken for a whole."""
    sizes = counted(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        moments(settings, ["cpu"], schedule)
    missing = Sampling(settings, schedule).path(settings.chunks[2])
    missing.with_name(f"{missing.stem}.1.partial.npz").write_bytes(b"PK")
    assert sizes == [16, 16]
    monkeypatch.undo()
    sizes = counted(monkeypatch, 9)
    total = moments(settings, ["cpu"], schedule)
    again = moments(settings, ["cpu"], schedule)
    assert sizes == [8]
    assert total is not None
    assert again is not None
    np.testing.assert_array_equal(total.scatter, again.scatter)
    np.testing.assert_allclose(total.mean, rows(settings, schedule).double().numpy().mean(0), rtol=1e-4, atol=1e-5)


def test_devices_share_the_work(settings: Settings, schedule: Schedule, tmp_path: Path) -> None:
    """Each process samples its own chunks; where one fails the others' stay, and what is added later gives what one
    process alone gives."""
    with pytest.raises(SearchFailed, match="nonesuch ended early"):
        moments(settings, ["cpu", "nonesuch"], schedule)
    kept = [Sampling(settings, schedule).path(noises).exists() for noises in settings.chunks]
    assert kept == [True, False, True]
    shared = moments(settings, ["cpu", "cpu"], schedule)
    alone = moments(replace(settings, out=tmp_path / "alone"), ["cpu"], schedule)
    assert shared is not None
    assert alone is not None
    np.testing.assert_allclose(shared.scatter, alone.scatter, rtol=1e-5, atol=1e-9)


def test_the_command_reports_all_rows(
    settings: Settings, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published sampler, the best named solver and the found schedule, with distances to the pictures; a second
    run samples nothing and says the same."""
    small = partial(published.find, budget=4, noises=8, stages=[STAGES["baselines"]])
    monkeypatch.setattr(published, "find", small)
    monkeypatch.setattr(published, "ROUNDS", settings.rounds)
    arguments = {"nfe": [3], "samples": 40, "chunk": 16, "named": 1, "out": settings.out, "seed": 0}

    def run() -> dict:
        published.main(
            settings.model, settings.features, files / "pictures", devices="cpu", calls=100_000, check=True, **arguments
        )
        path = Path(capsys.readouterr().out.rpartition("wrote ")[2].replace("\n", ""))
        report: dict = json.loads(path.read_text())
        return report

    report = run()
    assert [(row["nfe"], row["kind"]) for row in report["rows"]] == [(35, "check"), (3, "named"), (3, "found")]
    choice = published.Choice(settings)
    pictures = np.stack([np.asarray(Image.open(path)) for path in sorted((files / "pictures").rglob("*.png"))])
    real = Means()(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1)
    for row, made in zip(report["rows"][1:], choice.rows(3), strict=True):
        assert row["fid"] == pytest.approx(between(rows(settings, made.schedule), real), rel=1e-3)
    sizes = counted(monkeypatch, 0)
    assert run() == report
    assert sizes == []


def test_what_cannot_be_scored_says_why(settings: Settings, schedule: Schedule, files: Path) -> None:
    """Too few samples for the features, diverged samples, a reference of other features, a folder without pictures."""
    against = published.reference(settings, "cpu", files / "pictures")
    total = moments(settings, ["cpu"], schedule)
    assert total is not None
    assert published.score(total, against)[0] == pytest.approx(published.distance(total, against))
    few = published.Moments.of(np.random.default_rng(0).normal(size=(FEWEST - 1, 12)))
    assert published.score(few, against) == (None, f"wants {FEWEST} samples")
    assert published.score(None, against) == (None, "diverged")
    with pytest.raises(InvalidInput, match="12 features, the samples 3"):
        published.score(published.Moments.of(np.eye(3)), against)
    with pytest.raises(InvalidInput, match="has 0"):
        published.reference(settings, "cpu", files / "model")


def test_diverged_samples_have_no_score(
    settings: Settings, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sample that is not finite is enough, and the run goes on with the next schedule."""
    monkeypatch.setattr(fewstep, "sample", lambda denoiser, schedule, noise: torch.full_like(noise, torch.inf))
    assert moments(settings, ["cpu"], schedule) is None
    assert moments(settings, ["cpu"], schedule) is None
