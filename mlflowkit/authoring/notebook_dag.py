"""From a notebook to a DAG: which variables cross between its sections, and which cannot.

The sections run in their order, so each variable comes from the section before that assigned,
or changed, it last. Imports, and functions, classes and constants that stand for themselves, are
shared. Goes by the text alone: runs nothing, imports nothing of the notebook.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from mlflowkit.authoring.cell_changes import changes_of
from mlflowkit.authoring.cell_names import names_of
from mlflowkit.authoring.cell_stays import module_of, why_it_stays
from mlflowkit.authoring.cell_touches import (
    Functions,
    defined_in,
    fixed_in,
    functions_in,
    sets_its_process,
    touches_of,
    with_the_same,
)
from mlflowkit.authoring.notebook_dag_parts import (
    Crossing,
    NotebookDag,
    Parameter,
    SectionTask,
)
from mlflowkit.authoring.notebook_sections import Section, Statement, read_sections
from mlflowkit.authoring.notebook_shared import (
    all_reads,
    bindings,
    deleted,
    kind,
    nothing_but_imports,
    plain,
    refuse_two_imports,
    stands_alone,
    without_deleting,
)

_BUILT_IN: Final = frozenset(vars(builtins)) | {"__name__", "display", "get_ipython"}


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
    work.note_state()
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
        self._functions: Functions = {}
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
        every_one = [one for _, one in every]
        code = [one.node for one in every_one]
        self._functions = functions_in(code)
        changed = {c.name for c in touches_of(code, self._functions)} - defined_in(code)
        changed |= {c.name for c in changes_of(ast.Module(code, []))}
        changed = with_the_same(changed, code, held=True) - fixed_in(code)
        imports = nothing_but_imports(every_one)
        gone = deleted(every_one) - imports
        hoisted = self._hoistable(every_one, free - changed - gone)
        refuse_two_imports(every_one)
        for section, one in every:
            if isinstance(one.node, (ast.Import, ast.ImportFrom)):
                self._import(one.node)
            elif id(one) in hoisted:
                self.shared.append(one)
            elif kept := without_deleting(one, imports):
                self._rest.setdefault(section.name, []).append(kept)

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
        code: list[ast.stmt] = []
        for task in self.tasks:
            code += [one.node for one in task.body]
            self._before[task.name] = dict(maker)
            self._inputs(task, maker)
            sure, changed = self._changed(task, code)
            for name in sorted(changed & maker.keys() - task.inputs.keys()):
                if name in sure:
                    self._note_same(name, task)
                self._cross(name, maker[name], task)
            known = {*task.inputs, *task.params}
            for name in {*task.names.assigns, *task.names.defines, *(changed & known)}:
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
            elif name in task.names.own and hasattr(builtins, name):
                task.built_in.append(name)
            elif name not in shared | _BUILT_IN | task.names.own and not self._imported(
                name
            ):
                self.notes.append(
                    f"section {task.title!r} reads {name!r}, which nothing before it defines"
                )

    def _note_same(self, name: str, task: SectionTask) -> None:
        self.notes.append(
            f"section {task.title!r} may change {name!r} under another name: plain values come "
            "to each section as copies, so use one name for it"
        )

    def note_state(self) -> None:
        """What a section sets in its process, others do not have in theirs."""
        for task in self.tasks[:-1]:
            for one in task.body:
                if text := sets_its_process(one.node, self._imported_names()):
                    self.notes.append(
                        f"section {task.title!r} sets something of its process (cell "
                        f"{one.cell}: {text[:60]}), which the sections after it do not see: "
                        "move that line to the top of the file if they need it"
                    )

    def _imported_names(self) -> set[str]:
        return {name for text in self.imports for name in names_of(ast.parse(text)).imports}

    def _imported(self, name: str) -> bool:
        return name in self._imported_names()

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

    def _changed(
        self, task: SectionTask, code: Sequence[ast.stmt]
    ) -> tuple[set[str], set[str]]:
        """Names of other sections that it may change in place, also as a part of something, or
        under another name: from here on, they are its own. First those that surely are
        names for what it changes, then all."""
        body = [one.node for one in task.body]
        changed = {c.name for c in task.names.changes}
        changed |= {c.name for c in touches_of(body, self._functions)}
        every = with_the_same(changed, code, held=True) - task.names.own
        return with_the_same(changed, code) & every, every
