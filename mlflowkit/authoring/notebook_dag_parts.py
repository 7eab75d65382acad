"""What a notebook is as a DAG, before it is written: its sections as tasks, and what crosses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mlflowkit.authoring.cell_names import CellNames
from mlflowkit.authoring.notebook_sections import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A variable that one section makes and another uses."""

    name: str
    made_in: str
    used_in: str
    #: Why it cannot travel, as far as the text says; empty if nothing is known against it.
    problem: str = ""
    #: The cell, and its line, where it is made: for the problem.
    where: str = ""


@dataclass(slots=True, kw_only=True)
class SectionTask:
    """A section as a task."""

    name: str
    title: str
    body: list[Statement]
    names: CellNames
    #: The section that makes each name that it takes.
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    params: list[str] = field(default_factory=list[str])
    outputs: list[str] = field(default_factory=list[str])
    #: Names of Python that it reads before it binds them itself: `max = max(rows)`.
    built_in: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    name: str
    #: Source texts; the annotation may be empty.
    annotation: str
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookDag:
    """A notebook as a DAG, before it is written."""

    path: Path
    parameters: tuple[Parameter, ...]
    #: Imports, then definitions and constants: what all tasks share.
    imports: tuple[str, ...]
    shared: tuple[Statement, ...]
    tasks: tuple[SectionTask, ...]
    crossings: tuple[Crossing, ...]
    #: What else a person should know.
    notes: tuple[str, ...]
