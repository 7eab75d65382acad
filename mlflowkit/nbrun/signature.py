"""What a notebook takes and gives, read from its file: nothing of it is run.

Parameters are those of the cell tagged `parameters`. Outputs are the names that a cell
tagged `outputs` assigns, and those of `push("name", ...)` calls; a notebook that may push
more than its code shows is called open, and no name is held against it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any, Final

from mlflowkit.errors import NoParametersCell, UnknownParameter
from mlflowkit.nbrun import parameters, source
from mlflowkit.nbrun.assigned import Variables, said_types, variables_of
from mlflowkit.nbrun.edges import wanted_by
from mlflowkit.nbrun.injection import assigned_names
from mlflowkit.nbrun.parameters import NotebookParameter
from mlflowkit.nbrun.pushes import pushes_of

_OPEN: Final = Variables(more=True)


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
    #: What `returns=` may name.
    variables: Variables = _OPEN
    #: Whether it has a `parameters` cell; None: in a language that cannot be read.
    declares: bool | None = None

    def parameter(self, name: str) -> NotebookParameter | None:
        """The parameter of that name, or None."""
        return next((one for one in self.parameters if one.name == name), None)

    def output(self, name: str) -> NotebookOutput | None:
        """The output of that name, or None."""
        return next((one for one in self.outputs if one.name == name), None)

    def type_of(self, name: str) -> str:
        """The type of an output, or of a variable that `returns=` names; empty: unknown."""
        found = self.output(name)
        return found.annotation if found else self.variables.types.get(name, "")

    def check_names(self, names: Iterable[str]) -> None:
        """Has it parameters of these names?

        Raises:
            NoParametersCell, UnknownParameter, BadParameterName: it surely has not.
        """
        where = f"notebook {self.path.name}"
        for name in (names := list(names)):
            parameters.check_name(where, name)
        if names and self.declares is False:
            raise NoParametersCell(self.path, names)
        known = [one.name for one in self.parameters]
        for name in names if self.declares else ():
            if name not in known:
                raise UnknownParameter(where, name, known)

    def check_value(self, name: str, value: object, item: str = "") -> None:
        """Raises WrongType when the value surely does not fit the parameter."""
        found = self.parameter(name)
        if found is not None:
            parameters.check_type(f"notebook {self.path.name}", found, value, item)

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
    found_in = parameters.parameters_of(notebook)
    taken = found_in or ()
    declares = None if found_in is None else bool(source.tagged(notebook, "parameters"))
    if not parameters.is_python(notebook):
        spec = notebook.metadata.get("kernelspec", {})
        said = notebook.metadata.get("language_info", {}).get("name") or spec.get(
            "language"
        )
        return NotebookSignature(
            path, str(said).lower(), taken, is_open=True, declares=declares
        )
    found: dict[str, NotebookOutput] = {}
    for at in source.tagged(notebook, "outputs"):
        for name, annotation in _assigned(str(notebook.cells[at].source)):
            found[name] = NotebookOutput(name, annotation)
    cells = [str(c.source) for c in notebook.cells if c.cell_type == "code"]
    pushed = pushes_of(cells, path.parent)
    for name, how in pushed.names.items():
        found.setdefault(name, NotebookOutput(name, how=how))
    return NotebookSignature(
        path,
        "python",
        taken,
        tuple(found.values()),
        pushed.more,
        _variables(cells, taken),
        declares,
    )


def _variables(cells: list[str], taken: tuple[NotebookParameter, ...]) -> Variables:
    """What `returns=` may name. A parameter is what it is given, not what its default is."""
    found = variables_of(cells)
    given = {p.name: wanted_by(p) if p.annotation else "" for p in taken}
    types = {name: kind and given.get(name, kind) for name, kind in found.types.items()}
    return Variables(types, found.more)


def _assigned(code: str) -> Iterator[tuple[str, str]]:
    """Names that a cell assigns, each with its type where the last assignment says it."""
    try:
        tree = ast.parse(parameters.without_magics(code))
    except SyntaxError:
        return
    said = said_types(tree)
    names = [each for each in ast.walk(tree) if isinstance(each, ast.Name)]
    several = [each.id for each in names if _is_stored(each)]
    for name in assigned_names(code):
        yield name, said.get(name, "") if several.count(name) == 1 else ""


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)
