"""Which XComs the code of a notebook pushes, and whether it may push others.

Read from the code alone. Certainty first: what could push under a name that is not written
there (a loop, a helper module beside the notebook, `exec`) makes the answer open.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlflowkit.nbrun.leaving import EXIT_KEY, VALUES_MIME
from mlflowkit.nbrun.parameters import without_magics

_OURS: Final = "mlflowkit"
#: Functions, and methods of the shell, that run code which does not stand in the cell.
_RUN_CODE: Final = frozenset({"exec", "eval"})
_SHELL_RUNS: Final = frozenset({"run_cell", "run_code", "ex", "safe_execfile"})
#: Magics that do.
_RUN_MAGIC: Final = re.compile(r"^\s*%{1,2}(run|load|macro|cython|store)\b", re.MULTILINE)


@dataclass(slots=True)
class Pushes:
    """What was found."""

    #: Name of the XCom → "push" or "exit_notebook".
    names: dict[str, str] = field(default_factory=dict[str, str])
    #: Whether there may be more of them.
    more: bool = False


def pushes_of(cells: Sequence[str], folder: Path) -> Pushes:
    """What these cells push.

    Args:
        folder: The notebook's own: modules beside it may push, too.
    """
    found = Pushes()
    trees: list[ast.Module] = []
    for code in cells:
        if _RUN_MAGIC.search(code) or VALUES_MIME in code or _in_other_words(code):
            found.more = True
        try:
            trees.append(ast.parse(without_magics(code)))
        except SyntaxError:
            found.more = True
    names = _Names()
    for tree in trees:
        names.read(tree, folder)
    found.more = found.more or names.helper
    for tree in trees:
        _read_calls(tree, names, found)
    return found


def _in_other_words(code: str) -> bool:
    """Whether a cell's magic decides what becomes of code that mentions `push`."""
    return (
        without_magics(code).startswith("get_ipython().run_cell_magic") and "push" in code
    )


class _Names:
    """What mlflowkit, and its `push` and `exit_notebook`, are called in a notebook."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        #: Name → "push" or "exit_notebook".
        self.functions: dict[str, str] = {}
        #: Whether a module of the person's own that mentions `push` is imported.
        self.helper = False

    def read(self, tree: ast.Module, folder: Path) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for one in node.names:
                    self._module(one.name, one.asname, folder)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                self._from(node, folder)
            elif isinstance(node, ast.ImportFrom):
                self.helper = True

    def _module(self, name: str, called: str | None, folder: Path) -> None:
        if name.partition(".")[0] == _OURS:
            self.modules.add(called or _OURS)
        else:
            self.helper = self.helper or _may_push(name, folder)

    def _from(self, node: ast.ImportFrom, folder: Path) -> None:
        name = node.module or ""
        if name.partition(".")[0] != _OURS:
            self.helper = self.helper or _may_push(name, folder)
            return
        for one in node.names:
            if one.name == "*":
                self.functions |= {"push": "push", "exit_notebook": "exit_notebook"}
            elif one.name in ("push", "exit_notebook"):
                self.functions[one.asname or one.name] = one.name

    def of(self, node: ast.expr) -> str:
        """Which of our functions an expression names; empty if none."""
        if isinstance(node, ast.Name):
            return self.functions.get(node.id, "")
        if isinstance(node, ast.Attribute) and node.attr in ("push", "exit_notebook"):
            return node.attr if _root(node.value) in self.modules else ""
        return ""


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _may_push(module: str, folder: Path) -> bool:
    """Whether a module lies beside the notebook or above, and mentions `push`."""
    top = module.partition(".")[0]
    for place in (folder, *list(folder.parents)[:3]):
        if (place / f"{top}.py").is_file():
            return _mentions(place / f"{top}.py")
        if (place / top).is_dir():
            return any(_mentions(path) for path in (place / top).rglob("*.py"))
    return False


def _mentions(path: Path) -> bool:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return True
    return "push" in text or "exit_notebook" in text


def _read_calls(tree: ast.Module, names: _Names, found: Pushes) -> None:
    called: set[int] = set()
    for node in _calls(tree):
        which = names.of(node.func)
        if which:
            called.add(id(node.func))
            _take(which, node, found)
        elif _runs_code(node.func):
            found.more = True
    for each in ast.walk(tree):
        if isinstance(each, ast.Name | ast.Attribute) and id(each) not in called:
            # `p = mlflowkit.push`: what is done with it cannot be followed.
            found.more = found.more or bool(names.of(each) and _is_read(each))


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _is_read(node: ast.Name | ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Load)


def _runs_code(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):  # `model.eval()` is no `eval()`
        return node.attr in _SHELL_RUNS
    return isinstance(node, ast.Name) and node.id in _RUN_CODE


def _take(which: str, call: ast.Call, found: Pushes) -> None:
    if which == "exit_notebook":
        if call.args or any(one.arg == "value" for one in call.keywords):
            found.names.setdefault(EXIT_KEY, which)
        return
    given = [*call.args[:1], *(one.value for one in call.keywords if one.arg == "name")]
    name = given[0] if given else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        found.names[name.value] = which
    else:
        found.more = True
