"""SQL operators, inside DAG runs, on real databases."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, PythonOperator, task
from mlflowkit.errors import BadOption, CheckFailed, RunFailed, SqlFailed
from mlflowkit.hooks.sql import MySqlHook, PostgresHook, SqliteHook
from mlflowkit.operators.sql import (
    MySqlOperator,
    PostgresOperator,
    SQLExecuteQueryOperator,
    SqliteOperator,
    fetch_one_handler,
)
from mlflowkit.operators.sql_branch import BranchSQLOperator
from mlflowkit.operators.sql_checks import SQLCheckOperator, SQLValueCheckOperator
from tests.services import Database, mysql, mysql_server, postgres, postgres_server

__all__ = ["mysql", "mysql_server", "postgres", "postgres_server"]


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_SQLITE_DEFAULT", f"sqlite:///{tmp_path}/pets.db")


def run(operator: type[Any], **options: Any) -> Any:
    """A DAG run of one task `t`."""
    with DAG("one") as dag:
        operator(task_id="t", **options)
    return dag.test()


def test_the_articles_hook_makes_a_table_inside_a_python_task(
    postgres: Database,
) -> None:
    def create() -> None:
        pg_hook = PostgresHook(postgres_conn_id="postgres_default")
        conn = pg_hook.get_conn()
        cursor = conn.cursor()
        cursor.execute("create table _mytable (ModelID int, ModelName varchar(255))")
        conn.commit()

    with DAG("article") as dag:
        made = PythonOperator(task_id="create", python_callable=create)
        fill = PostgresOperator(
            task_id="fill",
            sql="INSERT INTO _mytable VALUES (%(id)s, %(name)s)",
            parameters={"id": 1, "name": "'); DROP TABLE _mytable; --"},
        )
        read = SQLExecuteQueryOperator(
            task_id="read", conn_id="postgres_default", sql="SELECT * FROM _mytable"
        )
        made >> fill >> read
    done = dag.test()
    assert done.states() == {"create": "success", "fill": "success", "read": "success"}
    assert done.result("read") == [(1, "'); DROP TABLE _mytable; --")]


def test_mysql_and_sqlite_have_operators_under_airflows_names(
    mysql: Database,
    sqlite: None,
) -> None:
    with DAG("thin") as dag:
        MySqlOperator(task_id="my", mysql_conn_id="mysql_default", sql="SELECT database()")
        SqliteOperator(task_id="lite", sql="SELECT :a + 1", parameters={"a": 1})
    done = dag.test()
    assert done.states() == {"my": "success", "lite": "success"}
    assert (done.result("my"), done.result("lite")) == ([("shop",)], [(2,)])
    assert MySqlOperator(task_id="t", sql="SELECT 1").conn_id == "mysql_default"


@pytest.mark.usefixtures("sqlite")
def test_the_value_of_a_task_is_what_its_handler_and_processor_make() -> None:
    both = "CREATE TABLE pets (id int); INSERT INTO pets VALUES (7); SELECT id FROM pets;"
    options: dict[str, Any] = {"conn_id": "sqlite_default", "split_statements": True}
    assert run(SQLExecuteQueryOperator, sql=both, **options).result("t") == [(7,)]
    two = {**options, "sql": "SELECT 1 AS a; SELECT 2 AS b;"}
    assert run(SQLExecuteQueryOperator, return_last=False, **two).result("t") == [
        [(1,)],
        [(2,)],
    ]
    assert run(SQLExecuteQueryOperator, handler=fetch_one_handler, **two).result("t") == (
        2,
    )
    assert run(SQLExecuteQueryOperator, handler=None, **two).result("t") is None

    def with_names(results: list[Any], descriptions: list[Any]) -> list[Any]:
        return [
            {column[0]: rows[0][0] for column in columns}
            for rows, columns in zip(results, descriptions, strict=True)
        ]

    assert run(SQLExecuteQueryOperator, output_processor=with_names, **two).result("t") == {
        "b": 2
    }
    assert run(
        SQLExecuteQueryOperator, output_processor=with_names, return_last=False, **two
    ).result("t") == [{"a": 1}, {"b": 2}]
    listed = run(
        SQLExecuteQueryOperator, conn_id="sqlite_default", sql=["SELECT 1", "SELECT 2"]
    )
    assert listed.result("t") == [[(1,)], [(2,)]]


def test_parameters_and_statements_may_come_from_other_tasks(
    postgres: Database,
) -> None:
    @task
    def wanted() -> list[int]:
        return [41]

    @task
    def place() -> str:
        return "postgres_default"

    with DAG("given") as dag:
        PostgresOperator(
            task_id="read",
            postgres_conn_id=place(),
            sql="SELECT %s + 1",
            parameters=wanted(),
        )
        SQLExecuteQueryOperator.partial(
            "many", conn_id="postgres_default", sql="SELECT %(n)s * 2"
        ).expand(parameters=[{"n": 1}, {"n": 2}])
    done = dag.test()
    assert done.result("read") == [(42,)]
    assert done.result("many") == [[(2,)], [(4,)]]


def test_a_failed_statement_leaves_nothing_behind_and_is_a_failure_that_may_be_retried(
    postgres: Database,
) -> None:
    with pytest.raises(RunFailed) as caught:
        run(
            PostgresOperator,
            sql="CREATE TABLE pets (id int); INSERT INTO pets VALUES ('x');",
            split_statements=True,
        )
    error = caught.value.__cause__
    assert isinstance(error, SqlFailed)
    assert (error.sqlstate, error.statement) == ("22P02", "INSERT INTO pets VALUES ('x');")
    assert PostgresHook().get_first("SELECT to_regclass('pets')") == (None,)


@pytest.mark.usefixtures("sqlite")
def test_a_result_is_shown_in_the_log_only_if_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1029)"
    )
    options = {"conn_id": "sqlite_default", "sql": f"{query} SELECT i FROM n"}
    run(SQLExecuteQueryOperator, **options)
    assert "(1000,)" not in caplog.text
    run(SQLExecuteQueryOperator, show_return_value_in_logs=True, **options)
    assert "(1000,)" in caplog.text
    assert "(1020,)" not in caplog.text
    assert "... and 10 more" in caplog.text


def test_another_database_of_the_same_server_can_be_named(
    mysql: Database,
) -> None:
    sql = "SELECT database()"
    assert run(MySqlOperator, sql=sql, database="mysql").result("t") == [("mysql",)]
    assert MySqlHook().get_first(sql) == ("shop",)


def test_what_cannot_be_meant_is_refused_while_the_dag_is_written() -> None:
    with pytest.raises(BadOption, match="conn_id='warehouse'"):
        SQLExecuteQueryOperator(task_id="t", sql="SELECT 1")
    with pytest.raises(BadOption, match="must hold a statement"):
        SQLExecuteQueryOperator(task_id="t", conn_id="db", sql=" ")
    with pytest.raises(BadOption, match="also for a single value"):
        SQLExecuteQueryOperator(task_id="t", conn_id="db", sql="SELECT ?", parameters="x")
    with pytest.raises(BadOption, match="tolerance"):
        SQLValueCheckOperator(
            task_id="t", conn_id="db", sql="SELECT 1", pass_value=1, tolerance=-1
        )


@pytest.mark.usefixtures("sqlite")
def test_without_an_xcom_rows_are_fetched_only_if_asked() -> None:
    fetched: list[Any] = []

    def handler(cursor: Any) -> Any:
        fetched.append(cursor.fetchall())
        return fetched

    options = {"conn_id": "sqlite_default", "sql": "SELECT 1", "handler": handler}
    off = run(SQLExecuteQueryOperator, do_xcom_push=False, **options)
    assert (off.result("t"), fetched) == (None, [])
    both = {"do_xcom_push": False, "requires_result_fetch": True}
    on = run(SQLExecuteQueryOperator, **both, **options)
    assert (on.result("t"), fetched) == (None, [[(1,)]])


@pytest.mark.usefixtures("sqlite")
def test_templates_are_filled_in_and_a_sql_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "read.sql").write_text(
        "SELECT '{{ ds }}' AS day, :name, '{{ params.n }}'\n"
    )
    monkeypatch.chdir(tmp_path)
    with DAG("templates", params={"n": 3}, template_searchpath=str(tmp_path)) as dag:
        SQLExecuteQueryOperator(
            task_id="read",
            conn_id="{{ 'sqlite' }}_default",
            sql="read.sql",
            parameters={"name": "{{ task.task_id }}; '"},
        )
    found = dag.test(n=4).result("read")
    assert found == [(datetime.now(UTC).date().isoformat(), "read; '", "4")]


def test_templates_reach_the_fields_that_airflow_has() -> None:
    assert SQLExecuteQueryOperator.template_fields == (
        "sql",
        "parameters",
        "conn_id",
        "database",
        "hook_params",
    )
    assert SQLExecuteQueryOperator.template_ext == (".sql", ".json")


# ── checks and branches ─────────────────────────────────────────────────────


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize(
    ("sql", "outcome"),
    [
        ("SELECT 1, 'x'", "success"),
        ("SELECT 1, 0", "something in the first row is false: (1, 0)"),
        ("SELECT NULL", "something in the first row is false: (None,)"),
        ("SELECT 1 WHERE 1 = 2", "the query gave no row"),
    ],
)
def test_a_check_looks_at_the_first_row(sql: str, outcome: str) -> None:
    assert outcome in _outcome(SQLCheckOperator, sql=sql)


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize(
    ("sql", "options", "outcome"),
    [
        ("SELECT 100", {"pass_value": 100}, "success"),
        ("SELECT 100", {"pass_value": "100.0"}, "success"),
        ("SELECT 95, 105", {"pass_value": 100, "tolerance": 0.05}, "success"),
        ("SELECT 94", {"pass_value": 100, "tolerance": 0.05}, "within 5%, found (94,)"),
        ("SELECT -105", {"pass_value": -100, "tolerance": 0.05}, "success"),
        ("SELECT 'ok'", {"pass_value": "ok"}, "success"),
        ("SELECT 'no'", {"pass_value": "ok"}, "expected 'ok', found ('no',)"),
        ("SELECT NULL", {"pass_value": 1}, "found (None,)"),
    ],
)
def test_a_value_is_checked_exactly_or_nearly(
    sql: str, options: dict[str, Any], outcome: str
) -> None:
    assert outcome in _outcome(SQLValueCheckOperator, sql=sql, **options)


def _outcome(operator: type[Any], **options: Any) -> str:
    try:
        return str(run(operator, conn_id="sqlite_default", **options).state)
    except RunFailed as exc:
        return str(exc.__cause__) if type(exc.__cause__) is CheckFailed else repr(exc)


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize(
    ("sql", "went"),
    [
        ("SELECT 1", "yes"),
        ("SELECT 0", "no"),
        ("SELECT 'True'", "yes"),
        ("SELECT 'off'", "no"),
        ("SELECT '2'", "yes"),
    ],
)
def test_a_branch_goes_where_the_first_value_says(sql: str, went: str) -> None:
    @task
    def end() -> None: ...

    with DAG("branch") as dag:
        branch = BranchSQLOperator(
            task_id="branch",
            conn_id="sqlite_default",
            sql=sql,
            follow_task_ids_if_true="yes",
            follow_task_ids_if_false=["no"],
        )
        branch >> [end.override(task_id="yes")(), end.override(task_id="no")()]
    other = {"yes": "no", "no": "yes"}[went]
    assert dag.test().states() == {"branch": "success", went: "success", other: "skipped"}


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize("sql", ["SELECT 'maybe'", "SELECT NULL", "SELECT 1 WHERE 1 = 2"])
def test_a_branch_that_cannot_choose_fails(sql: str) -> None:
    SqliteHook().run("SELECT 1")
    assert "the query gave" in _outcome(
        BranchSQLOperator,
        sql=sql,
        follow_task_ids_if_true="a",
        follow_task_ids_if_false="b",
    )
