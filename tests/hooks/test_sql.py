"""SQL hooks against real PostgreSQL, MariaDB and SQLite."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlflowkit.core.connection import Connection
from mlflowkit.errors import (
    BadOption,
    BadSql,
    ConnectionMissing,
    DatabaseRefused,
    DatabaseUnreachable,
    InvalidConnection,
    MissingExtra,
    NoSqlDialect,
    NotADatabase,
    SqlFailed,
)
from mlflowkit.hooks.sql import (
    DbApiHook,
    MySqlHook,
    PostgresHook,
    SqlHook,
    SqliteHook,
    fetch_one_handler,
    sql_hook,
)
from tests.homes import wait_until
from tests.services import Database

TRAP = """Robert'); DROP TABLE pets; -- "\\%s :a ?"""
ODD_TABLE = 'x"; drop table y'


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_SQLITE_DEFAULT", f"sqlite:///{tmp_path}/pets.db")


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def hook(request: pytest.FixtureRequest) -> SqlHook:
    """A hook for an empty database of each kind."""
    request.getfixturevalue(request.param)
    return sql_hook(f"{request.param}_default")


def mark(hook: SqlHook) -> str:
    return "?" if isinstance(hook, SqliteHook) else "%s"


def named(hook: SqlHook, name: str) -> str:
    return f":{name}" if isinstance(hook, SqliteHook) else f"%({name})s"


def pets(hook: SqlHook) -> SqlHook:
    hook.run("CREATE TABLE pets (id INTEGER PRIMARY KEY, name VARCHAR(100))")
    return hook


def names(hook: SqlHook) -> list[str]:
    return [row[0] for row in hook.get_records("SELECT name FROM pets ORDER BY id")]


# ── every database ──────────────────────────────────────────────────────────


def test_values_are_bound_and_never_become_sql(hook: SqlHook) -> None:
    pets(hook).run(
        f"INSERT INTO pets VALUES ({mark(hook)}, {mark(hook)})", False, [1, TRAP]
    )
    assert hook.get_first(
        f"SELECT * FROM pets WHERE name = {named(hook, 'n')}", {"n": TRAP}
    ) == (1, TRAP)
    nothing = f"SELECT * FROM pets WHERE name = {mark(hook)}"
    assert hook.get_records(nothing, ("' OR '1'='1",)) == []
    assert hook.get_first(nothing, ("' OR '1'='1",)) is None


def test_without_parameters_a_percent_sign_and_a_colon_are_themselves(
    hook: SqlHook,
) -> None:
    assert hook.get_first("SELECT '50%', ':x', '?', '%s'") == ("50%", ":x", "?", "%s")


def test_when_the_second_statement_fails_the_first_did_not_happen(hook: SqlHook) -> None:
    pets(hook)
    script = ["INSERT INTO pets VALUES (1, 'Rex')", "INSERT INTO nowhere VALUES (1)"]
    with pytest.raises(SqlFailed) as caught:
        hook.run(script)
    assert caught.value.statement == script[1]
    assert names(hook) == []
    with pytest.raises(SqlFailed):
        hook.run(script, autocommit=True)
    assert names(hook) == ["Rex"]


def test_what_comes_back_depends_on_how_the_sql_was_given(hook: SqlHook) -> None:
    def run(sql: Any, **options: Any) -> Any:
        return hook.run(sql, handler=fetch_one_handler, **options)

    assert run("SELECT 1") == (1,)
    assert run("SELECT 1; SELECT 2;", split_statements=True) == (2,)
    both = [(1,), (2,)]
    assert run("SELECT 1; SELECT 2;", split_statements=True, return_last=False) == both
    assert run(["SELECT 1", "SELECT 2"]) == both
    assert run(["SELECT 1"]) == [(1,)]
    assert hook.run("SELECT 1") is None
    assert pets(hook).run("SELECT * FROM pets", handler=fetch_one_handler) is None
    assert [column[0] for column in hook.last_description or ()] == ["id", "name"]


def test_no_statement_at_all_is_an_error(hook: SqlHook) -> None:
    for nothing in ("", "  \n", []):
        with pytest.raises(BadSql, match="it holds no statement"):
            hook.run(nothing)
    with pytest.raises(BadSql):
        hook.run("-- only; a comment\n;", split_statements=True)


