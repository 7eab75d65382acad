"""A notebook's DAG as a Python file that a person would have written: TaskFlow, in its order."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from mlflowkit.authoring.cell_names import names_of
from mlflowkit.authoring.cell_reads import reads_of
from mlflowkit.authoring.cell_source import lines_of
from mlflowkit.authoring.cell_stays import module_of
from mlflowkit.authoring.cell_task import is_async
from mlflowkit.authoring.notebook_dag_parts import NotebookDag, SectionTask
from mlflowkit.authoring.notebook_sections import Statement
from mlflowkit.authoring.notebook_shared import all_reads

_INDENT: Final = "    "
#: Methods whose value a person only looks at.
_LOOKS: Final = frozenset(
    {"describe", "head", "info", "nunique", "sample", "tail", "value_counts"}
)
#: Functions and methods that look for files in the folder of their process.
_FILES: Final = frozenset(
    [
        *("Path", "Popen", "absolute", "check_call", "check_output", "cwd", "exists"),
        *("getcwd", "glob", "iglob", "isdir", "isfile", "listdir", "makedirs", "mkdir"),
        *("open", "resolve", "rglob", "savefig", "scandir", "walk"),
    ]
)
_PATH: Final = re.compile(r"^[\w~.*-]*[\w.*-]+(?:/[\w.*-]+)*$")


def text_of(
    found: NotebookDag, target: Path, *, dag_id: str, parallel: bool = False
) -> str:
    """The whole file.

    Args:
        target: Where it will be: paths in the notebook stay relative to the notebook's folder.
        parallel: Sections that share no variables do not wait for each other.
    """
    return _Text(found, target, dag_id, parallel).whole()


def function_name(dag_id: str) -> str:
    """What the function of the DAG is called."""
    name = re.sub(r"\W", "_", dag_id)
    return name if name.isidentifier() else f"dag_{name}"


class _Text:
    def __init__(
        self, found: NotebookDag, target: Path, dag_id: str, parallel: bool
    ) -> None:
        self._found, self._target, self._dag_id = found, target, dag_id
        self._parallel = parallel
        self._waits = {t.name for t in found.tasks if any(is_async(o.node) for o in t.body)}
        self._in_folder = _those_with_files(found)

    def _dag_name(self) -> str:
        return function_name(self._dag_id)

    def whole(self) -> str:
        """All parts, two lines apart."""
        shared = [one.text for one in self._found.shared]
        parts = [
            _doc(f"{self._found.path.name} as a DAG: a task for each of its sections."),
            "from __future__ import annotations",
            self._imports(),
            *self._folder(),
            *_together(self._found.shared, shared),
            *(self._task(task) for task in self._found.tasks),
            self._dag(),
            f'if __name__ == "__main__":\n{_INDENT}{self._dag_name()}().run().wait()',
        ]
        head = "\n\n".join(parts[:3])
        return head + "\n\n\n" + "\n\n\n".join(parts[3:]) + "\n"

    def _imports(self) -> str:
        own = ["chain"] if self._chained() else []
        ours = f"from mlflowkit import {', '.join(sorted([*own, 'dag', 'task']))}"
        lines = list(self._found.imports)
        shown = any(
            "display" in reads_of(s.node)[0] for t in self._found.tasks for s in t.body
        )
        if shown and not any("display" in line for line in lines):
            lines.append("from IPython.display import display")
        if self._waits:
            lines.append("import asyncio")
        if self._in_folder:
            lines += ["import os", "from pathlib import Path"]
        return "\n".join([*sorted(set(lines), key=_import_key), "", ours])

    def _folder(self) -> list[str]:
        if not self._in_folder:
            return []
        way = os.path.relpath(self._found.path.parent, self._target.parent)
        here = "Path(__file__).resolve().parent"
        return [
            "#: Paths in the notebook are relative to its folder.\n"
            f"FOLDER = {here}{_way(way)}"
        ]

    # ── tasks ──

    def _task(self, task: SectionTask) -> str:
        several = len(task.outputs) > 1
        lines = ["@task(multiple_outputs=True)" if several else "@task"]
        lines.append(f"def {task.name}({', '.join(_taken(task))}):")
        body = [_doc(task.title)]
        if task.name in self._in_folder:
            body.append("os.chdir(FOLDER)")
        if task.built_in:
            body.append(f"from builtins import {', '.join(task.built_in)}")
        body += [_shown(one) for one in task.body]
        if several:
            pairs = ", ".join(f'"{name}": {name}' for name in task.outputs)
            body.append(f"return {{{pairs}}}")
        elif task.outputs:
            body.append(f"return {task.outputs[0]}")
        if task.name in self._waits:
            body = [body[0], *_waited(", ".join(_taken(task)), body[1:])]
        return "\n".join([*lines, *(_indented(text) for text in body)])

    def _dag(self) -> str:
        params = ", ".join(
            f"{p.name}: {p.annotation} = {p.default}"
            if p.annotation
            else f"{p.name}={p.default}"
            for p in self._found.parameters
        )
        named = (
            f'@dag(dag_id="{self._dag_id}")' if self._dag_name() != self._dag_id else "@dag"
        )
        lines = [named, f"def {self._dag_name()}({params}):"]
        said = f"The sections of {self._found.path.name}, in their order."
        lines.append(_INDENT + _doc(said))
        lines += [f"{_INDENT}{line}" for line in self._calls()]
        if self._chained():
            names = ", ".join(f"{t.name}_" for t in self._found.tasks)
            lines.append(f"{_INDENT}chain({names})")
        return "\n".join(lines)

    def _chained(self) -> bool:
        return not self._parallel and len(self._found.tasks) > 1

    def _calls(self) -> Iterator[str]:
        outputs = {t.name: t.outputs for t in self._found.tasks}
        for task in self._found.tasks:
            given = list[str]()
            for name in _taken(task):
                maker = task.inputs.get(name)
                if maker is None:
                    given.append(name)
                    continue
                key = f'["{name}"]' if len(outputs[maker]) > 1 else ""
                given.append(f"{maker}_{key}")
            function = task.name
            used = self._chained() or task.outputs
            result = f"{function}_ = " if used else ""
            yield f"{result}{function}({', '.join(given)})"


def _waited(taken: str, body: Sequence[str]) -> list[str]:
    """Cells with an `await` of their own, in a task that waits for them."""
    inside = "\n".join(_indented(text) for text in body)
    return [
        f"async def _cells({taken}):\n{inside}\n",
        f"return asyncio.run(_cells({taken}))",
    ]


def _doc(text: str) -> str:
    """A docstring that says `text`."""
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{text[:-1]}\\""""' if text.endswith('"') else f'"""{text}"""'


