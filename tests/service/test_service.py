"""The whole service as processes: the same schedule whatever happens to it on the way."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fewstep
from fewstep import models
from fewstep.client import Published
from fewstep.errors import NotFound
from fewstep.search.stages.fit import MOST
from fewstep.values.limits import Limits
from storage.store import Store
from tests.service.support import Running, finish, started, wait_until

NFE, BUDGET, NOISES = 4, 32, 32
MODEL = "digits-mixture"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all services here, so that the teacher is taught once."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def database_url(data_dir: Path) -> str:
    """The database of the service that most tests share: searches there meet others of their metric at NFE calls only,
    which teach them nothing."""
    return f"sqlite:///{data_dir}/shared.db"


@pytest.fixture(scope="module")
def running(database_url: str, data_dir: Path) -> Iterator[Running]:
    """That service, with two workers."""
    with started(database_url, data_dir, slots=2) as running:
        yield running


def submitted(running: Running, seed: int = 0) -> str:
    running.client.add_model(MODEL)
    return running.client.submit(MODEL, NFE, budget=BUDGET, noises=NOISES, seed=seed).id


def published(running: Running, search: str) -> Published:
    finish(running, running.client.search(search))
    assert gist(running.client.best(MODEL, NFE)) == gist(running.client.result(search))
    return running.client.result(search)


def gist(result: Published) -> tuple[object, ...]:
    """All that must not depend on history."""
    found = result.result
    return found.schedule, found.score, found.baseline_name, found.baseline, found.ratio, found.calls, found.tau


@pytest.fixture(scope="module")
def undisturbed(data_dir: Path) -> Iterator[Published]:
    """What the search finds with one worker and nothing going wrong."""
    with started(f"sqlite:///{data_dir}/undisturbed.db", data_dir, slots=1) as running:
        yield published(running, submitted(running))


def trials_of(database_url: str, search: str) -> list[int]:
    with Store(database_url) as store:
        return [trial.number for trial in store.trials(search)]


def assert_whole(numbers: list[int]) -> None:
    """Every trial once; fits may be fewer than their room, where replay found fewer places."""
    assert numbers == list(range(len(numbers)))
    assert BUDGET - MOST < len(numbers) <= BUDGET


def test_two_workers_find_what_one_finds_and_it_can_be_used(
    undisturbed: Published, running: Running, database_url: str
) -> None:
    """Same seed, another number of workers: the same schedule and scores; it samples in this process. The curve that
    the search measured gives grids of other numbers of calls."""
    first = published(running, submitted(running))
    assert gist(first) == gist(undisturbed)
    again = finish(running, running.client.search(submitted(running)))
    assert gist(running.client.result(again.id)) == gist(undisturbed)
    assert_whole(trials_of(database_url, again.id))
    grid = running.client.grid(MODEL, nfe=8)
    assert grid.times == grid.curve.times(8)
    assert grid.curve.source == "flow"
    assert first.result.ratio < 0.75
    noise = torch.zeros(2, *models.zoo.describe(MODEL).shape)
    assert fewstep.sample(models.zoo.load(MODEL), first.schedule, noise).isfinite().all()


def test_a_killed_worker_changes_nothing(undisturbed: Published, running: Running, database_url: str) -> None:
    """SIGKILL to a worker in the middle of a search: it ends normally with the same result."""
    search = submitted(running)
    wait_until(lambda: running.client.search(search).evaluations > 5)
    victims = running.workers()
    assert len(victims) == 2
    victims[0].kill()
    assert gist(published(running, search)) == gist(undisturbed)
    assert_whole(trials_of(database_url, search))


def test_a_killed_service_goes_on_from_its_trials(undisturbed: Published, data_dir: Path, tmp_path: Path) -> None:
    """SIGKILL to everything, twice, and a restart: recorded trials are kept, the result is the same."""
    database_url = f"sqlite:///{tmp_path}/fewstep.db"
    with started(database_url, data_dir, lease=2.0) as running:
        search = submitted(running)
        wait_until(lambda: running.client.search(search).evaluations > 10)
        running.kill()
    kept = trials_of(database_url, search)
    assert kept
    with started(database_url, data_dir, lease=2.0) as running:
        wait_until(lambda: running.client.search(search).evaluations > max(len(kept), 20))
        running.kill()
    with started(database_url, data_dir, lease=2.0) as running:
        assert gist(published(running, search)) == gist(undisturbed)
        assert running.client.search(search).attempt == 3
    assert_whole(trials_of(database_url, search))


def test_a_model_whose_weights_changed_fails_its_search_and_nothing_else(
    undisturbed: Published, running: Running, database_url: str
) -> None:
    """A search of weights that are not there fails with both digests; the service goes on to the next search."""
    known = running.client.add_model(MODEL)
    with Store(database_url) as store:
        stale = replace(store.model(known.id), id="0" * 16, digest="0" * 64)
        store.add_model(stale)
    failed = running.client.wait(running.client.submit("0" * 16, NFE, budget=BUDGET, noises=NOISES).id)
    assert failed.state == "failed"
    assert "digest 0000" in (failed.error or "")
    assert "submit it again" in (failed.error or "")
    assert gist(published(running, submitted(running))) == gist(undisturbed)


def test_pause_resume_and_cancel_while_running(undisturbed: Published, running: Running) -> None:
    """A paused search stops, keeps its trials and ends the same once resumed; a cancelled one publishes nothing."""
    search = submitted(running)
    wait_until(lambda: running.client.search(search).evaluations > 5)
    running.client.pause(search)
    other = submitted(running, seed=1)
    wait_until(lambda: running.client.search(other).state == "running")
    running.client.cancel(other)
    assert running.client.search(search).state == "paused"
    running.client.resume(search)
    assert gist(published(running, search)) == gist(undisturbed)
    assert running.client.wait(other).state == "cancelled"
    with pytest.raises(NotFound):
        running.client.result(other)


def test_another_metric_is_lowered_within_limits(running: Running) -> None:
    """A search by Fréchet distance on the classifier's features keeps its limit of calls, reports the typical error
    beside it, and is served under its metric alone; the next one, of a call more, is no worse."""
    client, metric = running.client, "frechet:digits"
    model = client.add_model(MODEL).id
    limits = Limits(calls=40_000, seconds=300, failures=0)
    searches = [client.submit(model, nfe, metric=metric, budget=16, noises=16, limits=limits) for nfe in (3, 4)]
    found = [client.result(finish(running, search).id).result for search in searches]
    for search, result in zip(searches, found, strict=True):
        assert result.problem == search.problem
        assert result.calls <= limits.calls
        assert result.winner.interval.low < result.score.value < result.winner.interval.high
        assert 0 < result.winner.secondary.value < 10
        assert result.winner.secondary.noises == result.baseline.secondary.noises == 128
    assert found[1].score.value <= found[0].score.value
    assert client.best(model, 4, metric).result == found[1]
    assert [each.result for each in client.schedules(model, metric)] == found
    with pytest.raises(NotFound, match="'mean' yet: there are some by frechet:digits:teacher"):
        client.best(model, 3)  # searches by the mean distance are of NFE calls and more


def test_several_numbers_of_calls_share_a_teacher(running: Running) -> None:
    """One quick submission of two: both stay within the effort, the teacher is paid for once between them, and what
    they found is what the next are told to expect. By a metric of their own: the other searches here learn nothing."""
    client, kind = running.client, {"effort": "quick", "metric": "rms", "seed": 5}
    client.add_model(MODEL)
    cards = client.estimate(MODEL, [5, 3], **kind)
    searches = client.submit(MODEL, [5, 3], **kind)
    assert [search.problem for search in searches] == [card.problem for card in cards]
    assert [search.problem.nfe for search in searches] == [3, 5]
    results = [client.result(finish(running, search).id).result for search in searches]
    for result, card in zip(results, cards, strict=True):
        assert 0 < result.cost.search_calls <= card.cost.search_calls
        assert 0 < result.cost.test_calls <= card.cost.test_calls
        both = card.cost.search_calls + card.cost.test_calls
        assert result.cost.calls + result.cost.shared_calls <= both
        assert result.winner.summary("typical") is not None
    taught = 16 * 49 + 32 * 48 + 8 * 96  # trajectories, targets of the test, the teacher's own error
    assert sum(result.cost.shared_calls for result in results) == taught
    assert client.estimate(MODEL, 3, **kind).expected_ratio == results[0].ratio
    assert client.best(MODEL, 3, "endpoint").result == results[0]
