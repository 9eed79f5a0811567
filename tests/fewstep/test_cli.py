"""The command line, run as a user runs it, against a real service where it needs one."""

import io
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from fewstep import Schedule, processes, solvers
from fewstep import sample as run
from fewstep.cli.picture import grid, png
from fewstep.errors import InvalidInput
from fewstep.models import zoo
from tests.api.support import Service, add_model
from tests.fewstep.invoked import Fewstep, refused
from tests.storage import samples

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def plan() -> Schedule:
    return solvers.named("dpm-3m").schedule(processes.VPLinear(), 6, "quadratic")


@pytest.fixture
def saved(plan: Schedule, tmp_path: Path) -> Path:
    path = tmp_path / "schedule.json"
    path.write_text(plan.to_json())
    return path


@pytest.mark.parametrize(
    "command", ["models", "submit", "watch", "fetch", "sample", "show", "export", "import", "grid"]
)
def test_every_command_explains_itself(fewstep: Fewstep, command: str) -> None:
    """The help lists the command, and the command has a help of its own."""
    assert command in fewstep("--help").stdout
    help_page = fewstep(command, "--help")
    assert help_page.exit_code == 0
    assert "Usage" in help_page.stdout


def test_show_prints_every_step(fewstep: Fewstep, plan: Schedule, saved: Path) -> None:
    """One line for each call with its time, log-SNR, order and prediction; then the calls on a line of log-SNR."""
    shown = fewstep("show", saved).stdout
    lines = [line.split() for line in shown.splitlines() if re.match(r"\s+\d+\s", line)]
    assert [int(line[0]) for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [float(line[1]) for line in lines] == pytest.approx(plan.times[:-1], rel=1e-4)
    lam = plan.process.log_snr(np.array(plan.times))
    assert [float(line[2]) for line in lines] == pytest.approx(lam[:-1], abs=1e-3)
    assert [int(line[4]) for line in lines] == [1, 2, 3, 3, 2, 1]
    assert lines[2][5:] == ["noise", "second", "×0.5"]
    assert re.search("1─+2─+3─+3─+2─+1─+●", shown)
    assert plan.digest[:16] in shown


def test_show_says_when_numbers_were_fitted(fewstep: Fewstep, tmp_path: Path) -> None:
    """A schedule whose stored numbers are its own is told from one that its choices explain."""
    path = tmp_path / "fitted.json"
    path.write_text(samples.fitted().to_json())
    assert "fitted numbers" in fewstep("show", path).stdout


def test_sample_draws_what_the_library_draws(fewstep: Fewstep, plan: Schedule, saved: Path, tmp_path: Path) -> None:
    """The picture holds the samples of that schedule and seed; the first ones do not depend on how many there are."""
    few, many, other = tmp_path / "few.png", tmp_path / "many.png", tmp_path / "other.png"
    for path, count, seed in ((few, 4, 5), (many, 16, 5), (other, 4, 6)):
        assert fewstep("sample", "digits-mixture", saved, "-n", count, "--seed", seed, "-o", path).exit_code == 0
    draw = torch.Generator().manual_seed(5)
    noise = torch.stack([torch.randn(1, 8, 8, generator=draw) for _ in range(4)])
    assert few.read_bytes() == png(grid(run(zoo.load("digits-mixture"), plan, noise)))
    assert few.read_bytes() != other.read_bytes()
    cells = [matplotlib.image.imread(path)[:64, :64] for path in (few, many)]
    assert np.array_equal(*cells)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_a_readable_png(channels: int) -> None:
    """Another program reads the pixels that were written: [−1, 1] as grey or colour, enlarged, side by side."""
    images = torch.linspace(-1.2, 1.2, 3 * channels * 16).reshape(3, channels, 4, 4)
    read = matplotlib.image.imread(io.BytesIO(png(grid(images)))).reshape(130, 130, -1)[..., :channels]
    wanted = ((images.clamp(-1, 1) + 1) / 2).movedim(1, -1).numpy()
    for i, (top, left) in enumerate(((0, 0), (0, 66), (66, 0))):
        assert read[top : top + 64 : 16, left : left + 64 : 16] == pytest.approx(wanted[i], abs=0.5 / 255)
    assert (read[:, 64:66] == 1).all()


def test_a_picture_wants_images() -> None:
    """Samples that are no images are refused with what was given and wanted."""
    with pytest.raises(InvalidInput, match=r"B, 1 or 3, H, W.*\(2, 5\)"):
        grid(torch.zeros(2, 5))


def test_wrong_files_are_named(fewstep: Fewstep, saved: Path, tmp_path: Path) -> None:
    """A file that is missing, no schedule, or cannot be written is named in one line."""
    refused(fewstep("show", tmp_path / "nonesuch.json"), "nonesuch.json", "No such file")
    (tmp_path / "text.json").write_text("steps: 8")
    refused(fewstep("show", tmp_path / "text.json"), "JSON")
    refused(fewstep("sample", "digits-mixture", saved, "-o", tmp_path / "no" / "x.png"), "cannot write", "x.png")


def test_wrong_models_are_named(fewstep: Fewstep, saved: Path, tmp_path: Path) -> None:
    """An unknown model, or one of another process than the schedule's, is refused with the ones that fit."""
    refused(fewstep("sample", "nonesuch", saved), "nonesuch", "digits-mixture")
    other = tmp_path / "cosine.json"
    other.write_text(solvers.named("ddim").schedule(processes.Cosine(), 4, "time").to_json())
    refused(fewstep("sample", "digits-mixture", other, "-o", tmp_path / "x.png"), "Cosine", "VPLinear")


@pytest.mark.parametrize(
    "words",
    [
        ("models",),
        ("submit", "digits-mixture", "--nfe", "8"),
        ("watch", "abc"),
        ("fetch", "digits-mixture", "--nfe", "8"),
    ],
)
def test_a_service_that_does_not_answer_is_named(fewstep: Fewstep, words: tuple[str, ...]) -> None:
    """Every command that needs the service says in one line where it looked, by option or by environment."""
    refused(fewstep(*words, "--url", NOBODY), NOBODY)
    refused(fewstep(*words, env={"FEWSTEP_URL": NOBODY}), NOBODY)


def test_models_lists_the_zoo_and_the_service(fewstep: Fewstep, service: Service) -> None:
    """The zoo is listed as it is here, the service's models with their ids."""
    listed = fewstep("models", "--url", service.url).stdout
    assert "none yet" in listed
    assert all(name in listed for name in zoo.names())
    model = add_model(service.store)
    assert model.id in fewstep("models", "--url", service.url).stdout
