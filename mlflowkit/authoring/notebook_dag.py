"""From a notebook to a DAG: which variables cross between its sections, and which cannot.

The sections run in their order, so each variable comes from the section before that assigned,
or changed, it last. Imports, and functions, classes and constants that stand for themselves, are
shared. Goes by the text alone: runs nothing, imports nothing of the notebook.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlflowkit.authoring.cell_names import CellNames, names_of
from mlflowkit.authoring.cell_stays import module_of, why_it_stays
from mlflowkit.authoring.notebook_sections import Section, Statement, read_sections
from mlflowkit.authoring.notebook_shared import (
    all_reads,
    bindings,
    deleted,
    kind,
    plain,
    refuse_two_imports,
    stands_alone,
)

_BUILT_IN: Final = frozenset(vars(builtins)) | {"__name__", "display", "get_ipython"}


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


def notebook_dag(path: Path, *, taken: Iterable[str] = ()) -> NotebookDag:
    """Analyse a notebook.

    Args:
        taken: Names that no task may have, beside those of the notebook's variables.

    Raises:
        NotebookInvalid, NoSections, CellError: it cannot become a DAG.
    """
    read = read_sections(path)
    _rename(read.sections, read.parameters, {"chain", "dag", "task", *_BUILT_IN, *taken})
    work = _Work(read.sections, read.parameters)
    work.share()
    work.join()
    return NotebookDag(
        path=path,
        parameters=tuple(work.parameters),
        imports=tuple(work.imports),
        shared=tuple(work.shared),
        tasks=tuple(work.tasks),
        crossings=tuple(work.crossings),
        notes=tuple(work.notes),
    )


def _rename(
    sections: Sequence[Section], given: Sequence[Statement], taken: set[str]
) -> None:
    """Tasks are functions of the file: none has the name of a variable."""
    for one in [*given, *(o for s in sections for o in s.statements)]:
        taken |= names_of(module_of(one)).own
    for section in sections:
        if section.name in taken:
            section.name = f"{section.name}_section"


class _Work:
    def __init__(self, sections: Sequence[Section], given: Sequence[Statement]) -> None:
        self._sections = sections
        self.parameters: list[Parameter] = []
        self.imports: dict[str, None] = {}
        self.shared: list[Statement] = []
        self.tasks: list[SectionTask] = []
        self.crossings: list[Crossing] = []
        self.notes: list[str] = []
        self._rest: dict[str, list[Statement]] = {}
        #: The section that had made each name when a section began.
        self._before: dict[str, dict[str, SectionTask]] = {}
        self._take_parameters(given)

    def _take_parameters(self, given: Sequence[Statement]) -> None:
        for one in given:
            match one.node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if plain(value):
                    annotation = kind(value)
                    self.parameters.append(
                        Parameter(
                            name=name, annotation=annotation, default=ast.unparse(value)
                        )
                    )
                case ast.AnnAssign(
                    target=ast.Name(id=name), annotation=hint, value=ast.expr() as value
                ) if plain(value):
                    self.parameters.append(
                        Parameter(
                            name=name,
                            annotation=ast.unparse(hint),
                            default=ast.unparse(value),
                        )
                    )
                case _:
                    self._sections[0].statements.append(one)

    # ── what all tasks share ──

    def share(self) -> None:
        """Take imports, definitions and constants out of the sections."""
        every = [(s, one) for s in self._sections for one in s.statements]
        bound = bindings(one.node for _, one in every)
        taken = {p.name for p in self.parameters}
        free = {name for name, many in bound.items() if many == 1} - taken
        changed = {c.name for _, one in every for c in names_of(module_of(one)).changes}
        gone = deleted(o for _, o in every)
        hoisted = self._hoistable([o for _, o in every], free - changed - gone)
        refuse_two_imports([o for _, o in every])
        for section, one in every:
            if isinstance(one.node, (ast.Import, ast.ImportFrom)):
                self._import(one.node)
            elif id(one) in hoisted:
                self.shared.append(one)
            else:
                self._rest.setdefault(section.name, []).append(one)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            self.imports[ast.unparse(node)] = None

    def _hoistable(self, every: Sequence[Statement], free: set[str]) -> set[int]:
        """Definitions and constants that read nothing but imports and one another."""
        found = {id(one): one for one in every if stands_alone(one.node, free)}
        imported = {n for one in every for n in names_of(module_of(one)).imports}
        while True:
            known = imported | _BUILT_IN
            known |= {n for one in found.values() for n in names_of(module_of(one)).own}
            bad = [
                key
                for key, one in found.items()
                if not all_reads(one) - names_of(module_of(one)).own <= known
            ]
            if not bad:
                return set(found)
            for key in bad:
                del found[key]

    # ── what crosses ──

    def join(self) -> None:
        """Say what each section takes and gives."""
        for section in self._sections:
            body = self._rest.get(section.name, [])
            if body:
                module = ast.Module([one.node for one in body], [])
                names = names_of(module)
                title = section.title or "What stands before the first heading"
                self.tasks.append(
                    SectionTask(name=section.name, title=title, body=body, names=names)
                )
        maker: dict[str, SectionTask] = {}
        for task in self.tasks:
            self._before[task.name] = dict(maker)
            self._inputs(task, maker)
            for name in {*task.names.assigns, *task.names.defines, *_changed(task)}:
                maker[name] = task
            for name in deleted(task.body) - task.names.own:
                maker.pop(name, None)

    def _inputs(self, task: SectionTask, maker: dict[str, SectionTask]) -> None:
        shared = {n for one in self.shared for n in names_of(module_of(one)).own}
        for name in task.names.needs:
            if name in maker:
                self._cross(name, maker[name], task)
            elif any(p.name == name for p in self.parameters):
                task.params.append(name)
            elif name not in shared | _BUILT_IN | task.names.own and not self._imported(
                name
            ):
                self.notes.append(
                    f"section {task.title!r} reads {name!r}, which nothing before it defines"
                )

    def _imported(self, name: str) -> bool:
        return any(name in names_of(ast.parse(text)).imports for text in self.imports)

    def _cross(self, name: str, made_in: SectionTask, used_in: SectionTask) -> None:
        used_in.inputs[name] = made_in.name
        if name not in made_in.outputs:
            made_in.outputs.append(name)
        self._pass_on(name, made_in)
        problem, where = why_it_stays(name, made_in.body)
        self.crossings.append(
            Crossing(
                name=name,
                made_in=made_in.name,
                used_in=used_in.name,
                problem=problem,
                where=where,
            )
        )

    def _pass_on(self, name: str, task: SectionTask) -> None:
        """What a section binds on some ways alone, it has from before on the others."""
        names = task.names
        if name in names.certain or name in task.inputs or name in task.params:
            return
        before = self._before[task.name].get(name)
        if before is not None:
            self._cross(name, before, task)
        elif any(p.name == name for p in self.parameters):
            task.params.append(name)


def _changed(task: SectionTask) -> set[str]:
    """Names of other sections that it changes in place: from here on, they are its own."""
    return {
        c.name for c in task.names.changes if c.name in task.inputs or c.name in task.params
    }
