"""Tables from nothing, back to nothing, and by several processes at once."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from fewstep.errors import Conflict, InvalidInput, ServiceError
from fewstep.values.model import Facts, ModelState
from storage import Jobs, Store, migrate
from tests.storage import children, samples
from tests.storage.parent import CHILDREN, child, hear

TABLES = {"models", "searches", "trials", "events", "published", "curves", "lessons"}


def tables(store: Store) -> set[str]:
    """Names of the tables that are there."""
    with store.engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_up_and_down(empty: str) -> None:
    """An upgrade makes the tables, a downgrade drops them, and both can be done again."""
    with Store(empty) as store:
        for _ in range(2):
            store.migrate()
            assert tables(store) == TABLES | {migrate.VERSION_TABLE}
            store.migrate()
            migrate.downgrade(empty, "base")
            assert tables(store) == {migrate.VERSION_TABLE}


def test_migrations_make_the_tables(empty: str) -> None:
    """The migrations make exactly what the code declares; a difference would be seen."""
    with Store(empty) as store:
        store.migrate()
        with store.engine.connect() as connection:
            assert migrate.differences(connection) == []
        with store.engine.begin() as connection:
            connection.execute(text("DROP INDEX ix_events_search_id_id"))
            connection.execute(text("ALTER TABLE models ADD COLUMN colour VARCHAR"))
            connection.execute(text("ALTER TABLE trials DROP COLUMN origin"))
        with store.engine.connect() as connection:
            found = {difference[0] for difference in migrate.differences(connection)}
        assert found == {"add_index", "remove_column", "add_column"}


def test_models_of_an_older_version_stay(empty: str) -> None:
    """Models from before they were tried are ready and keep their searches; going back forgets those that are not."""
    with Store(empty) as store:
        migrate.upgrade(empty, "0001")
        with store.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO models (id, digest, name, source, summary, shape, process, created) VALUES "
                    "(:id, :digest, 'm', 'zoo', 's', '[1, 8, 8]', '{\"kind\": \"ve\"}', '2026-01-02 03:04:05+00')"
                ),
                {"id": "a" * 16, "digest": "a" * 64},
            )
        store.migrate()
        store.submit(problem := replace(samples.problem(metric="rms"), noises=128))  # what older versions took
        (model,) = store.models()
        assert (model.state, model.reason, model.facts) == (ModelState.READY, None, Facts())
        store.add_model(replace(samples.model("b"), state=ModelState.SUBMITTED))
        migrate.downgrade(empty, "0001")
        store.migrate()
        assert store.models() == [model]
        assert [search.problem for search in store.searches().items] == [problem]


def test_searches_of_an_older_version_stay(empty: str) -> None:
    """A search from before there were other metrics, samplers and limits is guided, without limits, by RMS error;
    going back and forth keeps it."""
    with Store(empty) as store:
        store.migrate()
        store.add_model(samples.model())
        search = store.submit(samples.problem(metric="rms"))
        for _ in range(2):
            migrate.downgrade(empty, "0003")
            store.migrate()
            assert store.search(search.id) == search
        assert store.submit(samples.limited()).problem == samples.limited()


def test_the_endpoint_error_has_its_name(empty: str) -> None:
    """What older versions called endpoint is rms, and back; a downgrade forgets searches by metrics that came later."""
    with Store(empty) as store:
        store.migrate()
        old = samples.publish(store, 4, 0.5, metric="rms")
        beside = samples.running(store, metric="frechet")
        result = samples.result(beside.search.problem)
        assert result.problem.report == "mean"
        Jobs(store).succeed(beside, result, '{"metric":"frechet"}')
        quick = samples.running(store, nfe=5)
        Jobs(store).succeed(quick, samples.result(quick.search.problem), '{"metric":"typical"}')
        published = store.result(old)
        migrate.downgrade(empty, "0006")
        assert texts(store) == [("endpoint", None, "endpoint")]
        with store.engine.connect() as connection:
            assert "rms" not in str(connection.execute(text("SELECT result FROM published")).scalar())
            for table in ("trials", "events", "lessons"):
                query = f"SELECT count(*) FROM {table} WHERE search_id != '{old}'"
                assert connection.execute(text(query)).scalar() == 0
        store.migrate()
        assert texts(store) == [("rms", None, "rms")]
        assert store.result(old) == published
        assert store.search(old).problem.effort == "custom"


def texts(store: Store) -> list[tuple[str, ...]]:
    """Metric and report of every search, and the metric of its result."""
    query = "SELECT s.metric, s.report, p.metric FROM searches s LEFT JOIN published p ON p.search_id = s.id"
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_states_are_checked(empty: str) -> None:
    """The database itself refuses a state that does not exist."""
    with Store(empty) as store:
        store.migrate()
        store.add_model(samples.model())
        store.submit(samples.problem())
        with pytest.raises(Exception, match="ck_searches_state"), store.engine.begin() as connection:
            connection.execute(text("UPDATE searches SET state = 'asleep'"))
        with pytest.raises(Exception, match="ck_models_state"), store.engine.begin() as connection:
            connection.execute(text("UPDATE models SET state = 'asleep'"))


def test_version_table_of_others(empty: str) -> None:
    """Another program's Alembic table in the same database (Optuna's) is neither read nor written."""
    with Store(empty) as store:
        with store.engine.begin() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('v3.0.0.d')"))
        store.migrate()
        store.ping()
        with store.engine.connect() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "v3.0.0.d"


def test_ping(empty: str) -> None:
    """A database is ready once its tables are up to date; before, the message says what to do."""
    with Store(empty) as store:
        with pytest.raises(ServiceError, match="migrate it"):
            store.ping()
        with pytest.raises(ServiceError, match="was it migrated"):
            store.models()
        store.migrate()
        store.ping()


def test_newer_database(empty: str) -> None:
    """A database that a newer version has migrated is left alone, and both verbs say at which revision it is."""
    with Store(empty) as store:
        store.migrate()
        with store.engine.begin() as connection:
            connection.execute(text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'"))
        with pytest.raises(Conflict, match="9999"):
            store.migrate()
        with pytest.raises(ServiceError, match="9999"):
            store.ping()
        assert tables(store) == TABLES | {migrate.VERSION_TABLE}


def test_failed_migration_leaves_nothing(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that fails half-way leaves the database as it was."""
    from alembic.operations import Operations

    def refuse(*_: object, **__: object) -> None:
        raise InvalidInput("no index today")

    with Store(empty) as store:
        with monkeypatch.context() as patch:
            patch.setattr(Operations, "create_index", refuse)
            with pytest.raises(InvalidInput, match="no index"):
                store.migrate()
        assert tables(store) == set()
        store.migrate()
        store.ping()