def test_ten_thousand_rows_go_in_and_come_out(hook: SqlHook) -> None:
    rows = ((number, f"pet {number}") for number in range(10_000))
    pets(hook).insert_rows("pets", rows, target_fields=["id", "name"])
    assert hook.get_first("SELECT count(*), min(id), max(id) FROM pets") == (
        10_000,
        0,
        9999,
    )
    assert hook.get_first("SELECT name FROM pets WHERE id = 4711") == ("pet 4711",)


def test_a_refused_row_undoes_its_transaction_and_none_before(hook: SqlHook) -> None:
    rows = [(1, "a"), (2, "b"), (3, "c"), (1, "again")]
    with pytest.raises(SqlFailed):
        pets(hook).insert_rows("pets", rows, commit_every=2)
    assert names(hook) == ["a", "b"]
    with pytest.raises(SqlFailed):
        hook.insert_rows("pets", [(7, "x"), (1, "again")], commit_every=0)
    assert names(hook) == ["a", "b"]


def test_a_row_with_the_same_key_is_replaced_if_asked(hook: SqlHook) -> None:
    pets(hook).insert_rows("pets", [(1, "old"), (2, "stays")])
    hook.insert_rows(
        "pets",
        [(1, "new"), (3, "more")],
        target_fields=["id", "name"],
        replace=True,
        replace_index="id",
    )
    assert names(hook) == ["new", "stays", "more"]


def test_names_of_tables_and_columns_are_quoted_whatever_they_hold(hook: SqlHook) -> None:
    mark_ = "`" if isinstance(hook, MySqlHook) else '"'

    def quote(name: str) -> str:
        return mark_ + name.replace(mark_, mark_ * 2) + mark_

    odd, order = quote(ODD_TABLE), quote("order")
    hook.run("CREATE TABLE y (id INTEGER)")
    hook.run(f"CREATE TABLE {odd} ({order} INTEGER, {quote('50%; --')} INTEGER)")
    hook.insert_rows(ODD_TABLE, [(1, 2)], target_fields=["order", "50%; --"])
    assert hook.get_records(f"SELECT * FROM {odd}") == [(1, 2)]
    assert hook.get_records("SELECT * FROM y") == []
    with pytest.raises(SqlFailed):  # a table of that very name, which there is not
        hook.insert_rows("y; drop table y", [(1,)])
    assert hook.get_records("SELECT * FROM y") == []


def test_rows_that_do_not_fit_are_refused_before_they_are_sent(hook: SqlHook) -> None:
    pets(hook)
    with pytest.raises(BadSql, match="a row has 2 values for the fields id"):
        hook.insert_rows("pets", [(1, "a")], target_fields=["id"])
    with pytest.raises(BadSql, match="one row has 2 values, another has 3"):
        hook.insert_rows("pets", [(1, "a"), (2, "b", 3)])
    assert names(hook) == []


def test_values_of_numpy_and_pandas_are_taken_as_pythons(hook: SqlHook) -> None:
    kind = "TIMESTAMP NULL" if isinstance(hook, MySqlHook) else "TIMESTAMP"
    hook.run(f"CREATE TABLE seen (n INTEGER, x DOUBLE PRECISION, at {kind})")
    table = pd.DataFrame(
        {
            "n": np.array([1, 2], dtype=np.int64),
            "x": np.array([0.5, 1.5], dtype=np.float32),
            "at": [pd.Timestamp("2026-01-31 10:00"), pd.NaT],
        }
    )
    rows = [(np.int64(r.n), np.float32(r.x), r.at) for r in table.itertuples()]
    hook.insert_rows("seen", rows)
    assert hook.get_records("SELECT n, x, at IS NULL FROM seen ORDER BY n") == [
        (1, 0.5, False),
        (2, 1.5, True),
    ]


def test_a_query_becomes_a_dataframe_with_its_columns_also_when_empty(
    hook: SqlHook,
) -> None:
    pets(hook).insert_rows("pets", [(1, "Rex"), (2, None)])
    query = f"SELECT id, name FROM pets WHERE id > {mark(hook)} ORDER BY id"
    found = hook.get_df(query, [0])
    assert (found["id"].tolist(), found["name"].fillna("-").tolist()) == (
        [1, 2],
        ["Rex", "-"],
    )
    empty = hook.get_pandas_df(query, [9])
    assert (list(empty.columns), len(empty)) == (["id", "name"], 0)
    polars = hook.get_df(query, [0], df_type="polars")
    assert polars.to_dict(as_series=False) == {"id": [1, 2], "name": ["Rex", None]}
    with pytest.raises(BadOption, match="'pandas' or 'polars', not 'spark'"):
        hook.get_df(query, [0], df_type="spark")


