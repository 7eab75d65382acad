"""What a cell may change in ways that `cell_changes` does not see: `model.fit(x)`, `train(model)`.

Goes by the text alone, and by how libraries name things. It says too much rather than too
little: whoever asks hands such a value on, or asks the person.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mlflowkit.authoring.cell_changes import Change, base_of, changes_of

#: Functions of libraries that set something for the whole process.
_SETTERS: Final = re.compile(
    r"seed|manual_seed|set_|reset_|use$|filterwarnings|simplefilter|basicConfig|setLevel|"
    r"putenv|chdir|register"
)

Functions = Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef]

#: Methods that teach, move on or load what they are called on, whatever they give.
_TEACHERS: Final = frozenset(
    [
        *("backward", "compile", "fit", "fit_generator", "fit_predict", "fit_resample"),
        *("fit_transform", "load_state_dict", "load_weights", "partial_fit", "seed"),
        *("set_params", "set_weights", "step", "train", "train_on_batch", "zero_grad"),
    ]
)
#: Functions that change their first argument.
_CHANGE_FIRST: Final = frozenset(
    [
        *("copyto", "delattr", "fill_diagonal", "heapify", "heappop", "heappush"),
        *("heappushpop", "heapreplace", "insort", "insort_left", "insort_right", "next"),
        *("place", "put", "putmask", "setattr", "shuffle"),
    ]
)
#: What only looks, although nobody takes what it gives.
_LOOKS: Final = frozenset(
    [
        *("bar", "barh", "boxplot", "close", "critical", "debug", "describe", "display"),
        *("dump", "error", "flush", "head", "hist", "imshow", "info", "len", "log"),
        *("pie", "plot", "pprint", "print", "save", "savefig", "savetxt", "scatter"),
        *("show", "summary", "tail", "warning", "write", "writelines", "writerow"),
        *("writerows", "write_bytes", "write_text"),
    ]
)


def touches_of(body: Sequence[ast.stmt], functions: Functions) -> Iterator[Change]:
    """Names that statements may change in place, with the place where.

    Args:
        functions: Those that the notebook defines: their code says what they change.
    """
    for statement in body:
        bare = {
            id(node.value) for node in ast.walk(statement) if isinstance(node, ast.Expr)
        }
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                for name in _touched(node, id(node) in bare, functions):
                    yield Change(name, node.lineno, ast.unparse(node))


def taught_by(body: Sequence[ast.stmt], functions: Functions) -> Iterator[Change]:
    """Of these, what is sure to be meant as a change: a method that teaches, a function that
    changes its argument."""
    for node in (inner for one in body for inner in ast.walk(one)):
        if isinstance(node, ast.Call):
            for name in _surely(node, functions):
                yield Change(name, node.lineno, ast.unparse(node))


def _surely(call: ast.Call, functions: Functions) -> Iterator[str]:
    called = call.func
    name = getattr(called, "attr", "") or getattr(called, "id", "")
    if isinstance(called, ast.Attribute) and name in _TEACHERS:
        yield base_of(called.value)
    if name in _CHANGE_FIRST and call.args:
        yield base_of(call.args[0])
    yield from (base_of(k.value) for k in call.keywords if k.arg == "out")
    if isinstance(called, ast.Name) and called.id in functions:
        yield from _by_function(call, functions[called.id], functions)


def _touched(call: ast.Call, bare: bool, functions: Functions) -> Iterator[str]:
    yield from _surely(call, functions)
    called = call.func
    name = getattr(called, "attr", "") or getattr(called, "id", "")
    if isinstance(called, ast.Attribute) and name.endswith("_"):
        yield base_of(called.value)  # torch: `x.add_(1)`
    if isinstance(called, ast.Name) and name not in functions:
        yield name  # a model that is called may learn from that
    if not bare or name in _LOOKS or name.startswith(("plot_", "save_", "show_", "to_")):
        return
    if isinstance(called, ast.Attribute):
        yield base_of(called.value)
    if name not in functions:
        yield from (base_of(a) for a in call.args)
        yield from (base_of(k.value) for k in call.keywords)


def _by_function(
    call: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef, functions: Functions
) -> Iterator[str]:
    """The arguments that a function of the notebook changes."""
    others = {n: f for n, f in functions.items() if f is not function}
    changed = {c.name for c in changes_of(ast.Module(function.body, []))}
    changed |= {c.name for c in taught_by(function.body, others)}
    places = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    for name, value in zip(places, call.args, strict=False):
        if name in changed:
            yield base_of(value)
    for keyword in call.keywords:
        if keyword.arg in changed:
            yield base_of(keyword.value)


def functions_in(body: Sequence[ast.stmt]) -> Functions:
    """The functions that statements define."""
    return {
        one.name: one
        for one in body
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def defined_in(body: Sequence[ast.stmt]) -> set[str]:
    """The functions and classes that statements define."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {one.name for one in body if isinstance(one, kinds)}


def fixed_in(body: Sequence[ast.stmt]) -> set[str]:
    """Names of what is written out and cannot be changed: numbers, texts."""
    return {
        target.id
        for one in body
        if isinstance(one, (ast.Assign, ast.AnnAssign))
        and isinstance(one.value, ast.Constant)
        for target in (one.targets if isinstance(one, ast.Assign) else [one.target])
        if isinstance(target, ast.Name)
    }


def sets_its_process(statement: ast.stmt, imports: set[str]) -> str:
    """The line with which a statement sets something of a library (a seed, an option); or
    nothing."""
    if isinstance(statement, (ast.Assign, ast.AugAssign, ast.Delete)):
        for change in changes_of(ast.Module([statement], [])):
            if change.name in imports:
                return change.text
    for node in ast.walk(statement):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            name = getattr(called, "attr", "") or getattr(called, "id", "")
            if base_of(called) in imports and _SETTERS.match(name):
                return ast.unparse(node.value)
    return ""


def same_things(
    body: Sequence[ast.stmt], *, held: bool = False
) -> Iterator[tuple[str, str]]:
    """Pairs of names for one thing: `b = a`, or for a part of it: `b = a.part`, `b = [a]`.

    Args:
        held: Also what an object was made with: `b = Optimizer(a.weights())`.
    """
    for node in (inner for one in body for inner in ast.walk(one)):
        if isinstance(node, ast.Assign):
            for other in [*_held(node.value), *(_made_with(node.value) if held else ())]:
                for target in node.targets:
                    if isinstance(target, ast.Name) and other != target.id:
                        yield target.id, other


def with_the_same(
    changed: set[str], body: Sequence[ast.stmt], *, held: bool = False
) -> set[str]:
    """`changed`, and what is another name for it, or for a part of it: see `same_things`."""
    pairs = list(same_things(body, held=held))
    found = set(changed)
    while True:
        more = {n for pair in pairs for n in pair if found & set(pair)} - found
        if not more:
            return found
        found |= more


def _made_with(value: ast.expr) -> Iterator[str]:
    if not isinstance(value, ast.Call):
        return
    called = value.func
    name = getattr(called, "attr", "") or getattr(called, "id", "")
    if name[:1].isupper():  # a class, as they are named
        for part in (*value.args, *(k.value for k in value.keywords)):
            inner = part.func if isinstance(part, ast.Call) else part
            yield from (_held(inner))


def _held(value: ast.expr) -> Iterator[str]:
    match value:
        case ast.Name() | ast.Attribute() | ast.Subscript():
            yield base_of(value)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            for part in parts:
                yield from _held(part)
        case ast.Dict(values=parts):
            for part in parts:
                yield from _held(part)
        case ast.Starred(value=part):
            yield from _held(part)
        case _:
            return
