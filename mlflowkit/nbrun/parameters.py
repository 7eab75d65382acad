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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.secret import with_values
from mlflowkit.errors import BadParameterName, NoParametersCell, UnknownParameter, WrongType
from mlflowkit.nbrun import source, types

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: papermill's comment: `# type: int what it is for`.
_COMMENT: Final = re.compile(r"#\s*(?P<typed>type:\s*(?=\S))?(?P<text>.*)$")
#: Statements whose own statements are of the same scope.
_BLOCKS: Final = (ast.If, ast.Try, ast.With, ast.For, ast.While)


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
    value = with_values(value, types.SecretValue)
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
        kind, text = comments.get(node.end_lineno or node.lineno, ("", ""))
        for name, annotation, value in _assigned(node):
            annotated = _unquoted(annotation) or kind
            shown = ast.unparse(value) if value is not None else ""
            found[name] = NotebookParameter(name, annotated, shown, _literal(value), text)
        for within in ast.walk(node) if isinstance(node, _BLOCKS) else ():
            for name, annotation, _ in _assigned(within):
                # Which of its values it has, if any, only running the cell would tell.
                sometimes = NotebookParameter(name, annotation, "", COMPUTED, "")
                found.setdefault(name, sometimes)
    return list(found.values())


def _assigned(node: ast.AST) -> Iterator[tuple[str, str, ast.expr | None]]:
    """Name, annotation and value of each variable that a statement assigns."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        annotation = ast.unparse(node.annotation)
        bare = annotation.rpartition(".")[2] == "Final"
        yield node.target.id, "" if bare else annotation, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _unpacked(target, node.value)


def _unpacked(
    target: ast.expr, value: ast.expr
) -> Iterator[tuple[str, str, ast.expr | None]]:
    """`a, b = 1, 2` assigns both."""
    if isinstance(target, ast.Name):
        yield target.id, "", value
    elif isinstance(target, ast.Starred):
        yield from _unpacked(target.value, ast.Name("..."))
    elif isinstance(target, ast.Tuple | ast.List):
        values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
        starred = any(isinstance(each, ast.Starred) for each in target.elts)
        if starred or len(values) != len(target.elts):
            values = [ast.Name("...")] * len(target.elts)
        for one, its in zip(target.elts, values, strict=True):
            yield from _unpacked(one, its)


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
            text = match["text"].strip()
            found[token.start[0]] = _type_and_help(text) if match["typed"] else ("", text)
    return found


def _type_and_help(text: str) -> tuple[str, str]:
    """`dict[str, int] | None what it is for`: where the type ends."""
    words = text.split()
    for count in range(1, len(words) + 1):
        kind, after = " ".join(words[:count]), words[count : count + 1]
        whole = kind.count("[") == kind.count("]") and not kind.endswith("|")
        if whole and after != ["|"]:
            return kind, " ".join(words[count:])
    return words[0], " ".join(words[1:])


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