def test_an_engine_of_sqlalchemy_opens_the_same_database(hook: SqlHook) -> None:
    pets(hook).insert_rows("pets", [(1, "Rex")])
    engine = hook.get_sqlalchemy_engine()
    assert pd.read_sql("SELECT name FROM pets", engine)["name"].tolist() == ["Rex"]


def test_a_handler_sees_the_cursor_and_its_own_errors_stay_its_own(hook: SqlHook) -> None:
    def count(cursor: Any) -> int:
        return len(cursor.fetchall()) * 100

    assert hook.run("SELECT 1", handler=count) == 100

    def broken(cursor: Any) -> None:
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        hook.run("SELECT 1", handler=broken)


def test_parameters_in_another_style_are_answered_with_the_right_one(hook: SqlHook) -> None:
    other, right = ("%s", "? or :name") if mark(hook) == "?" else (":n", "%s or %(name)s")
    with pytest.raises(SqlFailed) as caught:
        hook.run(f"SELECT {other}", parameters={"n": "hunter2hunter2"})
    assert f"This driver takes parameters as {right}." in str(caught.value)
    assert "hunter2hunter2" not in str(caught.value)


def test_a_script_that_was_not_cut_is_answered_with_how_to_cut_it(hook: SqlHook) -> None:
    script = f"SELECT {mark(hook)}; SELECT 2"
    with pytest.raises(SqlFailed, match="give split_statements=True"):
        hook.run(script, parameters=[1])


def test_statements_are_logged_and_parameters_are_not(
    hook: SqlHook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hook.run(f"SELECT {mark(hook)}", parameters=["hunter2hunter2"])
    assert f"running: SELECT {mark(hook)}" in caplog.text
    hook_without = sql_hook(hook.conn_id, log_sql=False)
    hook_without.run("SELECT 'hunter2hunter2'")
    assert "hunter2hunter2" not in caplog.text
    password = hook.connection.password
    assert not password or password not in caplog.text


def test_a_connection_is_the_drivers_own_and_is_committed_by_who_opened_it(
    hook: SqlHook,
) -> None:
    pets(hook)
    with closing(hook.get_conn()) as conn:
        conn.cursor().execute("INSERT INTO pets VALUES (1, 'lost')")
    with closing(hook.get_conn()) as conn:
        conn.cursor().execute("INSERT INTO pets VALUES (2, 'kept')")
        conn.commit()
    assert names(hook) == ["kept"]


# ── PostgreSQL ──────────────────────────────────────────────────────────────


def test_the_articles_lines_make_a_table(postgres: Database) -> None:
    hook = PostgresHook(postgres_conn_id="postgres_default")
    conn = hook.get_conn()
    cursor = conn.cursor()
    cursor.execute("create table _mytable (ModelID int, ModelName varchar(255))")
    conn.commit()
    conn.close()
    hook.insert_rows("_mytable", [(1, "resnet")], target_fields=["ModelID", "ModelName"])
    assert hook.get_records("SELECT modelid, modelname FROM _mytable") == [(1, "resnet")]


def test_types_come_back_as_pythons_own(postgres: Database) -> None:
    now = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    found = PostgresHook().get_first(
        "SELECT %s::numeric, %s::timestamptz, %s::jsonb, %s::int[], %s::bytea, NULL",
        (Decimal("1.10"), now, '{"a": 1}', [1, 2], b"\x00"),
    )
    assert found == (Decimal("1.10"), now, {"a": 1}, [1, 2], b"\x00", None)


def test_a_script_is_cut_at_the_semicolons_that_end_statements(postgres: Database) -> None:
    script = """
        -- a comment; with a semicolon
        CREATE TABLE pets (id int, name text DEFAULT 'a;b');
        CREATE FUNCTION one() RETURNS int AS $body$
        BEGIN
            RETURN 1; -- inside; of it
        END;
        $body$ LANGUAGE plpgsql;
        CREATE FUNCTION two() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
        DO $$ BEGIN PERFORM one(); PERFORM one(); END $$;
        /* another; comment */
        INSERT INTO pets (id) VALUES (one());
        SELECT name, one(), two(), ';' FROM pets;
        -- the end;
    """
    assert PostgresHook().run(script, split_statements=True, handler=fetch_one_handler) == (
        "a;b",
        1,
        2,
        ";",
    )


def test_of_several_statements_in_one_text_postgres_gives_the_last(
    postgres: Database,
) -> None:
    script = "CREATE TABLE t (n int); INSERT INTO t VALUES (1); SELECT n FROM t; SELECT 2"
    assert PostgresHook().get_records(script) == [(2,)]
    assert PostgresHook().get_records("SELECT n FROM t") == [(1,)]


def test_a_connection_that_is_cut_is_a_failure_that_may_be_retried(
    postgres: Database,
) -> None:
    with pytest.raises(SqlFailed, match="terminating connection") as caught:
        PostgresHook().run(["SELECT 1", "SELECT pg_terminate_backend(pg_backend_pid())"])
    assert caught.value.sqlstate == "57P01"


def test_an_interrupted_query_is_ended_in_the_server_too(postgres: Database) -> None:
    query = "SELECT pg_sleep(600) -- interrupted"
    code = f"from mlflowkit.hooks.sql import PostgresHook\nPostgresHook().run({query!r})"
    count = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"

    def running() -> int:
        return int(PostgresHook().get_first(count, [query])[0])

    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as child:
        wait_until(lambda: running() == 1)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=120) != 0
    wait_until(lambda: running() == 0)


