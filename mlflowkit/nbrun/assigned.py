"""Which variables the code of a notebook may make, and what their types surely are.

Read from the code alone. Certainty first: code that may make variables under names that do
not stand there (`exec`, `%run`, `from x import *`) makes the answer open, and no name is
held against the notebook then.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mlflowkit.nbrun.code_names import names_bound
from mlflowkit.nbrun.parameters import without_magics

#: Literals whose type the name that they are given to surely has.
_LITERALS: Final = (bool, int, float, str, bytes, list, tuple, set, dict)
#: Names of what may make variables that are not written down.
_MAKERS: Final = frozenset({"exec", "eval", "globals", "locals", "vars", "setattr"})
#: Magics that make none, but for what `_magic_names` finds.
_QUIET: Final = frozenset(
    {"alias", "autoreload", "capture", "cat", "cd", "conda", "config", "debug", "dhist"}
    | {"env", "file", "history", "html", "HTML", "javascript", "js", "latex", "ls"}
    | {"lsmagic", "markdown", "matplotlib", "pdb", "pdoc", "pinfo", "pinfo2", "pip"}
    | {"precision", "prun", "psource", "pwd", "set_env", "svg", "system", "time"}
    | {"timeit", "who", "whos", "writefile", "xmode"}
)
#: Extensions that make none when they are loaded.
_QUIET_EXTENSIONS: Final = frozenset(
    {"autoreload", "mlflowkit", "tensorboard", "watermark"}
)


@dataclass(frozen=True, slots=True)
class Variables:
    """What was found."""

    #: Name → its type as it would be annotated; empty where nothing surely says it.
    types: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Whether there may be others.
    more: bool = False


def variables_of(cells: Sequence[str]) -> Variables:
    """The variables that the code cells of a notebook may make."""
    trees: list[ast.Module] = []
    more = False
    for code in cells:
        try:
            trees.append(ast.parse(without_magics(code)))
        except SyntaxError:
            more = True
        name = _captured(code)
        trees += [ast.parse(f"{name} = capture()")] if name else []
    more = more or any(_makes_others(node) for tree in trees for node in ast.walk(tree))
    stored = [name for tree in trees for name in names_bound(tree)]
    said = {name: kind for tree in trees for name, kind in said_types(tree).items()}
    types = {n: said.get(n, "") if stored.count(n) == 1 else "" for n in {*stored}}
    return Variables(types, more)


def said_types(tree: ast.Module) -> dict[str, str]:
    """Names that the top level of a cell assigns, with their types where it says them."""
    said: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            said[node.target.id] = ast.unparse(node.annotation).strip("'\"")
        elif isinstance(node, ast.Assign):
            kind = _literal_type(node.value)
            said |= {t.id: kind for t in node.targets if isinstance(t, ast.Name)}
    return said


def _literal_type(value: ast.expr) -> str:
    try:
        found = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ""
    return type(found).__name__ if isinstance(found, _LITERALS) else ""


def _captured(code: str) -> str:
    """The name that `%%capture` gives to what the cell puts out."""
    first, _, _ = code.lstrip().partition("\n")
    if not first.startswith("%%capture"):
        return ""
    return next((word for word in first.split()[1:] if word.isidentifier()), "")


def _makes_others(node: ast.AST) -> bool:
    match node:
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            return True
        case ast.Name(id=name):
            return name in _MAKERS
        case ast.Constant(value="__main__") | ast.Attribute(attr="user_ns" | "__dict__"):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name("get_ipython")))):
            return _magic_makes(node)
        case ast.Assign(value=ast.Call(func=ast.Name("get_ipython"))):
            return True
        case _:
            return False


def _magic_makes(call: ast.Call) -> bool:
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if method in ("system", "getoutput"):
        return False
    words = [a.value if isinstance(a, ast.Constant) else None for a in call.args]
    name, rest = (str(word) for word in (*words, "", "")[:2])
    if method == "run_line_magic" and name in ("load_ext", "reload_ext"):
        return rest.strip() not in _QUIET_EXTENSIONS
    if method == "run_line_magic" and name in ("time", "timeit", "prun", "capture"):
        return "=" in rest  # `%time x = f()` assigns
    if method == "run_cell_magic" and name in ("bash", "sh", "script"):
        return any(word in rest for word in ("--out", "--err", "--proc"))
    return not method.startswith("run_") or name not in _QUIET