def _taken(task: SectionTask) -> list[str]:
    return [*task.inputs, *task.params]


def _together(shared: Sequence[Statement], texts: Sequence[str]) -> list[str]:
    """Definitions stand apart; constants that follow one another stand together."""
    found = list[str]()
    before = False
    for one, text in zip(shared, texts, strict=True):
        small = isinstance(one.node, (ast.Assign, ast.AnnAssign))
        if small and before:
            found[-1] += f"\n{text}"
        else:
            found.append(text)
        before = small
    return found


def _shown(one: Statement) -> str:
    """A last line that a notebook would show is printed."""
    node = one.node
    if not one.last or not isinstance(node, ast.Expr) or not _looked_at(node.value):
        return one.text
    lines = lines_of(one.text)
    first = len(lines) - ((node.end_lineno or 1) - node.lineno + 1)
    return "\n".join([*lines[:first], f"print({ast.unparse(node.value)})"])


def _looked_at(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        called = value.func
        return isinstance(called, ast.Attribute) and called.attr in _LOOKS
    return not isinstance(value, (ast.Constant, ast.Await, ast.Yield))


def _indented(text: str) -> str:
    """Each line further in, but for those inside of texts over several lines."""
    inside = set[int]()
    try:
        tree = ast.parse(text)
    except SyntaxError:  # `return` at the end
        tree = ast.Module([], [])
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Constant, ast.JoinedStr))
            and node.end_lineno != node.lineno
        ):
            inside.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return "\n".join(
        line if number in inside or not line.strip() else f"{_INDENT}{line}"
        for number, line in enumerate(lines_of(text), start=1)
    )


def _those_with_files(found: NotebookDag) -> set[str]:
    """Tasks that name files, or use something of all tasks that does."""
    of_all = {
        name
        for one in found.shared
        if _names_files([one])
        for name in names_of(module_of(one)).own
    }
    helpers = {n for one in found.shared for n in names_of(module_of(one)).own}
    return {
        task.name
        for task in found.tasks
        if _names_files(task.body)
        or (of_all and helpers & {n for one in task.body for n in all_reads(one)})
    }


def _names_files(body: Sequence[Statement]) -> bool:
    """Does it name files by paths that are not absolute, or look into its folder?"""
    for one in body:
        for node in ast.walk(one.node):
            if isinstance(node, ast.Call):
                called = node.func
                name = getattr(called, "attr", "") or getattr(called, "id", "")
                if name in _FILES:
                    return True
            if isinstance(node, ast.JoinedStr):
                texts = [v.value for v in node.values if isinstance(v, ast.Constant)]
                if any(re.search(r"/|\.\w", str(text)) for text in texts):
                    return True
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
                if "." in text[1:-1] and _PATH.match(text) and not text.startswith("/"):
                    return True
    return False


def _way(way: str) -> str:
    if way in (".", ".."):
        return "" if way == "." else ".parent"
    return f" / {json.dumps(way, ensure_ascii=False)}"


def _import_key(line: str) -> tuple[bool, str]:
    return line.startswith("from "), line
