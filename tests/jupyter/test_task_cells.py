"""Task cells: which names are meant, what travels, what is refused. Nothing is run in an engine."""

from __future__ import annotations

import pytest

from mlflowkit.errors import (
    AmbiguousName,
    BadMagic,
    BadOption,
    CellSyntax,
    ChangedInPlace,
    CycleFound,
    DefinedInTask,
    HelperReadsTask,
    NoTaskCells,
    NotDefined,
    NotForTaskCells,
    UnknownOption,
    UnknownTaskCell,
)
from mlflowkit.jupyter import current_dag
from tests.jupyter.shell import Shell


def wires(shell: Shell) -> dict[str, tuple[dict[str, str], list[str]]]:
    """What each task takes, by name and task, and what it gives."""
    return {w.cell.task_id: (w.inputs, w.outputs) for w in current_dag().wiring()}


def test_what_a_cell_reads_and_another_assigns_is_its_input(shell: Shell) -> None:
    shell.cell("%%task load\nrows = [1, 2]\nwidth = 3\nscratch = 0")
    said = shell.cell("%%task fit\nmodel = sum(rows) * width")
    shell.cell("%%task tell\nprint(model)")
    assert said == (
        "task fit of DAG notebook: takes rows from load, width from load; assigns model"
    )
    assert wires(shell) == {
        "load": ({}, ["rows", "width"]),
        "fit": ({"rows": "load", "width": "load"}, ["model"]),
        "tell": ({"model": "fit"}, []),
    }
    dag = current_dag()
    assert {t.task_id: t.upstream() for t in dag.tasks} == {
        "load": (),
        "fit": ("load",),
        "tell": ("fit",),
    }
    assert dag.spec().tasks["fit"].operator == "%%task"


def test_a_cell_is_registered_and_not_run_unless_it_says_so(shell: Shell) -> None:
    shell.cell("%%task load\nrows = [1]\nprint('ran')")
    assert "rows" not in shell.shell.user_ns
    said = shell.cell("%%task load --run\nrows = [1]\nprint('ran')")
    assert said.splitlines()[-1] == "ran"
    assert shell["rows"] == [1]


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("y = [r for r in rows if r > 1]", ["rows"]),
        ("def f():\n    return rows\ny = f()", ["rows"]),
        ("y = (lambda: rows)()", ["rows"]),
        ("rows += [3]", ["rows"]),
        ("y = rows.index(1)", ["rows"]),
        ("class K:\n    first = rows[0]", ["rows"]),
        ("if len(rows) > 1:\n    y = 1", ["rows"]),
        ("y = {r: rows for r in 'ab'}", ["rows"]),
        ("y = f'{rows}'", ["rows"]),
        ("del rows", ["rows"]),
        ("y = (rows := rows + [1])", ["rows"]),
        ("y = len(rows) + len(rows := [3])", ["rows"]),
        ("y = [rows := rows + [v] for v in 'ab']", ["rows"]),
        ("while (rows := rows[1:]):\n    y = 1", ["rows"]),
        ("class rows(type(rows)):\n    pass", ["rows"]),
        ("def rows(first=rows):\n    return first", ["rows"]),
        ("def f():\n    return (rows := 3)\ny = rows", ["rows"]),
        ("y = ''.query('a in @rows')", ["rows"]),
        ("y = {k: (lambda: rows) for k in 'ab'}", ["rows"]),
        ("def f():\n    return (rows := 3)\ny = f()", []),
        ("y = len(rows := [3]) + len(rows)", []),
        ("rows = 5\ny = rows", []),
        ("for rows in 'ab': pass", []),
        ("with open('/dev/null') as rows: pass", []),
        ("import math as rows\nrows.pi", []),
        ("y = [rows for rows in 'ab']", []),
        ("def f(rows):\n    return rows", []),
        ("try:\n    rows = 1\nexcept ValueError:\n    rows = 2\ny = rows", []),
        ("if (rows := 3) > 1:\n    y = rows", []),
        ("match 3:\n    case rows:\n        y = rows", []),
    ],
)
def test_a_name_is_an_input_where_the_cell_reads_it_before_it_has_its_own(
    shell: Shell, code: str, needs: list[str]
) -> None:
    shell.cell("%%task load\nrows = [1, 2]")
    shell.cell(f"%%task use\n{code}")
    assert list(wires(shell)["use"][0]) == needs


