"""One database: connections, transactions and schema version."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy.orm import Session

from storage import migrate
from storage.engine import READ_ONLY, connect, translate_errors

__all__ = ["Database"]


class Database:
    """A database by its URL; safe to share between threads, not across a fork.

    Every method raises `ServiceError` where the database does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = connect(url)
        self._read_only = self.engine.execution_options(**{READ_ONLY: True})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def migrate(self) -> None:
        """Bring the tables up to date; several processes may call this at once."""
        with translate_errors():
            migrate.upgrade(self.url)

    def ping(self) -> None:
        """Raise `ServiceError` unless the database answers and its tables are up to date."""
        with translate_errors(), self._read_only.connect() as connection:
            migrate.check(connection)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with translate_errors(), Session(self._read_only) as session, session.begin():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write; it is committed as a whole or rolled back."""
        with translate_errors(), Session(self.engine) as session, session.begin():
            yield session
