"""Models of every kind through the whole service: submitted, tried, searched, fetched, sampled with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel

import fewstep
from fewstep import models
from fewstep.client import Model
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.models import folder as model_folder
from fewstep.models.manifest import Manifest
from tests.api.uploads import pipeline
from tests.service.adapters import ADAPTERS, Broken, exported
from tests.service.support import Running, finish, started

BUDGET = 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folders, below a root of the service's."""
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, folders: Path) -> Iterator[Running]:
    """One service for all tests here."""
    data_dir = tmp_path_factory.mktemp("models")
    url, more = (
        f"sqlite:///{data_dir}/fewstep.db",
        {"FEWSTEP_MODEL_ROOTS": str(folders), "FEWSTEP_ALLOW_PROGRAMS": "true"},
    )
    with started(url, data_dir, **more) as running:
        yield running


def searched(running: Running, model: Model, nfe: int = 3, budget: int = BUDGET, noises: int = 8) -> fewstep.Schedule:
    """The schedule that a small search finds, of a model that is ready once it was tried."""
    tried = running.client.wait_for_model(model.id)
    assert tried.state == "ready", (tried.reason, running.log.read_text()[-3000:])
    search = finish(running, running.client.submit(model.id, nfe, budget=budget, noises=noises))
    found = running.client.best(model.id, nfe)
    assert found.search == search.id
    assert found.result.score.value > 0
    return found.schedule


def sampled(folder: Path, schedule: fewstep.Schedule, count: int = 3) -> torch.Tensor:
    """Samples of the model folder, drawn in this process."""
    denoiser, manifest = model_folder.open(folder), Manifest.read(folder)
    noise = torch.randn(count, *manifest.shape, generator=torch.Generator().manual_seed(1))
    made = fewstep.sample(denoiser.bound(range(count)), schedule, noise)
    assert made.shape == noise.shape
    assert made.isfinite().all()
    return made


def test_a_saved_pipeline_by_path_and_by_upload(running: Running, folders: Path) -> None:
    """Both ways give one id; the search's schedule runs in the very pipeline, and makes what `sample` makes."""
    folder = pipeline(folders / "tiny")
    by_path = running.client.add_model("tiny", "folder")
    by_upload = running.client.add_model(folder, "upload")
    assert by_path.id == by_upload.id
    schedule = searched(running, by_upload)
    loaded = DDPMPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    loaded.set_progress_bar_config(disable=True)
    loaded.scheduler = FewstepScheduler.from_schedule(schedule)
    seeded = torch.Generator().manual_seed(1)
    images = loaded(batch_size=3, generator=seeded, num_inference_steps=schedule.nfe, output_type="pt").images
    torch.testing.assert_close(images, (sampled(folder, schedule) / 2 + 0.5).clamp(0, 1), rtol=1e-4, atol=1e-4)


NETWORKS = [name for name in models.zoo.names() if models.zoo.describe(name).path.is_dir()]
SMALL = [name for name in NETWORKS if models.zoo.describe(name).shape[-1] <= 8]  # the others take minutes to search


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_zoo_is_ready_at_once(running: Running, name: str) -> None:
    """Nothing is uploaded or tried; its parameters are counted."""
    model = running.client.add_model(name)
    assert (model.state, model.name) == ("ready", name)
    assert model.facts.parameters


@pytest.mark.parametrize("name", SMALL)
def test_every_small_network_of_the_zoo(running: Running, name: str) -> None:
    """Its schedule samples here."""
    model = running.client.add_model(name)
    sampled(models.zoo.describe(name).path, searched(running, model))


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_adapter_by_upload(running: Running, folders: Path, kind: str) -> None:
    """Class- and text-conditional, transformers, flow, EDM, learned variance, exported programs: uploaded, tried,
    searched; the schedule samples the folder here."""
    torch.manual_seed(0)
    folder = folders / kind
    ADAPTERS[kind](folder)
    model = running.client.add_model(folder, "upload", title=kind)
    assert model.source == ("program" if kind == "program" else "upload")
    assert model.digest == Manifest.read(folder).digest
    sampled(folder, searched(running, model, budget=2))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers' own schedulers
@pytest.mark.skipif("digits-unet" not in NETWORKS, reason="the zoo lacks the folder of digits-unet")
def test_the_fetched_scheduler_improves_a_pipelines_samples(running: Running) -> None:
    """Nearer to the pipeline's own converged samples than with its own scheduler, DDIM or DPM-Solver++ of diffusers, at
    equal calls, from the same noises."""
    nfe, count = 5, 64
    schedule = searched(running, running.client.add_model("digits-unet"), nfe, budget=24, noises=64)
    loaded = DDPMPipeline.from_pretrained(models.zoo.describe("digits-unet").path, low_cpu_mem_usage=False)
    loaded.set_progress_bar_config(disable=True)
    assert isinstance(loaded.unet, UNet2DModel)
    config = loaded.scheduler.config

    def images(scheduler: object, steps: int) -> torch.Tensor:
        loaded.scheduler = scheduler
        seeded = torch.Generator().manual_seed(7)
        return loaded(batch_size=count, generator=seeded, num_inference_steps=steps, output_type="pt").images

    converged = images(DDIMScheduler.from_config(config, timestep_spacing="trailing", clip_sample=False), 250)

    def error(scheduler: object) -> float:
        return float((images(scheduler, nfe) - converged).square().mean().sqrt())

    theirs = {
        f"{kind.__name__} {spacing} {plain}": error(kind.from_config(config, timestep_spacing=spacing, **plain))
        for spacing in ("leading", "trailing", "linspace")
        for kind, plain in (
            (DDPMScheduler, {}),  # the pipeline's own
            (DDIMScheduler, {"clip_sample": False}),
            (DPMSolverMultistepScheduler, {}),
            (DPMSolverMultistepScheduler, {"solver_order": 3}),
        )
    }
    ours = error(FewstepScheduler.from_schedule(schedule))
    assert ours < min(theirs.values()), (ours, theirs)


def test_a_model_that_fails_its_trial_is_refused_over_http(running: Running, folders: Path) -> None:
    """A program that answers with what is no number: refused with the reason, by the worker that opened it."""

    folder = folders / "broken"
    exported(folder, Broken())
    model = running.client.add_model(folder, "upload")
    tried = running.client.wait_for_model(model.id)
    assert tried.state == "refused"
    assert "not finite" in (tried.reason or "")
    running.client.remove_model(model.id)


def test_a_killed_service_tries_the_model_again(tmp_path: Path) -> None:
    """SIGKILL to everything while a model waits or is tried: started again, it is tried again and ready."""
    url = f"sqlite:///{tmp_path}/fewstep.db"
    with started(url, tmp_path, slots=1, lease=2.0) as running:
        model = running.client.add_model(pipeline(tmp_path / "tiny"), "upload")
        running.kill()
    with started(url, tmp_path, slots=1, lease=2.0) as running:
        assert running.client.wait_for_model(model.id).state == "ready"
