"""A task runs the function that it was given, whatever its name means elsewhere or later."""

from __future__ import annotations

import json
from zipfile import ZipFile

import pytest

from mlflowkit import DAG, task
from mlflowkit.authoring.redefined import defined_once
from mlflowkit.errors import BadOption
from tests.authoring.conftest import OPEN, Project, told
from tests.authoring.test_bundle import HEAD

LOOP = """
with DAG("d") as d:
    for i in range(3):
        def f(i=i):
            return i
        PythonOperator(task_id=f"t{i}", python_callable=f)
"""
WRAPPED = """
import functools
def twice(f):
    @functools.wraps(f)
    def inner():
        return f() * 2
    return inner
def times(n):
    def around(f):
        @functools.wraps(f)
        def inner():
            return f() * n
        return inner
    return around
def base():
    return 5
@times(3)
def other():
    return 7
wrapped, again = twice(base), times(10)(other)
with DAG("d") as d:
    PythonOperator(task_id="t0", python_callable=wrapped)
    PythonOperator(task_id="t1", python_callable=base)
    PythonOperator(task_id="t2", python_callable=again)
    PythonOperator(task_id="t3", python_callable=other)
"""
TWICE = """
@task(task_id="t0")
def load():
    return "first"
early = load
with DAG("e") as e:
    load()
@task(task_id="t1")
def load():
    return "second"
with DAG("d") as d:
    early(); load()
"""
CLASSES = """
with DAG("d") as d:
    for i in range(2):
        class Own(BaseOperator):
            n = i
            def execute(self, context):
                return self.n
        Own(task_id=f"t{i}")
"""
CASES = [
    (LOOP, [0, 1, 2]),
    (WRAPPED, [10, 5, 210, 21]),
    (TWICE, ["first", "second"]),
    (CLASSES, [0, 1]),
]
#: Loads a pipeline file twice, as a scheduler does, and stores the DAG of the first time.
LOAD = """
import json, pathlib, sys
from mlflowkit.authoring.bundle import make_bundle
from mlflowkit.authoring.loader import load_dag
first = load_dag(sys.argv[1], "d")
load_dag(sys.argv[1], "d")
made = make_bundle(first, pathlib.Path(sys.argv[2]))
print("BUNDLE", json.dumps([made.id, list(made.notes)]))
"""


@pytest.mark.parametrize(("text", "values"), CASES)
def test_in_a_script_each_task_runs_its_own_function(
    project: Project, text: str, values: list[object]
) -> None:
    bundle, notes = project.store(HEAD + text)
    found = [project.execute(bundle, f"t{n}") for n in range(len(values))]
    assert (found, notes) == (values, [])


@pytest.mark.parametrize(("text", "values"), CASES)
def test_in_a_pipeline_file_each_task_runs_its_own_function(
    project: Project, text: str, values: list[object]
) -> None:
    path = project.write("pipe.py", HEAD + text)
    done = project.python("-c", LOAD, str(path), str(project.home))
    bundle, notes = told(done.stdout, "BUNDLE")
    found = [project.execute(bundle, f"t{n}") for n in range(len(values))]
    assert (found, notes) == (values, [])


def test_the_dag_of_an_earlier_script_section_keeps_its_function(project: Project) -> None:
    bundle, notes = project.store(HEAD + TWICE + "d = e\n")
    assert (project.execute(bundle, "t0"), notes) == ("first", [])


def test_a_reloaded_module_gives_its_new_function_to_who_imported_the_old_one(
    project: Project,
) -> None:
    project.write("steps.py", "def deco(f): return f\ndef give():\n    return 'old'\n")
    bundle, _ = project.store(
        HEAD
        + "import importlib, pathlib, steps\nfrom steps import give\n"
        + "pathlib.Path('steps.py').write_text('def give():\\n    return \"newer\"\\n')\n"
        + "importlib.reload(steps)\n"
        + "with DAG('d') as d:\n    PythonOperator(task_id='t', python_callable=give)\n"
    )
    assert project.execute(bundle, "t") == "newer"


@pytest.mark.parametrize(
    ("source", "name", "once"),
    [
        ("def f(): ...", "f", True),
        ("class A:\n    def f(self): ...", "A.f", True),
        ("try:\n    from a import f\nexcept ImportError:\n    def f(): ...", "f", True),
        ("if x:\n    def f(): ...\nelse:\n    def f(): ...", "f", True),
        ("for i in x:\n    def f(): ...", "f", False),
        ("def f(): ...\nf = wrap(f)", "f", False),
        ("def f(): ...\ndef f(): ...", "f", False),
        ("def g(): ...", "f", False),
    ],
)
def test_a_name_is_defined_once_or_it_says_nothing(
    source: str, name: str, once: bool
) -> None:
    assert defined_once(source.encode(), name) is once


def test_a_module_named_like_one_of_python_s_own_travels(project: Project) -> None:
    project.write("profile.py", "def rows():\n    return 'mine'\n")
    bundle, _ = project.store(
        HEAD
        + "import profile\n@task\ndef work():\n    return profile.rows()\n"
        + "with DAG('d') as d:\n    work()\n"
    )
    facts = json.loads((project.home / "bundles" / bundle / "bundle.json").read_text())
    assert list(facts["modules"]) == ["profile"]
    (project.folder / "profile.py").unlink()
    assert project.execute(bundle, "work") == "mine"
    folder = str(project.home / "bundles" / bundle)
    loaded = project.python("-c", f"import profile\n{OPEN}", folder, "work", "{}")
    assert told(loaded.stdout, "VALUE") == "mine"  # where Python's own was loaded before


def test_a_module_in_an_archive_is_imported_from_there(project: Project) -> None:
    with ZipFile(project.folder / "lib.zip", "w") as archive:
        archive.writestr("zipped.py", "def word():\n    return 'from the archive'\n")
    path = str(project.folder / "lib.zip")
    bundle, _ = project.store(
        HEAD
        + f"import sys\nsys.path.insert(0, {path!r})\nimport zipped\n"
        + "@task\ndef work():\n    return zipped.word()\n"
        + "with DAG('d') as d:\n    work()\n"
    )
    facts = json.loads((project.home / "bundles" / bundle / "bundle.json").read_text())
    assert (list(facts["modules"]), "zipped" in facts["imports"]) == ([], True)


def test_mapping_over_a_mapped_task_counts_its_instances() -> None:
    @task
    def f(x: int) -> int:
        return x

    @task
    def g(y: int) -> int:
        return y

    with DAG("d") as d:
        g.expand(y=f.expand(x=[0, 1, 2]))
    assert [t.expanded_keys for t in d.spec().tasks.values()] == [(), ()]
    assert d.test().result("g") == [0, 1, 2]


def test_ids_have_at_most_200_bytes() -> None:
    assert DAG("ä" * 100).dag_id == "ä" * 100
    with pytest.raises(BadOption, match="is 202 bytes long in UTF-8; it names files"):
        DAG("ä" * 101)
    with pytest.raises(BadOption, match="is 201 bytes long in UTF-8"), DAG("d"):
        task(task_id="x" * 201)(lambda: None)()
