"""What a notebook can be given: its `parameters` cell, read without running it.

The cell and its comments mean what they mean to papermill; Python is read with Python's
own parser (so `lr: float | None = 0.1` and `x = dict(a=1)` are understood too), other
languages by papermill's translators. Nothing is imported from the notebook.
"""

from __future__ import annotations

import ast
import io
import keyword
import logging
import re
import tokenize
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.secret import Secret
from mlflowkit.errors import BadParameterName, NoParametersCell, UnknownParameter, WrongType
from mlflowkit.nbrun import source, types

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: papermill's comment: `# type: int what it is for`.
_COMMENT: Final = re.compile(r"#\s*(?:type:\s*(?P<type>\S+)\s*)?(?P<help>.*)$")


class NoDefault:
    """The default is not a literal: only running the cell would tell."""

    def __repr__(self) -> str:
        return "<computed>"


COMPUTED: Final = NoDefault()


@dataclass(frozen=True, slots=True)
class NotebookParameter:
    """One variable that the `parameters` cell assigns."""

    name: str
    #: As written: "float | None"; empty where there is none.
    annotation: str
    #: The right-hand side, as written.
    default_source: str
    #: Its value where it is a literal, else COMPUTED.
    default: Any
    #: The comment behind it.
    help: str


def infer(path: Path) -> tuple[NotebookParameter, ...]:
    """The parameters of a notebook, in order; empty without a `parameters` cell.

    Raises:
        NotebookMissing, NotebookInvalid: see `source.load`.
    """
    return parameters_of(source.load(path)) or ()


def check(
    path: Path, parameters: Mapping[str, object], kernel_name: str | None = None
) -> None:
    """Whether the notebook can be run with these parameters, before it is.

    Args:
        path: The notebook.
        parameters: Values by name; any object.
        kernel_name: A kernel other than the notebook's own.

    Raises:
        NotebookMissing, NotebookInvalid, NoKernel: it cannot be run at all.
        NoParametersCell, UnknownParameter, BadParameterName: it has no such parameter.
        WrongType: a value is not what its annotation, or the type of its default, says.
    """
    notebook = source.load(path)
    source.kernel_spec(path, notebook, kernel_name)
    check_notebook(path, notebook, parameters)


def check_notebook(
    path: Path, notebook: NotebookNode, parameters: Mapping[str, object]
) -> None:
    """As `check`, for a notebook that is loaded."""
    where = f"notebook {path.name}"
    for name in parameters:
        check_name(where, name)
    if len(source.tagged(notebook, "parameters")) > 1:
        warnings.warn(
            f"{where} has more than one cell tagged 'parameters': the first is used, as in "
            "papermill. Take the tag off the others.",
            stacklevel=3,
        )
    if not parameters:
        return
    if not source.tagged(notebook, "parameters"):
        raise NoParametersCell(path, parameters)
    known = parameters_of(notebook)
    if known is None:
        return
    by_name = {parameter.name: parameter for parameter in known}
    for name, value in parameters.items():
        if name not in by_name:
            raise UnknownParameter(where, name, by_name)
        check_type(where, by_name[name], value)


def check_name(where: str, name: str) -> None:
    if keyword.iskeyword(name):
        raise BadParameterName(where, name, "it is a word of Python's own")
    if not name.isidentifier():
        raise BadParameterName(where, name, "a variable cannot have this name")


def check_type(
    where: str, parameter: NotebookParameter, value: object, item: str = ""
) -> None:
    """Raises WrongType when a value is not what the annotation, or the default, says.

    Args:
        item: Which item of what is mapped over it is, in words.
    """
    if isinstance(value, Secret):
        value = types.SecretValue(value)
    if parameter.annotation:
        optional = parameter.default is None
        said = parameter.annotation
        types.check_annotation(where, parameter.name, said, value, optional, item)
    elif parameter.default is not COMPUTED:
        types.check_like(where, parameter.name, parameter.default, value, item)


