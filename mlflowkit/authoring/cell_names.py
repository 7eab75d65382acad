"""Which names a cell reads, assigns, imports, defines, and changes in place.

Goes by the text alone, and runs nothing. A cell is read as the module-level code that it is:
what it reads before it assigns it comes from elsewhere; what functions and lambdas inside read
is looked up when they are called, so that a later assignment of the cell counts.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlflowkit.authoring.cell_changes import Change, changes_of
from mlflowkit.authoring.cell_reads import reads_of, walrus_names


class Need(NamedTuple):
    """A name that is read before the cell has certainly assigned it."""

    line: int
    #: The cell assigns it on some ways to here: it may be its own.
    maybe_own: bool = False


@dataclass(slots=True)
class CellNames:
    """What a cell does with names, each with the line (from 1) where it first does."""

    needs: dict[str, Need] = field(default_factory=dict[str, Need])
    #: Bound by assignment, loops, `with`, … and still bound at the end.
    assigns: dict[str, int] = field(default_factory=dict[str, int])
    #: The statement that imports each name.
    imports: dict[str, ast.stmt] = field(default_factory=dict[str, ast.stmt])
    #: The statement of the cell in which that stands, as it is there.
    made_of: dict[str, ast.stmt] = field(default_factory=dict[str, ast.stmt])
    #: Functions and classes.
    defines: dict[str, int] = field(default_factory=dict[str, int])
    changes: list[Change] = field(default_factory=list[Change])
    #: Of all that it binds: what it has bound on every way to its end.
    certain: set[str] = field(default_factory=set[str])

    @property
    def own(self) -> set[str]:
        """All that it binds."""
        return {*self.assigns, *self.imports, *self.defines}


def names_of(tree: ast.Module) -> CellNames:
    """What the code of a cell does with names."""
    flow = _Flow()
    certain = flow.block(tree.body, set())
    flow.end()
    flow.names.certain = certain
    flow.names.changes = list(changes_of(tree))
    for statement in tree.body:
        _keep_whole(statement, flow.names)
    return flow.names


def _keep_whole(statement: ast.stmt, names: CellNames) -> None:
    """An import with another one for the case that it fails: they travel as one."""
    if not isinstance(statement, (ast.Try, ast.If)):
        return
    inside = {id(node) for node in ast.walk(statement)}
    for name in names.imports:
        if id(names.made_of.get(name)) in inside:
            names.imports[name] = statement


def only_imports(statement: ast.stmt) -> bool:
    """Is it `try: import a except ImportError: import b`, or such an `if`? What else it does
    is to assign what is written out."""
    if not isinstance(statement, (ast.Try, ast.If)):
        return False
    bodies = [statement.body, statement.orelse]
    if isinstance(statement, ast.Try):
        bodies += [statement.finalbody, *(h.body for h in statement.handlers)]
    inner = [one for body in bodies for one in body]
    fine = (ast.Import, ast.ImportFrom, ast.Pass)
    return any(isinstance(one, fine[:2]) for one in inner) and all(
        isinstance(one, fine)
        or only_imports(one)
        or (isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant))
        for one in inner
    )


def imported(node: ast.stmt) -> str:
    """What an import of one name brings: `import xml.dom` brings `xml`, as `import xml` does."""
    if isinstance(node, ast.Import) and node.names[0].asname is None:
        return node.names[0].name.partition(".")[0]
    return ast.unparse(node)


def reads_before_its_own(node: ast.ClassDef) -> dict[str, Need]:
    """Names that the body of a class reads at once, before it binds them itself."""
    inside = names_of(ast.Module(node.body, []))
    return {name: need for name, need in inside.needs.items() if name in inside.own}


class _Flow:
    """Goes through statements in their order, with what is certainly bound so far."""

    def __init__(self) -> None:
        self.names = CellNames()
        self._later: dict[str, int] = {}
        #: Bound on some way so far.
        self._maybe: set[str] = set()

    def end(self) -> None:
        for name, line in self._later.items():
            if name not in self._maybe:
                self.names.needs.setdefault(name, Need(line))
        for name in [n for n in self.names.assigns if n not in self._maybe]:
            del self.names.assigns[name]

    # ── reading and binding ──

    def _read(self, node: ast.AST | None, bound: set[str]) -> None:
        if node is None:
            return
        now, later = reads_of(node)
        line = getattr(node, "lineno", 1)
        for name in sorted(now - bound):
            self._need(name, line)
        for name in sorted(later):
            self._later.setdefault(name, line)
        for name in walrus_names(node):
            self._bind(name, line, bound)

    def _need(self, name: str, line: int) -> None:
        self.names.needs.setdefault(name, Need(line, name in self._maybe))

    def _bind(self, name: str, line: int, bound: set[str]) -> None:
        bound.add(name)
        self._maybe.add(name)
        self.names.assigns.setdefault(name, line)

    def _target(self, node: ast.AST, bound: set[str]) -> None:
        """What is assigned to: names are bound, the rest is read."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self._bind(inner.id, inner.lineno, bound)
            elif isinstance(inner, (ast.Attribute, ast.Subscript)):
                self._read(inner.value, bound)
                if isinstance(inner, ast.Subscript):
                    self._read(inner.slice, bound)

    # ── statements ──

    def block(self, body: Sequence[ast.stmt], bound: set[str]) -> set[str]:
        """Go through statements; gives what is certainly bound after them."""
        for statement in body:
            self._statement(statement, bound)
        return bound

    def _statement(self, node: ast.stmt, bound: set[str]) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                self._imports(node, bound)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._defines(node, bound)
            case ast.Assign(targets=targets, value=value):
                self._read(value, bound)
                for target in targets:
                    self._target(target, bound)
            case ast.AnnAssign(target=target, value=value):
                self._read(node.annotation, bound)
                self._read(value, bound)
                if value is not None or not isinstance(target, ast.Name):
                    self._target(target, bound)
            case ast.AugAssign(target=target, value=value):
                self._read(value, bound)
                if isinstance(target, ast.Name) and target.id not in bound:
                    self._need(target.id, node.lineno)
                self._target(target, bound)
            case _:
                self._compound(node, bound)

    def _defines(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, bound: set[str]
    ) -> None:
        self._read(node, bound)
        own = reads_before_its_own(node) if isinstance(node, ast.ClassDef) else {}
        for name, need in own.items():
            if name not in bound:
                self._need(name, need.line)
        bound.add(node.name)
        self._maybe.add(node.name)
        self.names.defines.setdefault(node.name, node.lineno)

    def _imports(self, node: ast.Import | ast.ImportFrom, bound: set[str]) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            only = [ast.alias(alias.name, alias.asname)]
            made: ast.stmt = (
                ast.Import(only)
                if isinstance(node, ast.Import)
                else ast.ImportFrom(node.module, only, node.level)
            )
            self.names.imports.setdefault(name, ast.copy_location(made, node))
            self.names.made_of.setdefault(name, node)
            bound.add(name)
            self._maybe.add(name)

    def _delete(self, target: ast.expr, bound: set[str]) -> None:
        if not isinstance(target, ast.Name):
            self._target(target, bound)
            return
        if target.id not in bound:
            self._need(target.id, target.lineno)
        bound.discard(target.id)
        self._maybe.discard(target.id)

    def _compound(self, node: ast.stmt, bound: set[str]) -> None:
        match node:
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target, bound)
            case ast.If(test=test, body=body, orelse=orelse):
                self._read(test, bound)
                one = self.block(body, set(bound))
                bound |= one & self.block(orelse, set(bound))
            case ast.For() | ast.AsyncFor():
                self._read(node.iter, bound)
                inner = set(bound)
                self._target(node.target, inner)
                self.block(node.body, inner)
                self.block(node.orelse, set(bound))
            case ast.While(test=test, body=body, orelse=orelse):
                self._read(test, bound)
                self.block(body, set(bound))
                self.block(orelse, set(bound))
            case _:
                self._other(node, bound)

    def _other(self, node: ast.stmt, bound: set[str]) -> None:
        match node:
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    self._read(item.context_expr, bound)
                    if item.optional_vars is not None:
                        self._target(item.optional_vars, bound)
                self.block(body, bound)
            case ast.Try() | ast.TryStar():
                self._try(node, bound)
            case ast.Match(subject=subject, cases=cases):
                self._read(subject, bound)
                for case in cases:
                    self._case(case, set(bound))
            case _:
                self._read(node, bound)

    def _try(self, node: ast.Try | ast.TryStar, bound: set[str]) -> None:
        ways = [self.block([*node.body, *node.orelse], set(bound))]
        for handler in node.handlers:
            inner = set(bound)
            self._read(handler.type, inner)
            own = {handler.name} if handler.name else set[str]()
            way = self.block(handler.body, inner | own) - own
            self._maybe -= own - bound
            ways.append(way)
        certain = ways[0]
        for way in ways[1:]:
            certain = certain & way
        bound |= certain
        self.block(node.finalbody, bound)

    def _case(self, case: ast.match_case, inner: set[str]) -> None:
        for node in ast.walk(case.pattern):
            match node:
                case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                    self._bind(name, node.lineno, inner)
                case ast.MatchMapping(rest=str(name)):
                    self._bind(name, node.lineno, inner)
                case ast.MatchValue(value=value) | ast.MatchClass(cls=value):
                    self._read(value, inner)
                case _:
                    pass
        self._read(case.guard, inner)
        self.block(case.body, inner)
