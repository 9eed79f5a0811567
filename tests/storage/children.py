"""What the processes do that the tests start, and kill."""

import time
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import event

from storage import Claim, Jobs, ModelChecks, Store
from tests.storage import samples


def migrate(url: str, start: Any, said: Connection) -> None:
    """Migrate at the same moment as everyone else; say that the tables are up to date."""
    start.wait(60)
    with Store(url) as store:
        store.migrate()
        store.ping()
    said.send("up to date")


def claim_all(url: str, start: Any, said: Connection) -> None:
    """Claim until nothing waits; say which searches."""
    with Store(url) as store:
        start.wait(60)
        ids = []
        while (claim := Jobs(store).claim("child", 60)) is not None:
            ids.append(claim.search.id)
        said.send(ids)


def claim_all_models(url: str, start: Any, said: Connection) -> None:
    """Claim submitted models until nothing waits; say which."""
    with Store(url) as store:
        start.wait(60)
        ids = []
        while (claim := ModelChecks(store).claim("child", 60)) is not None:
            ids.append(claim.model.id)
        said.send(ids)


def hang_before_commit(url: str, kind: Any, verb: str, arguments: tuple[Any, ...], said: Connection) -> None:
    """Do everything a verb of ``kind`` does but its commit, say so, and wait to be killed."""
    store = Store(url)

    @event.listens_for(store.engine, "commit")
    def _hang(_: Any) -> None:
        said.send("about to commit")
        time.sleep(600)

    getattr(kind(store), verb)(*arguments)


def record_until_killed(url: str, claim: Claim, said: Connection) -> None:
    """Record trials from the first missing one on, saying the number of each once it is recorded."""
    jobs, plan = Jobs(Store(url)), samples.schedule()
    for number in count(claim.search.evaluations):
        jobs.record(claim, samples.trial(number, 1 / (number + 1), plan))
        said.send(number)