def test_a_name_that_two_cells_assign_is_an_error_that_shows_both(shell: Shell) -> None:
    shell.cell("%%task one\nimport json\nrows = [1]")
    shell.cell("%%task two\nrows = [2]")
    said = shell.cell("%%task use\ny = rows")
    assert "registered, but the DAG cannot run yet" in said
    with pytest.raises(AmbiguousName) as caught:
        current_dag().check()
    error = caught.value
    assert (error.name, error.reader) == ("rows", "use")
    assert str(error).splitlines()[1:] == [
        "[2] task 'one':",
        "      1 | %%task one",
        "      2 | import json",
        "  >   3 | rows = [1]",
        "[3] task 'two':",
        "      1 | %%task two",
        "  >   2 | rows = [2]",
        "[4] task 'use':",
        "      1 | %%task use",
        "      2 | y = rows",
    ]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("from math import log\na = log", "from cmath import log\nb = log"),
        ("log = 3", "from math import log\nb = log"),
        ("log = 3", "def log(): ...\nb = log()"),
    ],
)
def test_a_name_that_two_cells_import_or_define_is_an_error_that_shows_both(
    shell: Shell, one: str, two: str
) -> None:
    shell.cell(f"%%task one\n{one}")
    shell.cell(f"%%task two\n{two}")
    shell.cell("%%task use\ny = log")
    with pytest.raises(AmbiguousName) as caught:
        current_dag().check()
    assert caught.value.makers == ("task 'one'", "task 'two'")
    shown = [line for line in str(caught.value).splitlines() if "  > " in line]
    assert [one.splitlines()[0] in shown[0], two.splitlines()[0] in shown[1]] == [
        True,
        True,
    ]


def test_imports_of_one_thing_in_two_cells_are_no_two_things(shell: Shell) -> None:
    shell.cell("%%task one\nimport xml.dom\nimport math as m\na = xml.dom")
    shell.cell("%%task two\nimport xml.sax\nimport math as m\nb = xml.sax")
    shell.cell("%%task use --returns y\ny = (xml.dom.__name__, xml.sax.__name__, m.pi > 3)")
    use = current_dag().get_task("use").python_callable  # type: ignore[attr-defined]
    assert use() == {"y": ("xml.dom", "xml.sax", True)}


def test_a_change_in_place_of_what_a_plain_cell_made_is_an_error_if_others_read_it(
    shell: Shell,
) -> None:
    shell.cell("import types\nseen = []\nown = []")
    shell.cell("%%task one\nseen.append(1)\nown.append(1)\ntypes.x = 1")
    current_dag().check()  # nobody else would see a difference
    shell.cell("%%task two\ny = len(seen), types")
    with pytest.raises(
        ChangedInPlace, match="no task made, and which task 'two' reads, too"
    ):
        current_dag().check()


def test_a_plain_value_that_a_query_names_is_beside_the_call(shell: Shell) -> None:
    shell.cell("import pandas\nlimit = 1")
    shell.cell(
        "%%task use --returns y\n"
        "y = len(pandas.DataFrame({'a': [1, 2, 3]}).query('a > @limit'))"
    )
    task = current_dag().get_task("use")
    assert task.python_callable(**task.op_kwargs) == {"y": 2}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("rows.append(3)", "rows.append(3)"),
        ("rows[0] = 1", "rows[0] = 1"),
        ("rows.kind.x = 1", "rows.kind.x = 1"),
        ("del rows[0]", "del rows[0]"),
        ("rows[0] += 1", "rows[0] += 1"),
        ("rows.fillna(0, inplace=True)", "rows.fillna(0, inplace=True)"),
        ("a, rows[1] = 1, 2", "a, rows[1] = (1, 2)"),
    ],
)
def test_a_change_in_place_of_what_another_task_made_is_an_error(
    shell: Shell, code: str, text: str
) -> None:
    shell.cell("%%task load\nrows = [1, 2]")
    shell.cell(f"%%task use\nx = 1\n{code}")
    with pytest.raises(ChangedInPlace) as caught:
        current_dag().check()
    error = caught.value
    assert (error.name, error.task, error.maker, error.line) == ("rows", "use", "load", 3)
    assert text in str(error)


