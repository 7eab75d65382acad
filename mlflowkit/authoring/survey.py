"""What a task's code is made of: one walk over a value that finds everything it needs.

The walk hashes what decides how the code behaves (the same in every process), measures
captured globals, collects modules and source texts, and names what cannot travel.
It follows functions into their globals, and never calls any of them.
"""

from __future__ import annotations

import builtins
import hashlib
import linecache
import marshal
import sys
from collections.abc import Callable, Iterable
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any, cast

from mlflowkit.authoring.modules import LocalModules
from mlflowkit.authoring.places import (
    Place,
    bytes_of,
    defined_in,
    globals_of,
    imported_by,
    members_of,
    missing_globals,
    place_of,
)
from mlflowkit.authoring.refs import ParamRef, XComArg
from mlflowkit.authoring.travel import reduced, why_not
from mlflowkit.errors import CannotTravel, CapturedTooLarge, UndefinedName

#: Bytes up to which a global may travel with the code of a task.
CAPTURE_LIMIT_BYTES = 10_000_000
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_FLAT = frozenset(_PLAIN)
#: The version of marshal whose bytes do not depend on which objects are the same one.
_NO_REFERENCES = 2


class Survey:
    """One task's walk. `modules` and `sources` may be shared by the tasks of a DAG.

    Raises:
        CannotTravel: something that it uses cannot be sent to another process.
        CapturedTooLarge: a global is over the limit.
    """

    def __init__(
        self, task_id: str, modules: LocalModules, sources: dict[str, str] | None = None
    ) -> None:
        self.task_id, self.modules = task_id, modules
        #: Source texts of code that travels by value, by file name.
        self.sources = sources if sources is not None else {}
        #: Local modules that this task needs.
        self.needed: set[str] = set()
        #: Facts about lines: they matter to tracebacks, not to what the code does.
        self.lines = hashlib.sha256()
        self._hash = hashlib.sha256()
        self._fed = 0
        self._seen: dict[int, int] = {}
        self._alive: list[object] = []
        self._path: list[str] = []
        self._defined_in = ""

    def digest(self) -> str:
        """Hash of what was walked, and of the local modules that it needs."""
        whole = self._hash.copy()
        for name in sorted(self.needed):
            whole.update(f"{name}={self.modules.found[name].digest}\n".encode())
        return whole.hexdigest()

    # ── the walk ──

    def walk(self, value: object, name: str = "") -> None:
        """Take in `value`. `name` says where it was found, for errors."""
        if isinstance(value, _PLAIN) and type(value) in _FLAT:
            self._feed(type(value).__name__, bytes_of(value))
            return
        if id(value) in self._seen:
            self._feed("seen", str(self._seen[id(value)]).encode())
            return
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        if name:
            self._path.append(name)
        try:
            self._walk_new(value)
        finally:
            if name:
                self._path.pop()

    def _feed(self, tag: str, content: bytes = b"") -> None:
        self._hash.update(f"{tag}:{len(content)}:".encode())
        self._hash.update(content)
        self._fed += len(content) + 8

    def _walk_new(self, value: object) -> None:
        kind = type(value)
        walker = _WALKERS.get(kind)
        if walker is not None:
            walker(self, value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, PurePath):
            self._feed("path", str(value).encode(errors="surrogateescape"))
        else:
            self._object(value)

    def _several(self, tag: str, items: Iterable[object], name: str = "item") -> None:
        self._feed(tag)
        for index, item in enumerate(items):
            self.walk(item, f"{name} {index}")
        self._feed("end")

    def _sequence(self, value: object) -> None:
        items = cast("list[object]", value)
        tag = type(value).__name__
        if len(items) > 64 and set(map(type, items)) <= _FLAT:
            self._feed(tag, marshal.dumps(items, _NO_REFERENCES))
        else:
            self._several(tag, items)

    def _dict(self, value: object) -> None:
        self._feed("dict")
        for key, item in cast("dict[object, object]", value).items():
            self.walk(key)
            self.walk(item, f"[{key!r}]" if isinstance(key, (str, int)) else "[...]")
        self._feed("end")

    def _set(self, value: object) -> None:
        """Sets have another order in each process: their items are hashed one by one."""
        outer = self._hash
        digests: list[bytes] = []
        for item in cast("set[object]", value):
            self._hash = hashlib.sha256()
            self.walk(item, "item of a set")
            digests.append(self._hash.digest())
        self._hash = outer
        self._feed("set", b"".join(sorted(digests)))

    def _code(self, code: CodeType) -> None:
        """What the code does; its file and lines are no part of that."""
        for number in (
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
        ):
            self._feed("n", str(number).encode())
        self._feed("code", code.co_code + getattr(code, "co_exceptiontable", b""))
        self._feed("flags", str(code.co_flags).encode())
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._feed("names", repr(names).encode())
        for constant in code.co_consts:
            self._unseen(constant)
        self.lines.update(f"{code.co_firstlineno}:".encode() + code.co_linetable)
        if code.co_filename not in self.sources:
            self.sources[code.co_filename] = "".join(linecache.getlines(code.co_filename))

    def _unseen(self, constant: object) -> None:
        """Constants are shared by chance: whether one was seen before says nothing."""
        if isinstance(constant, tuple):
            self._feed("tuple")
            for item in cast("tuple[object, ...]", constant):
                self._unseen(item)
            self._feed("end")
        else:
            self._seen.pop(id(constant), None)
            self.walk(constant)

    def _function(self, function: FunctionType) -> None:
        place = place_of(function, self.modules)
        if place is not None:
            self._by_name(place)
            return
        before = self._defined_in
        if function.__module__ == "__main__" or self.modules.is_local(
            str(function.__module__)
        ):
            self._defined_in = defined_in(function.__code__)
        self._feed("function", function.__qualname__.encode())
        self._code(function.__code__)
        self.walk(function.__defaults__, f"a default of {function.__name__}()")
        self.walk(function.__kwdefaults__, f"a default of {function.__name__}()")
        names = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            self._captured(name, cell)
        for name, value in globals_of(function).items():
            self._feed("global", name.encode())
            self._captured(name, value)
        for name in missing_globals(function):
            from mlflowkit.authoring.defining_cell import where_defined

            known, where = function.__globals__, where_defined(name)
            raise UndefinedName(self.task_id, name, function.__name__, known, where)
        self.walk(vars(function), "an attribute")
        for module in imported_by(function.__code__):
            self.needed |= self.modules.need(module)
        self._defined_in = before

    def _captured(self, name: str, value: object) -> None:
        before = self._fed
        self.walk(value, name)
        if self._fed - before > CAPTURE_LIMIT_BYTES:
            full = self._named(name)
            value = value.cell_contents if isinstance(value, CellType) else value
            kind, size = type(value).__name__, self._fed - before
            raise CapturedTooLarge(self.task_id, full, kind, size, CAPTURE_LIMIT_BYTES)

    def _class(self, cls: type) -> None:
        place = place_of(cls, self.modules)
        if place is not None:
            self._by_name(place)
            return
        self._feed("class", cls.__qualname__.encode())
        self.walk(type(cls))
        self._several("bases", cls.__bases__, "base")
        for name, member in members_of(cls):
            self._feed("member", name.encode())
            self.walk(member, f"{cls.__name__}.{name}")

    def _by_name(self, place: Place) -> None:
        self._feed("name", f"{place.module}:{place.qualname}".encode())
        if place.module != builtins.__name__:
            self.needed |= self.modules.need(place.module)

    def _module(self, module: ModuleType) -> None:
        self._feed("module", module.__name__.encode())
        inside = f"{module.__name__}."
        for name in [
            module.__name__,
            *(n for n in tuple(sys.modules) if n.startswith(inside)),
        ]:
            if name == module.__name__ or self.modules.is_local(name):
                self.needed |= self.modules.need(name)

    def _method(self, method: MethodType) -> None:
        self._feed("method", method.__func__.__name__.encode())
        self.walk(method.__self__, "self")
        self.walk(method.__func__)

    def _cell(self, cell: CellType) -> None:
        self._feed("cell")
        try:
            content = cell.cell_contents
        except ValueError:
            return
        self.walk(content)

    def _xcom(self, arg: XComArg) -> None:
        self._feed("xcom", repr(tuple(arg.ref)).encode())

    def _param(self, ref: ParamRef) -> None:
        self._feed("param", ref.name.encode())

    def _object(self, value: object) -> None:
        """Any other object, by what pickle would take it apart into."""
        place = place_of(value, self.modules)
        if place is not None:
            self._by_name(place)
            return
        reason = why_not(value)
        parts = None if reason else reduced(value)
        if isinstance(parts, str):
            reason = parts
        if reason or parts is None:
            name = self._named("")
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            kind = kind.removeprefix("builtins.")
            raise CannotTravel(self.task_id, name, kind, reason, self._defined_in)
        self._feed("object")
        for part in cast("tuple[object, ...]", parts):
            if hasattr(part, "__next__"):
                self._several("items", cast("Iterable[object]", part))
            else:
                self.walk(part)

    def _named(self, last: str) -> str:
        text = ""
        for part in (p for p in (*self._path, last) if p):
            text += part if part.startswith("[") or not text else f", {part}"
        return text or "a value"


_WALKERS: dict[type, Callable[[Survey, Any], None]] = {
    list: Survey._sequence,  # pyright: ignore[reportPrivateUsage]
    tuple: Survey._sequence,  # pyright: ignore[reportPrivateUsage]
    dict: Survey._dict,  # pyright: ignore[reportPrivateUsage]
    set: Survey._set,  # pyright: ignore[reportPrivateUsage]
    frozenset: Survey._set,  # pyright: ignore[reportPrivateUsage]
    CodeType: Survey._code,  # pyright: ignore[reportPrivateUsage]
    FunctionType: Survey._function,  # pyright: ignore[reportPrivateUsage]
    MethodType: Survey._method,  # pyright: ignore[reportPrivateUsage]
    ModuleType: Survey._module,  # pyright: ignore[reportPrivateUsage]
    CellType: Survey._cell,  # pyright: ignore[reportPrivateUsage]
    BuiltinFunctionType: Survey._object,  # pyright: ignore[reportPrivateUsage]
    XComArg: Survey._xcom,  # pyright: ignore[reportPrivateUsage]
    ParamRef: Survey._param,  # pyright: ignore[reportPrivateUsage]
}
