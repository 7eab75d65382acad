"""The context of a task: every name, its exact value, and what asking for it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, BaseOperator, get_current_context, task
from mlflowkit.authoring.context import CONTEXT_NAMES, TEMPLATE_NAMES
from mlflowkit.core.timetable import CronDataIntervalTimetable, timetable_to_json
from mlflowkit.errors import ConnectionMissing, NoAirflowConf, VariableMissing
from mlflowkit.ports import running_task
from mlflowkit.worker.masking import masked_end
from mlflowkit.worker.run_context import HIDDEN, NAMES
from tests.authoring.attempts import NEW_YEAR, One
from tests.authoring.test_templates import Echo, echoed

#: What Airflow documents for the daily run whose logical date is 2018-01-01.
IN_TEMPLATES = {
    "{{ ds }}": "2018-01-01",
    "{{ ds_nodash }}": "20180101",
    "{{ ts }}": "2018-01-01T00:00:00+00:00",
    "{{ ts_nodash }}": "20180101T000000",
    "{{ ts_nodash_with_tz }}": "20180101T000000+0000",
    "{{ logical_date }}": "2018-01-01 00:00:00+00:00",
    "{{ data_interval_start }}": "2018-01-01 00:00:00+00:00",
    "{{ data_interval_end }}": "2018-01-02 00:00:00+00:00",
    "{{ data_interval_end | ds }}": "2018-01-02",
    "{{ data_interval_end | ds_nodash }}": "20180102",
    "{{ logical_date | ts }}": "2018-01-01T00:00:00+00:00",
    "{{ logical_date | ts_nodash }}": "20180101T000000",
    "{{ logical_date | ts_nodash_with_tz }}": "20180101T000000+0000",
    "{{ None | ds }}": "None",
    "{{ run_id }}": "d/7",
    "{{ task_instance_key_str }}": "d__t__20180101",
    "{{ dag.dag_id }} {{ dag.task_ids }} {{ dag.tags }}": "d ['t'] ['a']",
    "{{ task.task_id }} {{ ti.task_id }} {{ task_instance.dag_id }}": "t t d",
    "{{ ti.try_number }} {{ ti.map_index }} {{ map_index }}": "1 -1 -1",
    "{{ dag_run.run_id }} {{ dag_run.run_type }}": "d/7 scheduled",
    "{{ dag_run.logical_date | ds }} {{ dag_run.conf.n }}": "2018-01-01 3",
    "{{ dag_run.start_date }}": "2018-01-02 00:00:01+00:00",
    "{{ dag_run.external_trigger }} {{ test_mode }}": "False False",
    "{{ params.n }} {{ params['n'] }} {{ params }}": "3 3 {'n': 3}",
    "{{ inlets }} {{ outlets }}": "[] []",
    # Airflow 2's names.
    "{{ execution_date }}": "2018-01-01 00:00:00+00:00",
    "{{ yesterday_ds }} {{ yesterday_ds_nodash }}": "2017-12-31 20171231",
    "{{ tomorrow_ds }} {{ tomorrow_ds_nodash }}": "2018-01-02 20180102",
    "{{ conf.get('core', 'dags_folder', fallback='x') }}": "x",
    # Macros.
    "{{ macros.ds_add('2015-01-01', 5) }}": "2015-01-06",
    "{{ macros.ds_add('2015-01-06', -5) }}": "2015-01-01",
    "{{ macros.ds_add(ds, 0) }}": "2018-01-01",
    "{{ macros.ds_format('2015-01-01', '%Y-%m-%d', '%m-%d-%y') }}": "01-01-15",
    "{{ macros.ds_format('1/5/2015', '%m/%d/%Y', '%Y-%m-%d') }}": "2015-01-05",
    "{{ macros.ds_format('12/07/2024', '%d/%m/%Y', '%A %d %B %Y') }}": "Friday 12 July 2024",
    "{{ logical_date + macros.timedelta(days=2) }}": "2018-01-03 00:00:00+00:00",
    "{{ macros.datetime(2020, 2, 29).isoformat() }}": "2020-02-29T00:00:00",
    "{{ macros.dateutil.parser.parse('5 May 2020').month }}": "5",
    "{{ logical_date + macros.dateutil.relativedelta.relativedelta(months=1) }}": (
        "2018-02-01 00:00:00+00:00"
    ),
    "{{ macros.uuid.UUID(int=7) }}": "00000000-0000-0000-0000-000000000007",
    "{{ macros.json.dumps({'a': 1}) }}": '{"a": 1}',
    "{{ macros.time.gmtime(0).tm_year }}": "1970",
    "{{ 0 <= macros.random() < 1 }}": "True",
    "{{ macros.datetime_diff_for_humans(data_interval_end, logical_date) }}": "1 day after",
}


def test_every_name_macro_and_filter_gives_what_airflow_documents() -> None:
    options: dict[str, Any] = {"params": {"n": 3}, "tags": ["a"]}
    got = {text: echoed(text, **options) for text in IN_TEMPLATES}
    assert got == IN_TEMPLATES


def test_names_with_fractions_of_seconds_keep_them_as_in_airflow() -> None:
    facts = {**NEW_YEAR, "logical_date": "2018-01-01T02:00:00.250000+02:00"}
    texts = ["{{ ts }}", "{{ ts_nodash }}", "{{ ts_nodash_with_tz }}"]
    assert echoed(texts, facts) == [
        "2018-01-01T00:00:00.250000+00:00",
        "20180101T000000",
        "20180101T000000.250000+0000",
    ]


def test_the_names_that_functions_get_are_those_of_the_context() -> None:
    put_in = {"templates_dict", "reason"}
    assert NAMES - set(HIDDEN) | put_in == CONTEXT_NAMES
    assert CONTEXT_NAMES | {"conf", "exception"} == TEMPLATE_NAMES


class Look(BaseOperator):
    """Gives what a function makes of the context."""

    def __init__(self, task_id: str, look: Any, **options: Any) -> None:
        super().__init__(task_id, **options)
        self._look = look

    def execute(self, context: Mapping[str, Any]) -> object:
        return self._look(context)


def seen(
    look: Any, facts: Mapping[str, Any] = NEW_YEAR, **more: Any
) -> tuple[Any, list[str]]:
    with DAG("d", params={"n": 3}) as d:
        Look("t", look)
    one = One(d, "t", facts, {"n": 3}, **more)
    return one.value, one.link.asked


def test_moments_are_aware_and_in_utc() -> None:
    def look(context: Mapping[str, Any]) -> list[Any]:
        names = ["logical_date", "data_interval_start", "data_interval_end", "start_date"]
        return [context[n].tzinfo for n in names] + [context["ti"].start_date.tzinfo]

    facts = {**NEW_YEAR, "data_interval_end": "2018-01-02T05:00:00+05:00"}
    assert seen(look, facts)[0] == [UTC] * 5


def test_the_context_is_a_dict_that_computes_what_it_is_asked_for() -> None:
    def look(context: Any) -> list[Any]:
        context["mine"] = 1
        copied = {**context.copy(), "other": 2}
        return [
            isinstance(context, dict),
            "ds" in context and "conf" in context and "nobody" not in context,
            context.get("nobody", 7),
            context.setdefault("ds", "no"),
            copied["mine"] + copied["other"],
            copied["ds_nodash"],
            len(context) == len(list(context)) == len(context.keys()),
            dict(context.items())["ts_nodash"],
            "conf" in set(context),
        ]

    got, asked = seen(look)
    assert got == [
        True,
        True,
        7,
        "2018-01-01",
        3,
        "20180101",
        True,
        "20180101T000000",
        False,
    ]
    assert asked == ["previous_success", "asset_events_of_run"]


PREVIOUS = {
    "data_interval_start": "2017-12-30T00:00:00+00:00",
    "data_interval_end": "2017-12-31T00:00:00+00:00",
    "start_date": "2017-12-31T00:00:01+00:00",
    "end_date": "2017-12-31T00:09:00+00:00",
}


def test_the_successful_run_before_is_asked_for_once_and_only_if_somebody_looks() -> None:
    answers = {"previous_success": PREVIOUS}
    names = [f"prev_{n}_success" for n in PREVIOUS]
    got, asked = seen(lambda context: [context[n] for n in names], answers=answers)
    assert got == [datetime.fromisoformat(PREVIOUS[n]) for n in PREVIOUS]
    assert asked == ["previous_success"]
    assert seen(lambda context: context["ds"]) == ("2018-01-01", [])
    got, _ = seen(lambda context: [context[n] for n in names], answers={})
    assert got == [None] * 4
    text = "{{ prev_data_interval_end_success | ds }} {{ prev_end_date_success is none }}"
    assert echoed(text, answers=answers) == "2017-12-31 False"
    assert echoed("{{ prev_end_date_success is none }}") == "True"


def test_functions_that_take_every_name_ask_the_engine_nothing_until_they_look() -> None:
    @task
    def lazy(**context: Any) -> str:
        return context["ds"]

    @task
    def looks(prev_end_date_success: Any, **context: Any) -> list[Any]:
        start = context["prev_start_date_success"]
        return [
            prev_end_date_success - start == timedelta(seconds=539),
            isinstance(start, datetime),
            f"{start:%H:%M:%S} {start.day}",
            bool(context["triggering_asset_events"]),
        ]

    with DAG("d") as d:
        lazy()
        looks()
    assert One(d, "lazy").link.asked == []
    one = One(d, "looks", answers={"previous_success": PREVIOUS})
    assert one.value == [True, True, "00:00:01 31", False]
    assert one.link.asked == ["previous_success", "asset_events_of_run"]


def test_the_neighbours_in_a_schedule_are_counted_by_the_schedule() -> None:
    weekdays = timetable_to_json(CronDataIntervalTimetable("0 0 * * 1-5", "UTC"))
    text = "{{ prev_ds }} {{ next_ds }} {{ prev_execution_date }} {{ next_ds_nodash }}"
    with DAG("d") as d:
        Look("t", lambda context: [context["prev_ds"], context["next_ds"]])
    d.schedule, d.timetable_json = "0 0 * * 1-5", weekdays  # 2018-01-01 is a Monday
    assert One(d, "t").value == ["2017-12-29", "2018-01-02"]
    by_hand = {**NEW_YEAR, "run_type": "manual"}
    assert One(d, "t", by_hand).value == ["2018-01-01", "2018-01-01"]
    assert echoed(text).startswith("2018-01-01 2018-01-01 2018-01-01 00:00:00+00:00")


def test_variables_and_connections_are_looked_up_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOWKIT_VAR_CITY", "Athens")
    monkeypatch.setenv("MLFLOWKIT_VAR_SIZES", '{"a": [1, 2]}')
    extra = "?region_name=eu"
    monkeypatch.setenv(
        "MLFLOWKIT_CONN_DB", f"postgres://me:pass-word-1@host:5432/db{extra}"
    )
    texts = {
        "{{ var.value.city }}": "Athens",
        "{{ var.value['city'] }}": "Athens",
        "{{ var.value.get('city') }}": "Athens",
        "{{ var.value.get('town', 'Paris') }}": "Paris",
        "{{ var.json.sizes.a[1] }}": "2",
        "{{ var.json.get('none', {'k': 5}).k }}": "5",
        "{{ conn.db.host }}:{{ conn.db.port }}/{{ conn['db'].schema }}": "host:5432/db",
        "{{ conn.db.extra_dejson.region_name }}": "eu",
        "{{ conn.get('nobody', {'host': 'h'}).host }}": "h",
    }
    assert {text: echoed(text) for text in texts} == texts
    with pytest.raises(VariableMissing, match="there is no variable 'town'"):
        echoed("{{ var.value.town }}")
    with pytest.raises(ConnectionMissing, match="'nobody'"):
        echoed("{{ conn.nobody.host }}")


def test_secrets_in_what_was_rendered_are_masked_before_anybody_sees_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOWKIT_VAR_DOOR_PASSWORD", "open-sesame-77")
    with DAG("d") as d:
        Echo("t", text="-p {{ var.value.door_password }} {{ ds }}")
    one = One(d, "t")
    assert one.value == "-p open-sesame-77 2018-01-01"
    assert masked_end(one.ended).facts == {"rendered": {"text": "-p *** 2018-01-01"}}


def test_a_label_of_a_mapped_instance_is_a_template_that_sees_what_the_task_set() -> None:
    def look(context: Any) -> str:
        context["city"] = "Athens"
        return context.text("map_index_template", "{{ city }} {{ ds }}")

    assert seen(look)[0] == "Athens 2018-01-01"
    assert seen(lambda context: context.text("map_index_template", "plain"))[0] == "plain"


def test_parameters_of_a_task_win_over_defaults_of_the_dag_but_not_over_what_was_given() -> (
    None
):
    with DAG("d", params={"a": 1, "b": 2}) as d:
        Look("t", lambda context: context["params"], params={"a": 10, "b": 20, "c": 30})
    assert One(d, "t", params={"a": 1, "b": 5}).value == {"a": 10, "b": 5, "c": 30}


def test_assets_of_a_task_their_events_and_what_it_tells_of_them() -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    class Asset:
        uri = "s3://b/k"

    def look(context: Any) -> list[Any]:
        running: Any = running_task()
        running.asset_event = lambda uri, extra: told.append((uri, dict(extra)))
        context["outlet_events"][Asset].extra = {"rows": 1}
        context["outlet_events"]["s3://b/k"].extra["more"] = 2
        came = context["triggering_asset_events"]
        return [
            [event.extra for event in context["inlet_events"][Asset]],
            {
                uri: [event.timestamp.year for event in events]
                for uri, events in came.items()
            },
            came[Asset][0].extra["k"],
        ]

    event = {"uri": "s3://b/k", "extra": {"k": 1}, "timestamp": "2018-01-01T00:00:00+00:00"}
    answers = {"asset_events": [event], "asset_events_of_run": {"s3://b/k": [event]}}
    assert seen(look, answers=answers)[0] == [[{"k": 1}], {"s3://b/k": [2018]}, 1]
    assert told == [("s3://b/k", {"rows": 1}), ("s3://b/k", {"rows": 1, "more": 2})]


def test_the_task_instance_knows_its_task_its_run_and_its_key() -> None:
    def look(context: Any) -> list[Any]:
        ti = context["ti"]
        return [
            ti.task.task_id,
            ti.dag_run.run_id,
            ti.get_dagrun() is context["dag_run"],
            ti.key,
            ti.operator,
            ti.logical_date == ti.execution_date == context["logical_date"],
            context["task"] is ti.task,
            get_current_context() is context,
        ]

    assert seen(look)[0] == ["t", "d/7", True, "d__t__20180101", "Look", True, True, True]


def test_airflows_own_configuration_is_not_here_and_the_error_names_the_setting() -> None:
    with pytest.raises(NoAirflowConf, match=r"no setting \[core\] dags_folder in conf"):
        seen(lambda context: context["conf"].get("core", "dags_folder"))


def test_a_test_run_says_that_it_is_one_and_templates_see_it() -> None:
    with DAG("d", params={"n": 1}) as d:
        Look("t", lambda c: [c["test_mode"], c["dag"].params, c["dag"].has_task("t")])
    assert d.test().result("t") == [True, {"n": 1}, True]
    assert json.loads(json.dumps(d.test().result("t"))) == [True, {"n": 1}, True]
