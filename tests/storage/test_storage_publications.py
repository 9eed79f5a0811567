"""Results from outside, stored as those of searches that have succeeded, on both databases."""

from dataclasses import replace

import pytest

from fewstep import Schedule, processes, solvers
from fewstep.errors import Conflict, NotFound
from fewstep.values.model import Model, ModelState
from fewstep.values.search import SearchState
from storage import Jobs, ModelChecks, Publications, Store
from tests.storage import samples

RULE = {"kind": "discrete", "betas": "scaled_linear", "first": 0.00085, "last": 0.012, "count": 1000}


def test_a_result_from_outside_comes_back_equal(store: Store) -> None:
    """Result, model and a search that has succeeded, which a log of two events says; fitted schedule and all."""
    publication = samples.publication(plan=samples.fitted())
    published, is_new = Publications(store).add(publication)
    assert is_new
    assert published == store.result(published.search)
    assert published.result == publication.result
    assert store.model(published.model) == replace(publication.model, created=store.model(published.model).created)
    search = store.search(published.search)
    assert (search.state, search.problem, search.evaluations) == (
        SearchState.SUCCEEDED,
        publication.result.problem,
        publication.result.cost.evaluations,
    )
    assert search.finished == search.created == published.created
    said, state = store.events(search.id)
    assert (said.kind, said.data["version"], said.data["digest"]) == ("published", "0.1.0", published.digest)
    assert state.final
    assert store.trials(search.id) == []


def test_the_same_result_again_changes_nothing(store: Store) -> None:
    """It is found by its content, whatever the model is called by then and whenever it is sent."""
    publication = samples.publication()
    first, _ = Publications(store).add(publication)
    renamed = replace(publication, model=replace(publication.model, name="another", summary="another"), version="9")
    assert Publications(store).add(renamed) == (first, False)
    assert len(store.searches().items) == len(store.models()) == 1
    assert store.model(first.model).name == publication.model.name


def test_it_is_served_like_any_other(store: Store) -> None:
    """Front, best and schedule know it; of two results of one number of calls the better one counts."""
    for nfe, value in ((4, 0.5), (4, 0.3), (6, 0.1)):
        Publications(store).add(samples.publication(nfe=nfe, value=value))
    id = samples.tuned().id
    assert [(item.nfe, item.result.score.value) for item in store.front(id)] == [(4, 0.3), (6, 0.1)]
    assert store.best(id, 5).result.score.value == 0.3
    assert store.schedule(samples.schedule(6).digest).model == id


def test_no_search_and_no_check_takes_it_up(store: Store, jobs: Jobs) -> None:
    """Its weights are elsewhere: a search is refused with what to do, and runners find nothing to work on."""
    Publications(store).add(samples.publication())
    for ask in (store.submit, lambda problem: store.ready_model(problem.model)):
        with pytest.raises(Conflict, match="run fewstep tune there"):
            ask(samples.problem())
    assert jobs.claim("runner", 60) is None
    assert ModelChecks(store).claim("runner", 60) is None
    for search in store.searches().items:
        with pytest.raises(Conflict, match="succeeded"):
            jobs.resume(search.id)


@pytest.mark.parametrize(
    "there",
    [
        samples.model(),
        samples.submitted(),
        replace(samples.tuned(), shape=(1, 4, 4)),
        replace(samples.tuned(), process=processes.to_dict(processes.Flow())),
    ],
    ids=["zoo", "upload", "shape", "process"],
)
def test_another_model_of_that_digest(store: Store, there: Model) -> None:
    """A model from elsewhere, or with other samples, is not taken for the pipeline, and gets no result."""
    store.add_model(there)
    with pytest.raises(Conflict, match=f"from the source '{there.source}'"):
        Publications(store).add(samples.publication())
    assert store.searches().items == []
    assert store.models() == [there]


def test_a_model_with_weights_takes_the_place_of_a_pipeline(store: Store) -> None:
    """Whoever claimed its digest keeps nobody from submitting the model itself."""
    Publications(store).add(samples.publication())
    model = store.add_model(samples.submitted())
    assert (model.source, model.state) == ("upload", ModelState.SUBMITTED)
    claim = ModelChecks(store).claim("runner", 60)
    assert claim is not None
    ModelChecks(store).ready(claim, samples.submitted().facts)
    assert store.submit(samples.problem()).state is SearchState.QUEUED


def test_deleted_and_published_again(store: Store) -> None:
    """Deleting the model deletes what was published for it; then it is new again."""
    first, _ = Publications(store).add(samples.publication())
    store.delete_model(first.model)
    for ask in (store.result, store.events, store.search):
        with pytest.raises(NotFound):
            ask(first.search)
    again, is_new = Publications(store).add(samples.publication())
    assert (again.search, is_new) == (first.search, True)


def test_a_process_that_was_sent_by_its_rule(store: Store) -> None:
    """It is stored as that of any other model, and agrees with the schedule's either way."""
    process = processes.from_dict(RULE)
    publication = samples.publication()

    def on(plan: Schedule) -> Schedule:
        return solvers.named("ddim").schedule(process, plan.nfe)

    result = publication.result
    winner, baseline = (replace(each, schedule=on(each.schedule)) for each in (result.winner, result.baseline))
    for by_rule in (True, False):
        sent = replace(
            publication,
            model=replace(publication.model, process=processes.to_dict(process, by_rule=by_rule)),
            result=replace(result, winner=winner, baseline=baseline),
        )
        published, is_new = Publications(store).add(sent)
        assert is_new == by_rule
    assert store.model(published.model).process == processes.to_dict(process)
