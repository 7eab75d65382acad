"""Errors of notebooks."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, suggest
from mlflowkit.errors.parameters import ParameterError


class NotebookError(UserError):
    """A notebook that cannot be run."""

    code = "notebook"


class NotebookMissing(NotebookError):
    """There is no such notebook."""

    code = "notebook_missing"

    def __init__(
        self, name: object, looked: Iterable[object], near: Iterable[str] = ()
    ) -> None:
        self.name, self.looked = str(name), tuple(dict.fromkeys(map(str, looked)))
        super().__init__(
            f"there is no notebook {self.name!r}. Looked at: {', '.join(self.looked)}."
            f"{suggest(self.name.rpartition('/')[2], near)}"
        )


class NotebookInvalid(NotebookError):
    """A file that is not a notebook, or a damaged one."""

    code = "notebook_invalid"

    def __init__(
        self, path: object, problem: str, todo: str, line: int | None = None
    ) -> None:
        self.path, self.problem, self.line = str(path), problem, line
        at = f", line {line}" if line is not None else ""
        super().__init__(f"{path}{at} is not a notebook that can be run: {problem}. {todo}")


class NoKernel(NotebookError):
    """A notebook names no kernel, or one that is not installed here."""

    code = "no_kernel"

    def __init__(self, path: object, kernel: str | None, installed: Iterable[str]) -> None:
        installed = list(installed)
        self.path, self.kernel = str(path), kernel
        wants = (
            f"wants the kernel {kernel!r}, which is not installed here"
            if kernel
            else "does not say which kernel it runs in"
        )
        super().__init__(
            f"{path} {wants} (installed: {listing(installed)}).{suggest(kernel or '', installed)} "
            "Choose a kernel in Jupyter and save the notebook, or give kernel_name='python3'; "
            "`jupyter kernelspec list` shows what there is."
        )


class KernelDidNotStart(NotebookError):
    """A kernel ended, or stayed silent, before it could run anything."""

    code = "kernel_did_not_start"

    def __init__(self, kernel: str, how: str, command: str, tail: str) -> None:
        self.kernel, self.how, self.command, self.tail = kernel, how, command, tail
        super().__init__(
            f"the kernel {kernel!r} {how} before it was ready. Its command is: {command}. "
            f"It said:\n{tail or '(nothing)'}"
        )


class KernelNotInstalled(NotebookError):
    """A kernel spec could not be written."""

    code = "kernel_not_installed"

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(
            f"the kernel spec {name!r} was not installed: {why}. Choose another --name, or "
            "a folder that you may write: --user, or --prefix FOLDER."
        )


class KernelWithoutMlflowkit(NotebookError):
    """A kernel's environment lacks mlflowkit, and the task needs it there."""

    code = "kernel_without_mlflowkit"

    def __init__(self, kernel: str, needed_for: str, why: str) -> None:
        self.kernel, self.needed_for, self.why = kernel, needed_for, why
        super().__init__(
            f"{needed_for} needs mlflowkit inside the kernel {kernel!r}, where it cannot be "
            f"used: {why}. Install it in that kernel's environment, or pass plain JSON values "
            "and take nothing out."
        )


class NoParametersCell(NotebookError):
    """Parameters were given to a notebook that declares none."""

    code = "no_parameters_cell"

    def __init__(self, path: object, names: Iterable[str]) -> None:
        self.path, self.names = str(path), tuple(names)
        super().__init__(
            f"{path} was given {listing(self.names)}, but has no cell that declares parameters. "
            "Assign their defaults in one cell and give that cell the tag 'parameters' "
            "(JupyterLab: the gear at the top right, Cell Tags)."
        )


class BadParameterName(ParameterError):
    """A parameter's name that no variable can have."""

    code = "bad_parameter_name"

    def __init__(self, where: str, name: str, why: str) -> None:
        self.where, self.name, self.why = where, name, why
        super().__init__(
            f"{name!r} cannot be a parameter of {where}: {why}. Give it another name."
        )


class ReturnMissing(NotebookError):
    """A name in `returns` that the notebook did not assign."""

    code = "return_missing"

    def __init__(self, path: object, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.path, self.name = str(path), name
        super().__init__(
            f"{path} ran to its end and never assigned {name!r}, which its returns ask for "
            f"(it assigned: {listing(known)}).{suggest(name, known)} "
            "Assign it in a cell, or take it out of returns."
        )


class NeverAssigned(NotebookError):
    """A name in `returns` that no cell of the notebook could assign."""

    code = "never_assigned"

    def __init__(self, where: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        self.where, self.name, self.known = where, name, tuple(known)
        super().__init__(
            f"{where} never assigns {name!r}, which its returns ask for "
            f"(it assigns: {listing(known)}).{suggest(name, known)} "
            "Assign it in a cell, or take it out of returns."
        )


class NotInNotebookTask(NotebookError):
    """`mlflowkit.input` or `push` was called where no notebook task runs."""

    code = "not_in_notebook_task"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"mlflowkit.{what}() works while mlflowkit runs the notebook as a task, and this "
            "is not such a run. To try the notebook by hand, assign the value in its "
            "'parameters' cell; `mlflowkit notebook run` runs it as a task."
        )


class UnknownInput(NotebookError):
    """A notebook asks for an input that it was not given."""

    code = "unknown_input"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.name = name
        super().__init__(
            f"this notebook was given no input {name!r} (it was given: {listing(known)})."
            f"{suggest(name, known)}"
        )


class NoSections(NotebookError):
    """A notebook has no headings that it could be cut at."""

    code = "no_sections"

    def __init__(self, path: object, headings: int) -> None:
        self.path, self.headings = str(path), headings
        super().__init__(
            f"{path} has {headings or 'no'} heading{'s' * (headings != 1)}, and code below fewer "
            "than two of them. Each heading becomes a task: put a Markdown cell with `## Title` "
            "above each part that is to be one."
        )


class NotInPython(NotebookError):
    """A notebook in another language was to become a DAG of Python tasks."""

    code = "not_in_python"

    def __init__(self, path: object, language: str) -> None:
        self.path, self.language = str(path), language
        super().__init__(
            f"{path} is a notebook in {language}, and each section becomes a task in Python. "
            f"As one task it runs as it is: notebook({str(path)!r})."
        )


class NoHeldKernel(NotebookError):
    """No kernel of a failed notebook is held there, or it cannot be opened."""

    code = "no_held_kernel"

    def __init__(self, run_id: str, task_id: str, problem: str = "") -> None:
        self.run_id, self.task_id, self.problem = run_id, task_id, problem
        super().__init__(
            problem
            or f"no kernel of task {task_id!r} of run {run_id!r} is held: it has not failed, "
            "its time is up, or others took its place. `mlflowkit notebook held` shows what "
            "is held; keep_failed_kernel= of a notebook says for how long."
        )
