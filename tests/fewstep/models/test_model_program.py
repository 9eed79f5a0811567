"""Exported programs: the network they were made of, at any batch size, and archives that are none."""

from pathlib import Path

import pytest
import torch
from torch.export import Dim, export, save

from fewstep import sample, solvers
from fewstep.errors import InvalidModel
from fewstep.models import folder
from fewstep.models.manifest import Manifest
from fewstep.models.reference import ModelReference
from tests.fewstep.models.tiny import states

OWN = '{"format": 1, "shape": [1, 8, 8], "process": {"kind": "vp-linear"}, "prediction": "data", "time_scale": 999}'


class Net(torch.nn.Module):
    """A small network that uses its time."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.last = torch.nn.Conv2d(channels, 4, 3, padding=1), torch.nn.Conv2d(4, channels, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(x) + (t / 999)[:, None, None, None]))


def written(folder: Path, net: torch.nn.Module, example: tuple[torch.Tensor, ...], own: str = OWN, **options) -> Path:
    folder.mkdir(exist_ok=True)
    save(export(net, example, **options), folder / "program.pt2")
    (folder / "fewstep.json").write_text(own)
    return folder


ANY = {"dynamic_shapes": {"x": {0: Dim("B")}, "t": {0: Dim("B")}}}
PAIR = (torch.ones(2, 1, 8, 8), torch.ones(2))


def test_a_program_is_its_network_at_every_batch_size(tmp_path: Path) -> None:
    """Exported with a batch of two, called with one, two and seven; it samples, and a reference opens it."""
    net = Net()
    path = written(tmp_path / "model", net, PAIR, **ANY)
    manifest = Manifest.read(path)
    assert (manifest.kind, manifest.network, set(manifest.files)) == ("program", "", {"program"})
    denoiser, shape = ModelReference("program", "mine", manifest.digest, path).open()
    assert shape == (1, 8, 8)
    for count in (1, 2, 7):
        x, t = states(1, 8, 8, count=count)
        torch.testing.assert_close(denoiser(x, t), net(x, 999 * t), rtol=1e-5, atol=1e-6)
    made = sample(denoiser, solvers.named("dpmpp-2m").schedule(denoiser.process, 4), x)
    assert made.isfinite().all()


def test_a_program_in_half_precision(tmp_path: Path) -> None:
    """States go in as the program takes them and come out in float32."""
    net = Net().bfloat16()
    pair = (PAIR[0].bfloat16(), PAIR[1].bfloat16())
    denoiser = folder.open(written(tmp_path / "model", net, pair, **ANY))
    x, t = states(1, 8, 8)
    got = denoiser(x, t)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, net(x.bfloat16(), (999 * t).bfloat16()).float(), rtol=0, atol=0)


def test_a_program_for_one_batch_size_is_refused(tmp_path: Path) -> None:
    """With how to export it anew."""
    with pytest.raises(InvalidModel, match=r"for batches of exactly 2: export it anew with dynamic_shapes"):
        folder.open(written(tmp_path / "model", Net(), PAIR))


def test_a_program_of_another_form_is_refused(tmp_path: Path) -> None:
    """Other shapes, other numbers of inputs, whole numbers."""

    class One(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return self.first(x)

    class Whole(Net):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return super().forward(x.float(), t)

    with pytest.raises(InvalidModel, match=r"takes states \(B, 1, 8, 8\)"):
        folder.open(written(tmp_path / "shape", Net(3), (torch.ones(2, 3, 8, 8), torch.ones(2)), **ANY))
    with pytest.raises(InvalidModel, match="takes two tensors, states and times; this one takes 1"):
        folder.open(written(tmp_path / "one", One(), PAIR[:1]))
    with pytest.raises(InvalidModel, match="takes floating point states"):
        folder.open(written(tmp_path / "whole", Whole(), (PAIR[0].long(), PAIR[1]), **ANY))


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"\x80\x04N.", b"text"])
def test_what_is_no_program_is_refused(tmp_path: Path, content: bytes) -> None:
    """Nothing, an empty archive, a pickle and text."""
    (tmp_path / "program.pt2").write_bytes(content)
    (tmp_path / "fewstep.json").write_text(OWN)
    with pytest.raises(InvalidModel, match=r"torch cannot read program\.pt2"):
        folder.open(tmp_path)


def test_a_program_says_its_own_law(tmp_path: Path) -> None:
    """There is no scheduler to read it from."""
    path = written(tmp_path / "model", Net(), PAIR, own="{}", **ANY)
    with pytest.raises(InvalidModel, match="say process and prediction and shape"):
        Manifest.read(path)


def test_a_program_runs_as_it_was_exported(tmp_path: Path) -> None:
    """An execution in its fewstep.json is refused, with what to do; one that sets nothing is none."""
    path = written(tmp_path / "model", Net(), PAIR, own=OWN[:-1] + ', "execution": {}}', **ANY)
    assert Manifest.read(path).kind == "program"
    (path / "fewstep.json").write_text(OWN[:-1] + ', "execution": {"compile": "default"}}')
    with pytest.raises(InvalidModel, match=r"'compile': 'default'.* is a program, .* leave execution out of fewstep"):
        Manifest.read(path)