def test_a_failed_statement_says_what_postgres_says(postgres: Database) -> None:
    pets(PostgresHook()).insert_rows("pets", [(1, "Rex")])
    with pytest.raises(SqlFailed) as caught:
        PostgresHook().run("INSERT INTO pets VALUES (1, 'Max')")
    error = caught.value
    assert (error.conn_id, error.sqlstate) == ("postgres_default", "23505")
    assert str(error) == (
        "connection 'postgres_default': duplicate key value violates unique constraint "
        '"pets_pkey". Key (id)=(1) already exists. [23505]\n'
        "The statement was: INSERT INTO pets VALUES (1, 'Max')"
    )


def test_what_may_not_be_in_a_transaction_runs_with_autocommit(postgres: Database) -> None:
    with pytest.raises(SqlFailed, match="cannot run inside a transaction block"):
        PostgresHook().run("VACUUM")
    assert PostgresHook().run("VACUUM", autocommit=True) is None


def test_files_are_copied_in_and_out_of_a_table(postgres: Database, tmp_path: Path) -> None:
    hook = pets(PostgresHook())
    (tmp_path / "in.csv").write_text('id,name\n1,"Rex, the dog"\n2,\n')
    hook.copy_expert("COPY pets FROM STDIN WITH (FORMAT csv, HEADER)", tmp_path / "in.csv")
    assert names(hook) == ["Rex, the dog", None]
    hook.copy_expert(
        "COPY (SELECT * FROM pets ORDER BY id) TO STDOUT WITH (FORMAT csv)",
        tmp_path / "out.csv",
    )
    assert (tmp_path / "out.csv").read_text() == '1,"Rex, the dog"\n2,\n'
    hook.bulk_dump("pets", tmp_path / "all.tsv")
    hook.run("DELETE FROM pets")
    hook.bulk_load("pets", tmp_path / "all.tsv")
    assert names(hook) == ["Rex, the dog", None]
    (tmp_path / "bad.csv").write_text("3,Max\nfour,Moritz\n")
    with pytest.raises(SqlFailed, match="invalid input syntax for type integer"):
        hook.copy_expert("COPY pets FROM STDIN WITH (FORMAT csv)", tmp_path / "bad.csv")
    assert len(names(hook)) == 2
    with pytest.raises(SqlFailed):
        hook.copy_expert("SELECT 1", tmp_path / "out.csv")


def test_replacing_needs_the_columns_of_the_index_in_postgres(postgres: Database) -> None:
    with pytest.raises(BadSql, match="give target_fields"):
        pets(PostgresHook()).insert_rows("pets", [(1, "a")], replace=True)


