"""A fresh schema on a real PostgreSQL, or word of what is missing."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy.engine import make_url

POSTGRES = os.environ.get("FEWSTEP_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test")


def admin_connection() -> psycopg.Connection:
    url = make_url(POSTGRES).set(drivername="postgresql")
    try:
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"no PostgreSQL answers at {url!r}: start one or set FEWSTEP_TEST_POSTGRES ({error})")


@contextmanager
def fresh_postgresql() -> Iterator[str]:
    """URL of an empty schema, which is dropped when the block ends."""
    schema = f"fewstep_{uuid.uuid4().hex}"
    with admin_connection() as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
        try:
            # naming pg_catalog last lets a test put its own clock in front
            path = {"options": f"-csearch_path={schema},pg_catalog"}
            yield make_url(POSTGRES).update_query_dict(path).render_as_string(hide_password=False)
        finally:
            admin.execute(f"DROP SCHEMA {schema} CASCADE")
