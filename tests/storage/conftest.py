"""Fresh databases of both kinds, a store on them, and a hand on the database's clock."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import delete, event

from fewstep.values.search import Search
from storage import Claim, Jobs, Store
from storage.tables import ModelRow
from tests.postgres import admin_connection, fresh_postgresql
from tests.storage import samples


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Context manager of the URL of an empty database; every test runs on both kinds."""

    @contextmanager
    def _sqlite() -> Iterator[str]:
        yield f"sqlite:///{tmp_path_factory.mktemp('database')}/fewstep.db"

    if request.param == "postgresql":
        admin_connection().close()
        return fresh_postgresql
    return _sqlite


@pytest.fixture
def empty(fresh: Callable) -> Iterator[str]:
    """URL of a database without tables."""
    with fresh() as url:
        yield url


@pytest.fixture(scope="module")
def migrated(fresh: Callable) -> Iterator[Store]:
    """A store with tables, shared by a module."""
    with fresh() as url, Store(url) as store:
        store.migrate()
        yield store


@pytest.fixture
def store(migrated: Store) -> Store:
    """A store that holds nothing."""
    with migrated.write() as session:
        session.execute(delete(ModelRow))
    return migrated


@pytest.fixture
def jobs(store: Store) -> Jobs:
    """The verbs of the job state machine on `store`."""
    return Jobs(store)


@pytest.fixture
def search(store: Store) -> Search:
    """A queued search."""
    store.add_model(samples.model())
    return store.submit(samples.problem())


@pytest.fixture
def claim(jobs: Jobs, search: Search) -> Claim:
    """A lease on it."""
    claim = jobs.claim("runner-1", 60)
    assert claim is not None
    return claim


@pytest.fixture
def shift_clock(store: Store) -> Iterator[Callable[[float], None]]:
    """Call it with seconds to set the database's own clock that far ahead of the true time."""
    store.engine.dispose()  # connections made before would keep the true clock, in prepared statements
    clock = _SqliteClock() if store.engine.dialect.name == "sqlite" else _PostgresClock()
    with clock.on(store):
        yield lambda seconds: clock.shift(store, seconds)
    store.engine.dispose()


class _SqliteClock:
    """Every new connection gets our ``strftime``."""

    seconds = 0.0

    @contextmanager
    def on(self, store: Store) -> Iterator[None]:
        event.listen(store.engine, "connect", self._connected)
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as self.truth:
            yield
        event.remove(store.engine, "connect", self._connected)

    def shift(self, store: Store, seconds: float) -> None:
        self.seconds = seconds

    def _connected(self, connection: sqlite3.Connection, _: object) -> None:
        connection.create_function("strftime", 2, self._strftime)

    def _strftime(self, style: str, when: str) -> str:
        query = "SELECT strftime(?, ?, ?)"
        return self.truth.execute(query, (style, when, f"{self.seconds} seconds")).fetchone()[0]


class _PostgresClock:
    """Our ``clock_timestamp`` lies in front of the true one in the search path."""

    @contextmanager
    def on(self, store: Store) -> Iterator[None]:
        self.shift(store, 0.0)
        yield
        with store.engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION clock_timestamp()")

    def shift(self, store: Store, seconds: float) -> None:
        body = f"SELECT pg_catalog.clock_timestamp() + interval ''{seconds} seconds''"
        with store.engine.begin() as connection:
            connection.exec_driver_sql(
                f"CREATE OR REPLACE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS '{body}'"
            )
