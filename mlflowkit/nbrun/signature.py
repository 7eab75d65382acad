"""What a notebook takes and gives, read from its file: nothing of it is run.

Parameters are those of the cell tagged `parameters`. Outputs are the names that a cell
tagged `outputs` assigns, and those of `push("name", ...)` calls; a notebook that may push
more than its code shows is called open, and no name is held against it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any, Final

from mlflowkit.nbrun import parameters, source
from mlflowkit.nbrun.injection import assigned_names
from mlflowkit.nbrun.parameters import NotebookParameter
from mlflowkit.nbrun.pushes import pushes_of

#: Literals whose type a name in an `outputs` cell surely has.
_LITERALS: Final = (bool, int, float, str, bytes, list, tuple, set, dict)


@dataclass(frozen=True, slots=True)
class NotebookOutput:
    """One XCom that the notebook gives."""

    name: str
    #: "float", "dict[str, int]"; empty where nothing says it.
    annotation: str = ""
    #: "outputs" (a cell tagged so assigns it), "push" or "exit_notebook".
    how: str = "outputs"


@dataclass(frozen=True, slots=True)
class NotebookSignature:
    """What a notebook takes and gives. `inspect_notebook` makes it."""

    path: Path
    language: str
    parameters: tuple[NotebookParameter, ...] = ()
    outputs: tuple[NotebookOutput, ...] = ()
    #: Whether it may give more than `outputs` names: what its code computes, or loads.
    is_open: bool = False

    def parameter(self, name: str) -> NotebookParameter | None:
        """The parameter of that name, or None."""
        return next((one for one in self.parameters if one.name == name), None)

    def output(self, name: str) -> NotebookOutput | None:
        """The output of that name, or None."""
        return next((one for one in self.outputs if one.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        names = ("name", "annotation", "default_source", "help")
        return {
            "path": str(self.path),
            "language": self.language,
            "parameters": [{n: getattr(p, n) for n in names} for p in self.parameters],
            "outputs": [
                {"name": o.name, "annotation": o.annotation, "how": o.how}
                for o in self.outputs
            ],
            "open": self.is_open,
        }

    def __repr__(self) -> str:
        taken = [f"    {_parameter_line(one)}" for one in self.parameters]
        given = [f"    {_output_line(one)}" for one in self.outputs]
        if self.is_open:
            given.append("    … and what its code pushes under names that it computes")
        lines = [f"notebook {self.path.name} ({self.language})"]
        lines += ["  takes:", *taken] if taken else ["  takes nothing"]
        lines += ["  gives:", *given] if given else ["  gives nothing but itself"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def _parameter_line(one: NotebookParameter) -> str:
    kind = f": {one.annotation}" if one.annotation else ""
    default = f" = {one.default_source}" if one.default_source else ""
    return f"{one.name}{kind}{default}" + (f"  # {one.help}" if one.help else "")


def _output_line(one: NotebookOutput) -> str:
    kind = f": {one.annotation}" if one.annotation else ""
    return f"{one.name}{kind}  ({_HOW[one.how]})"


_HOW: Final[Mapping[str, str]] = {
    "outputs": "after the last cell",
    "push": "pushed by a cell",
    "exit_notebook": "where it leaves early",
}


def inspect_notebook(path: str | Path) -> NotebookSignature:
    """What a notebook takes and gives: names, types, defaults, help. Runs nothing.

    Raises:
        NotebookMissing, NotebookInvalid: there is none, or it cannot be read.
    """
    place = Path(path).expanduser()
    return _signature(place, source.load(place))


def signature_of(path: Path) -> NotebookSignature | None:
    """The same where a DAG is written: quickly, and None for what is no proper notebook."""
    try:
        found = path.stat()
    except OSError:
        return None
    return _cached(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=64)
def _cached(path: Path, _changed: int, _size: int) -> NotebookSignature | None:
    try:
        raw = json.loads(path.read_bytes().decode("utf-8-sig"))
        notebook = _Plain.of(raw)
        return _signature(path, notebook)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # what is wrong with it is said before the run


class _Plain(dict[str, Any]):
    """A notebook's JSON with names as attributes, as `nbformat` has them."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as exc:
            raise AttributeError(name) from exc

    @classmethod
    def of(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            if "source" in raw and isinstance(raw["source"], list):
                raw = {**raw, "source": "".join(raw["source"])}
            return cls({name: cls.of(value) for name, value in raw.items()})
        return [cls.of(one) for one in raw] if isinstance(raw, list) else raw


def _signature(path: Path, notebook: Any) -> NotebookSignature:
    taken = parameters.parameters_of(notebook) or ()
    if not parameters.is_python(notebook):
        spec = notebook.metadata.get("kernelspec", {})
        said = notebook.metadata.get("language_info", {}).get("name") or spec.get(
            "language"
        )
        return NotebookSignature(path, str(said).lower(), taken, is_open=True)
    found: dict[str, NotebookOutput] = {}
    for at in source.tagged(notebook, "outputs"):
        for name, annotation in _assigned(str(notebook.cells[at].source)):
            found[name] = NotebookOutput(name, annotation)
    cells = [str(c.source) for c in notebook.cells if c.cell_type == "code"]
    pushed = pushes_of(cells, path.parent)
    for name, how in pushed.names.items():
        found.setdefault(name, NotebookOutput(name, how=how))
    return NotebookSignature(path, "python", taken, tuple(found.values()), pushed.more)


def _assigned(code: str) -> Iterator[tuple[str, str]]:
    """Names that a cell assigns, each with its type where the last assignment says it."""
    try:
        tree = ast.parse(parameters.without_magics(code))
    except SyntaxError:
        return
    said: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            said[node.target.id] = ast.unparse(node.annotation).strip("'\"")
        elif isinstance(node, ast.Assign):
            kind = _literal_type(node.value)
            said |= {t.id: kind for t in node.targets if isinstance(t, ast.Name)}
    names = [each for each in ast.walk(tree) if isinstance(each, ast.Name)]
    several = [each.id for each in names if _is_stored(each)]
    for name in assigned_names(code):
        yield name, said.get(name, "") if several.count(name) == 1 else ""


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _literal_type(value: ast.expr) -> str:
    try:
        found = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ""
    return type(found).__name__ if isinstance(found, _LITERALS) else ""
