"""Which modules only define things when they are imported: read from their source alone.

Such a module may be imported once for many runs. Any other may read a file, a variable of
the environment or the clock at its import, and has to be imported anew for each run.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_Expr = ast.expr | None
#: Calls that look at nothing but their arguments, by where their name was imported from.
_PURE = frozenset(
    {f"builtins.{name}" for name in ("dict", "frozenset", "list", "range", "set", "tuple")}
    | {f"builtins.{name}" for name in ("classmethod", "property", "staticmethod")}
    | {"collections.namedtuple", "dataclasses.dataclass", "dataclasses.field"}
    | {"datetime.timedelta", "functools.cache", "functools.lru_cache", "functools.wraps"}
    | {"enum.auto", "logging.getLogger", "pathlib.Path", "re.compile"}
    | {f"typing.{name}" for name in ("NewType", "ParamSpec", "TypeVar", "overload")}
    | {"abc.abstractmethod", "contextlib.contextmanager", "mlflowkit.task", "mlflowkit.dag"}
)
_LITERAL = (ast.Constant, ast.Name, ast.Lambda)
_INSIDE = (
    *(ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred, ast.keyword, ast.Slice),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp),
    *(ast.JoinedStr, ast.FormattedValue),
)


def all_quiet(folder: Path, modules: Mapping[str, Mapping[str, Any]]) -> bool:
    """Do all local modules of a bundle (`modules` of its facts) only define things?"""
    sources = (folder / "sources" / f"{facts['sha256']}.py" for facts in modules.values())
    return all(is_quiet(source.read_bytes()) for source in sources)


@functools.lru_cache(maxsize=256)
def is_quiet(source: bytes) -> bool:
    """Does the module at its import only import, define and assign plain values?"""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return _Reader().all(tree.body)


class _Reader:
    """Statements in their order, with what their imports have named so far."""

    def __init__(self) -> None:
        self._imported: dict[str, str] = {}
        self._defined: set[str] = set()

    def all(self, body: Iterable[ast.stmt]) -> bool:
        return all(self._statement(one) for one in body)

    def _statement(self, one: ast.stmt) -> bool:
        if isinstance(one, (ast.Import, ast.ImportFrom)):
            return self._import(one)
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return self._definition(one)
        if isinstance(one, ast.Assign):
            names = all(isinstance(target, ast.Name) for target in one.targets)
            self._defined |= {t.id for t in one.targets if isinstance(t, ast.Name)}
            return names and self._plain(one.value)
        if isinstance(one, ast.AnnAssign):
            return isinstance(one.target, ast.Name) and self._plain(one.value)
        if isinstance(one, ast.Expr):
            return isinstance(one.value, ast.Constant)
        if isinstance(one, ast.If):
            return self._plain(one.test) and self.all([*one.body, *one.orelse])
        return isinstance(one, ast.Pass)

    def _import(self, one: ast.Import | ast.ImportFrom) -> bool:
        for alias in one.names:
            name = alias.asname or alias.name
            if isinstance(one, ast.Import):
                top = alias.name if alias.asname else alias.name.partition(".")[0]
                self._imported[name.partition(".")[0]] = top
            else:
                above = "." * one.level + (one.module or "")
                self._imported[name] = f"{above}.{alias.name}"
        return all(alias.name != "*" for alias in one.names)

    def _definition(
        self, one: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> bool:
        decorators = all(self._decorator(each) for each in one.decorator_list)
        self._defined.add(one.name)
        if isinstance(one, ast.ClassDef):
            bases = [*one.bases, *(keyword.value for keyword in one.keywords)]
            return decorators and all(map(self._plain, bases)) and self.all(one.body)
        defaults = [*one.args.defaults, *one.args.kw_defaults]
        return decorators and all(map(self._plain, defaults))

    def _decorator(self, one: ast.expr) -> bool:
        return self._is_pure(one) or (isinstance(one, ast.Call) and self._plain(one))

    def _plain(self, one: _Expr) -> bool:
        """Does evaluating it look at nothing outside of the program?"""
        if one is None or isinstance(one, _LITERAL):
            return True
        if isinstance(one, ast.Attribute):
            return self._plain(one.value)
        if isinstance(one, ast.Call):
            parts = [*one.args, *(keyword.value for keyword in one.keywords)]
            return self._is_pure(one.func) and all(map(self._plain, parts))
        if isinstance(one, ast.Subscript):
            return not self._comes_from(one.value, "os") and self._both(one)
        if isinstance(one, _INSIDE):
            inner = (n for n in ast.iter_child_nodes(one) if isinstance(n, ast.expr))
            return all(map(self._plain, inner)) and not self._comes_from(one, "os")
        return False

    def _both(self, one: ast.Subscript) -> bool:
        return self._plain(one.value) and self._plain(one.slice)

    def _is_pure(self, one: ast.expr) -> bool:
        return self._full_name(one) in _PURE

    def _comes_from(self, one: ast.AST, module: str) -> bool:
        names = [n.id for n in ast.walk(one) if isinstance(n, ast.Name)]
        tops = {self._imported.get(name, "").partition(".")[0] for name in names}
        return module in tops

    def _full_name(self, one: ast.expr) -> str:
        if isinstance(one, ast.Attribute):
            return f"{self._full_name(one.value)}.{one.attr}"
        if not isinstance(one, ast.Name) or one.id in self._defined:
            return ""
        return self._imported.get(one.id, f"builtins.{one.id}")