def takes(parameter: NotebookParameter, value: object) -> bool:
    """Whether a value fits, as far as the annotation or the default say."""
    try:
        check_type("", parameter, value)
    except WrongType:
        return False
    return True


def parameters_of(notebook: NotebookNode) -> tuple[NotebookParameter, ...] | None:
    """The parameters of a loaded notebook; None where the language cannot be read."""
    found = source.tagged(notebook, "parameters")
    if not found:
        return ()
    cell = notebook.cells[found[0]]
    if is_python(notebook):
        try:
            return tuple(_python(str(cell.source)))
        except (SyntaxError, tokenize.TokenError):
            pass  # papermill reads line by line, and finds what it can
    return _by_papermill(notebook, cell)


def is_python(notebook: NotebookNode) -> bool:
    """Whether the notebook says that it is Python's (or says nothing)."""
    spec = notebook.metadata.get("kernelspec", {})
    said = notebook.metadata.get("language_info", {}).get("name") or spec.get("language")
    return str(said or "python").lower() in ("python", "ipython")


def _python(code: str) -> list[NotebookParameter]:
    tree = ast.parse(without_magics(code))
    comments = _comments(code)
    found: dict[str, NotebookParameter] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            targets: list[ast.expr] = [node.target]
            annotation, value = ast.unparse(node.annotation), node.value
        elif isinstance(node, ast.Assign):
            targets, annotation, value = node.targets, "", node.value
        else:
            continue
        kind, text = comments.get(node.end_lineno or node.lineno, ("", ""))
        for target in targets:
            if isinstance(target, ast.Name):
                annotated = _unquoted(annotation) or kind
                default = _literal(value)
                shown = ast.unparse(value) if value is not None else ""
                found[target.id] = NotebookParameter(
                    target.id, annotated, shown, default, text
                )
    return list(found.values())


#: Magics of whole cells that run them as they are.
_AS_IT_IS: Final = re.compile(
    r"\s*%%(?:time|timeit|capture|prun|memit|mprun)\b[^\n]*(?=\n|\Z)"
)


def without_magics(code: str) -> str:
    """A cell's code as plain Python: IPython's magics become function calls."""
    code = _AS_IT_IS.sub("", code, count=1) if code.lstrip().startswith("%%") else code
    if not re.search(r"^\s*[%!?]|\?\s*$|=\s*[%!]", code, re.MULTILINE):
        return code
    from IPython.core.inputtransformer2 import TransformerManager

    manager = TransformerManager()  # type: ignore[no-untyped-call]  # untyped
    return str(manager.transform_cell(code))


def _unquoted(annotation: str) -> str:
    return annotation.strip("'\"") if annotation[:1] in ("'", '"') else annotation


def _literal(value: ast.expr | None) -> Any:
    if value is None:
        return COMPUTED
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return COMPUTED


def _comments(code: str) -> dict[int, tuple[str, str]]:
    """Line → type and help of the comment at its end."""
    found: dict[int, tuple[str, str]] = {}
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT and (match := _COMMENT.match(token.string)):
            found[token.start[0]] = (match["type"] or "", match["help"].strip())
    return found


def _by_papermill(
    notebook: NotebookNode, cell: Any
) -> tuple[NotebookParameter, ...] | None:
    from papermill.exceptions import PapermillException
    from papermill.translators import (
        logger,
        papermill_translators,
    )

    name = source.kernel_name(notebook) or source.NATIVE_KERNEL
    spec = notebook.metadata.get("kernelspec", {})
    said = notebook.metadata.get("language_info", {}).get("name") or spec.get("language")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)  # what it cannot read is not news to a person
        found = papermill_translators.find_translator(name, said or "python").inspect(cell)
    except (PapermillException, NotImplementedError):
        return None
    finally:
        logger.setLevel(level)
    return tuple(
        NotebookParameter(
            each.name,
            "" if each.inferred_type_name == "None" else each.inferred_type_name,
            each.default,
            COMPUTED,
            each.help,
        )
        for each in found
    )
