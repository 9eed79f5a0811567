"""Connections: which databases are taken, how they are set up, and what is said when they do not answer."""

import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from threading import Event, Timer

import pytest
from sqlalchemy import text

from fewstep.errors import InvalidInput, ServiceError
from storage import Jobs, Store
from storage.engine import connect, database_time
from tests.storage import samples


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite:///x.db"]
)
def test_refused_urls(url: str) -> None:
    """A URL of another kind of database, or of one in memory, is refused and a usable one shown."""
    with pytest.raises(InvalidInput, match="sqlite:///path/to/file"):
        Store(url)


def test_passwords_stay_secret() -> None:
    """A URL that cannot be read is not repeated in the message: it may hold a password."""
    with pytest.raises(InvalidInput) as caught:
        Store("postgresql+psycopg://user:hunter2@host:notaport/db")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_postgres_driver(scheme: str) -> None:
    """PostgreSQL is reached through psycopg 3, named or not."""
    assert connect(f"{scheme}://host/database").dialect.driver == "psycopg"


def test_folder_is_made(tmp_path: Path) -> None:
    """The folder of a SQLite file is made if it is not there."""
    with Store(f"sqlite:///{tmp_path}/deep/er/fewstep.db") as store:
        store.migrate()
    assert (tmp_path / "deep" / "er" / "fewstep.db").is_file()


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    """A folder that cannot be made is InvalidInput."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="folder"):
        Store(f"sqlite:///{tmp_path}/file/fewstep.db")


def test_sqlite_settings(tmp_path: Path) -> None:
    """SQLite connections use the write-ahead log, wait for locks and enforce foreign keys, except while migrating."""
    for foreign_keys in (True, False):
        engine = connect(f"sqlite:///{tmp_path}/fewstep.db", foreign_keys=foreign_keys)
        with engine.connect() as connection:
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")]
            assert found == ["wal", int(foreign_keys)]
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        engine.dispose()


def test_a_new_file_that_another_process_begins_to_fill(tmp_path: Path) -> None:
    """Its journal cannot be changed meanwhile, and SQLite says so at once: we wait for the other."""
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE begun (x)")
    other.execute("BEGIN IMMEDIATE")
    done = Timer(0.3, other.commit)
    done.start()
    with connect(f"sqlite:///{path}").connect() as connection:
        assert done.finished.is_set()
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    done.join()
    other.close()


def test_unreachable_server() -> None:
    """A server that does not answer is a ServiceError, which callers may retry."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with Store(f"postgresql+psycopg://user@127.0.0.1:{port}/db") as store:
        for verb in (store.ping, store.migrate, store.models):
            with pytest.raises(ServiceError, match="did not answer"):
                verb()


def test_something_else_in_the_file(tmp_path: Path) -> None:
    """A file that is no database is a ServiceError that says so."""
    (tmp_path / "fewstep.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    with Store(f"sqlite:///{tmp_path}/fewstep.db") as store, pytest.raises(ServiceError, match="not a database"):
        store.migrate()


def test_lost_connections(store: Store) -> None:
    """Connections that the server closed in the meantime are replaced without anyone noticing."""
    if store.engine.dialect.name == "postgresql":
        with store.engine.connect() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        other = connect(store.url)
        with other.begin() as connection:
            assert connection.execute(text("SELECT pg_terminate_backend(:pid, 60000)"), {"pid": pid}).scalar()
        other.dispose()
    assert store.models() == []


def test_readers_do_not_wait(store: Store, jobs: Jobs) -> None:
    """While a writer holds its transaction open, readers get the state before it."""
    store.add_model(samples.model())
    search = store.submit(samples.problem())
    with ThreadPoolExecutor(1) as pool:
        inside, leave = Event(), Event()

        def write() -> None:
            with store.write() as session:
                session.execute(text("UPDATE searches SET priority = 7"))
                inside.set()
                leave.wait(60)

        writer = pool.submit(write)
        assert inside.wait(60)
        assert store.search(search.id) == search
        leave.set()
        writer.result()
    assert store.search(search.id).priority == 7


def test_moment_is_utc(store: Store) -> None:
    """The database's time is in UTC and does not go back within a transaction."""
    with store.read() as session:
        first, second = database_time(session), database_time(session)
    assert first.tzinfo is UTC
    assert first <= second
