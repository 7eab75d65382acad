"""Bundles: what a worker runs is the code that a person sees now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflowkit import DAG, task
from mlflowkit.authoring.bundle import make_bundle
from mlflowkit.authoring.open_bundle import imports_of
from mlflowkit.errors import BundleBroken, CannotTravel, CapturedTooLarge
from tests.authoring.conftest import Project

HEAD = "from mlflowkit import DAG, dag, task, PythonOperator, BaseOperator\n"
SIMPLE = """
from mlflowkit import dag, task
FACTOR = 3
def helper(x):
    return x * FACTOR
@task
def work(x: int = 2) -> int:
    return helper(x)
@dag
def pipe():
    work()
d = pipe()
"""


def test_a_script_s_functions_run_in_another_process(project: Project) -> None:
    bundle, notes = project.store(SIMPLE)
    assert (project.execute(bundle, "work"), notes) == (6, [])


def test_the_same_code_has_the_same_id_in_every_process(project: Project) -> None:
    assert project.store(SIMPLE) == project.store(SIMPLE)
    assert len(list((project.home / "bundles").iterdir())) == 1


def test_sets_and_objects_hash_the_same_in_every_process(project: Project) -> None:
    text = HEAD + (
        "import datetime, collections, dataclasses, enum\n"
        "class Kind(enum.Enum):\n    A = 'a'\n    B = 'b'\n"
        "@dataclasses.dataclass\nclass Row:\n    kind: Kind\n    names: set\n"
        "ROW = Row(Kind.B, {'x', 'y', 'z', 'longer', 'names', ('in', 'a', 'tuple')})\n"
        "WHEN = datetime.datetime(2026, 1, 1)\n"
        "COUNT = collections.Counter('hello')\n"
        "@task\ndef work():\n"
        "    return [ROW.kind.value, len(ROW.names), WHEN.year, COUNT['l'],"
        " 'x' in {'x', 'y', 'q'}]\n"
        "with DAG('d') as d:\n    work()\n"
    )
    first, second = project.store(text), project.store(text)
    assert first == second
    assert project.execute(first[0], "work") == ["b", 6, 2026, 2, True]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("FACTOR = 3", "FACTOR = 4", 8),
        ("x * FACTOR", "x + FACTOR", 5),
        ("x: int = 2", "x: int = 5", 15),
        ("return helper(x)", "return helper(x) + 1", 7),
    ],
)
def test_every_change_of_what_a_task_uses_gives_a_new_bundle(
    project: Project, old: str, new: str, value: int
) -> None:
    before, _ = project.store(SIMPLE)
    after, _ = project.store(SIMPLE.replace(old, new))
    assert after != before
    assert project.execute(after, "work") == value


def test_a_comment_that_moves_lines_changes_the_bundle_and_no_fingerprint(
    project: Project,
) -> None:
    first, _ = project.store(SIMPLE)
    second, _ = project.store("# a remark\n" + SIMPLE)
    prints = [
        json.loads((project.home / "bundles" / one / "bundle.json").read_text())["spec"][
            "tasks"
        ]["work"]["fingerprint"]
        for one in (first, second)
    ]
    assert first != second
    assert prints[0] == prints[1]


def test_an_edited_local_module_is_in_the_next_bundle_without_a_reload(
    project: Project,
) -> None:
    project.write("helper.py", "VALUE = 'old'\ndef give():\n    return VALUE\n")
    text = HEAD + (
        "import helper, pathlib\nfrom mlflowkit.authoring.bundle import make_bundle\n"
        "@task\ndef by_module():\n    return helper.give()\n"
        "from helper import give\n"
        "@task\ndef by_name():\n    return give()\n"
        "@task\ndef inside():\n    from helper import give as inner\n    return inner()\n"
        "with DAG('d') as d:\n    by_module(); by_name(); inside()\n"
        f"first = make_bundle(d, pathlib.Path({str(project.home)!r})).id\n"
        "print('BUNDLE', '[\"' + first + '\", []]')\n"
        "pathlib.Path('helper.py').write_text("
        "\"VALUE = 'new one'\\ndef give():\\n    return VALUE\\n\")\n"
    )
    second, _ = project.store(text)
    (first,) = {p.name for p in (project.home / "bundles").iterdir()} - {second}
    names = ("by_module", "by_name", "inside")
    assert [project.execute(first, name) for name in names] == ["old"] * 3
    assert [project.execute(second, name) for name in names] == ["new one"] * 3


def test_packages_relative_imports_and_namespace_packages_travel(project: Project) -> None:
    project.write("pkg/__init__.py", "from .one import A\n")
    project.write("pkg/one.py", "from . import two\nA = two.B + 1\n")
    project.write("pkg/two.py", "import os\nB = 41\nFILE = os.path.basename(__file__)\n")
    project.write("space/inner.py", "def f():\n    import lazy\n    return lazy.X\n")
    project.write("lazy.py", "X = 'late'\n")
    bundle, _ = project.store(
        HEAD
        + "import pkg\nfrom space import inner\n"
        + "@task\ndef work():\n    return [pkg.A, pkg.two.FILE, inner.f()]\n"
        + "with DAG('d') as d:\n    work()\n"
    )
    for name in (
        "pkg/__init__.py",
        "pkg/one.py",
        "pkg/two.py",
        "lazy.py",
        "space/inner.py",
    ):
        (project.folder / name).unlink()
    assert project.execute(bundle, "work") == [42, "two.py", "late"]


def test_tasks_of_a_local_module_and_their_decorators_travel_by_name(
    project: Project,
) -> None:
    project.write(
        "steps.py",
        """
        import functools
        from mlflowkit import task
        def twice(f):
            @functools.wraps(f)
            def inner(*args):
                return f(*args) * 2
            return inner
        SEEN = []
        @task
        @twice
        def work(x):
            SEEN.append(x)
            return len(SEEN) + x
        """,
    )
    bundle, _ = project.store(
        HEAD + "import steps\nwith DAG('d') as d:\n    steps.work(4)\n"
    )
    project.write("steps.py", "raise SystemExit('the file on disk is not used')\n")
    assert project.execute(bundle, "work") == 10


def test_lambdas_recursion_closures_classes_and_cached_functions_travel(
    project: Project,
) -> None:
    bundle, _ = project.store(
        HEAD
        + """
