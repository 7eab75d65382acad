"""Tasks that are written in cells: what was run last is what runs."""

from __future__ import annotations

import json
from textwrap import dedent

from tests.authoring.conftest import Project, told

CELLS = """
import json, pathlib, sys
from IPython.core.interactiveshell import InteractiveShell
from mlflowkit.authoring.bundle import make_bundle
shell = InteractiveShell.instance()
shell.user_module.__name__ = "__main__"
sys.modules["__main__"] = shell.user_module
told = []
for cell in json.loads(sys.argv[2]):
    if cell == "BUNDLE":
        made = make_bundle(shell.user_ns["d"], pathlib.Path(sys.argv[1]))
        told.append([made.id, list(made.notes)])
    else:
        result = shell.run_cell(cell)
        result.raise_error()
print("CELLS", json.dumps(told))
"""


def bundles(project: Project, *cells: str) -> list[tuple[str, list[str]]]:
    """Run cells in one session; gives id and notes of the bundle for each "BUNDLE"."""
    texts = json.dumps([dedent(cell) for cell in cells])
    done = project.python("-c", CELLS, str(project.home), texts)
    return [(one, notes) for one, notes in told(done.stdout, "CELLS")]


IMPORT = "from mlflowkit import dag, task"
LOAD = "@task\ndef load():\n    return VALUE + OFFSET\n"
PIPE = "OFFSET = 1\n@dag\ndef pipe():\n    load()\nd = pipe()\n"


def test_functions_and_classes_of_cells_run_in_another_process(project: Project) -> None:
    box = "class Box:\n    def __init__(self, n): self.n = n\nVALUE = Box(2).n\n"
    ((bundle, notes),) = bundles(project, IMPORT, box, LOAD, PIPE, "BUNDLE")
    assert (project.execute(bundle, "load"), notes) == (3, [])


def test_running_only_the_cell_of_a_task_again_runs_the_new_code_and_says_so(
    project: Project,
) -> None:
    newer = LOAD.replace("VALUE + OFFSET", "VALUE * 100")
    (first, none), (second, notes) = bundles(
        project, IMPORT, "VALUE = 2", LOAD, PIPE, "BUNDLE", newer, "BUNDLE"
    )
    assert (project.execute(first, "load"), none) == (3, [])
    assert project.execute(second, "load") == 200
    assert notes == ["task 'load': runs the newer definition of load()"]


def test_running_the_same_cell_again_changes_nothing(project: Project) -> None:
    first, second = bundles(
        project, IMPORT, "VALUE = 2", LOAD, PIPE, "BUNDLE", LOAD, "BUNDLE"
    )
    assert first == second


def test_a_global_and_a_helper_that_changed_in_a_cell_take_effect(project: Project) -> None:
    helper = "def helper():\n    return 1\nVALUE = 2\n"
    load = "@task\ndef load():\n    return VALUE + helper()\n"
    newer = helper.replace("return 1", "return 50")
    found = bundles(
        project,
        IMPORT,
        helper,
        load,
        PIPE,
        "BUNDLE",
        "VALUE = 5",
        "BUNDLE",
        newer,
        "BUNDLE",
    )
    assert [project.execute(bundle, "load") for bundle, _ in found] == [3, 6, 52]


def test_the_same_cells_have_the_same_id_in_every_session(project: Project) -> None:
    cells = (IMPORT, "VALUE = {'a', 'b', 'c'}\nOFFSET = 1", LOAD, PIPE, "BUNDLE")
    assert bundles(project, *cells) == bundles(project, *cells)


def test_a_name_that_is_no_longer_a_function_leaves_the_task_as_it_was(
    project: Project,
) -> None:
    ((bundle, notes),) = bundles(
        project, IMPORT, "VALUE = 2", LOAD, PIPE, "load = 'a text now'", "BUNDLE"
    )
    assert (project.execute(bundle, "load"), notes) == (3, [])


CLASSIC = (
    "from mlflowkit import DAG, BaseOperator, PythonOperator, task\nimport functools\n"
)