@pytest.mark.parametrize(
    "code",
    ["m.fit(1)", "shuffle(m)", "train(m)", "train(by=m)", "x = m.fit_transform(1)"],
)
def test_what_teaches_a_value_that_another_task_reads_is_an_error(
    shell: Shell, code: str
) -> None:
    """It would learn in a process of its own, and the other would get the untaught one."""
    shell.cell("from random import shuffle\ndef train(by):\n    by.weights = 1")
    shell.cell("%%task make\nm = object()")
    shell.cell(f"%%task teach\n{code}")
    current_dag().check()  # nobody else would see a difference
    shell.cell("%%task use --after teach\nprint(m)")
    with pytest.raises(ChangedInPlace) as caught:
        current_dag().check()
    error = caught.value
    assert (error.name, error.task, error.maker, error.line) == ("m", "teach", "make", 2)
    assert "task 'make' made, and which task 'use' reads, too" in str(error)


def test_what_only_looks_at_a_value_is_no_change(shell: Shell) -> None:
    shell.cell("def tell(m, to):\n    to.append(m.weights)")
    shell.cell("%%task make\nm = object()")
    shell.cell("%%task show\nm.plot()\nprint(m)\nfound = []\ntell(m, found)")
    shell.cell("%%task use\nprint(m)")
    current_dag().check()