def test_a_table_in_a_schema_is_named_with_a_dot(postgres: Database) -> None:
    hook = PostgresHook()
    hook.run("CREATE SCHEMA IF NOT EXISTS zoo")
    hook.run("DROP TABLE IF EXISTS zoo.pets")
    hook.run('CREATE TABLE zoo.pets (id int, "Name" text)')
    hook.insert_rows("zoo.pets", [(1,)], target_fields=["id"])
    hook.insert_rows('"zoo"."pets"', [(2, "Rex")], target_fields=["ID", '"Name"'])
    assert hook.get_records("SELECT * FROM zoo.pets ORDER BY id") == [(1, None), (2, "Rex")]


# ── MySQL ───────────────────────────────────────────────────────────────────


def test_a_mysql_procedure_is_kept_together(mysql: Database) -> None:
    script = r"""
        CREATE TABLE pets (id int, name varchar(20));
        CREATE PROCEDURE fill(n int)
        BEGIN
            DECLARE i int DEFAULT 0;
            WHILE i < n DO INSERT INTO pets VALUES (i, 'it\'s; ok'); SET i = i + 1; END WHILE;
        END;
        CALL fill(3);
    """
    MySqlHook().run(script, split_statements=True)
    assert MySqlHook().get_records("SELECT * FROM pets WHERE id > 0 ORDER BY id") == [
        (1, "it's; ok"),
        (2, "it's; ok"),
    ]


def test_delimiter_is_no_sql_and_is_said_so(mysql: Database) -> None:
    with pytest.raises(BadSql, match="DELIMITER is a word of the mysql program"):
        MySqlHook().run("-- a\nDELIMITER //\nSELECT 1//", split_statements=True)


def test_mysqls_names_reach_the_same_server(mysql: Database) -> None:
    hook = MySqlHook(mysql_conn_id="mysql_default")
    assert (hook.conn_id, hook.mysql_conn_id) == ("mysql_default", "mysql_default")  # type: ignore[attr-defined]
    assert hook.get_first("SELECT database(), 'ü€😀'") == ("shop", "ü€😀")
    assert MySqlHook(schema="mysql").get_first("SELECT database()") == ("mysql",)
    assert hook.test_connection() == (
        True,
        f"mysql://ada@127.0.0.1:{mysql.port}/shop answers",
    )


# ── SQLite ──────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("sqlite")
def test_times_are_kept_as_texts() -> None:
    at = datetime(2026, 1, 31, 10, tzinfo=UTC)
    found = SqliteHook().get_first("SELECT ?, ?", [at, at.date()])
    assert found == ("2026-01-31 10:00:00+00:00", "2026-01-31")


@pytest.mark.usefixtures("sqlite")
def test_tables_made_before_a_failure_are_gone_too() -> None:
    hook = SqliteHook()
    with pytest.raises(SqlFailed):
        hook.run(["CREATE TABLE pets (id int)", "CREATE TABLE pets (id int)"])
    assert hook.get_records("SELECT name FROM sqlite_master") == []
    hook.run("VACUUM")


def test_an_sqlite_path_is_absolute_or_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for conn_id, uri in {
        "absolute": f"sqlite:///{tmp_path}/one.db",
        "relative": "sqlite:///one.db",
        "hosted": '{"conn_type": "sqlite", "host": "one.db"}',
    }.items():
        monkeypatch.setenv(f"MLFLOWKIT_CONN_{conn_id.upper()}", uri)
    SqliteHook("absolute").run("CREATE TABLE pets (id int)")
    SqliteHook("relative").insert_rows("pets", [(1,)])
    assert SqliteHook(sqlite_conn_id="hosted").get_records("SELECT * FROM pets") == [(1,)]
    monkeypatch.setenv("MLFLOWKIT_CONN_ODD", "sqlite://folder/one.db")
    with pytest.raises(InvalidConnection, match="an SQLite file has no host"):
        SqliteHook("odd").get_conn()


# ── connections ─────────────────────────────────────────────────────────────


