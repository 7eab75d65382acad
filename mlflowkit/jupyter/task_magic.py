"""`%%task [NAME] [OPTIONS]`: the cell becomes a task. It is registered, not run."""

from __future__ import annotations

import ast
import sys
from typing import Any

from mlflowkit import preflight
from mlflowkit.authoring.cell_names import CellNames, names_of
from mlflowkit.authoring.cell_source import tree_of
from mlflowkit.authoring.cell_task import CellTask
from mlflowkit.authoring.ids import checked_id
from mlflowkit.errors import BadMagic, CellError, NoTaskCells
from mlflowkit.jupyter.cell_dag import CellDag
from mlflowkit.jupyter.options import TASK_WORDS, read_line
from mlflowkit.jupyter.session import session
from mlflowkit.jupyter.wiring import TaskCell

_OWN = {"run": False, "help": False, "returns": True, "after": True}
HELP = """\
%%task [NAME] [OPTIONS]
Make the cell a task of this notebook's DAG. The cell is registered, not run; `%dag run` runs it.

  NAME                what the task is called; else the first name that the cell assigns
  --run               also run the cell here, as a plain cell
  --returns a,b       give out these names, too, although no task cell reads them
  --after x,y         wait for these tasks, although nothing is taken from them
  --retries 2 --retry-delay 30s --pool gpu --trigger-rule all_done --execution-timeout 1h …
                      any option of a task

What the cell reads and another task cell assigns is its input. What it assigns and others read
is its output. Functions, classes, constants and imports of plain cells travel with it."""


def task_magic(line: str, cell: str | None = None) -> None:
    """`%%task`."""
    given = read_line("%%task", line, TASK_WORDS, _OWN)
    if "help" in given.own or cell is None:
        print(HELP)  # noqa: T201 - asked for in a cell
        return
    shell = _shell()
    preflight.make_ready()  # it is there when the DAG is run
    made = _cell(line, cell, given.words, given.options, given.own, shell)
    dag, before = session().take(made)
    print(_told(dag, made, before))  # noqa: T201 - said to whoever ran the cell
    if "run" in given.own:
        run_here(shell, made)


def _cell(
    line: str, body: str, words: list[str], options: Any, own: dict[str, str], shell: Any
) -> TaskCell:
    if len(words) > 1:
        raise BadMagic(f"%%task {line}", f"one name, not {len(words)}: {' '.join(words)}")
    wanted = words[0] if words else ""
    tree = tree_of(wanted or "of this cell", body, first_line=1)
    names = names_of(tree)
    task_id = checked_id("task", "task_id", wanted or _first_name(line, names))
    CellTask(task_id, python_callable=_nothing, **options)  # are the options good?
    header: dict[str, Any] = getattr(shell, "parent_header", None) or {}
    return TaskCell(
        task_id=task_id,
        body=body,
        tree=tree,
        names=names,
        magic=f"%%task {line}".rstrip(),
        options=options,
        returns=_listed(own.get("returns", "")),
        after=_listed(own.get("after", "")),
        number=max(len(session().names.get("In", ())) - 1, 0),
        cell_id=str(header.get("metadata", {}).get("cellId", "")),
    )


def _nothing() -> None: ...


def _first_name(line: str, names: CellNames) -> str:
    found = [n for n in names.assigns if not n.startswith("_")]
    if not found:
        why = "the cell assigns no name that it could be called by: write %%task NAME"
        raise BadMagic(f"%%task {line}", why)
    return min(found, key=lambda n: names.assigns[n])


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _told(dag: CellDag, cell: TaskCell, before: str) -> str:
    was = f" (was {before})" if before else ""
    head = f"task {cell.task_id}{was} of DAG {dag.dag_id}"
    try:
        one = next(w for w in dag.wiring() if w.cell is cell)
    except NoTaskCells:
        return head
    except CellError as exc:
        return f"{head}: registered, but the DAG cannot run yet. {exc}"
    takes = [f"{n} from {t}" for n, t in one.inputs.items()]
    takes += [f"{n} (parameter)" for n in one.params]
    gives = [n for n in cell.names.assigns if not n.startswith("_")]
    parts = [f"takes {', '.join(takes)}"] if takes else []
    parts += [f"assigns {', '.join(gives)}"] if gives else []
    return f"{head}: {'; '.join(parts)}" if parts else head


def run_here(shell: Any, cell: TaskCell) -> None:
    """Run the code of a cell in the notebook, as a plain cell."""
    if shell is None:
        raise BadMagic(cell.magic, "--run works in a notebook")
    names = session().names
    body = list(cell.tree.body)
    file = shell.compile.cache(cell.text, cell.number)
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), file, "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), file, "eval"), names)
        if value is not None:
            from IPython.display import display

            show: Any = display
            show(value)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
