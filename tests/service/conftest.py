"""A PostgreSQL schema for services."""

from collections.abc import Iterator

import pytest

from tests.postgres import fresh_postgresql


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """URL of an empty PostgreSQL schema."""
    with fresh_postgresql() as url:
        yield url
