"""What a cell does, read from its code: names it mentions, what it changes beside them.

Pure: code in, facts out; nothing is run or imported. Rule: where code cannot be read, it
is `sweeping` (it may touch anything), never harmless.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from mlflowkit.nbrun.checkpoint.magics import magic_effect, without_magics
from mlflowkit.nbrun.code_names import names_bound

#: Calls into these change no state of a module that a checkpoint would miss.
_HARMLESS: Final = (
    *("random", "numpy.random", "torch.manual_seed", "torch.random", "time", "gc"),
    *("json.dump", "pickle.dump", "joblib.dump", "numpy.save", "numpy.savez"),
    *("numpy.savetxt", "numpy.testing", "numpy.copyto", "numpy.fill_diagonal"),
    *("numpy.savez_compressed", "torch.save", "subprocess", "shutil", "IPython.display"),
    *("os.makedirs", "os.mkdir", "os.remove", "os.unlink", "os.rename", "os.replace"),
    *("os.system", "os.rmdir", "os.path", "pathlib", "pprint", "heapq", "bisect"),
    *("math", "itertools", "operator", "copy", "csv", "mlflowkit.push", "mlflowkit.input"),
    *("mlflowkit.report_progress", "torch.nn.init", "torch.nn.utils", "textwrap"),
    *("collections", "warnings"),
)
#: Of those, calls that do.
_HARMFUL: Final = (
    *("csv.field_size_limit", "csv.register_dialect", "csv.unregister_dialect"),
    *("time.tzset", "shutil.register_archive_format", "shutil.register_unpack_format"),
)
#: Names of functions that are called for what they change, even if they return something.
_CHANGING: Final = re.compile(
    r"((un|de)?register|enable|disable|set|use)(_\w+|[A-Z]\w*)?|(de)?activate|configure"
    r"|init|initiali[sz]e|start(_run)?|begin|setup|set_up|login|install|patch|seed|umask"
    r"|basicConfig",
)
#: What matplotlib.pyplot does to settings; all else there draws a figure.
_PYPLOT_SETTINGS: Final = {
    *("style", "rc", "rcParams", "rcdefaults", "ion", "ioff", "switch_backend", "set_cmap"),
    *("xkcd", "rc_context", "set_loglevel", "rcParamsDefault", "install_repl_displayhook"),
}
#: Values that cells have shown, and all of them.
_SHOWN: Final = re.compile(r"_{1,3}|_\d+|Out|_oh")
_SWEEPING: Final = {"exec", "eval", "globals", "locals", "vars", "__import__", "compile"}
_PATCHING: Final = {"setattr", "delattr", "breakpoint"}


@dataclass(frozen=True, slots=True)
class CellFacts:
    """What is known of one cell."""

    #: Names of the namespace that it reads, binds or deletes, in functions' bodies too.
    names: frozenset[str] = frozenset()
    #: Names that it binds at its top level.
    binds: frozenset[str] = frozenset()
    #: What it changes beside its names, in words: "calls pandas.set_option".
    effects: tuple[str, ...] = ()
    #: The shell's own names that it reads: `_`, `_3`, `Out`.
    shown: frozenset[str] = frozenset()
    #: It may touch any name.
    sweeping: bool = False


@dataclass(slots=True)
class _Known:
    """What earlier cells have said."""

    #: Name → dotted path of what was imported under it.
    imports: dict[str, str] = field(default_factory=dict[str, str])
    #: Function or class of a cell → what calling it may change.
    effects: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def analyse(sources: Sequence[str]) -> list[CellFacts]:
    """Facts of the cells of a notebook, in the order in which they run."""
    known = _Known()
    return [_facts(source, known) for source in sources]


def read_of_shown(facts: Iterable[CellFacts]) -> set[str]:
    """Of the values that cells have shown, those that a cell reads; "Out": maybe all.

    Where a cell has bound `_` itself, that is a variable like others.
    """
    found, bound = set[str](), set[str]()
    for each in facts:
        found |= {"Out"} if each.sweeping else each.shown - bound
        bound |= each.binds
    return found


def _facts(source: str, known: _Known) -> CellFacts:
    python, effects, sweeping = without_magics(source)
    try:
        tree = ast.parse(python)
    except (SyntaxError, ValueError, RecursionError):
        return CellFacts(sweeping=True, effects=("its code could not be read",))
    for note in (_note_import, _note_alias):
        for node in ast.walk(tree):
            note(node, known)
    names = frozenset([*names_bound(tree, and_read=True), *_annotated(tree)])
    found = list(dict.fromkeys([*effects, *_effects(tree, known)]))
    _note_definitions(tree, known)
    called = [e for name in names for e in known.effects.get(name, ())]
    found += [effect for effect in dict.fromkeys(called) if effect not in found]
    return CellFacts(
        names=names,
        binds=frozenset(_bound(tree)),
        effects=tuple(found),
        shown=frozenset(_read(tree)),
        sweeping=sweeping or bool(names & _SWEEPING),
    )


# ── names ──


def _read(tree: ast.AST) -> Iterator[str]:
    loads = (n for n in ast.walk(tree) if isinstance(n, ast.Name))
    return (n.id for n in loads if isinstance(n.ctx, ast.Load) and _SHOWN.fullmatch(n.id))


def _annotated(tree: ast.Module) -> Iterator[str]:
    """`n: int = 3` in a cell writes a variable beside `n`."""
    inside = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    outside = (each for each in tree.body if not isinstance(each, inside))
    if any(isinstance(n, ast.AnnAssign) for each in outside for n in ast.walk(each)):
        yield "__annotations__"


def _bound(tree: ast.Module) -> Iterator[str]:
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        if not isinstance(node, ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))


# ── effects ──


def _note_import(node: ast.AST, known: _Known) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            known.imports[name] = alias.name if alias.asname else name
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            known.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"


def _note_alias(node: ast.AST, known: _Known) -> None:
    """`m = numpy.random`, `a, b = pandas, numpy`: what is done to them is done to these."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    match node:
        case ast.Assign(targets=targets, value=value):
            pairs = [pair for target in targets for pair in _paired(target, value)]
        case ast.NamedExpr() | ast.AnnAssign() if node.value is not None:
            pairs = [(node.target, node.value)]
        case _:
            pass
    for target, value in pairs:
        path = _path(value, known)
        if isinstance(target, ast.Name) and path and not _is_made(value):
            known.imports[target.id] = path