@pytest.fixture(params=["postgres", "mysql"])
def server(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


def test_a_wrong_password_is_refused_and_never_shown(
    server: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = replace(server, password="hunter2hunter2")
    monkeypatch.setenv("MLFLOWKIT_CONN_WRONG", wrong.uri)
    with pytest.raises(DatabaseRefused) as caught:
        sql_hook("wrong").run("SELECT 1")
    assert f"ada@127.0.0.1:{server.port}" in str(caught.value)
    assert "connection 'wrong'" in str(caught.value)
    shown = str(caught.value) + repr(caught.value) + caplog.text
    assert "hunter2hunter2" not in shown + str(caught.value.__cause__)
    assert sql_hook("wrong").test_connection() == (False, str(caught.value))


def test_a_database_that_is_not_there_is_named(
    server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_WRONG", replace(server, schema="nowhere").uri)
    with pytest.raises(DatabaseRefused, match="nowhere"):
        sql_hook("wrong").run("SELECT 1")


@pytest.mark.parametrize("conn_type", ["postgres", "mysql"])
def test_a_server_that_is_not_there_is_said_so_and_may_be_tried_again(
    conn_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nothing answers
        port = taken.getsockname()[1]
        uri = f"{conn_type}://ada:hunter2hunter2@127.0.0.1:{port}/shop"
        monkeypatch.setenv("MLFLOWKIT_CONN_AWAY", uri)
        with pytest.raises(DatabaseUnreachable) as caught:
            sql_hook("away").get_conn()
    assert f"127.0.0.1:{port}/shop (connection 'away')" in str(caught.value)
    assert "hunter2hunter2" not in str(caught.value)


def test_a_password_that_the_server_repeats_is_masked(postgres: Database) -> None:
    secret = postgres.password
    with pytest.raises(SqlFailed) as caught:
        PostgresHook().run(f"SELECT '{secret}'::int")
    assert secret not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None
    assert '"***"' in str(caught.value)


@pytest.mark.parametrize(
    ("hook", "wanted"), [(PostgresHook, "postgres"), (MySqlHook, "mysql or mariadb")]
)
def test_a_connection_of_another_kind_is_refused(
    hook: type[SqlHook], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_FILES", "sqlite:///x.db")
    with pytest.raises(NotADatabase, match=wanted):
        hook("files").get_conn()


def test_a_dialect_that_is_not_installed_is_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_NONE", "no-such-thing://h/db")
    monkeypatch.setenv("MLFLOWKIT_CONN_ORA", "oracle+oracledb://h/db")
    with pytest.raises(NoSqlDialect, match="no_such_thing"):
        SqlHook("none").get_conn()
    with pytest.raises(NoSqlDialect, match="oracledb is not installed"):
        SqlHook("ora").get_conn()


def test_a_driver_that_is_not_installed_names_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    monkeypatch.setenv("MLFLOWKIT_CONN_MYSQL_DEFAULT", "mysql://h/db")
    with pytest.raises(MissingExtra, match=r"pip install 'mlflowkit\[mysql\]'"):
        MySqlHook().get_conn()


def test_extras_reach_the_driver_with_their_types(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "MLFLOWKIT_CONN_NAMED",
        postgres.uri + "?application_name=mlflowkit-test&connect_timeout=3",
    )
    query = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    assert PostgresHook("named").get_first(query) == ("mlflowkit-test",)
    other = Connection(
        "typed", "postgres", "h", extra={"prepare_threshold": 3, "sslmode": "require"}
    )
    monkeypatch.setattr(SqlHook, "connection", other)
    address = SqlHook("typed").address
    assert address.connect_args == {"prepare_threshold": 3}
    assert dict(address.url.query) == {"sslmode": "require"}


def test_any_dialect_of_sqlalchemy_is_opened_by_its_own_name(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = postgres.uri.replace("postgres://", "postgresql+psycopg://")
    monkeypatch.setenv("MLFLOWKIT_CONN_PLAIN", uri)
    assert SqlHook("plain").get_first("SELECT 1") == (1,)
    assert sql_hook("postgres_default").get_uri().startswith("postgresql+psycopg://ada:")


def test_a_hook_of_ones_own_has_airflows_attributes(postgres: Database) -> None:
    class ShopHook(DbApiHook):
        conn_name_attr = "shop_conn_id"
        default_conn_name = "postgres_default"

    assert ShopHook().get_first("SELECT 1") == (1,)
    assert ShopHook(shop_conn_id="elsewhere").conn_id == "elsewhere"
    with pytest.raises(ConnectionMissing):
        ShopHook("elsewhere").get_conn()
    with pytest.raises(BadOption, match="'shop_id'"):
        ShopHook(shop_id="elsewhere")
    with pytest.raises(BadOption, match="must name a connection"):
        SqlHook()
