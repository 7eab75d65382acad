"""The page that compares with Airflow: every feature stands there, is there, and is proved.

The lists are the features that were asked for, in the order of the page. A name counts as
there when it can be imported, called or typed as the page says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import mlflowkit
import mlflowkit.operators
import mlflowkit.timetables
from mlflowkit.authoring.dag_options import DAG_OPTIONS
from mlflowkit.authoring.options import OPTION_NAMES

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "airflow.md").read_text()
#: Names in the page that are Airflow's, or that are not at the front door.
THEIRS = {"AirflowFailException", "AirflowSkipException", "SensorTimeout", "None"}


def names(text: str) -> list[str]:
    """A list of words, as it is read best."""
    return text.split()


DECORATORS = ("branch", "short_circuit", "sensor", "bash")
TRIGGER_RULES = names(
    "all_success all_failed all_done all_skipped one_success one_failed one_done none_failed "
    "none_failed_min_one_success none_skipped all_done_min_one_success "
    "all_done_setup_success always"
)
#: Imported from `mlflowkit`, or from `mlflowkit.operators`.
CLASSES = names(
    "BranchPythonOperator ShortCircuitOperator EmptyOperator LatestOnlyOperator TriggerRule "
    "TaskGroup task_group Param TaskFailedForGood TaskSkipped setup teardown Label "
    "PythonSensor FileSensor S3KeySensor TimeDeltaSensor DateTimeSensor ExternalTaskSensor "
    "TriggerDagRunOperator Asset BashOperator SQLExecuteQueryOperator MySqlOperator "
    "S3FileTransformOperator S3FileTransferOperator LocalFilesystemToS3Operator "
    "KubernetesPodOperator KubernetesJobOperator NotebookOperator PythonOperator "
    "Connection Variable BaseHook BaseSecretsBackend mask_secret"
)
TIMETABLES = names(
    "Timetable CronTriggerTimetable CronDataIntervalTimetable DeltaDataIntervalTimetable "
    "EventsTimetable MultipleCronTriggerTimetable DataInterval DagRunInfo TimeRestriction "
    "AssetOrTimeSchedule"
)
PRESETS = names("@once @continuous @hourly @daily @weekly @monthly @quarterly @yearly")
TASK_OPTIONS = names(
    "retries retry_delay retry_exponential_backoff max_retry_delay execution_timeout "
    "depends_on_past wait_for_downstream priority_weight weight_rule pool pool_slots "
    "max_active_tis_per_dag max_active_tis_per_dagrun on_execute_callback "
    "on_success_callback on_failure_callback on_retry_callback on_skipped_callback owner "
    "doc_md cache map_index_template outlets inlets"
)
DAG_WORDS = names(
    "dagrun_timeout max_active_runs max_active_tasks tags owner doc_md default_args params "
    "on_success_callback on_failure_callback start_date end_date catchup "
    "user_defined_macros user_defined_filters render_template_as_native_obj "
    "template_searchpath fail_fast"
)
METHODS = {
    "mlflowkit.authoring.task:TaskFunction": "override partial expand expand_kwargs",
    "mlflowkit.authoring.refs:XComArg": "map zip concat",
    "mlflowkit.authoring.group_function:TaskGroupFunction": "partial expand expand_kwargs",
    "mlflowkit.hooks.sql:SqlHook": "get_conn get_records get_first run get_df insert_rows",
    "mlflowkit.hooks.sql:PostgresHook": "get_conn get_records get_first run get_df",
    "mlflowkit.hooks.sql:MySqlHook": "get_conn",
    "mlflowkit.hooks.s3:S3Hook": (
        "get_bucket load_file read_key copy_object delete_objects generate_presigned_url "
        "list_prefixes check_for_key"
    ),
    "mlflowkit:DAG": "test simulate backfill",
}
VARIABLES = names(
    "ds ts data_interval_start data_interval_end logical_date "
    "prev_data_interval_start_success params var conn ti run_id macros.ds_add"
)
POD_WORDS = names(
    "image cmds arguments env_vars secrets volumes container_resources node_selector "
    "tolerations service_account_name get_logs do_xcom_push on_finish_action"
)
WORDS = names(
    "poke reschedule timeout soft_fail exponential_backoff template_fields op_kwargs "
    "next_dagrun_info infer_manual_data_interval triggering_asset_events multipart presign "
    "relativedelta timedelta Fernet MLFLOWKIT_CONN_<ID> .mlflowkitignore .ipynb days_ago "
    "schedule_interval objects.all() summer simulate assert_runs --reverse --max-active "
    "--dry-run"
)
COMMANDS = (
    "dags lint",
    "connections add",
    "variables",
    "pools",
    "backfill",
    "scheduler",
    "test",
    "run",
    "export airflow",
)


def rows() -> Iterator[list[str]]:
    """The cells of each row of each table, but for heads and lines."""
    for line in PAGE.splitlines():
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0] != "Feature" and set(cells[0]) != {"-"}:
            yield cells


def ticked(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def test_each_row_says_what_airflow_does_what_we_do_and_which_test_proves_it() -> None:
    found = list(rows())
    assert len(found) > 100
    assert [cells for cells in found if len(cells) != 5] == []
    assert [cells[0] for cells in found if not all((cells[0], cells[1], cells[2]))] == []
    assert [cells[0] for cells in found if not ticked(cells[4])] == []


def test_each_test_file_that_is_named_is_there_and_has_tests() -> None:
    named = {name for cells in rows() for name in ticked(cells[4])}
    assert sorted(n for n in named if not (TESTS / n).is_file()) == []
    assert [n for n in named if "def test_" not in (TESTS / n).read_text()] == []


@pytest.mark.parametrize(
    "name",
    [
        *(f"@task.{name}" for name in DECORATORS),
        *TRIGGER_RULES,
        *CLASSES,
        *TIMETABLES,
        *PRESETS,
        *TASK_OPTIONS,
        *DAG_WORDS,
        *(name for found in METHODS.values() for name in names(found)),
        *VARIABLES,
        *POD_WORDS,
        *WORDS,
        *(f"mlflowkit {command}" for command in COMMANDS),
    ],
)
def test_the_page_names_it(name: str) -> None:
    assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", PAGE)


def test_every_name_with_a_module_can_be_imported_from_there() -> None:
    named = {t for t in ticked(PAGE) if re.fullmatch(r"mlflowkit(\.\w+)+", t)}
    assert len(named) > 20
    for name in sorted(named):
        module, _, attribute = name.rpartition(".")
        assert _found(module, attribute) is not None, name


def test_every_class_without_a_module_is_at_the_front_door_or_among_the_operators() -> None:
    named = {
        t for cells in rows() for t in ticked(cells[0]) if re.fullmatch(r"[A-Z]\w+", t)
    }
    for name in sorted((named | set(CLASSES)) - THEIRS - set(TIMETABLES)):
        here = hasattr(mlflowkit, name) or hasattr(mlflowkit.operators, name)
        assert here, name


def test_decorators_timetables_and_methods_are_there() -> None:
    assert [d for d in DECORATORS if not callable(getattr(mlflowkit.task, d, None))] == []
    assert [t for t in TIMETABLES if not hasattr(mlflowkit.timetables, t)] == []
    for where, methods in METHODS.items():
        module, _, kind = where.partition(":")
        owner = getattr(import_module(module), kind)
        assert [n for n in names(methods) if not callable(getattr(owner, n, None))] == []


def test_options_rules_and_presets_are_taken() -> None:
    assert set(TASK_OPTIONS) <= OPTION_NAMES
    assert set(DAG_WORDS) <= DAG_OPTIONS
    assert set(TRIGGER_RULES) == set(mlflowkit.TriggerRule)
    for preset in PRESETS:
        assert mlflowkit.DAG("d", schedule=preset).schedule == preset


def test_each_command_of_the_page_can_be_typed() -> None:
    import typer.main

    from mlflowkit.cli.commands import app

    known: Any = typer.main.get_command(app)
    typed = [t.split()[1:] for t in ticked(PAGE) if t.startswith("mlflowkit ")]
    assert {c.split()[0] for c in COMMANDS} <= {words[0] for words in typed}
    for words in typed:
        command = known.commands[words[0]]
        below = getattr(command, "commands", None)
        if below is not None and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in below, words
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        for option in (w for w in words if below is None and w.startswith("-")):
            assert option in options, words


def _found(module: str, attribute: str) -> object:
    try:
        return import_module(f"{module}.{attribute}")
    except ImportError:
        return getattr(import_module(module), attribute, None)
