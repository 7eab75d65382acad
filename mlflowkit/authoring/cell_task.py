"""A cell as a task: its code becomes a function of what it reads, which gives what it assigns."""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from mlflowkit.authoring.conditions import DecoratedPython


class CellTask(DecoratedPython):
    """A task made of a cell. Its outputs are the names that other cells read."""

    shown_as = "%%task"


def function_of(
    task: str,
    tree: ast.Module,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    imports: Sequence[ast.stmt] = (),
    text: str,
    names: dict[str, Any],
) -> Callable[..., Any]:
    """The function that a cell becomes.

    Args:
        tree: Its code, with the lines of `text`.
        inputs: Names that it is given.
        outputs: Names that it gives, as a dict; none: it gives None.
        imports: Statements of other cells that go before it.
        text: What people see as the cell, for tracebacks.
        names: The globals in which all other names are looked up.
    """
    name = identifier(task)
    body = [*imports, *_shown(tree.body, text), *_given(task, outputs)]
    waits = any(is_async(statement) for statement in tree.body)
    kind: Any = ast.AsyncFunctionDef if waits else ast.FunctionDef
    made = kind(
        name=name,
        args=ast.arguments([], [ast.arg(one) for one in inputs], None, [], [], None, []),
        body=body or [ast.Pass()],
        decorator_list=[],
        lineno=1,
        col_offset=0,
    )
    if "type_params" in kind._fields:
        made.type_params = []
    module = ast.fix_missing_locations(ast.Module([made], []))
    file = f"<task cell {task}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": names.get("__name__", "__main__")}
    code = compile(module, file, "exec", dont_inherit=True)
    exec(code, space)
    found: FunctionType = space[name]
    function = FunctionType(found.__code__, names, name, None, None)
    function.__module__, function.__qualname__ = str(space["__name__"]), name
    return _Waiting(function) if waits else function


class _Waiting:
    """Calls a coroutine function, and waits for what it gives: a cell may have `await`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.__name__ = function, function.__name__

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(self.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import asyncio

        return asyncio.run(self.function(*args, **kwargs))


def identifier(task: str) -> str:
    """A name for the function of a task: `load-2` is `load_2`."""
    name = re.sub(r"\W", "_", task)
    return name if name.isidentifier() else f"task_{name}"


def _shown(body: Sequence[ast.stmt], text: str) -> list[ast.stmt]:
    """A last line that is a value is printed into the task's log, as a notebook shows it."""
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr) or text.rstrip().endswith(";") or _prints(last):
        return list(body)
    show = ast.parse("if (_shown := None) is not None:\n    print(repr(_shown))").body[0]
    assert isinstance(show, ast.If)
    assert isinstance(show.test, ast.Compare)
    assert isinstance(show.test.left, ast.NamedExpr)
    show.test.left.value = last.value
    for node in ast.walk(show):
        if not hasattr(node, "lineno") or node not in ast.walk(last.value):
            ast.copy_location(node, last)
    return [*body[:-1], show]


def _prints(last: ast.Expr) -> bool:
    call = last.value
    return isinstance(call, ast.Call) and getattr(call.func, "id", "") == "print"


def _given(task: str, outputs: Sequence[str]) -> list[ast.stmt]:
    if not outputs:
        return []
    pairs = ", ".join(f"{name!r}: {name}" for name in outputs)
    said = f"the cell of task {task!r} ended without assigning what it gives: "
    return ast.parse(
        f"try:\n    return {{{pairs}}}\n"
        f"except UnboundLocalError as _missing:\n"
        f"    raise NameError({said!r} + str(_missing)) from None"
    ).body


def is_async(node: ast.AST) -> bool:
    """Whether there is an `await` outside of functions."""
    if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
        return True
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
        return False
    if isinstance(node, ast.comprehension) and node.is_async:
        return True
    return any(is_async(child) for child in ast.iter_child_nodes(node))
