"""Errors of task cells: cells of a notebook that are tasks of a DAG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlflowkit.errors.base import listing, suggest
from mlflowkit.errors.graph import GraphError


class CellError(GraphError):
    """A cell, or a section of a notebook, that cannot be a task as it is."""

    code = "cell"

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the sentence. It is about cells, which it names itself."""
        return [f"{type(self).__name__}: {self}", *getattr(self, "__notes__", ())]


def shown_cell(label: str, source: str, line: int = 0) -> str:
    """A cell as a person finds it again: its name, and its lines around `line` (from 1)."""
    lines = source.rstrip().splitlines()
    first = max(min(line - 3, len(lines) - 5), 0)
    shown = lines[first : first + 5]
    marks = [
        f"  {'>' if n == line else ' '} {n:>3} | {text}"
        for n, text in enumerate(shown, start=first + 1)
    ]
    more = ["        …"] if first + 5 < len(lines) else []
    return "\n".join([label, *marks, *more])


class AmbiguousName(CellError):
    """Several task cells assign, define or import a name that another one reads."""

    code = "ambiguous_name"

    def __init__(
        self, name: str, reader: str, makers: Iterable[str], cells: Sequence[str]
    ) -> None:
        self.name, self.reader, self.makers = name, reader, tuple(makers)
        super().__init__(
            f"task {reader!r} reads {name!r}, which {len(self.makers)} others assign: "
            f"{' and '.join(self.makers)}. Which one is meant? Give the name that one of them "
            "assigns another name, and read that.\n" + "\n".join(cells)
        )


class ChangedInPlace(CellError):
    """A task cell changes in place what another task made, or what another one reads, too."""

    code = "changed_in_place"

    def __init__(
        self, name: str, task: str, maker: str, line: int, text: str, made: str
    ) -> None:
        self.name, self.task, self.maker, self.line = name, task, maker, line
        super().__init__(
            f"task {task!r} changes {name!r} in place (line {line}: {text}), which "
            f"{made}. Each task runs in a process of its own with its own copy, so "
            f"nobody else would see the change. Make a new value under a new name first, "
            f"as in `{name}_2 = copy.copy({name})`, and change that."
        )


class NotForTaskCells(CellError):
    """A task cell has something that means nothing in a task."""

    code = "not_for_task_cells"

    def __init__(self, task: str, line: int, text: str, why: str) -> None:
        self.task, self.line, self.text, self.why = task, line, text, why
        super().__init__(f"task {task!r}, line {line}: {text.strip()!r} {why}.")


class CellSyntax(CellError):
    """A task cell is no Python."""

    code = "cell_syntax"

    def __init__(self, task: str, line: int, text: str, problem: str) -> None:
        self.task, self.line, self.text = task, line, text
        super().__init__(f"task {task!r}, line {line}: {problem}: {text.strip()!r}.")


class NotDefined(CellError):
    """A task cell reads a name that no cell has defined."""

    code = "not_defined"

    def __init__(
        self, name: str, task: str, line: int, known: Iterable[str], where: str
    ) -> None:
        self.name, self.task, self.line, self.where = name, task, line, where
        todo = where or (
            "Assign it in a task cell, define it in a plain cell and run that, or make it a "
            f"parameter: %dag NAME -p {name}=…"
        )
        super().__init__(
            f"task {task!r} reads {name!r} (line {line}), which is not defined."
            f"{suggest(name, known)} {todo}"
        )


class DefinedInTask(CellError):
    """A function or class is defined in a task cell and used by other code."""

    code = "defined_in_task"

    def __init__(self, name: str, maker: str, reader: str) -> None:
        self.name, self.maker, self.reader = name, maker, reader
        super().__init__(
            f"{reader} uses {name!r}, which is defined in the task cell {maker!r}: functions "
            "and classes of a task stay in it. Move the definition to a plain cell, which "
            "travels with every task that uses it."
        )


class HelperReadsTask(CellError):
    """A function of a plain cell reads a name that a task assigns."""

    code = "helper_reads_task"

    def __init__(self, helper: str, name: str, task: str, maker: str) -> None:
        self.helper, self.name, self.task, self.maker = helper, name, task, maker
        super().__init__(
            f"task {task!r} calls {helper}(), which reads {name!r} as a global. That is what "
            f"task {maker!r} assigns, and only cells that are tasks are given it. Pass it: "
            f"{helper}({name}, …)."
        )


class NoTaskCells(CellError):
    """A DAG of task cells has no cell yet."""

    code = "no_task_cells"

    def __init__(self, dag_id: str) -> None:
        self.dag_id = dag_id
        super().__init__(
            f"DAG {dag_id!r} has no task cells yet. Begin a cell with %%task NAME and run it: "
            "that registers it as a task."
        )


class UnknownTaskCell(CellError):
    """There is no task cell of that name."""

    code = "unknown_task_cell"

    def __init__(self, dag_id: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.dag_id, self.name = dag_id, name
        super().__init__(
            f"DAG {dag_id!r} has no task cell {name!r} (it has: {listing(known)})."
            f"{suggest(name, known)}"
        )


class BadMagic(CellError):
    """A line with %dag or %%task cannot be understood."""

    code = "bad_magic"

    def __init__(self, line: str, why: str) -> None:
        self.line, self.why = line, why
        super().__init__(f"{line}: {why}.")


class CodeDoesNotLoad(CellError):
    """A task's code cannot be loaded in a clean process, where it is to run."""

    code = "code_does_not_load"

    def __init__(self, task: str, problem: str, where: str, trace: str) -> None:
        self.task, self.problem, self.where, self.trace = task, problem, where, trace
        todo = (
            where
            or "It works here because this process has something that a new one lacks."
        )
        super().__init__(
            f"the code of task {task!r} does not load in a clean process: {problem}. {todo}"
            + (f"\n{trace}" if trace else "")
        )
