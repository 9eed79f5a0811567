"""The command line, run as a user runs it, against a real service where it needs one."""

import io
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import structlog
import torch
from typer.testing import CliRunner

from api.settings import Settings
from fewstep import Schedule, processes, solvers
from fewstep import sample as run
from fewstep.cli import app
from fewstep.errors import InvalidInput
from fewstep.models import zoo
from fewstep.picture import grid, png
from fewstep.problem import Problem, Score, Trial
from storage.jobs import Jobs
from tests.api.support import Service, add_model, claim, publish, serving
from tests.storage import samples

NOBODY = "http://127.0.0.1:9"
Fewstep = Callable[..., Any]


@pytest.fixture
def fewstep(monkeypatch: pytest.MonkeyPatch) -> Fewstep:
    """``fewstep("show", path)`` runs a command and gives its result; an unexpected exception is raised."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FEWSTEP_URL", raising=False)

    def run_it(*words: object, env: dict[str, str] | None = None) -> Any:
        result = CliRunner().invoke(app, [str(word) for word in words], env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run_it


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service in a thread; its log is kept off the stdout that it shares with the command."""
    settings = Settings(data_dir=tmp_path / "data", poll_seconds=0.02)
    with structlog.testing.capture_logs(), serving(settings) as service:
        yield service


@pytest.fixture
def plan() -> Schedule:
    return solvers.named("dpm-3m").schedule(processes.VPLinear(), 6, "quadratic")


@pytest.fixture
def saved(plan: Schedule, tmp_path: Path) -> Path:
    path = tmp_path / "schedule.json"
    path.write_text(plan.to_json())
    return path


def refused(result: Any, *words: str) -> None:
    """The command failed with one line on stderr that holds the words, and no traceback."""
    assert result.exit_code == 1
    assert re.fullmatch(r"fewstep: [^\n]+\n", result.stderr), result.stderr
    for word in words:
        assert word in result.stderr


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


def test_submit_queues_the_search_that_was_asked(fewstep: Fewstep, service: Service) -> None:
    """A model of the zoo is added as needed; the id alone stands on stdout, for scripts."""
    words = ("submit", "digits-mixture", "--nfe", 5, "--budget", 30, "--seed", 3, "--url", service.url)
    done = fewstep(*words)
    search = service.store.search(done.stdout.strip())
    model = service.store.models()[0]
    assert search.problem == Problem(model.id, 5, budget=30, seed=3)
    assert f"{service.url}/searches/{search.id}" in done.stderr
    refused(fewstep("submit", "nonesuch", "--nfe", 5, "--url", service.url), "nonesuch", "digits-mixture")
    again = fewstep("submit", model.id, "--nfe", 6, "--url", service.url)
    assert service.store.search(again.stdout.strip()).problem.nfe == 6


def test_watch_follows_a_search_to_its_end(fewstep: Fewstep, service: Service) -> None:
    """Phases, best error and state are drawn from the events; the way to the result is named."""
    model = add_model(service.store)
    search = service.store.submit(Problem(model.id, 4, budget=3))
    held, jobs = claim(service.store, search), Jobs(service.store)

    def work() -> None:
        jobs.phase(held, "teacher", 2, 2)
        for number, (value, origin) in enumerate(((0.2, "baseline ddim time"), (None, "mutation"), (0.05, "tpe"))):
            score = None if value is None else Score(value, 0.01, 128, 512)
            jobs.record(held, Trial(number, samples.schedule(), score, origin))
            jobs.phase(held, "search", number + 1, 3)
        jobs.succeed(held, samples.result(search.problem))

    worker = threading.Thread(target=work)
    worker.start()
    watched = fewstep("watch", search.id, "--url", service.url)
    worker.join()
    assert watched.exit_code == 0
    assert re.findall(r"queued|running|succeeded", watched.stdout) == [
        "queued",
        "running",
        "succeeded",
    ]
    assert re.search(r"teacher .*2/2", watched.stdout)
    assert re.search(r"search .*3/3 +best 0.0500, by hand 0.200", watched.stdout)
    assert f"fewstep fetch {model.id} --nfe 4" in watched.stderr


def test_submit_can_stay_and_watch(fewstep: Fewstep, service: Service) -> None:
    """With --watch the command returns when the search has ended, and fails where it failed."""
    add_model(service.store)

    def work() -> None:
        held = None
        while held is None:
            held = Jobs(service.store).claim("test runner", 60)
        Jobs(service.store).fail(held, "all trials diverged")

    worker = threading.Thread(target=work)
    worker.start()
    done = fewstep("submit", "digits-mixture", "--nfe", 4, "--watch", "--url", service.url)
    worker.join()
    assert done.exit_code == 1
    assert "failed: all trials diverged" in done.stderr.splitlines()[-1]
    refused(fewstep("watch", "nonesuch", "--url", service.url), "nonesuch")


def test_fetch_gives_the_schedule_found(fewstep: Fewstep, service: Service, tmp_path: Path) -> None:
    """The file, or stdout, holds the published schedule; what it is worth stands on stderr."""
    model, path = add_model(service.store), tmp_path / "found.json"
    refused(fewstep("fetch", "digits-mixture", "--nfe", 8, "--url", service.url), "submit a search")
    publish(service.store, Problem(model.id, 6), value=0.05)
    done = fewstep("fetch", "digits-mixture", "--nfe", 8, "-o", path, "--url", service.url)
    assert Schedule.from_json(path.read_text()) == samples.schedule(6)
    assert done.stdout == ""
    assert "6 calls, error 0.0500 ± 0.0071, 0.250 times dpmpp-2m logsnr (95 % 0.167–0.500)" in done.stderr
    printed = fewstep("fetch", model.id, "--nfe", 6, "--url", service.url).stdout
    assert Schedule.from_json(printed) == samples.schedule(6)
