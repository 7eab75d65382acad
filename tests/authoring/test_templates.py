"""Templates in the arguments of tasks: what is rendered, what never is, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflowkit import (
    DAG,
    BaseOperator,
    BashOperator,
    PythonOperator,
    RunFailed,
    get_current_context,
    notebook,
    task,
)
from mlflowkit.authoring.bundle import make_bundle
from mlflowkit.authoring.open_bundle import open_bundle
from mlflowkit.authoring.template import (
    MARKS,
    Templates,
    TemplateSettings,
    holds_template,
    literal,
)
from mlflowkit.errors import (
    BadOption,
    BadTemplate,
    ForbiddenInTemplate,
    TemplateFileMissing,
    UndefinedInTemplate,
)
from tests.authoring.attempts import NEW_YEAR, One


class Echo(BaseOperator):
    """Gives back what it was given."""

    template_fields: Sequence[str] = ("text", "more")
    template_ext: Sequence[str] = (".sql", ".txt")

    def __init__(self, task_id: str, *, text: object = None, more: object = None, **o: Any):
        super().__init__(task_id, **o)
        self.text, self.more = text, more
        self.plain = "{{ ds }}"

    def execute(self, context: Mapping[str, Any]) -> object:
        return self.text if self.more is None else [self.text, self.more]


def echoed(text: object, facts: Mapping[str, Any] = NEW_YEAR, **options: Any) -> Any:
    """What an operator in a scheduled run of New Year 2018 is given for `text`."""
    params = options.pop("params", None)
    answers = options.pop("answers", None)
    with DAG("d", params=params, **options) as d:
        Echo("t", text=text)
    d.origin = str(Path.cwd() / "here.py")
    return One(d, "t", facts, params, answers).value


class Pair(NamedTuple):
    left: object
    right: object


class Inner:
    """An object inside arguments, with template fields of its own."""

    template_fields = ("name", "parts")

    def __init__(self, name: str, parts: object = None) -> None:
        self.name, self.parts, self.raw = name, parts, name


# ── where ──


def test_strings_are_rendered_at_any_depth_and_nothing_else_changes() -> None:
    got = echoed(
        {
            "{{ ds }}": ["{{ ds }}", 1, None, ("{{ ds_nodash }}", 2.5)],
            "deep": {"x": {"y": [{"{{ ts_nodash }}"}]}},
            "pair": Pair("{{ run_id }}", b"{{ ds }}"),
            "path": Path("/data/{{ ds }}/in"),
        }
    )
    assert got == {
        "{{ ds }}": ["2018-01-01", 1, None, ("20180101", 2.5)],
        "deep": {"x": {"y": [{"20180101T000000"}]}},
        "pair": Pair("d/7", b"{{ ds }}"),
        "path": Path("/data/2018-01-01/in"),
    }
    assert isinstance(got["pair"], Pair)


def test_objects_with_template_fields_are_rendered_as_copies_and_may_hold_one_another() -> (
    None
):
    outer = Inner("{{ ds }}", ["{{ ts_nodash }}"])
    outer.parts = [Inner("{{ run_id }}", outer)]
    with DAG("d") as d:
        Echo("t", text=outer)
    d.check()
    got = echoed([outer])[0]
    assert (got.name, got.raw, got.parts[0].name) == ("2018-01-01", "{{ ds }}", "d/7")
    assert (outer.name, outer.parts[0].name) == ("{{ ds }}", "{{ run_id }}")


def test_only_template_fields_are_rendered_and_a_literal_goes_through_as_it_is() -> None:
    with DAG("d") as d:
        made = Echo("t", text=literal("{{ ds }}"), more=[literal(["{{ ds }}"]), "{{ ds }}"])
    assert One(d, "t").value == ["{{ ds }}", [["{{ ds }}"], "2018-01-01"]]
    assert made.plain == "{{ ds }}"


def test_a_field_that_a_class_names_and_does_not_have_is_refused() -> None:
    class Wrong(BaseOperator):
        template_fields = ("sqll",)

    with DAG("d") as d:
        Wrong("t")
    with pytest.raises(BadOption, match="template_fields' of Wrong of task 't'.*'sqll'"):
        d.check()


def test_arguments_of_functions_and_templates_dict_are_rendered_as_in_airflow() -> None:
    @task
    def work(a: str, *, b: list[str], ds: str = "") -> list[object]:
        return [a, b, ds]

    def old(first: str, templates_dict: dict[str, str], **context: Any) -> list[object]:
        return [first, templates_dict, context["ds"]]

    with DAG("d") as d:
        work("{{ task.task_id }}", b=["{{ dag.dag_id }}"])
        PythonOperator(
            task_id="old",
            python_callable=old,
            op_args=["{{ ds }}"],
            templates_dict={"day": "{{ yesterday_ds }}"},
        )
    assert One(d, "work").value == ["work", ["d"], "2018-01-01"]
    assert One(d, "old").value == ["2018-01-01", {"day": "2017-12-31"}, "2018-01-01"]


def test_a_command_its_environment_and_its_folder_are_templates(tmp_path: Path) -> None:
    (tmp_path / "2018-01-01").mkdir()
    with DAG("d") as d:
        BashOperator(
            task_id="t",
            bash_command="echo {{ ds_nodash }} $DAY $(basename $PWD)",
            env={"DAY": "{{ macros.ds_add(ds, 1) }}", "PATH": "/usr/bin:/bin"},
            cwd=f"{tmp_path}/{{{{ ds }}}}",
        )
    assert One(d, "t").value == "20180101 2018-01-02 2018-01-01"


def test_a_notebook_gets_rendered_parameters_and_may_be_named_by_a_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cell = nbformat.v4.new_code_cell("day = ''\nn = 0", metadata={"tags": ["parameters"]})
    body = nbformat.v4.new_code_cell("from mlflowkit import push\npush('got', [day, n])")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    book = nbformat.v4.new_notebook(cells=[cell, body], metadata=kernel)
    nbformat.write(book, tmp_path / "fit_big.ipynb")
    with DAG("d", params={"kind": "big"}, render_template_as_native_obj=True) as d:
        notebook("fit_{{ params.kind }}.ipynb", task_id="a", day="<{{ params.kind }}>", n=1)
        notebook("fit_big.ipynb", task_id="b", day=literal("{{ x }}"), n="{{ 6 * 7 }}")
    run = d.test()
    assert run.states() == {"a": "success", "b": "success"}
    assert [run.result(t, "got") for t in "ab"] == [["<big>", 1], ["{{ x }}", 42]]


# ── data is never a template ──


def test_what_comes_from_tasks_and_from_the_run_is_data_and_is_never_rendered() -> None:
    @task
    def evil() -> str:
        return "{{ ds }}{% raise %}{{ ().__class__ }}"

    @task
    def evils() -> list[str]:
        return ["{{ a }}", "{% b"]

    @task
    def sets() -> list[dict[str, str]]:
        return [{"text": "{{ c }}", "more": "{{ d }}"}]

    @task
    def take(x: object, y: object = None, z: object = None) -> list[object]:
        return [x, y, z]

    text = "{{ ds }}{% raise %}{{ ().__class__ }}"
    with DAG("d", params={"p": "{{ evil }}"}) as d:
        out = evil()
        take(
            out, y=[d.params["p"], {"k": out}], z="{{ ti.xcom_pull('evil') }}{{ params.p }}"
        )
        take.override(task_id="mapped").partial(y="{{ task.task_id }}").expand(x=evils())
        Echo("echo", text=out, more=[d.params["p"], out, "{{ params.p }}"])
        Echo.partial("many", more=[out, "{{ 1 + 1 }}"]).expand(text=evils())
        Echo.partial("kwargs").expand_kwargs(sets())
        Echo.partial("mixed").expand_kwargs([{"text": out, "more": "{{ 1 + 2 }}"}])
        Echo.partial("some").expand(text=[out, "{{ 1 + 3 }}"])
    run = d.test()
    assert {t: run.result(t) for t in ("take", "mapped", "echo", "many", "kwargs")} == {
        "take": [text, ["{{ evil }}", {"k": text}], text + "{{ evil }}"],
        "mapped": [["{{ a }}", "mapped", None], ["{% b", "mapped", None]],
        "echo": [text, ["{{ evil }}", text, "{{ evil }}"]],
        "many": [["{{ a }}", [text, "2"]], ["{% b", [text, "2"]]],
        "kwargs": [["{{ c }}", "{{ d }}"]],
    }
    assert run.result("mixed") == [[text, "3"]]
    assert run.result("some") == [text, "4"]


def test_a_text_that_a_constructor_makes_of_data_is_data() -> None:
    class Command(BaseOperator):
        template_fields = ("word", "command", "usual")

        def __init__(self, task_id: str, *, word: str, **options: Any) -> None:
            super().__init__(task_id, **options)
            self.word, self.command, self.usual = word, f"say {word}", "at {{ 1 + 1 }}"

        def execute(self, context: Mapping[str, Any]) -> object:
            return [self.word, self.command, self.usual]

    with DAG("d") as d:
        words = task(lambda: ["{{ boom }}", "hello"]).override(task_id="words")()
        Command.partial("c").expand(word=words)
    assert d.test().result("c") == [
        ["{{ boom }}", "say {{ boom }}", "at 2"],
        ["hello", "say hello", "at 2"],
    ]


def test_mapped_values_written_in_the_dag_are_templates() -> None:
    with DAG("d") as d:
        Echo.partial("m", more="{{ ti.map_index }}").expand(
            text=["{{ task.task_id }}", "b"]
        )
        task(lambda x: x).override(task_id="f").expand(x=["{{ ti.map_index + 5 }}", "b"])
    run = d.test()
    assert (run.result("m"), run.result("f")) == ([["m", "0"], ["b", "1"]], ["5", "b"])


def test_a_mapped_instance_is_labelled_by_what_the_task_knew_at_its_end() -> None:
    def work(city: str, **context: Any) -> None:
        get_current_context()["seen"] = city.upper()  # type: ignore[index]

    def labelled(template: str) -> object:
        with DAG("d") as d:
            mapped = task(work).override(task_id="t", map_index_template=template)
            mapped.expand(city=["Rome", "{{ ds }} Oslo"])
        return One(d, "t", axes={"city": 1}).ended.facts.get("map_index_label")

    assert labelled("{{ seen }}/{{ map_index }}") == "2018-01-01 OSLO/1"
    assert (labelled("plain"), labelled("{{ nobody }}")) == ("plain", None)


WITHOUT_MARKS = st.text().filter(lambda text: not holds_template(text))
VALUES = st.recursive(
    WITHOUT_MARKS | st.integers() | st.none() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
    ),
)


@given(VALUES)
def test_what_holds_no_template_comes_back_as_it_is(value: object) -> None:
    settings = TemplateSettings()
    templates = Templates("t", lambda: settings, {})
    assert templates.field("f", value) is value
    assert (templates.rendered, settings._engine) == ({}, None)


@given(st.text(alphabet="ab \n'\"\\<>&é"), st.text(alphabet="ab \n'\"\\<>&é"))
def test_text_around_a_template_and_data_in_it_keep_every_character(
    around: str, data: str
) -> None:
    context = {"data": data}
    templates = Templates("t", TemplateSettings, context)
    assert (
        templates.field("f", f"{around}{{{{ data }}}}{around}|")
        == around + data + around + "|"
    )


# ── files ──


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose working folder has template files in it."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "dags" / "sql").mkdir(parents=True)
    (tmp_path / "top.sql").write_text("top {{ ds }}")
    (tmp_path / "dags" / "near.sql").write_text("{% include 'part.sql' %} near {{ ds }}")
    (tmp_path / "dags" / "sql" / "part.sql").write_text("part {{ run_id }}")
    (tmp_path / "dags" / "sql" / "near.sql").write_text("another")
    (tmp_path / "secret.sql").write_text("secret")
    monkeypatch.chdir(tmp_path / "dags")
    return tmp_path


def test_files_are_looked_up_beside_the_dag_then_in_its_path_then_in_the_root(
    files: Path,
) -> None:
    names = ["near.sql", "part.sql", "top.sql"]
    assert echoed(names, template_searchpath="sql") == [
        "part d/7 near 2018-01-01",
        "part d/7",
        "top 2018-01-01",
    ]


def test_a_template_file_that_is_missing_is_an_error_before_the_run(files: Path) -> None:
    def checked(name: str) -> None:
        with DAG("d") as d:
            Echo("t", text=name)
        d.origin = str(files / "dags" / "here.py")
        d.check()

    with pytest.raises(
        TemplateFileMissing, match=r"text of task 't' .*'naer.sql'.*near.sql"
    ):
        checked("naer.sql")
    checked("secret.sql")
    (files.parent / "outside.sql").write_text("secret")
    for path in ("../../outside.sql", str(files.parent / "outside.sql")):
        with pytest.raises(TemplateFileMissing):
            checked(path)


def test_a_command_that_only_ends_like_a_file_is_a_command(files: Path) -> None:
    (files / "dags" / "run.sh").write_text("echo {{ ds }}\n")
    with DAG("d") as d:
        BashOperator(task_id="file", bash_command="run.sh")
        BashOperator(task_id="space", bash_command="echo run.sh ")
        BashOperator(task_id="words", bash_command="echo {{ ds }} and run.sh")
    d.origin = str(files / "dags" / "here.py")
    d.check()
    assert [One(d, t).value for t in ("file", "space", "words")] == [
        "2018-01-01",
        "run.sh",
        "2018-01-01 and run.sh",
    ]


def test_a_bundle_keeps_template_files_as_they_were(files: Path, tmp_path: Path) -> None:
    def stored() -> tuple[str, Mapping[str, str]]:
        with DAG("d", template_searchpath="sql") as d:
            Echo("t", text="near.sql")
            Echo("plain", text="x")
        d.origin = str(files / "dags" / "here.py")
        bundle = make_bundle(d, tmp_path / "home")
        marks = {name: task.fingerprint for name, task in bundle.spec.tasks.items()}
        return bundle.id, {str(k): v for k, v in marks.items()}

    before, marks = stored()
    (files / "dags" / "sql" / "part.sql").write_text("changed")
    kept = open_bundle(tmp_path / "home" / "bundles" / before, worker=False).templates()
    rendered = Templates("t", lambda: kept, {"run_id": "d/1", "ds": "D"})
    assert rendered.field("text", "near.sql", (".sql",)) == "part d/1 near D"
    after, newer = stored()
    assert before != after
    assert (marks["t"] != newer["t"], marks["plain"] == newer["plain"]) == (True, True)


# ── the DAG's own macros, filters and settings ──


def test_macros_and_filters_of_the_dag_run_in_the_attempt() -> None:
    import os

    seen: list[int] = []

    def double(x: int) -> int:
        seen.append(os.getpid())
        return 2 * x

    text = "{{ double(4) }} {{ 'a' | loud }} {{ where.sep }} {{ ds }}"
    got = echoed(
        text,
        user_defined_macros={"double": double, "where": os, "ds": "not this one"},
        user_defined_filters={"loud": str.upper},
    )
    assert (got, len(seen)) == ("8 A / 2018-01-01", 1)


def test_an_error_in_a_macro_keeps_its_type_and_says_where_it_was_called() -> None:
    def boom() -> None:
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError) as caught:
        echoed("{{ boom() }}", user_defined_macros={"boom": boom})
    notes = caught.value.__notes__
    assert notes == ["(while the template in text of task 't' was rendered)"]


def test_native_types_keep_values_as_they_are() -> None:
    texts = ["{{ [1, params.n] }}", "{{ params.n }}", "{{ ds }}", "n={{ params.n }}"]
    native = echoed(texts, params={"n": 3}, render_template_as_native_obj=True)
    assert native == [[1, 3], 3, "2018-01-01", "n=3"]
    assert echoed(texts, params={"n": 3}) == ["[1, 3]", "3", "2018-01-01", "n=3"]
    with pytest.raises(UndefinedInTemplate):
        echoed("{{ params.x }}", params={"n": 3}, render_template_as_native_obj=True)


def test_other_marks_and_other_undefined_names_are_as_the_dag_says() -> None:
    marks = {"variable_start_string": "[[", "variable_end_string": "]]"}
    assert echoed("[[ ds ]] {{ ds }}", jinja_environment_kwargs=marks) == (
        "2018-01-01 {{ ds }}"
    )
    assert echoed("<{{ nobody }}>", template_undefined=jinja2.Undefined) == "<>"
    with pytest.raises(BadOption, match="template_undefined"):
        DAG("d", template_undefined=str).check()
    with pytest.raises(BadOption, match="'user_defined_macros' of DAG 'd' has 'a b'"):
        DAG("d", user_defined_macros={"a b": 1}).check()


# ── mistakes ──


def refused(text: str, **options: Any) -> DAG:
    with DAG("d", **options) as d:
        Echo("t", more={"a": [text]})
    return d


def test_a_name_that_nothing_defines_is_an_error_before_the_run() -> None:
    with pytest.raises(UndefinedInTemplate) as caught:
        refused("{{ data_interval_strat }}").check()
    assert str(caught.value) == (
        "the template in more of task 't' uses 'data_interval_strat', which is not "
        "defined. Did you mean 'data_interval_start'?"
    )
    for fine in ("{{ x | default(1) }}", "{% if x is defined %}{{ x }}{% endif %}"):
        refused(fine).check()
    refused("{{ mine }}", user_defined_macros={"mine": 1}).check()
    refused("{{ nobody }}", template_undefined=jinja2.Undefined).check()


def test_a_part_that_a_value_does_not_have_fails_the_task_and_is_not_tried_again() -> None:
    d = refused("{{ params.nn }}", params={"n": 1})
    with pytest.raises(RunFailed) as caught:
        d.test()
    assert isinstance(caught.value.__cause__, UndefinedInTemplate)
    assert str(caught.value.__cause__) == (
        "the template in more of task 't' uses 'nn', which is not defined in a dict. "
        "Did you mean 'n'?"
    )


def test_a_run_without_a_logical_date_has_no_ds_and_the_error_says_why() -> None:
    facts = {"run_type": "manual"}
    with pytest.raises(UndefinedInTemplate, match="'ds'.*this run has no logical date"):
        echoed("{{ ds }}", facts)
    assert echoed("{{ logical_date }} {{ run_id }}", facts) == "None d/7"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ ds ", r"more of task 't' cannot be read \(line 1\)"),
        ("{% for x in y %}", "line 1"),
        ("{{ ds | dss }}", "No filter named 'dss'. Did you mean 'ds'"),
    ],
)
def test_what_jinja_cannot_read_is_an_error_before_the_run(text: str, message: str) -> None:
    with pytest.raises(BadTemplate, match=message):
        refused(text).check()


@pytest.mark.parametrize(
    "text",
    [
        "{{ ().__class__.__bases__ }}",
        "{{ task.execute.__globals__ }}",
        "{{ macros.uuid.os.system('true') }}",
        "{{ macros.json.decoder.scanner.re }}",
    ],
)
def test_templates_do_not_reach_pythons_insides(text: str) -> None:
    with pytest.raises((ForbiddenInTemplate, UndefinedInTemplate)):
        echoed(text)


def test_what_was_rendered_is_kept_for_people_and_no_more_than_four_kib_of_each() -> None:
    with DAG("d", params={"n": 1}) as d:
        Echo("t", text="{{ 'x' * 5000 }}", more={"day": "{{ ds }}", "n": 1})
        Echo("plain", text="no template")
    facts = One(d, "t", params={"n": 1}).ended.facts
    assert facts == {
        "rendered": {"text": "x" * 4096, "more": "{'day': '2018-01-01', 'n': 1}"}
    }
    assert One(d, "plain").ended.facts == {}


def test_jinja_is_loaded_only_where_a_template_is(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom mlflowkit import DAG, task\n"
        "with DAG('d') as d:\n    task(lambda x: x).override(task_id='t')('plain')\n"
        "assert d.test().states() == {'t': 'success'}\n"
        "print('jinja2' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_marks_are_those_of_jinja() -> None:
    assert MARKS == ("{{", "{%", "{#")
    assert echoed("a{# note #}b") == "ab"


def test_the_examples_of_the_how_to_page_work(tmp_path: Path) -> None:
    import re
    import subprocess
    import sys

    page = Path(__file__).parents[2] / "docs" / "how-to" / "templates.md"
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL))
    (tmp_path / "page.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "page.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"in/\d{4}-\d\d-\d\d\.csv of \d{4}-\d\d-\d\d", done.stdout)
