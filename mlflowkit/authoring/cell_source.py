"""The text of a cell as Python, without what is for people at a notebook.

Line magics that only set up a display are left out; `%time x = f()` is `x = f()`. All others,
shell commands and cell magics are refused by name: a task has no IPython around it.
"""

from __future__ import annotations

import ast
import builtins
import re
from typing import Any, Final

from mlflowkit.authoring.cell_names import reads_before_its_own
from mlflowkit.errors import CellSyntax, NotForTaskCells

#: About the display of a notebook, or about this process: nothing for a task.
DROPPED: Final = frozenset(
    [
        "matplotlib",
        "config",
        "load_ext",
        "reload_ext",
        "autoreload",
        "precision",
        "pdb",
        "xmode",
        "colors",
        "pinfo",
        "pinfo2",
        "psource",
        "pdoc",
        "pylab",
        "dag",
    ]
)
#: Cell magics that change nothing of what the cell does.
_ABOUT_THE_CELL: Final = re.compile(r"^%%(?:time|capture|prun)\s*$")
_TIMED: Final = frozenset({"time"})
_ALLOW_AWAIT: Final = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def tree_of(task: str, body: str, *, first_line: int = 0) -> ast.Module:
    """The code of a cell.

    Args:
        task: Its name, for errors.
        first_line: Lines above `body` in what people see as the cell.

    Raises:
        CellSyntax: it is no Python.
        NotForTaskCells: a magic, a star import, `global`, `return` outside of a function, or
            a class that reads a name of the cell before it binds it itself.
    """
    lines = lines_of(body)
    if lines and lines[0].startswith("%%"):
        if not _ABOUT_THE_CELL.match(lines[0]):
            why = "is a cell magic, which a task does not have: leave it out"
            raise NotForTaskCells(task, first_line + 1, lines[0], why)
        lines[0] = ""
        body = "\n".join(lines)
    tree = _parsed(task, body, lines, first_line)
    _Magics(task, lines, first_line).visit(tree)  # changes it in place
    ast.fix_missing_locations(tree)
    ast.increment_lineno(tree, first_line)
    for node in ast.walk(tree):
        _refuse(task, node, lines, first_line)
    try:
        compile(tree, "<cell>", "exec", _ALLOW_AWAIT)
    except SyntaxError as exc:
        raise _syntax(task, exc, lines, 0) from exc
    return tree


def lines_of(text: str) -> list[str]:
    """Its lines as Python counts them: a form feed, or U+2028 in a text, ends none."""
    return re.split(r"\r\n|\r|\n", text)


def _parsed(task: str, body: str, lines: list[str], first_line: int) -> ast.Module:
    try:
        return ast.parse(body)
    except SyntaxError as plain:
        from IPython.core.inputtransformer2 import TransformerManager

        manager: Any = TransformerManager
        try:
            plain_text: str = manager().transform_cell(body)
            return ast.parse(plain_text)
        except SyntaxError:
            raise _syntax(task, plain, lines, first_line) from plain


def _syntax(task: str, exc: SyntaxError, lines: list[str], first_line: int) -> CellSyntax:
    number = exc.lineno or 1
    text = lines[number - 1] if 0 < number <= len(lines) else ""
    return CellSyntax(task, first_line + number, text, exc.msg)


def _refuse(task: str, node: ast.AST, lines: list[str], first_line: int) -> None:
    line = getattr(node, "lineno", 1)
    text = lines[line - first_line - 1] if 0 < line - first_line <= len(lines) else ""
    if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
        why = "does not say which names it brings: import them by name"
        raise NotForTaskCells(task, line, text, why)
    if isinstance(node, ast.Global):
        why = "sets names of the notebook, which a task does not reach: return the value"
        raise NotForTaskCells(task, line, text, why)
    if isinstance(node, ast.ClassDef):
        for name, need in reads_before_its_own(node).items():
            if not hasattr(builtins, name):
                why = f"reads {name!r}, and binds it then: call one of them another name"
                raise NotForTaskCells(task, need.line, text, why)


class _Magics(ast.NodeTransformer):
    """Calls that IPython makes of magics, taken out or refused."""

    def __init__(self, task: str, lines: list[str], first_line: int) -> None:
        self._task, self._lines, self._first = task, lines, first_line

    def visit_Expr(self, node: ast.Expr) -> Any:
        found = magic_of(node.value)
        if found is None:
            return self.generic_visit(node)
        name, text = found
        if name in DROPPED:
            return ast.copy_location(ast.Pass(), node)
        if name in _TIMED and text.strip():
            return self._timed(node, text)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        found = magic_of(node)
        if found is None:
            return self.generic_visit(node)
        line = self._lines[node.lineno - 1] if node.lineno <= len(self._lines) else ""
        raise NotForTaskCells(self._task, self._first + node.lineno, line, _why(found[0]))

    def _timed(self, node: ast.Expr, text: str) -> list[ast.stmt]:
        try:
            inner = ast.parse(text.strip()).body
        except SyntaxError as exc:
            raise _syntax(self._task, exc, [text], self._first + node.lineno - 1) from exc
        for one in inner:
            ast.increment_lineno(one, node.lineno - 1)
        return inner


def magic_of(node: ast.AST) -> tuple[str, str] | None:
    """The magic behind what IPython has made of a line: its name and its text."""
    match node:
        case ast.Call(
            func=ast.Attribute(
                value=ast.Call(func=ast.Name(id="get_ipython")), attr=str(attr)
            ),
            args=args,
        ):
            texts = [a.value for a in args if isinstance(a, ast.Constant)]
            if attr in ("run_line_magic", "run_cell_magic") and len(texts) > 1:
                return str(texts[0]), str(texts[1])
            return attr, str(texts[0]) if texts else ""
        case _:
            pass
    return None


def _why(name: str) -> str:
    if name in ("system", "getoutput", "sx", "sc"):
        return "is a shell command: call subprocess.run([...], check=True), or make a BashOperator"
    if name in ("pip", "conda", "mamba", "uv"):
        return "installs something: do that before the run, in a cell that is no task"
    return f"is a magic (%{name}), which a task does not have: put it in a cell that is no task"


def without_magics(body: str) -> str:
    """The text with lines that only concern a display left out: the rest as it was written."""
    lines = lines_of(body)
    if _ABOUT_THE_CELL.match(lines[0]):
        lines[0] = ""
    body = "\n".join(lines)
    if _is_python(body):  # a line of a text may look like a magic
        return body
    pattern = re.compile(
        rf"^\s*%(?:{'|'.join(sorted(DROPPED))})\b|^\s*[\w.]+\?{{1,2}}\s*$|^\s*\?"
    )
    kept = [line for line in body.split("\n") if not pattern.match(line)]
    return "\n".join(re.sub(r"^(\s*)%time\s+", r"\1", line) for line in kept)


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