def test_its_own_values_a_cell_may_change(shell: Shell) -> None:
    shell.cell("%%task load\nrows = [1, 2]\nrows.append(3)")
    shell.cell("%%task use\nrows_2 = list(rows)\nrows_2.append(4)")
    current_dag().check()


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("from os import *", NotForTaskCells, "import them by name"),
        ("!ls", NotForTaskCells, "subprocess.run"),
        ("files = !ls", NotForTaskCells, "subprocess.run"),
        ("%pip install x", NotForTaskCells, "in a cell that is no task"),
        ("%run other.py", NotForTaskCells, "%run"),
        ("%%bash\nls", NotForTaskCells, "cell magic"),
        ("def f():\n    global x\n    x = 1", NotForTaskCells, "return the value"),
        ("class A:\n    x = 1\n    rate = rate", NotForTaskCells, "line 4"),
        ("x = (", CellSyntax, "line 2"),
        ("return 3", CellSyntax, "outside function"),
        ("yield 3", CellSyntax, "outside function"),
    ],
)
def test_what_means_nothing_in_a_task_is_refused_by_name(
    shell: Shell, code: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        shell.cell(f"%%task load\n{code}")
    assert words in str(caught.value)
    with pytest.raises(NoTaskCells):
        current_dag()


def test_magics_for_a_display_are_left_out_and_time_is_its_statement(shell: Shell) -> None:
    shell.cell("%%task load\n%%time\n%matplotlib inline\n%time rows = [1]\nlen?")
    task = current_dag().get_task("load")
    shell.cell("%%task use\nprint(rows)")
    task = current_dag().get_task("load")
    assert task.python_callable() == {"rows": [1]}  # type: ignore[attr-defined]


def test_helpers_constants_and_imports_of_plain_cells_travel(shell: Shell) -> None:
    shell.cell("import math\nBASE = 10\ndef up(x):\n    return math.floor(x) + BASE")
    shell.cell("%%task load\nrows = [up(i + 0.5) for i in range(2)]")
    shell.cell("%%task use\nprint(rows)")
    task = current_dag().get_task("load")
    assert task.python_callable() == {"rows": [10, 11]}  # type: ignore[attr-defined]
    assert current_dag().check().tasks.keys() == {"load", "use"}


def test_imports_of_another_task_cell_are_shared(shell: Shell) -> None:
    shell.cell("%%task load\nimport math\nfrom json import dumps as text\nrows = [4.0]")
    shell.cell("%%task use --returns y\ny = text(math.sqrt(rows[0]))")
    use = current_dag().get_task("use")
    assert use.python_callable(rows=[9.0]) == {"y": "3.0"}  # type: ignore[attr-defined]


def test_an_import_travels_with_the_one_for_the_case_that_it_fails(shell: Shell) -> None:
    either = "try:\n    import nowhere_to_be_found as js\nexcept ImportError:\n    import json as js"
    shell.cell(f"%%task load\n{either}\ntext = js.dumps([1])")
    shell.cell("%%task use --returns y\ny = js.loads(text)")
    use = current_dag().get_task("use").python_callable  # type: ignore[attr-defined]
    assert use(text="[2]") == {"y": [2]}


def test_a_built_in_that_a_cell_gives_another_meaning_is_itself_until_then(
    shell: Shell,
) -> None:
    shell.cell("%%task load --returns max,id,open\nmax = max(3, 4)\nid = 'x'\nopen = open")
    made = current_dag().get_task("load").python_callable()  # type: ignore[attr-defined]
    assert (made["max"], made["id"], made["open"]) == (4, "x", open)
    shell.cell("def len(rows): return 99")
    shell.cell("%%task load --returns len\nlen = len([1])")
    task = current_dag().get_task("load")
    assert task.python_callable(**task.op_kwargs) == {"len": 99}  # type: ignore[attr-defined]


def test_what_stands_below_a_class_in_a_cell_is_part_of_the_task(shell: Shell) -> None:
    shell.cell("import collections")
    shell.cell(
        "%%task load --returns rows,kind\n"
        "class Flow(collections.UserList):\n    pass\n%time flow = Flow([1])\n"
        "flow.append(2)\nrows = list(flow)\nkind = Flow.__mro__[1].__name__"
    )
    task = current_dag().get_task("load").python_callable  # type: ignore[attr-defined]
    assert task() == {"rows": [1, 2], "kind": "UserList"}


def test_a_function_of_a_task_cell_is_not_for_others(shell: Shell) -> None:
    shell.cell("%%task load\ndef up(x):\n    return x\nrows = up(1)")
    shell.cell("%%task use\ny = up(2)")
    with pytest.raises(DefinedInTask, match="Move the definition to a plain cell"):
        current_dag().check()


def test_a_helper_that_reads_what_a_task_assigns_is_an_error(shell: Shell) -> None:
    shell.cell("def total():\n    return sum(rows)\ndef deeper():\n    return total()")
    shell.cell("%%task load\nrows = [1]")
    shell.cell("%%task use\ny = deeper()")
    with pytest.raises(HelperReadsTask) as caught:
        current_dag().check()
    error = caught.value
    assert (error.helper, error.name, error.task, error.maker) == (
        "total",
        "rows",
        "use",
        "load",
    )


def test_a_name_that_nothing_defines_is_an_error_with_its_line(shell: Shell) -> None:
    shell.cell("%%task load\nrows = [1]\nmore = rowz")
    with pytest.raises(NotDefined) as caught:
        current_dag().check()
    assert (caught.value.name, caught.value.line) == ("rowz", 3)
    assert "Did you mean 'rows'" in str(caught.value)


def test_the_cell_that_defined_a_name_is_named(shell: Shell) -> None:
    shell.cell("def helper():\n    return 1")
    shell.cell("del helper")
    shell.cell("%%task load\nrows = helper()")
    with pytest.raises(NotDefined) as caught:
        current_dag().check()
    assert "The cell [2] defined it in this session: run it again." in str(caught.value)


def test_tasks_that_wait_for_each_other_are_an_error(shell: Shell) -> None:
    shell.cell("%%task one\na = b")
    shell.cell("%%task two\nb = a")
    with pytest.raises(CycleFound):
        current_dag().check()


def test_an_edited_cell_takes_the_place_of_its_task_also_for_an_old_variable(
    shell: Shell,
) -> None:
    shell.cell("%%task load\nrows = [1]")
    shell.cell("%%task use --returns y\ny = rows")
    shell.cell("d = %dag")
    before = shell["d"].get_task("load").python_callable()
    shell.cell("%%task load\nrows = [2]")
    after = shell["d"].get_task("load").python_callable()
    assert (before, after) == ({"rows": [1]}, {"rows": [2]})
    assert shell["d"].task_ids == ["load", "use"]
    assert shell["d"] is current_dag()


def test_a_cell_that_is_renamed_leaves_no_task_of_the_old_name(shell: Shell) -> None:
    shell.cell("%%task load\nrows = [1]", cell_id="c1")
    shell.cell("%%task use\ny = rows", cell_id="c2")
    said = shell.cell("%%task fetch\nrows = [1]", cell_id="c1")
    assert said.startswith("task fetch (was load) of DAG notebook")
    assert current_dag().task_ids == ["fetch", "use"]


def test_a_task_can_be_dropped(shell: Shell) -> None:
    shell.cell("%%task load\nrows = [1]")
    shell.cell("%%task use\ny = rows")
    assert shell.cell("%dag drop use") == "DAG notebook: 1 task cell"
    with pytest.raises(UnknownTaskCell, match=r"it has: load"):
        shell.cell("%dag drop use")


def test_a_task_without_a_name_is_called_by_what_it_first_assigns(shell: Shell) -> None:
    shell.cell("%%task\nimport json\nrows = [1]\nwidth = 2")
    assert current_dag().task_ids == ["rows"]
    with pytest.raises(BadMagic, match="write %%task NAME"):
        shell.cell("%%task\nprint(1)")


def test_options_behind_the_magic_are_those_of_a_task(shell: Shell) -> None:
    shell.cell(
        "%%task load --retries 2 --retry-delay 30s --pool gpu --trigger-rule all_done "
        "--execution-timeout=2h --isolate\nrows = 1"
    )
    task = current_dag().get_task("load")
    assert (task.retry.retries, task.retry.retry_delay.total_seconds()) == (2, 30)
    assert (task.pool, str(task.trigger_rule), task.isolate) == ("gpu", "all_done", True)
    assert task.execution_timeout is not None
    assert task.execution_timeout.total_seconds() == 7200
    for line, error in (
        ("load --retrys 2", UnknownOption),
        ("load --retries many", BadOption),
        ("load --retry-delay soon", BadMagic),
        ("load --retries", BadMagic),
        ("load two names", BadMagic),
        ("load 'open", BadMagic),
    ):
        with pytest.raises(error):
            shell.cell(f"%%task {line}\nrows = 1")
    assert shell.cell("%task --help").startswith("%%task [NAME] [OPTIONS]")


def test_order_without_values_is_said_with_after(shell: Shell) -> None:
    shell.cell("%%task load\nrows = 1")
    shell.cell("%%task tell --after load\nprint(2)")
    assert current_dag().spec().tasks["tell"].upstream == ("load",)  # type: ignore[index]


def test_parameters_of_the_dag_reach_the_cells_that_read_them(shell: Shell) -> None:
    shell.cell(
        "%dag train -p n=10 -p where=here --schedule @daily --tz Europe/Athens --retries 3"
    )
    shell.cell("%%task load\nrows = [where] * n")
    spec = current_dag().spec()
    assert (spec.dag_id, spec.schedule) == ("train", "@daily")
    assert {p.name: p.default_json for p in spec.params} == {"n": "10", "where": '"here"'}
    assert spec.tasks["load"].retry.retries == 3  # type: ignore[index]
    shell.cell("%%task other\nn = 3")
    with pytest.raises(AmbiguousName, match="a parameter of the DAG"):
        current_dag().check()


def test_one_notebook_may_write_two_dags(shell: Shell) -> None:
    shell.cell("%dag one", cell_id="a")
    shell.cell("%%task load\nrows = 1", cell_id="b")
    shell.cell("%dag two", cell_id="c")
    shell.cell("%%task load\nrows = 2", cell_id="d")
    shell.cell("%%task load\nrows = 3", cell_id="b")
    said = shell.cell("%dag list").splitlines()
    assert said == [
        "DAG one: 1 task cell",
        "  [6] load",
        "DAG two: 1 task cell (being written)",
        "  [5] load",
    ]
    assert shell.cell("%dag uno", cell_id="a") == "DAG uno: 1 task cell"
    shell.cell("%dag drop --all two")
    assert shell.cell("%dag list").splitlines()[0] == "DAG uno: 1 task cell"


def test_a_mistyped_word_is_no_name(shell: Shell) -> None:
    shell.cell("%%task load\nrows = 1")
    with pytest.raises(BadMagic, match=r"did you mean `%dag list`"):
        shell.cell("%dag lst")
    assert current_dag().dag_id == "notebook"
    assert shell.cell("%dag name lst") == "DAG lst: 1 task cell"


def test_a_cell_that_cannot_be_a_task_leaves_the_earlier_one(shell: Shell) -> None:
    shell.cell("%%task load\nrows = [1]")
    with pytest.raises(CellSyntax):
        shell.cell("%%task load\nrows = [")
    assert current_dag().get_task("load") is not None


def test_a_value_of_a_plain_cell_that_a_cell_builds_on_is_given_to_it(shell: Shell) -> None:
    shell.cell("count = 5\ntext = '{{ ds }}'")
    shell.cell("%%task load --returns count,text\ncount = count + 1\ntext += '!'")
    task = current_dag().get_task("load")
    assert task.op_kwargs["count"] == 5  # type: ignore[attr-defined]
    assert repr(task.op_kwargs["text"]) == "literal('{{ ds }}')"  # type: ignore[attr-defined]