def test_draft(empty: str, tmp_path: Path) -> None:
    """A drafted migration follows the last one, holds what the tables lack and changes tables in SQLite's way."""
    with Store(empty) as store:
        store.migrate()
        with store.engine.begin() as connection:
            connection.execute(text("ALTER TABLE trials DROP COLUMN origin"))
        path = migrate.draft(empty, "bring origin back", tmp_path)
        assert path.parent == tmp_path
        script = path.read_text()
        compile(script, str(path), "exec")
        assert script.startswith('"""Bring origin back."""')
        assert 'down_revision = "0008"' in script
        assert "with op.batch_alter_table('trials', schema=None) as batch_op:" in script
        assert "batch_op.add_column(sa.Column('origin', sa.String(), nullable=False))" in script
        store.ping()


def test_many_processes_migrate(empty: str) -> None:
    """Processes that start at once on an empty database all find it ready."""
    start = CHILDREN.Barrier(4)
    with ExitStack() as stack:
        pipes = [stack.enter_context(child(children.migrate, empty, start))[1] for _ in range(4)]
        assert [hear(said) for said in pipes] == ["up to date"] * 4
    with Store(empty) as store, store.engine.connect() as connection:
        assert migrate.differences(connection) == []
        assert connection.execute(text(f"SELECT count(*) FROM {migrate.VERSION_TABLE}")).scalar() == 1