def test_a_new_definition_reaches_partials_methods_and_operators_that_were_made_before(
    project: Project,
) -> None:
    code = """
    def add(a, b):
        return a + b
    class Box:
        def __init__(self, n): self.n = n
        def size(self): return self.n + 1
    class Own(BaseOperator):
        def __init__(self, word, **options):
            super().__init__(**options)
            self.word = word
        def execute(self, context): return self.word + "1"
    """
    pipe = """
    with DAG("d") as d:
        PythonOperator(task_id="partial", python_callable=functools.partial(add, 1, b=2))
        PythonOperator(task_id="method", python_callable=Box(4).size)
        Own(task_id="own", word="w")
        Own.partial(task_id="many").expand(word=["a"])
    """
    newer = code.replace("a + b", "a * b * 10").replace("+ 1", "+ 2").replace('"1"', '"2"')
    (first, none), (second, notes) = bundles(
        project, CLASSIC, code, pipe, "BUNDLE", newer, "BUNDLE"
    )
    names = ("partial", "method", "own")
    assert [project.execute(first, name) for name in names] == [3, 5, "w1"]
    assert [project.execute(second, name) for name in names] == [20, 6, "w2"]
    assert (none, notes) == (
        [],
        [
            "task 'partial': runs the newer definition of add()",
            "task 'method': runs the newer definition of Box",
            "task 'own': runs the newer definition of Own",
            "task 'many': runs the newer definition of Own",
        ],
    )


def test_a_plain_function_and_one_under_a_decorator_are_renewed_by_their_cell(
    project: Project,
) -> None:
    deco = """
    def twice(f):
        @functools.wraps(f)
        def inner():
            return f() * 2
        return inner
    """
    code = "@twice\ndef one():\n    return 1\ndef two():\n    return 2\n"
    pipe = """
    d = DAG("d")
    PythonOperator(task_id="one", python_callable=one, dag=d)
    PythonOperator(task_id="two", python_callable=two, dag=d)
    """
    newer = code.replace("return ", "return 10 + ")
    bare = "def one():\n    return 100\n"
    (first, _), (second, notes), (third, _) = bundles(
        project,
        *(CLASSIC, deco, code, pipe, "BUNDLE", newer, "BUNDLE", bare, "BUNDLE"),
    )
    found = [
        [project.execute(bundle, name) for name in ("one", "two")]
        for bundle in (first, second, third)
    ]
    assert found == [[2, 2], [22, 12], [100, 12]]
    assert notes == [
        "task 'one': runs the newer definition of one()",
        "task 'two': runs the newer definition of two()",
    ]


def test_two_cells_with_one_name_in_one_dag_keep_both_functions(project: Project) -> None:
    first = (
        "with DAG('d') as d:\n    @task\n    def load():\n        return 'a'\n    load()\n"
    )
    second = "with d:\n    @task\n    def load():\n        return 'b'\n    load()\n"
    ((bundle, notes),) = bundles(project, CLASSIC, first, second, "BUNDLE")
    found = [project.execute(bundle, name) for name in ("load", "load__1")]
    assert (found, notes) == (["a", "b"], [])


def test_an_object_that_cannot_become_one_of_the_newer_class_stays_and_says_so(
    project: Project,
) -> None:
    code = """
    class Box:
        __slots__ = ("n",)
        def __init__(self, n): self.n = n
        def size(self): return self.n + 1
    """
    pipe = """
    with DAG("d") as d:
        PythonOperator(task_id="method", python_callable=Box(4).size)
    """
    newer = code.replace('("n",)', '("n", "m")')
    ((bundle, notes),) = bundles(project, CLASSIC, code, pipe, newer, "BUNDLE")
    assert project.execute(bundle, "method") == 5
    assert notes == [
        "task 'method': keeps the older definition of Box: its object cannot become a newer "
        "one; make the task again"
    ]


def test_under_autoreload_an_edited_module_gives_its_new_functions(
    project: Project,
) -> None:
    project.write(
        "steps.py",
        """
        import functools
        def deco(f):
            @functools.wraps(f)
            def inner():
                return f()
            return inner
        def plain():
            return "old"
        @deco
        def wrapped():
            return "old"
        """,
    )
    pipe = """
    from steps import plain, wrapped
    with DAG("d") as d:
        PythonOperator(task_id="plain", python_callable=plain)
        PythonOperator(task_id="wrapped", python_callable=wrapped)
    """
    edit = """
    import os, pathlib
    path = pathlib.Path("steps.py")
    path.write_text(path.read_text().replace("old", "newer"))
    os.utime(path, (2e9, 2e9))
    """
    look = "import steps\nassert steps.plain() == 'newer'\n"
    path = f"import sys\nsys.path.insert(0, {str(project.folder)!r})\n"
    auto = ("%load_ext autoreload", "%autoreload 2")
    ((bundle, _),) = bundles(project, CLASSIC, path, *auto, pipe, edit, look, "BUNDLE")
    found = [project.execute(bundle, name) for name in ("plain", "wrapped")]
    assert found == ["newer", "newer"]