def _paired(target: ast.expr, value: ast.expr) -> Iterable[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return zip(target.elts, value.elts, strict=False)
    return [(target, value)]


def _is_made(node: ast.expr) -> bool:
    """Whether a call makes it: then it is a variable like others."""
    return any(isinstance(each, ast.Call) for each in ast.walk(node))


def _note_definitions(tree: ast.Module, known: _Known) -> None:
    """A function that changes settings does so where it is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = set(names_bound(node, and_read=True)) - {node.name}
            through = [e for name in inner for e in known.effects.get(name, ())]
            effects = (*_effects(node, known), *through)
            if effects:
                known.effects[node.name] = tuple(dict.fromkeys(effects))


def _effects(tree: ast.AST, known: _Known) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name("get_ipython")))):
                effect, sweeping = magic_effect(node)
                yield from (effect,) if effect else ()
                yield from ("runs code by a magic",) if sweeping else ()
            case ast.Call(func=ast.Name(id=name)) if name in _PATCHING | {"exec", "eval"}:
                yield f"calls {name}"
            case ast.Expr(value=ast.Call() | ast.Await() as call):
                yield from _discarded(call, known)
            case ast.Call(func=ast.Name() | ast.Attribute() as func):
                yield from _changing(func, known)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                for each in node.decorator_list:
                    yield from _changing(each, known)
            case ast.ImportFrom(module=module, names=names) if names[0].name == "*":
                yield f"imports all of {module}"
            case ast.Attribute() | ast.Subscript():
                yield from _assigned(node, known)
            case _:
                pass


def _assigned(node: ast.Attribute | ast.Subscript, known: _Known) -> Iterator[str]:
    """`numpy.foo = …`, `os.environ["A"] = …`, `del module.x`."""
    if isinstance(node.ctx, ast.Load):
        return
    path = _path(node, known)
    if path:
        yield f"sets {path}"


def _discarded(call: ast.expr, known: _Known) -> Iterator[str]:
    """A call whose result nobody takes is made for what it changes."""
    if isinstance(call, ast.Await):
        call = call.value
    if not isinstance(call, ast.Call):
        return
    path = _path(call.func, known)
    if path and not _is_harmless(path):
        yield f"calls {path}"


def _changing(func: ast.expr, known: _Known) -> Iterator[str]:
    """`run = mlflow.start_run()`: one that is called for what it changes, by its name."""
    path = "" if _is_made(func) else _path(func, known)
    if _CHANGING.fullmatch(path.rpartition(".")[2]) and not _is_harmless(path):
        yield f"calls {path}"


def _path(node: ast.expr, known: _Known) -> str:
    """The dotted path of something imported; empty for variables of the notebook."""
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            break
    if not isinstance(node, ast.Name) or node.id not in known.imports:
        return ""
    return ".".join([known.imports[node.id], *reversed(parts)])


def _is_harmless(path: str) -> bool:
    if path.startswith("matplotlib.pyplot."):
        return path.split(".")[2] not in _PYPLOT_SETTINGS
    if path in _HARMFUL:
        return False
    return any(path == each or path.startswith(f"{each}.") for each in _HARMLESS)