import functools, abc, math
def even(n): return True if n == 0 else odd(n - 1)
def odd(n): return False if n == 0 else even(n - 1)
def adder(n):
    return lambda x: x + n
ADD = adder(5)
@functools.lru_cache(maxsize=None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
class Base(abc.ABC):
    @abc.abstractmethod
    def size(self): ...
class Box(Base):
    __slots__ = ("n",)
    def __init__(self, n): self.n = n
    @property
    def double(self): return self.n * 2
    def size(self): return self.double + 1
    @classmethod
    def make(cls, n): return cls(n)
    @staticmethod
    def zero(): return 0
BOX = Box(3)
class Own(BaseOperator):
    def __init__(self, word, **options):
        super().__init__(**options)
        self.word = word
    def execute(self, context):
        return [self.word, math.sqrt(16)]
@task
def work():
    return [even(10), ADD(1), fib(20), BOX.size(), Box.make(1).size(), Box.zero()]
with DAG("d") as d:
    work()
    PythonOperator(task_id="lam", python_callable=lambda x: x + 1, op_args=[1])
    PythonOperator(task_id="bound", python_callable=BOX.size)
    Own(task_id="own", word="hi")
"""
    )
    assert project.execute(bundle, "work") == [True, 6, 6765, 7, 3, 0]
    found = [project.execute(bundle, name) for name in ("lam", "bound", "own")]
    assert found == [2, 7, ["hi", 4.0]]


def test_values_of_other_tasks_and_parameters_are_put_in(project: Project) -> None:
    bundle, _ = project.store(
        HEAD
        + """
@task
def load(n): return n
@task
def show(rows, *, deep): return [rows, deep]
@dag
def pipe(n: int = 3):
    show(load(n), deep={"n": [n, (load(4), 5)]})
d = pipe()
"""
    )
    value = project.execute(bundle, "show", n=9, load=[1], load__1="four")
    assert value == [[1], {"n": [9, ["four", 5]]}]


def test_the_lines_of_a_script_are_shown_in_tracebacks_of_the_worker(
    project: Project,
) -> None:
    bundle, _ = project.store(
        HEAD + "@task\ndef work():\n    raise ValueError('no rows here')\n"
        "with DAG('d') as d:\n    work()\n"
    )
    (project.folder / "main.py").unlink()
    code = (
        "from mlflowkit.authoring.open_bundle import open_bundle\nimport traceback\n"
        f"bundle = open_bundle({str(project.home / 'bundles' / bundle)!r})\n"
        "try:\n    bundle.operator('work').execute({})\n"
        "except ValueError:\n    traceback.print_exc()\n"
    )
    assert "    raise ValueError('no rows here')" in project.python("-c", code).stderr


def test_a_large_captured_global_is_refused_and_as_argument_it_travels(
    tmp_path: Path,
) -> None:
    big = bytes(10_000_001)

    @task
    def work(data: object = None) -> int:
        return len(big) if data is None else len(bytes(data))  # type: ignore[call-overload]

    with DAG("d") as dag:
        work()
    with pytest.raises(CapturedTooLarge) as caught:
        make_bundle(dag, tmp_path)
    assert str(caught.value) == (
        "task 'work' uses the global big, a bytes of 10.0 MB; more than 10 MB do not travel "
        "with a task's code. Pass it as an argument: work(big)."
    )

    @task
    def other(data: bytes) -> int:
        return len(data)

    with DAG("d") as dag:
        other(big)
    assert make_bundle(dag, tmp_path).folder.is_dir()


@pytest.mark.parametrize(
    ("expression", "kind", "reason"),
    [
        ("threading.Lock()", "_thread.lock", "a lock holds only in its process"),
        ("open(__file__)", "_io.TextIOWrapper", "an open file cannot be sent"),
        ("socket.socket()", "socket.socket", "an open socket cannot be sent"),
        ("(x for x in [1])", "generator", "a generator cannot be stopped"),
        ("{'deep': [threading.Lock()]}", "_thread.lock", "a lock holds"),
    ],
)
def test_what_cannot_travel_is_named_with_its_task_and_type(
    project: Project, expression: str, kind: str, reason: str
) -> None:
    path = project.write(
        "main.py",
        HEAD
        + f"import threading, socket, pathlib\nTHING = {expression}\n"
        + "def helper():\n    return THING\n@task\ndef work():\n    return helper()\n"
        + "with DAG('d') as d:\n    work()\n"
        + "from mlflowkit.authoring.bundle import make_bundle\n"
        + "make_bundle(d, pathlib.Path('home'))\n",
    )
    said = project.python(str(path), check=False).stderr.splitlines()[-1]
    assert said.startswith("mlflowkit.errors.CannotTravel: task 'work' uses helper, THING")
    assert f"a {kind}, which cannot travel" in said
    assert reason in said
    assert f"(see helper() at {path}:4)" in said
    assert not (project.folder / "home").exists()


def test_a_name_that_nothing_defines_is_an_error_before_the_run(project: Project) -> None:
    path = project.write(
        "main.py",
        HEAD
        + "rows = [1]\ndef helper():\n    return row\n@task\ndef work():\n    return helper()\n"
        + "with DAG('d') as d:\n    work()\n"
        + "import pathlib\nfrom mlflowkit.authoring.bundle import make_bundle\n"
        + "make_bundle(d, pathlib.Path('home'))\n",
    )
    assert project.python(str(path), check=False).stderr.splitlines()[-1] == (
        "mlflowkit.errors.UndefinedName: task 'work' uses 'row' (in helper()), which is not "
        "defined. Did you mean 'rows'? Define it, or run the cell that does, before the run."
    )
    assert not (project.folder / "home").exists()


def test_a_name_that_the_code_itself_defines_is_none_that_is_missing(
    project: Project,
) -> None:
    path = project.write(
        "main.py",
        HEAD
        + "def fill():\n    global filled\n    filled = 3\n@task\ndef work():\n"
        + "    global late\n    late = 4\n    return late\nwith DAG('d') as d:\n    work()\n"
        + "import pathlib\nfrom mlflowkit.authoring.bundle import make_bundle\n"
        + "make_bundle(d, pathlib.Path('home'))\n",
    )
    project.python(str(path))


def test_a_changed_argument_or_option_of_a_task_changes_the_bundle(tmp_path: Path) -> None:
    @task
    def work(x: object) -> object:
        return x

    def id_of(value: object, **options: object) -> str:
        with DAG("d") as dag:
            work.override(**options)(value)
        return make_bundle(dag, tmp_path).id

    ids = [
        id_of(1),
        id_of(2),
        id_of([1]),
        id_of((1,)),
        id_of({"a": 1}),
        id_of(1, retries=1),
    ]
    assert len(set(ids)) == len(ids)
    assert id_of({"a": {1, 2}}) == id_of({"a": {2, 1}})


def test_arrays_and_data_frames_as_arguments_are_part_of_the_id(tmp_path: Path) -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")

    @task
    def work(x: object) -> object:
        return x

    def id_of(value: object) -> str:
        with DAG("d") as dag:
            work(value)
        return make_bundle(dag, tmp_path).id

    values = [np.zeros(3), np.zeros(4), np.zeros(3, int), pd.DataFrame({"a": [1, 2]})]
    again = [np.zeros(3), np.zeros(4), np.zeros(3, int), pd.DataFrame({"a": [1, 2]})]
    ids = [id_of(value) for value in values]
    assert ids == [id_of(value) for value in again]
    assert len(set(ids)) == 4


def test_tensors_and_networks_hash_by_their_content(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    @task
    def work(x: object) -> object:
        return x

    def id_of(value: object) -> str:
        with DAG("d") as dag:
            work(value)
        return make_bundle(dag, tmp_path).id

    def network(seed: int) -> object:
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))

    assert id_of(torch.ones(2)) == id_of(torch.ones(2))
    assert id_of(torch.ones(2)) != id_of(torch.zeros(2))
    assert id_of(torch.ones(2, dtype=torch.bfloat16)) != id_of(torch.ones(2))
    assert id_of(network(1)) == id_of(network(1)) != id_of(network(2))


def test_the_installed_modules_that_tasks_import_are_listed(project: Project) -> None:
    project.write("helper.py", "import yaml\ndef f():\n    from jinja2 import Template\n")
    bundle, _ = project.store(
        HEAD
        + "import json, helper\n@task\ndef work():\n    import httpx\n    helper.f()\n"
        + "with DAG('d') as d:\n    work()\n"
    )
    found = imports_of(project.home / "bundles" / bundle)
    assert {"httpx", "jinja2", "yaml"} <= set(found)
    assert "json" not in found


def test_a_missing_or_damaged_bundle_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleBroken, match=r"cannot be opened: .*No such file"):
        imports_of(tmp_path / "gone")
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(BundleBroken, match="Run the DAG again"):
        imports_of(tmp_path)


def test_nothing_is_stored_when_a_task_cannot_travel(tmp_path: Path) -> None:
    with DAG("d") as dag:
        task(lambda rows: rows)(x for x in [1])
    with pytest.raises(CannotTravel, match="a generator"):
        make_bundle(dag, tmp_path)
    assert list(tmp_path.iterdir()) == []
