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
