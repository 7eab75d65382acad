"""Errors of pipeline files: what they hold, and how they are loaded."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import listing, suggest
from mlflowkit.errors.graph import GraphError


class PipelineMissing(GraphError):
    """There is no pipeline file of that name."""

    code = "pipeline_missing"

    def __init__(self, path: str, why: str, near: Iterable[str] = ()) -> None:
        self.path, self.why = path, why
        super().__init__(f"the pipeline file {path} {why}.{suggest(path, near)}")


class PipelineBroken(GraphError):
    """A pipeline file cannot be run: its own code fails."""

    code = "pipeline_broken"

    def __init__(self, path: str, line: int | None, problem: str, trace: str = "") -> None:
        self.path, self.line, self.problem, self.trace = path, line, problem, trace
        at = f", line {line}" if line else ""
        shown = f"\n{trace}" if trace else ""
        super().__init__(f"{path}{at}: {problem}{shown}")


class PipelineTooSlow(GraphError):
    """A pipeline file took longer to load than it may."""

    code = "pipeline_too_slow"

    def __init__(
        self, path: str, line: int | None, seconds: float, trace: str = ""
    ) -> None:
        self.path, self.line, self.seconds, self.trace = path, line, seconds, trace
        self.problem = (
            f"was not loaded within {seconds:g} s. Move work at its top level into "
            "a task, or raise the setting dag_import_timeout"
        )
        at = f", line {line}" if line else ""
        shown = f"\n{trace}" if trace else ""
        super().__init__(f"{path}{at}: {self.problem}.{shown}")


class PipelineCrashed(GraphError):
    """The process that loaded a pipeline file came to an end in it."""

    code = "pipeline_crashed"

    def __init__(self, path: str, line: int | None, how: str, trace: str = "") -> None:
        self.path, self.line, self.how, self.trace = path, line, how, trace
        self.problem = f"ended the process that loaded it ({how})"
        at = f", line {line}" if line else ""
        shown = f"\n{trace}" if trace else ""
        super().__init__(f"{path}{at}: {self.problem}.{shown}")


class DagCellMagic(GraphError):
    """A cell of a notebook that defines DAGs has a line that is no Python."""

    code = "dag_cell_magic"

    def __init__(self, path: str, cell: int, line: int, text: str) -> None:
        self.path, self.cell, self.line, self.text = (
            f"{path}, cell {cell}",
            cell,
            line,
            text,
        )
        self.problem = (
            f"{text!r} is for people at a notebook, not for loading. Tag the cell `skip`, "
            "or tag the cells that define the DAG `dag`"
        )
        super().__init__(f"{path}, cell {cell}, line {line}: {self.problem}.")


class DagIdTwice(GraphError):
    """Two pipeline files of a folder define a DAG of the same id."""

    code = "dag_id_twice"

    def __init__(self, dag_id: str, path: str, first: str) -> None:
        self.dag_id, self.path, self.first = dag_id, path, first
        self.problem = (
            f"DAG {dag_id!r} is also defined in {first}, which counts. Give one of them "
            "another id, or name one file in .mlflowkitignore"
        )
        super().__init__(f"{path}: {self.problem}.")


class BadIgnoreFile(GraphError):
    """An ignore file has a line that is no pattern."""

    code = "bad_ignore_file"

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}. Patterns are those of .gitignore.")


class UnknownRule(GraphError):
    """A lint rule was named that there is not."""

    code = "unknown_rule"

    def __init__(self, rule: str, known: Iterable[str]) -> None:
        known = list(known)
        self.rule = rule
        super().__init__(
            f"there is no lint rule {rule!r}.{suggest(rule, known)} "
            f"(There are: {listing(known, limit=40)}.)"
        )


class NoDagInFile(GraphError):
    """A pipeline file that defines no DAG."""

    code = "no_dag_in_file"

    def __init__(self, path: str) -> None:
        self.path = path
        where, else_ = "at the top level of the file", ""
        if path.endswith(".ipynb"):
            where = "in a cell, outside functions"
            else_ = f" To run the notebook itself: `mlflowkit notebook run {path}`."
        super().__init__(
            f"{path} defines no DAG. Write one with `with DAG(...):` or @dag, {where}.{else_}"
        )


class DagNotInFile(GraphError):
    """A pipeline file does not define the DAG that was asked for."""

    code = "dag_not_in_file"

    def __init__(self, path: str, dag_id: str, known: Iterable[str]) -> None:
        known = list(known)
        self.path, self.dag_id = path, dag_id
        super().__init__(
            f"{path} has no DAG {dag_id!r} (it has: {listing(known)}).{suggest(dag_id, known)}"
        )


class DuplicateDagId(GraphError):
    """A pipeline file defines two DAGs of the same id."""

    code = "duplicate_dag_id"

    def __init__(self, path: str, dag_id: str) -> None:
        self.path, self.dag_id = path, dag_id
        super().__init__(
            f"{path} defines two DAGs with the id {dag_id!r}. Give one of them another id."
        )


class SeveralDags(GraphError):
    """A pipeline file defines several DAGs and none was named."""

    code = "several_dags"

    def __init__(self, path: str, known: Iterable[str]) -> None:
        known = sorted(known)
        self.path, self.known = path, known
        super().__init__(
            f"{path} defines several DAGs ({listing(known)}). Name one: {path}:{known[0]}"
        )


class RunWhileLoading(GraphError):
    """A run was started while code was only being loaded, or inside a task."""

    code = "run_while_loading"

    def __init__(self, dag_id: str, where: str) -> None:
        self.dag_id, self.where = dag_id, where
        todo = (
            "A task cannot start a run: let another task go on with what it returns."
            if where.startswith("inside")
            else 'Put the call under `if __name__ == "__main__":`, so that the file only '
            "defines the DAG when it is loaded."
        )
        super().__init__(f"DAG {dag_id!r} was run {where}. {todo}")
