"""Every error that mlflowkit raises on purpose. Each says what is wrong and what to do next.

    MlflowkitError
    ├── UserError           you can mend it; printed without a traceback, never retried
    │   ├── GraphError          a DAG that cannot be drawn
    │   ├── ParameterError      a parameter that does not fit
    │   ├── TemplateError       a template in a task's arguments that cannot be rendered
    │   ├── NotebookError       a notebook that cannot be run
    │   ├── ValueError_         a value or a name that cannot travel between processes
    │   ├── XComError           a value that is not there
    │   ├── ConnectionError_    an outside system that cannot be reached or entered
    │   ├── DataError           images, weights or models that are not what they should be
    │   ├── DeployError         a model that could not be put to work
    │   ├── HomeError           a home folder that cannot be used
    │   └── MissingExtra        a library that an optional part needs
    ├── RunFailed           a DAG run ended without success
    ├── TaskFailed          a task's own code failed; retried as its policy says
    ├── TaskSkipped         a task that asks to be skipped; no failure
    ├── TaskRescheduled     a task that gives its place back and goes on later; no failure
    └── InternalError       ours to mend: please report it

A foreign error is translated where it comes in, with `raise … from exc`.
The full tree, with codes and messages, is docs/reference/errors.md (generated).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from shlex import quote
from typing import Any, ClassVar


def suggest(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or an empty string when nothing known looks like `name`."""
    close = get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def listing(names: Iterable[str], *, limit: int = 8) -> str:
    """`a, b, c`, cut after `limit` names; `(none)` when there are none."""
    found = sorted(names)
    if not found:
        return "(none)"
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return ", ".join(found[:limit]) + more


class MlflowkitError(Exception):
    """The root of the tree."""

    #: A stable name for programs; the sentence may change, this may not.
    code: ClassVar[str] = "error"

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel from worker to person with their facts, whatever their arguments are."""
        return _travelled, (type(self), self.args, vars(self))


def _travelled(
    kind: type[MlflowkitError], args: tuple[object, ...], facts: dict[str, object]
) -> MlflowkitError:
    made = kind.__new__(kind, *args)
    vars(made).update(facts)
    return made


class UserError(MlflowkitError):
    """Something a person can mend. Shown without traceback; a task that raises it is not retried."""

    code = "user_error"


# ── GraphError ──────────────────────────────────────────────────────────────


class GraphError(UserError):
    """A DAG that cannot be drawn."""

    code = "graph"


class CycleFound(GraphError):
    """The tasks wait for one another in a circle."""

    code = "cycle"

    def __init__(self, dag_id: str, path: tuple[str, ...]) -> None:
        self.dag_id, self.path = dag_id, path
        super().__init__(
            f"DAG {dag_id!r} has a cycle: {' >> '.join(path)}. "
            "Take one of these arrows away: a task cannot wait for itself."
        )


class DuplicateTaskId(GraphError):
    """Two tasks of a DAG have the same id."""

    code = "duplicate_task_id"

    def __init__(self, dag_id: str, task_id: str) -> None:
        self.dag_id, self.task_id = dag_id, task_id
        super().__init__(
            f"DAG {dag_id!r} already has a task {task_id!r}. "
            f"Give one of them another task_id (for a function: .override(task_id=...))."
        )


class BadName(GraphError):
    """A DAG or a task has a name that cannot be the name of a folder."""

    code = "bad_name"

    def __init__(self, dag_id: str, name: str, *, listed_as: str | None = None) -> None:
        self.dag_id, self.name, self.listed_as = dag_id, name, listed_as
        where = (
            f"the DAG id {name!r}"
            if name == dag_id
            else f"task id {name!r} of DAG {dag_id!r}"
        )
        super().__init__(
            f"{where} is no name for a folder: use letters, digits, '_', '-' and '.' "
            "(not '.' or '..' alone), in all at most 200 bytes."
            if listed_as is None
            else f"{where} is listed as {listed_as!r}: list each task under its own id."
        )


class UnknownUpstream(GraphError):
    """A task waits for a task that the DAG does not have."""

    code = "unknown_upstream"

    def __init__(
        self, dag_id: str, task_id: str, upstream: str, known: Iterable[str]
    ) -> None:
        known = list(known)
        self.dag_id, self.task_id, self.upstream = dag_id, task_id, upstream
        super().__init__(
            f"task {task_id!r} waits for {upstream!r}, which is not in DAG {dag_id!r} "
            f"(it has: {listing(known)}).{suggest(upstream, known)}"
        )


class UnknownOption(GraphError):
    """A keyword that a DAG, a task or an operator does not have."""

    code = "unknown_option"

    def __init__(self, where: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.where, self.name = where, name
        super().__init__(
            f"{where} has no option {name!r}.{suggest(name, known)} "
            f"(It has: {listing(known, limit=20)}.)"
        )


class BadOption(GraphError):
    """An option of a DAG or a task has a value that it cannot have."""

    code = "bad_option"

    def __init__(self, where: str, name: str, why: str) -> None:
        self.where, self.name, self.why = where, name, why
        super().__init__(f"option {name!r} of {where} {why}.")


class OptionNotHere(BadOption):
    """An option that Airflow has, and that would promise something we do not do."""

    code = "option_not_here"

    def __init__(self, where: str, name: str, value: object, why: str) -> None:
        self.value = value
        super().__init__(where, name, f"cannot be {value!r} here: {why}")


class AirflowFeatureMissing(GraphError, ModuleNotFoundError):
    """A DAG file for Airflow uses something that has no equivalent here.

    It is an ImportError, too: a file that looks whether something is there goes on.
    """

    code = "airflow_feature_missing"

    def __init__(self, feature: str, path: str, line: int | None, todo: str) -> None:
        self.feature, self.file, self.line, self.todo = feature, path, line, todo
        at = f"{path}, line {line}: " if line else (f"{path}: " if path else "")
        super().__init__(f"{at}{feature} is not here: {todo}.")


class DuplicateGroupId(GraphError):
    """A task group has the id of another group or of a task."""

    code = "duplicate_group_id"

    def __init__(self, dag_id: str, group_id: str) -> None:
        self.dag_id, self.group_id = dag_id, group_id
        super().__init__(
            f"DAG {dag_id!r} already has a task or a group {group_id!r}: give the task group "
            "another group_id, or add_suffix_on_collision=True."
        )


class NoSuchMember(GraphError):
    """A task group was asked for something that does not stand in it."""

    code = "no_such_member"

    def __init__(self, group_id: str, label: str, known: Iterable[str]) -> None:
        known = list(known)
        self.group_id, self.label = group_id, label
        super().__init__(
            f"task group {group_id!r} has no task or group {label!r} "
            f"(it has: {listing(known)}).{suggest(label, known)}"
        )


class BranchNotBelow(GraphError):
    """A branch chose something that does not stand directly below it."""

    code = "branch_not_below"

    def __init__(self, task_id: str, chosen: object, known: Iterable[str]) -> None:
        known = list(known)
        self.task_id, self.chosen = task_id, chosen
        hint = suggest(chosen, known) if isinstance(chosen, str) else ""
        super().__init__(
            f"branch {task_id!r} returned {chosen!r}, which is not directly below it "
            f"(there are: {listing(known)}).{hint} Return a full id (`group.task` in a task "
            "group), a list of them, or None for none."
        )


class NoDagOpen(GraphError):
    """A task was called where no DAG is being written."""

    code = "no_dag_open"

    def __init__(self, task: str, how: str) -> None:
        self.task = task
        super().__init__(
            f"{task} was called outside a DAG. Call it inside `with DAG(...):` or a function "
            f"under @dag. {how}"
        )


class DifferentDags(GraphError):
    """Tasks of two DAGs were joined."""

    code = "different_dags"

    def __init__(self, task_id: str, dag_id: str, other_id: str, other_dag: str) -> None:
        self.task_id, self.dag_id = task_id, dag_id
        self.other_id, self.other_dag = other_id, other_dag
        super().__init__(
            f"task {task_id!r} of DAG {dag_id!r} cannot be joined to task {other_id!r} of "
            f"DAG {other_dag!r}: write both inside one DAG."
        )


class NotATask(GraphError):
    """Something that is not a task was joined to one."""

    code = "not_a_task"

    def __init__(self, value: object) -> None:
        self.type_name = type(value).__name__
        super().__init__(
            f"a {self.type_name} is not a task and cannot be joined with >> or <<. "
            "Call the @task function first: load() >> train(), not load >> train."
        )


class NotYetKnown(GraphError):
    """A value was used while the DAG is written, and exists only when it runs."""

    code = "not_yet_known"

    def __init__(self, what: str, how: str) -> None:
        self.what = what
        super().__init__(
            f"{what} is known only when the DAG runs, so it cannot be {how} while the DAG "
            "is written. Pass it to a task, and do it there."
        )


class CannotExpand(GraphError):
    """A task cannot be mapped in this way."""

    code = "cannot_expand"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where} cannot be mapped: {why}.")


class BadSchedule(GraphError):
    """A schedule that nobody can read."""

    code = "bad_schedule"

    def __init__(self, dag_id: str, schedule: object, why: str) -> None:
        self.dag_id, self.schedule, self.why = dag_id, schedule, why
        super().__init__(
            f"DAG {dag_id!r} has the schedule {schedule!r}, which {why}. Use a cron "
            "expression ('0 6 * * *'), '@daily', '@hourly', '@weekly', '@monthly', "
            "timedelta(hours=1), or None."
        )


class BadTimetable(GraphError):
    """A timetable, or a part of one, that says no times."""

    code = "bad_timetable"

    def __init__(self, what: object, why: str) -> None:
        self.what, self.why = what, why
        super().__init__(f"{what!r} {why}.")


class BadZone(BadTimetable):
    """A time zone that nobody knows, or one without a name."""

    code = "bad_zone"

    def __init__(self, zone: object, why: str) -> None:
        self.zone = zone
        super().__init__(zone, why)


class BadAsset(GraphError):
    """An asset whose name or URI cannot be one."""

    code = "bad_asset"

    def __init__(self, asset: object, why: str) -> None:
        self.asset, self.why = asset, why
        super().__init__(f"the asset {asset!r} {why}.")


class PipelineMissing(GraphError):
    """There is no pipeline file of that name."""

    code = "pipeline_missing"

    def __init__(self, path: str, why: str, near: Iterable[str] = ()) -> None:
        self.path, self.why = path, why
        super().__init__(f"the pipeline file {path} {why}.{suggest(path, near)}")


class PipelineBroken(GraphError):
    """A pipeline file cannot be run: its own code fails."""

    code = "pipeline_broken"

    def __init__(self, path: str, line: int | None, problem: str, trace: str = "") -> None:
        self.path, self.line, self.problem, self.trace = path, line, problem, trace
        at = f", line {line}" if line else ""
        shown = f"\n{trace}" if trace else ""
        super().__init__(f"{path}{at}: {problem}{shown}")


class PipelineTooSlow(GraphError):
    """A pipeline file took longer to load than it may."""

    code = "pipeline_too_slow"

    def __init__(
        self, path: str, line: int | None, seconds: float, trace: str = ""
    ) -> None:
        self.path, self.line, self.seconds, self.trace = path, line, seconds, trace
        self.problem = (
            f"was not loaded within {seconds:g} s. Move work at its top level into "
            "a task, or raise the setting dag_import_timeout"
        )
        at = f", line {line}" if line else ""
        shown = f"\n{trace}" if trace else ""
        super().__init__(f"{path}{at}: {self.problem}.{shown}")


class PipelineCrashed(GraphError):
    """The process that loaded a pipeline file came to an end in it."""

    code = "pipeline_crashed"

    def __init__(self, path: str, line: int | None, how: str, trace: str = "") -> None:
        self.path, self.line, self.how, self.trace = path, line, how, trace
        self.problem = f"ended the process that loaded it ({how})"
        at = f", line {line}" if line else ""
        shown = f"\n{trace}" if trace else ""
        super().__init__(f"{path}{at}: {self.problem}.{shown}")


class DagCellMagic(GraphError):
    """A cell of a notebook that defines DAGs has a line that is no Python."""

    code = "dag_cell_magic"

    def __init__(self, path: str, cell: int, line: int, text: str) -> None:
        self.path, self.cell, self.line, self.text = (
            f"{path}, cell {cell}",
            cell,
            line,
            text,
        )
        self.problem = (
            f"{text!r} is for people at a notebook, not for loading. Tag the cell `skip`, "
            "or tag the cells that define the DAG `dag`"
        )
        super().__init__(f"{path}, cell {cell}, line {line}: {self.problem}.")


class DagIdTwice(GraphError):
    """Two pipeline files of a folder define a DAG of the same id."""

    code = "dag_id_twice"

    def __init__(self, dag_id: str, path: str, first: str) -> None:
        self.dag_id, self.path, self.first = dag_id, path, first
        self.problem = (
            f"DAG {dag_id!r} is also defined in {first}, which counts. Give one of them "
            "another id, or name one file in .mlflowkitignore"
        )
        super().__init__(f"{path}: {self.problem}.")


class BadIgnoreFile(GraphError):
    """An ignore file has a line that is no pattern."""

    code = "bad_ignore_file"

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}. Patterns are those of .gitignore.")


class UnknownRule(GraphError):
    """A lint rule was named that there is not."""

    code = "unknown_rule"

    def __init__(self, rule: str, known: Iterable[str]) -> None:
        known = list(known)
        self.rule = rule
        super().__init__(
            f"there is no lint rule {rule!r}.{suggest(rule, known)} "
            f"(There are: {listing(known, limit=40)}.)"
        )


class NoDagInFile(GraphError):
    """A pipeline file that defines no DAG."""

    code = "no_dag_in_file"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path} defines no DAG. Write one with `with DAG(...):` or @dag, at the top "
            "level of the file."
        )


class DagNotInFile(GraphError):
    """A pipeline file does not define the DAG that was asked for."""

    code = "dag_not_in_file"

    def __init__(self, path: str, dag_id: str, known: Iterable[str]) -> None:
        known = list(known)
        self.path, self.dag_id = path, dag_id
        super().__init__(
            f"{path} has no DAG {dag_id!r} (it has: {listing(known)}).{suggest(dag_id, known)}"
        )


class DuplicateDagId(GraphError):
    """A pipeline file defines two DAGs of the same id."""

    code = "duplicate_dag_id"

    def __init__(self, path: str, dag_id: str) -> None:
        self.path, self.dag_id = path, dag_id
        super().__init__(
            f"{path} defines two DAGs with the id {dag_id!r}. Give one of them another id."
        )


class SeveralDags(GraphError):
    """A pipeline file defines several DAGs and none was named."""

    code = "several_dags"

    def __init__(self, path: str, known: Iterable[str]) -> None:
        known = sorted(known)
        self.path, self.known = path, known
        super().__init__(
            f"{path} defines several DAGs ({listing(known)}). Name one: {path}:{known[0]}"
        )


class RunWhileLoading(GraphError):
    """A run was started while code was only being loaded, or inside a task."""

    code = "run_while_loading"

    def __init__(self, dag_id: str, where: str) -> None:
        self.dag_id, self.where = dag_id, where
        todo = (
            "A task cannot start a run: let another task go on with what it returns."
            if where.startswith("inside")
            else 'Put the call under `if __name__ == "__main__":`, so that the file only '
            "defines the DAG when it is loaded."
        )
        super().__init__(f"DAG {dag_id!r} was run {where}. {todo}")


class RuntimeMissing(GraphError):
    """This part of mlflowkit is not installed, so that nothing can be run here."""

    code = "runtime_missing"

    def __init__(self, part: str, reason: str) -> None:
        self.part = part
        super().__init__(
            f"{part} cannot be loaded here: {reason}. Install mlflowkit again."
        )


class NotInTask(GraphError):
    """Something that only a running task has was asked for outside of one."""

    code = "not_in_task"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} only works while a task runs. Call it inside a @task function or an "
            "operator's execute()."
        )


# ── ParameterError ──────────────────────────────────────────────────────────


class ParameterError(UserError):
    """A parameter that does not fit."""

    code = "parameter"


class UnknownParameter(ParameterError):
    """A parameter that the DAG, task or notebook does not have."""

    code = "unknown_parameter"

    def __init__(self, where: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.where, self.name = where, name
        super().__init__(
            f"{where} has no parameter {name!r} (it has: {listing(known)}).{suggest(name, known)}"
        )


class RuleBroken(ParameterError):
    """A parameter's value has the right type and breaks a rule of its schema."""

    code = "rule_broken"

    def __init__(self, where: str, name: str, value: object, rule: str, why: str) -> None:
        self.where, self.name, self.rule = where, name, rule
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        super().__init__(
            f"parameter {name!r} of {where} was given {shown}, which breaks its rule "
            f"{rule}: {why}."
        )


class ScheduledWithoutDefault(ParameterError):
    """A DAG with a schedule has a parameter that somebody must give."""

    code = "scheduled_without_default"

    def __init__(self, dag_id: str, name: str) -> None:
        self.dag_id, self.name = dag_id, name
        super().__init__(
            f"DAG {dag_id!r} has a schedule, and nobody gives its parameter {name!r} when it "
            "is due: give the parameter a default, or take the schedule out."
        )


class MissingParameter(ParameterError):
    """A parameter without a default that was not given."""

    code = "missing_parameter"

    def __init__(self, where: str, name: str) -> None:
        self.where, self.name = where, name
        super().__init__(f"{where} needs a value for its parameter {name!r}.")


class WrongType(ParameterError):
    """A parameter's value is of another type than the one declared."""

    code = "wrong_type"

    def __init__(self, where: str, name: str, expected: str, value: object) -> None:
        self.where, self.name, self.expected = where, name, expected
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        super().__init__(
            f"parameter {name!r} of {where} should be {expected}, but it was given "
            f"{shown} ({type(value).__name__})."
        )


class BadSimulation(ParameterError):
    """`simulate()` was told something that cannot be."""

    code = "bad_simulation"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where} of a simulation: {why}")


# ── TemplateError ───────────────────────────────────────────────────────────


class TemplateError(UserError):
    """A template in a task's arguments that cannot be rendered."""

    code = "template"


class UndefinedInTemplate(TemplateError):
    """A template uses a name that nothing defines."""

    code = "undefined_in_template"

    def __init__(
        self,
        task: str,
        field: str,
        name: str,
        known: Iterable[str],
        *,
        inside: object = None,
        why: str = "",
    ) -> None:
        self.task, self.field, self.name, self.why = task, field, name, why
        what = f" in a {type(inside).__name__}" if inside is not None else ""
        end = f": {why}." if why else f".{suggest(name, known)}"
        super().__init__(
            f"the template in {field} of task {task!r} uses {name!r}, "
            f"which is not defined{what}{end}"
        )


class BadTemplate(TemplateError):
    """A text that Jinja cannot read as a template."""

    code = "bad_template"

    def __init__(
        self, task: str, field: str, why: str, line: int, file: str = "", hint: str = ""
    ) -> None:
        self.task, self.field, self.line, self.file = task, field, line, file
        at = f"{file}, line {line}" if file else f"line {line}"
        super().__init__(
            f"the template in {field} of task {task!r} cannot be read ({at}): {why}.{hint} "
            'Text that only looks like a template goes through as literal("...").'
        )


class TemplateFileMissing(TemplateError):
    """A template file that is in none of the places where it is looked up."""

    code = "template_file_missing"

    def __init__(
        self,
        task: str,
        field: str,
        name: str,
        looked: Iterable[object],
        known: Iterable[str] = (),
    ) -> None:
        self.task, self.field, self.name = task, field, name
        self.looked = tuple(str(place) for place in looked)
        super().__init__(
            f"{field} of task {task!r} names the template file {name!r}, which is not in "
            f"{listing(self.looked)}.{suggest(name, known)} If it is no file, put a space "
            "behind it, or use literal(...)."
        )


class NoAirflowConf(TemplateError):
    """Code asks for a setting of Airflow's own configuration."""

    code = "no_airflow_conf"

    def __init__(self, section: str, key: str) -> None:
        self.section, self.key = section, key
        super().__init__(
            f"there is no Airflow here, and so no setting [{section}] {key} in conf: give "
            "conf.get a fallback, or use a variable."
        )


class ForbiddenInTemplate(TemplateError):
    """A template reaches for something that templates may not touch."""

    code = "forbidden_in_template"

    def __init__(self, task: str, field: str, why: str) -> None:
        self.task, self.field, self.why = task, field, why
        super().__init__(
            f"the template in {field} of task {task!r} may not do this: {why} "
            "Do it in the task's own code, or in a function of user_defined_macros."
        )


# ── NotebookError ───────────────────────────────────────────────────────────


class NotebookError(UserError):
    """A notebook that cannot be run."""

    code = "notebook"


class NotebookMissing(NotebookError):
    """There is no such notebook."""

    code = "notebook_missing"

    def __init__(
        self, name: object, looked: Iterable[object], near: Iterable[str] = ()
    ) -> None:
        self.name, self.looked = str(name), tuple(str(place) for place in looked)
        super().__init__(
            f"there is no notebook {self.name!r}. Looked at: {', '.join(self.looked)}."
            f"{suggest(self.name.rpartition('/')[2], near)}"
        )


class NotebookInvalid(NotebookError):
    """A file that is not a notebook, or a damaged one."""

    code = "notebook_invalid"

    def __init__(
        self, path: object, problem: str, todo: str, line: int | None = None
    ) -> None:
        self.path, self.problem, self.line = str(path), problem, line
        at = f", line {line}" if line is not None else ""
        super().__init__(f"{path}{at} is not a notebook that can be run: {problem}. {todo}")


class NoKernel(NotebookError):
    """A notebook names no kernel, or one that is not installed here."""

    code = "no_kernel"

    def __init__(self, path: object, kernel: str | None, installed: Iterable[str]) -> None:
        installed = list(installed)
        self.path, self.kernel = str(path), kernel
        wants = (
            f"wants the kernel {kernel!r}, which is not installed here"
            if kernel
            else "does not say which kernel it runs in"
        )
        super().__init__(
            f"{path} {wants} (installed: {listing(installed)}).{suggest(kernel or '', installed)} "
            "Choose a kernel in Jupyter and save the notebook, or give kernel_name='python3'; "
            "`jupyter kernelspec list` shows what there is."
        )


class KernelDidNotStart(NotebookError):
    """A kernel ended, or stayed silent, before it could run anything."""

    code = "kernel_did_not_start"

    def __init__(self, kernel: str, how: str, command: str, tail: str) -> None:
        self.kernel, self.how, self.command, self.tail = kernel, how, command, tail
        super().__init__(
            f"the kernel {kernel!r} {how} before it was ready. Its command is: {command}. "
            f"It said:\n{tail or '(nothing)'}"
        )


class KernelWithoutMlflowkit(NotebookError):
    """A kernel's environment lacks mlflowkit, and the task needs it there."""

    code = "kernel_without_mlflowkit"

    def __init__(self, kernel: str, needed_for: str, why: str) -> None:
        self.kernel, self.needed_for, self.why = kernel, needed_for, why
        super().__init__(
            f"{needed_for} needs mlflowkit inside the kernel {kernel!r}, where it cannot be "
            f"used: {why}. Install it in that kernel's environment, or pass plain JSON values "
            "and take nothing out."
        )


class NoParametersCell(NotebookError):
    """Parameters were given to a notebook that declares none."""

    code = "no_parameters_cell"

    def __init__(self, path: object, names: Iterable[str]) -> None:
        self.path, self.names = str(path), tuple(names)
        super().__init__(
            f"{path} was given {listing(self.names)}, but has no cell that declares parameters. "
            "Assign their defaults in one cell and give that cell the tag 'parameters' "
            "(JupyterLab: the gear at the top right, Cell Tags)."
        )


class BadParameterName(ParameterError):
    """A parameter's name that no variable can have."""

    code = "bad_parameter_name"

    def __init__(self, where: str, name: str, why: str) -> None:
        self.where, self.name, self.why = where, name, why
        super().__init__(
            f"{name!r} cannot be a parameter of {where}: {why}. Give it another name."
        )


class ReturnMissing(NotebookError):
    """A name in `returns` that the notebook did not assign."""

    code = "return_missing"

    def __init__(self, path: object, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.path, self.name = str(path), name
        super().__init__(
            f"{path} ran to its end and never assigned {name!r}, which its returns ask for "
            f"(it assigned: {listing(known)}).{suggest(name, known)} "
            "Assign it in a cell, or take it out of returns."
        )


class NotInNotebookTask(NotebookError):
    """`mlflowkit.input` or `push` was called where no notebook task runs."""

    code = "not_in_notebook_task"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"mlflowkit.{what}() works while mlflowkit runs the notebook as a task, and this "
            "is not such a run. To try the notebook by hand, assign the value in its "
            "'parameters' cell; `mlflowkit notebook run` runs it as a task."
        )


class UnknownInput(NotebookError):
    """A notebook asks for an input that it was not given."""

    code = "unknown_input"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.name = name
        super().__init__(
            f"this notebook was given no input {name!r} (it was given: {listing(known)})."
            f"{suggest(name, known)}"
        )


# ── ValueError_ ─────────────────────────────────────────────────────────────


class ValueError_(UserError):
    """A value or a name that cannot travel between processes."""

    code = "value"


class CannotSerialize(ValueError_):
    """A value that cannot be sent to another process. Nothing of it was stored."""

    code = "cannot_serialize"

    def __init__(self, where: str, at: str, type_name: str, reason: str) -> None:
        self.where, self.at, self.type_name, self.reason = where, at, type_name, reason
        super().__init__(
            f"{where}: {at} is a {type_name}, which cannot travel to another process "
            f"({reason}). Pass on what it is made from (a path, a name, plain data) and "
            "make it again in the task that needs it."
        )


class PathNotFound(ValueError_):
    """A `Path` among the values of a task that names no file or folder."""

    code = "path_not_found"

    def __init__(self, where: str, at: str, path: str, problem: str) -> None:
        self.where, self.at, self.path = where, at, path
        super().__init__(
            f"{where}: {at} is the path {path!r}, {problem}. A Path travels with its file "
            "or folder: write it first, or pass str(path) if only the name is meant."
        )


class NotExpandable(ValueError_):
    """A value that mapped tasks cannot be made from."""

    code = "not_expandable"

    def __init__(self, where: str, type_name: str) -> None:
        self.where, self.type_name = where, type_name
        super().__init__(
            f"{where}: tasks are mapped over a list, tuple, dict or range, "
            f"but the value is a {type_name}. Return list(...) or dict(...) of it."
        )


class CannotRead(ValueError_):
    """A stored value that cannot be made into an object again in this process."""

    code = "cannot_read"

    def __init__(self, what: str, reason: str) -> None:
        self.what, self.reason = what, reason
        super().__init__(f"{what} cannot be read back here: {reason}")


class PickleRefused(ValueError_):
    """A stored value is a pickle, and this process does not open pickles."""

    code = "pickle_refused"

    def __init__(self) -> None:
        super().__init__(
            "the value is stored as a pickle, which can run code when it is opened, and "
            "this process opens none. Read it in a task or in your own Python session."
        )


class ArtifactMissing(ValueError_):
    """Stored bytes that are not in the artifact store (any more)."""

    code = "artifact_missing"

    def __init__(self, digest: str, where: str) -> None:
        self.digest, self.where = digest, where
        super().__init__(
            f"artifact {digest[:12]} is not in {where}: it was cleaned away, or belongs to "
            "another home. Run the task that made it again."
        )


class ArtifactCorrupt(ValueError_):
    """Stored bytes that are not what was stored."""

    code = "artifact_corrupt"

    def __init__(self, digest: str, problem: str) -> None:
        self.digest, self.problem = digest, problem
        super().__init__(
            f"artifact {digest[:12]} is damaged ({problem}). "
            "Run the task that made it again; the bytes are then stored anew."
        )


class ArtifactNotStored(ValueError_):
    """Bytes that the artifact store could not take (a full disk, no permission)."""

    code = "artifact_not_stored"

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(
            f"nothing could be stored in {where}: {reason}. Nothing was left half written. "
            "Make room (mlflowkit clean) or set MLFLOWKIT_HOME to another disk."
        )


class BadFolder(ValueError_):
    """A folder that cannot be stored, or an index that must not be restored."""

    code = "bad_folder"

    def __init__(self, folder: str, entry: str, problem: str) -> None:
        self.folder, self.entry, self.problem = folder, entry, problem
        super().__init__(
            f"folder {folder!r} cannot travel: its entry {entry!r} {problem}. "
            "Take it out, or replace it by a plain file."
        )


class CannotTravel(ValueError_):
    """A name that a task uses cannot be sent to the process that runs the task."""

    code = "cannot_travel"

    def __init__(
        self, task_id: str, name: str, type_name: str, reason: str, defined_in: str = ""
    ) -> None:
        self.task_id, self.name, self.type_name = task_id, name, type_name
        self.reason, self.defined_in = reason, defined_in
        place = f" (see {defined_in})" if defined_in else ""
        super().__init__(
            f"task {task_id!r} uses {name}, a {type_name}, which cannot travel to the "
            f"process that runs the task: {reason}{place}. Make it inside the task, or pass "
            "on what it is made from (a path, a name, plain data)."
        )


class UndefinedName(ValueError_):
    """A task of a notebook or script uses a name that nothing has defined."""

    code = "undefined_name"

    def __init__(
        self, task_id: str, name: str, function: str, known: Iterable[str]
    ) -> None:
        self.task_id, self.name, self.function = task_id, name, function
        where = f" (in {function}())" if function != task_id else ""
        super().__init__(
            f"task {task_id!r} uses {name!r}{where}, which is not defined.{suggest(name, known)} "
            "Define it, or run the cell that does, before the run."
        )


class CapturedTooLarge(ValueError_):
    """A global that a task uses is too large to be part of its code."""

    code = "captured_too_large"

    def __init__(
        self, task_id: str, name: str, type_name: str, size_bytes: int, limit_bytes: int
    ) -> None:
        self.task_id, self.name, self.type_name = task_id, name, type_name
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes
        super().__init__(
            f"task {task_id!r} uses the global {name}, a {type_name} of "
            f"{size_bytes / 1e6:.1f} MB; more than {limit_bytes / 1e6:.0f} MB do not travel "
            f"with a task's code. Pass it as an argument: {task_id}({name.rsplit('.', maxsplit=1)[-1]})."
        )


class BundleBroken(ValueError_):
    """The stored code of a DAG cannot be opened."""

    code = "bundle_broken"

    def __init__(self, folder: str, why: str) -> None:
        self.folder, self.why = folder, why
        super().__init__(
            f"the code stored in {folder} cannot be opened: {why}. Run the DAG again; "
            "its code is then stored anew."
        )


class NotSeveralOutputs(ValueError_):
    """A task with multiple_outputs returned something else than a dict with text keys."""

    code = "not_several_outputs"

    def __init__(self, task_id: str, found: str) -> None:
        self.task_id, self.found = task_id, found
        super().__init__(
            f"task {task_id!r} has multiple_outputs, so it must return a dict whose keys are "
            f"str, but it returned {found}. Mend the return value, or use "
            "@task(multiple_outputs=False)."
        )


class ScriptCannotStart(ValueError_):
    """The script that should turn one file into another cannot be started."""

    code = "script_cannot_start"

    def __init__(self, task_id: str, script: str, why: str) -> None:
        self.task_id, self.script, self.why = task_id, script, why
        super().__init__(
            f"the script {script!r} of task {task_id!r} cannot be started: {why}."
        )


class NoFileToUpload(ValueError_):
    """A file that should be uploaded is not there."""

    code = "no_file_to_upload"

    def __init__(self, path: str, target: str) -> None:
        self.path, self.target = path, target
        super().__init__(
            f"there is no file {path!r} to upload to {target}. Give a file's path, absolute or "
            "from the folder the task runs in, and see that the task before writes it."
        )


class BashCannotStart(ValueError_):
    """A BashOperator cannot start its command."""

    code = "bash_cannot_start"

    def __init__(self, task_id: str, why: str) -> None:
        self.task_id, self.why = task_id, why
        super().__init__(f"the command of task {task_id!r} cannot be started: {why}.")


# ── XComError ───────────────────────────────────────────────────────────────


class XComError(UserError):
    """A value that is not there."""

    code = "xcom"


class UnknownXComTask(XComError):
    """An XCom was asked of a task that the DAG does not have."""

    code = "unknown_xcom_task"

    def __init__(self, task_id: str, asked: str, known: Iterable[str]) -> None:
        known = list(known)
        self.task_id, self.asked = task_id, asked
        super().__init__(
            f"task {task_id!r} asks for an XCom of {asked!r}, which is not in its DAG "
            f"(it has: {listing(known)}).{suggest(asked, known)}"
        )


class XComNotThere(XComError):
    """A task has no value, because it did not succeed."""

    code = "xcom_not_there"

    def __init__(self, run_id: str, task_id: str, state: str) -> None:
        self.run_id, self.task_id, self.state = run_id, task_id, state
        super().__init__(
            f"task {task_id!r} of the run {run_id} is {state}, so it has no value. "
            f"Look at `mlflowkit runs show {run_id}`."
        )


class UnknownXCom(XComError):
    """A task that has succeeded pushed nothing under the key that was asked for."""

    code = "unknown_xcom"

    def __init__(self, task_id: str, asked: str, key: str, known: Iterable[str]) -> None:
        known = list(known)
        self.task_id, self.asked, self.key = task_id, asked, key
        super().__init__(
            f"task {task_id!r} asks for the XCom {key!r} of task {asked!r}, which pushed: "
            f"{listing(known)}.{suggest(key, known)}"
        )


class BadXComKey(XComError):
    """A key that no XCom can have."""

    code = "bad_xcom_key"

    def __init__(self, task_id: str, key: object, why: str) -> None:
        self.task_id, self.key = task_id, key
        shown = repr(key)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(
            f"task {task_id!r} uses the XCom key {shown}, {why}. A key is a text of 1 to "
            f"250 characters, such as 'accuracy'."
        )


class BadXComPull(XComError):
    """`xcom_pull` was called with something it does not take."""

    code = "bad_xcom_pull"

    def __init__(self, task_id: str, name: str, given: object, wanted: str) -> None:
        self.task_id, self.name, self.given = task_id, name, given
        super().__init__(
            f"task {task_id!r} calls xcom_pull with {name} of the type "
            f"{type(given).__name__}; it takes {wanted}."
        )


class CannotTestTask(XComError):
    """A task cannot be run alone with what was given in place of the tasks above it."""

    code = "cannot_test_task"

    def __init__(self, task_id: str, why: str) -> None:
        self.task_id, self.why = task_id, why
        super().__init__(f"task {task_id!r} cannot be run alone: {why}")


class AskedOutsideTask(XComError):
    """The engine was asked for something, but not by a task that runs."""

    code = "asked_outside_task"

    def __init__(self, what: str, who: str) -> None:
        self.what, self.who = what, who
        super().__init__(
            f"{who} asks for {what!r} of the engine; only a task's own process can, while "
            f"the task runs. Ask there first, and hand the value on as an argument."
        )


# ── ConnectionError_ ────────────────────────────────────────────────────────


class ConnectionError_(UserError):
    """An outside system that cannot be reached or entered."""

    code = "connection"


class ConnectionMissing(ConnectionError_):
    """No place that holds connections knows this one."""

    code = "connection_missing"

    def __init__(self, conn_id: str, variable: str, known: Iterable[str] = ()) -> None:
        known = list(known)
        self.conn_id, self.variable = conn_id, variable
        super().__init__(
            f"there is no connection {conn_id!r} (defined: {listing(known)})."
            f"{suggest(conn_id, known)} Add it with `mlflowkit connections add {conn_id}`, or "
            f"set the environment variable {variable} to a URI "
            f"(type://login:password@host:port/schema?name=value, each part percent-encoded) "
            f'or to JSON ({{"conn_type": ..., "login": ..., "password": ..., "extra": {{...}}}}).'
        )


class InvalidConnection(ConnectionError_):
    """A connection that is written in a way nobody can read. Never shows its secrets."""

    code = "invalid_connection"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where} cannot be read: {why}")


class ConnectionExists(ConnectionError_):
    """A connection of this id is in the store already."""

    code = "connection_exists"

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        super().__init__(
            f"there is a connection {conn_id!r} already. Give --overwrite to replace it, or "
            f"remove it first: mlflowkit connections delete {conn_id}"
        )


class VariableMissing(ConnectionError_, KeyError):
    """No place that holds variables knows this one. A `KeyError` too, as in Airflow 2."""

    code = "variable_missing"

    def __init__(self, key: str, variable: str, known: Iterable[str] = ()) -> None:
        known = list(known)
        self.key, self.variable = key, variable
        super().__init__(
            f"there is no variable {key!r} (known here: {listing(known)}).{suggest(key, known)} "
            f"Set it with `mlflowkit variables set {key} VALUE` or the environment variable "
            f"{variable}, or give Variable.get a default."
        )

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidVariable(ConnectionError_):
    """A variable whose value or key does not fit. Never shows the value."""

    code = "invalid_variable"

    def __init__(self, key: str, why: str) -> None:
        self.key, self.why = key, why
        super().__init__(f"the variable {key!r} {why}")


class WrongFernetKey(ConnectionError_):
    """The store's secrets were encrypted with another key than those at hand."""

    code = "wrong_fernet_key"

    def __init__(self, what: str, tried: str) -> None:
        self.what, self.tried = what, tried
        super().__init__(
            f"{what} was encrypted with another key than {tried}. Put the key it was encrypted "
            "with back in place (append it to MLFLOWKIT_FERNET_KEY behind a comma, or restore "
            "fernet.key in the home), or define it anew: mlflowkit connections add --overwrite, "
            "mlflowkit variables set. A background engine keeps the MLFLOWKIT_FERNET_KEY it was "
            "started with: after a change, `mlflowkit engine stop`."
        )


class BadFernetKey(ConnectionError_):
    """A text that should be a Fernet key, and is none. Never shows it."""

    code = "bad_fernet_key"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"{where} holds no usable Fernet key: {why}. A key is 32 bytes in URL-safe base64; "
            'make one with: python -c "from cryptography.fernet import Fernet; '
            'print(Fernet.generate_key().decode())"'
        )


class UnknownSecretsBackend(ConnectionError_):
    """The setting `secrets_backend` names no class that can be loaded."""

    code = "unknown_secrets_backend"

    def __init__(self, name: str, why: str, known: Iterable[str] = ()) -> None:
        self.name, self.why = name, why
        super().__init__(
            f"the secrets back end {name!r} cannot be used: {why}. Set secrets_backend to one of "
            f"{listing(known)}, or to a class as package.module.Class; secrets_backend_kwargs "
            "to a JSON object of its arguments."
        )


class SecretsBackendFailed(ConnectionError_):
    """The secrets back end was asked, and could not say whether it knows."""

    code = "secrets_backend_failed"

    def __init__(self, backend: str, what: str, why: str) -> None:
        self.backend, self.what, self.why = backend, what, why
        super().__init__(
            f"the secrets back end {backend} could not be asked for {what}: {why}. Mend what "
            "keeps it from answering, or unset secrets_backend. The store is not asked instead: "
            "it could hold another secret of the same name."
        )


class BadSecretsFile(ConnectionError_):
    """A file of connections, variables or pools that cannot be read. Never shows its secrets."""

    code = "bad_secrets_file"

    def __init__(self, path: object, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"the file {path} cannot be read: {why}")


class PoolMissing(ConnectionError_):
    """There is no pool of this name."""

    code = "pool_missing"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.name = name
        super().__init__(
            f"there is no pool {name!r} (there are: {listing(known)}).{suggest(name, known)} "
            f"Make it with: mlflowkit pools set {quote(name)} SLOTS"
        )


class BadPool(ConnectionError_):
    """A pool that cannot be made or deleted in this way."""

    code = "bad_pool"

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"the pool {name!r} {why}")


class InvalidS3Url(ConnectionError_):
    """A text that should name a bucket, and perhaps a key in it, and does not."""

    code = "invalid_s3_url"

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"{url!r} is not an S3 URL. Write s3://bucket/prefix.")


class BucketMissing(ConnectionError_):
    """The server answers, and has no such bucket."""

    code = "bucket_missing"

    def __init__(self, bucket: str, endpoint: str, conn_id: str) -> None:
        self.bucket, self.endpoint, self.conn_id = bucket, endpoint, conn_id
        super().__init__(
            f"there is no bucket {bucket!r} at {endpoint} (connection {conn_id!r}). "
            "Check the name in the URL, or create the bucket first."
        )


class CredentialsRefused(ConnectionError_):
    """The server does not let these credentials do this."""

    code = "credentials_refused"

    def __init__(self, conn_id: str, endpoint: str, reason: str, bucket: str = "") -> None:
        self.conn_id, self.endpoint = conn_id, endpoint
        self.reason, self.bucket = reason, bucket
        what = f"bucket {bucket!r} at {endpoint}" if bucket else endpoint
        super().__init__(
            f"{what} refused the credentials of connection {conn_id!r} ({reason}). "
            "Check the connection's login (access key) and password (secret key), "
            "and that they are allowed to use this bucket."
        )


class CredentialsMissing(ConnectionError_):
    """No credentials were found anywhere."""

    code = "credentials_missing"

    def __init__(self, conn_id: str, variable: str, why: str) -> None:
        self.conn_id, self.variable, self.why = conn_id, variable, why
        super().__init__(
            f"connection {conn_id!r} has no AWS credentials: {why} Set {variable}, for "
            "example to aws://ACCESS_KEY:SECRET_KEY@/?region_name=eu-west-1, or log in in "
            "one of AWS's own ways (AWS_PROFILE, aws sso login, a role of the machine)."
        )


class EndpointUnreachable(ConnectionError_):
    """Nothing answers at this address."""

    code = "endpoint_unreachable"

    def __init__(self, conn_id: str, endpoint: str, why: str) -> None:
        self.conn_id, self.endpoint, self.why = conn_id, endpoint, why
        super().__init__(
            f"nothing answers at {endpoint} (connection {conn_id!r}): {why} "
            "Check endpoint_url in the connection's extras, and that the server is up."
        )


class StorageFailed(ConnectionError_):
    """The object store gave an error that we have no better words for."""

    code = "storage_failed"

    def __init__(self, conn_id: str, endpoint: str, what: str) -> None:
        self.conn_id, self.endpoint, self.what = conn_id, endpoint, what
        super().__init__(
            f"{endpoint} (connection {conn_id!r}) answered with an error: {what}"
        )


class S3ServerFailed(ConnectionError_):
    """The local S3 server did not come up."""

    code = "s3_server_failed"

    def __init__(self, why: str, log: str, tail: str) -> None:
        self.why, self.log, self.tail = why, log, tail
        super().__init__(
            f"the local S3 server did not start: {why}. Its log is {log}:\n{tail}"
        )


class KeyMissing(ConnectionError_):
    """The bucket has no object of that key."""

    code = "key_missing"

    def __init__(self, bucket: str, key: str, endpoint: str, conn_id: str) -> None:
        self.bucket, self.key = bucket, key
        self.endpoint, self.conn_id = endpoint, conn_id
        super().__init__(
            f"there is no object s3://{bucket}/{key} at {endpoint} (connection {conn_id!r}). "
            "Check the key, and that the task that writes it has run."
        )


class KeyExists(ConnectionError_):
    """An object would be written over another one, and nobody said that it may be."""

    code = "key_exists"

    def __init__(self, bucket: str, key: str) -> None:
        self.bucket, self.key = bucket, key
        super().__init__(
            f"s3://{bucket}/{key} is there already. Give replace=True to write over it, or "
            "another key."
        )


class BadS3Place(ConnectionError_):
    """A bucket and a key that do not say together which object is meant."""

    code = "bad_s3_place"

    def __init__(self, key: str, why: str) -> None:
        self.key, self.why = key, why
        super().__init__(f"{key!r} names no object: {why}.")


class S3SelectGone(ConnectionError_):
    """S3 Select was asked for, which AWS no longer offers."""

    code = "s3_select_gone"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"S3 Select was asked for on {key!r}: AWS closed it to new users in 2024, and other "
            "servers hardly have it. Read the object with read_key or download_file and "
            "filter it in the task (DuckDB, polars and pandas read parts of Parquet files)."
        )


class DatabaseRefused(ConnectionError_):
    """The database does not let this login in."""

    code = "database_refused"

    def __init__(self, conn_id: str, where: str, why: str) -> None:
        self.conn_id, self.where, self.why = conn_id, where, why
        super().__init__(
            f"{where} refused the login of connection {conn_id!r}: {why} "
            "Check the connection's login, password and schema (the database's name)."
        )


class NoSqlDialect(ConnectionError_):
    """Nothing installed here speaks to this kind of database."""

    code = "no_sql_dialect"

    def __init__(self, conn_id: str, name: str, why: str) -> None:
        self.conn_id, self.name, self.why = conn_id, name, why
        super().__init__(
            f"connection {conn_id!r} has the type {name!r}, which SQLAlchemy cannot open here: "
            f"{why}. Install the package that brings this dialect, or write the type as "
            "SQLAlchemy does (dialect+driver, such as mssql+pyodbc)."
        )


class NotADatabase(ConnectionError_):
    """A hook was given a connection to another kind of system."""

    code = "not_a_database"

    def __init__(self, hook: str, conn_id: str, conn_type: str, wanted: str) -> None:
        self.hook, self.conn_id, self.conn_type = hook, conn_id, conn_type
        super().__init__(
            f"{hook} takes connections of the type {wanted}, and {conn_id!r} is of the type "
            f"{conn_type!r}. Name another connection, or use SqlHook, which takes any."
        )


class BadSql(ConnectionError_):
    """SQL that no database could take: nothing at all, or words of a client program."""

    code = "bad_sql"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"the SQL for {where} cannot be run: {why}.")


# ── DataError ───────────────────────────────────────────────────────────────


class DataError(UserError):
    """Images, weights or models that are not what they should be."""

    code = "data"


class NoImages(DataError):
    """A place that should hold images holds none."""

    code = "no_images"

    def __init__(self, uri: str, connection: str, skipped: int = 0) -> None:
        self.uri, self.connection, self.skipped = uri, connection, skipped
        found = f"only {skipped} objects that are not images" if skipped else "no objects"
        super().__init__(
            f"there are no images under {uri} (connection {connection!r}): {found} were found. "
            "Check the bucket and the prefix; a prefix is a folder: 'train' does not "
            "stand for 'training/'."
        )


class BadImages(DataError):
    """Objects that should be images and cannot be read as such."""

    code = "bad_images"

    def __init__(self, uri: str, bad: Iterable[tuple[str, str]]) -> None:
        self.uri, self.bad = uri, tuple(bad)
        named = listing(f"{key!r} ({reason})" for key, reason in self.bad)
        super().__init__(
            f"{len(self.bad)} of the objects under {uri} are not whole images: {named}. "
            'Mend or remove them, or use on_error="skip" to leave them out.'
        )


class ImageGone(DataError):
    """An object that a manifest names is no longer what it was."""

    code = "image_gone"

    def __init__(self, uri: str, key: str, why: str) -> None:
        self.uri, self.key, self.why = uri, key, why
        super().__init__(
            f"the object {key!r} of the manifest of {uri} {why}. "
            "Run load_images again to make a manifest of what is there now."
        )


class ModelMissing(DataError):
    """A place that should hold a model holds none."""

    code = "model_missing"

    def __init__(self, where: str, looked_for: str) -> None:
        self.where, self.looked_for = where, looked_for
        super().__init__(
            f"there is no model at {where}: it has no {looked_for}. Give the URI that "
            "upload_model returned, or the folder that save_model wrote."
        )


class CorruptModel(DataError):
    """A model whose files are not the ones that were saved."""

    code = "corrupt_model"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"the model at {where} is damaged: {why}. It was not loaded; save or upload it again."
        )


class UnknownModelFormat(DataError):
    """A model written by a newer mlflowkit."""

    code = "unknown_model_format"

    def __init__(self, where: str, found: object, known: int) -> None:
        self.where, self.found, self.known = where, found, known
        super().__init__(
            f"the model at {where} has format {found!r}; this mlflowkit reads up to {known}. "
            "Upgrade mlflowkit where the model is used."
        )


class BrokenImage(DataError):
    """A file that should be a picture cannot be decoded."""

    code = "broken_image"

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(
            f"{name!r} is not a readable image: {reason}. Replace or remove it, "
            'or read the images with on_error="skip".'
        )


class ClassTooSmall(DataError):
    """A class has too few different images to be split."""

    code = "class_too_small"

    def __init__(self, label: str, images: int, needed: int) -> None:
        self.label, self.images, self.needed = label, images, needed
        super().__init__(
            f"class {label!r} has {images} different image{'s' * (images != 1)}, but at least "
            f"{needed} are needed to have some for training and others for testing. "
            f"Add images to the folder {label!r}, or leave the folder out."
        )


class OneClassOnly(DataError):
    """There is nothing to tell apart."""

    code = "one_class_only"

    def __init__(self, classes: Iterable[str]) -> None:
        self.classes = list(classes)
        super().__init__(
            f"a classifier needs at least two classes, but the images have: "
            f"{listing(self.classes)}. An image's class is the folder it lies in: "
            "is the prefix one folder too deep?"
        )


class WrongFractions(DataError):
    """Shares of the images that cannot be split off."""

    code = "wrong_fractions"

    def __init__(self, val_fraction: float, test_fraction: float) -> None:
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        super().__init__(
            f"val_fraction={val_fraction} and test_fraction={test_fraction} leave no sound "
            "training set: each must be at least 0, and both together less than 1."
        )


class NotADataset(DataError):
    """A folder that should hold packed images does not."""

    code = "not_a_dataset"

    def __init__(self, folder: object, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(
            f"{folder} is not a folder of packed images: {reason}. "
            "Make one with mlflowkit.ml.preprocess.preprocess(manifest, out=...)."
        )


class TooFewImages(DataError):
    """A split has too few images for what is asked of it."""

    code = "too_few_images"

    def __init__(self, split: str, images: int, needed: int) -> None:
        self.split, self.images, self.needed = split, images, needed
        super().__init__(
            f"the {split} split has {images} image{'s' * (images != 1)}, but at least {needed} "
            "are needed. Add images, or change the fractions of the split."
        )


class OutputInUse(DataError):
    """A result would be written over something else."""

    code = "output_in_use"

    def __init__(self, folder: object) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} exists and holds something else. Nothing was written: "
            "give another folder, or empty this one."
        )


class UnknownArch(DataError):
    """A network that is not built here."""

    code = "unknown_arch"

    def __init__(self, arch: str, known: Iterable[str]) -> None:
        known = list(known)
        self.arch = arch
        super().__init__(
            f"there is no architecture {arch!r} (there are: {listing(known)})."
            f"{suggest(arch, known)}"
        )


class WeightsNotFound(DataError):
    """A file of weights is not where it should be."""

    code = "weights_not_found"

    def __init__(self, path: object) -> None:
        self.path = path
        super().__init__(
            f"there are no weights at {path}. Give a .safetensors, .pth or .pt file, the folder "
            'of a saved model, "imagenet" for torchvision\'s own, or None to start from scratch.'
        )


class CorruptWeights(DataError):
    """A file of weights that cannot be read."""

    code = "corrupt_weights"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"the weights in {path} cannot be used: {reason}. "
            "The file may be cut off or damaged: copy it again, or take another one."
        )


class UnsafeWeights(DataError):
    """A file of weights that would run code when it is opened."""

    code = "unsafe_weights"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"{path} holds more than weights, and opening it could run code: {reason}. "
            "It was not opened. Save the state dict alone, best as .safetensors."
        )


class WeightsDoNotFit(DataError):
    """Weights of another network."""

    code = "weights_do_not_fit"

    def __init__(self, path: object, arch: str, reason: str, fits: str | None) -> None:
        self.path, self.arch, self.reason, self.fits = path, arch, reason, fits
        hint = f" They fit {fits}: use arch={fits!r}." if fits else ""
        super().__init__(
            f"the weights in {path} are not those of a {arch}: {reason}.{hint}"
        )


class WeightsUnavailable(DataError):
    """Ready-made weights could not be downloaded."""

    code = "weights_unavailable"

    def __init__(self, arch: str, url: str, reason: str) -> None:
        self.arch, self.url, self.reason = arch, url, reason
        super().__init__(
            f"the ready-made weights of {arch} could not be downloaded from {url}: {reason}. "
            "Download the file where there is a network and give its path as weights=, "
            "or start from scratch with weights=None."
        )


# ── DeployError ─────────────────────────────────────────────────────────────


class DeployError(UserError):
    """A model that could not be put to work."""

    code = "deploy"


class UnknownTarget(DeployError):
    """A target that models are not deployed to."""

    code = "unknown_target"

    def __init__(self, target: str, known: Iterable[str]) -> None:
        known = list(known)
        self.target = target
        super().__init__(
            f"a model is not deployed to {target!r}: the targets are {listing(known)}."
            f"{suggest(target, known)}"
        )


class BadServiceName(DeployError):
    """A name that a deployed model cannot have."""

    code = "bad_service_name"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} cannot name a deployed model: it has no letter or digit from which a "
            "DNS label (a-z, 0-9, '-') could be made. Give another name=."
        )


class PortInUse(DeployError):
    """The port that a server was to listen on is taken."""

    code = "port_in_use"

    def __init__(self, host: str, port: int, holder: str | None = None) -> None:
        self.host, self.port, self.holder = host, port, holder
        by = f" by {holder}" if holder else ""
        super().__init__(
            f"port {port} on {host} is already in use{by}. "
            "Stop that program, or choose another port (0 finds a free one)."
        )


class ServerDied(DeployError):
    """A model server ended before it was ready."""

    code = "server_died"

    def __init__(self, name: str, how: str, log: object, tail: str) -> None:
        self.name, self.how, self.log, self.tail = name, how, str(log), tail
        super().__init__(
            f"the model server {name!r} {how} before it was ready. Its log {log} ends with:\n"
            f"{tail or '(the log is empty)'}"
        )


class ServerNotReady(DeployError):
    """A model server did not become ready in time."""

    code = "server_not_ready"

    def __init__(self, name: str, seconds: float, log: object, tail: str) -> None:
        self.name, self.seconds, self.log, self.tail = name, seconds, str(log), tail
        super().__init__(
            f"the model server {name!r} was not ready after {seconds:g} s and was stopped; "
            f"give more time with timeout=. Its log {log} ends with:\n"
            f"{tail or '(the log is empty)'}"
        )


class PredictionFailed(DeployError):
    """A new server answered the test image wrongly, and was stopped."""

    code = "prediction_failed"

    def __init__(self, name: str, why: str, log: object, tail: str) -> None:
        self.name, self.why, self.log, self.tail = name, why, str(log), tail
        super().__init__(
            f"the model server {name!r} failed its test image: {why}. It was stopped; what was "
            f"deployed before is untouched. Its log {log} ends with:\n"
            f"{tail or '(the log is empty)'}"
        )


class TooManyPixels(DeployError):
    """An image that a server does not decode: it would take too much memory."""

    code = "too_many_pixels"

    def __init__(self, size: tuple[int, int] | None, most: int) -> None:
        self.size, self.most = size, most
        shown = f"{size[0]} x {size[1]} pixels" if size else "far too many pixels"
        super().__init__(
            f"the image has {shown}; at most {most:,} are taken. Scale it down."
        )


class LocalModelInCluster(DeployError):
    """A model on this machine's disk cannot be read by pods."""

    code = "local_model_in_cluster"

    def __init__(self, uri: str) -> None:
        self.uri = uri
        super().__init__(
            f"the pods of a cluster cannot read {uri!r}, which is on this machine. "
            "Upload the model first (upload_model), and deploy its s3:// URI."
        )


class DemoOnLoopback(DeployError):
    """The demo was asked to deploy to a cluster from its own S3 server."""

    code = "demo_on_loopback"

    def __init__(self) -> None:
        super().__init__(
            "the demo's own S3 server listens on this machine only, so a cluster cannot read "
            "the model from it. Give --s3-uri (and --connection) of a bucket that it can reach."
        )


class UnknownStyle(UserError):
    """A style that the tutorial pipeline is not written in."""

    code = "unknown_style"

    def __init__(self, style: str, known: Iterable[str]) -> None:
        known = list(known)
        self.style = style
        super().__init__(
            f"the tutorial pipeline has no style {style!r}: there are {listing(known)}."
            f"{suggest(style, known)}"
        )


class NoTestImage(DeployError):
    """The image that a new server is to be tested with cannot be read."""

    code = "no_test_image"

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"the test image {path} cannot be read: {why}. "
            "Pass test_image= a file or the bytes of an image."
        )


class NoCluster(DeployError):
    """Nothing says which Kubernetes cluster is meant."""

    code = "no_cluster"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"no Kubernetes cluster to talk to: {why}. Set KUBECONFIG or pass context=; "
            "`kubectl config get-contexts` lists what there is."
        )


class ClusterUnreachable(DeployError):
    """A Kubernetes API server does not answer."""

    code = "cluster_unreachable"

    def __init__(self, where: str, server: str, why: str) -> None:
        self.where, self.server, self.why = where, server, why
        super().__init__(
            f"the Kubernetes API of {where} ({server}) does not answer: {why}. "
            "Check the address in the kubeconfig, the network and that the cluster is up."
        )


class ClusterForbidden(DeployError):
    """A Kubernetes API server does not let this user do what a deployment needs."""

    code = "cluster_forbidden"

    def __init__(self, what: str, where: str, said: str, *, known: bool = True) -> None:
        self.what, self.where, self.said = what, where, said
        todo = (
            "Grant it with a Role and a RoleBinding (docs/how-to/deploy.md lists the rules)."
            if known
            else "The credentials are missing, wrong or expired: log in to the cluster again."
        )
        super().__init__(f"not allowed to {what} in {where}: {said}. {todo}")


class ClusterRefused(DeployError):
    """A Kubernetes API server refused a request."""

    code = "cluster_refused"

    def __init__(self, what: str, where: str, status: int, said: str) -> None:
        self.what, self.where, self.status, self.said = what, where, status, said
        todo = {
            404: " Does the namespace exist? `kubectl create namespace` makes it.",
            409: " Leave the field to its owner (replicas=None), or take it over with force=True.",
        }
        said = said.rstrip(".")
        super().__init__(
            f"could not {what} in {where}: {said} (HTTP {status}).{todo.get(status, '')}"
        )


class RolloutFailed(DeployError):
    """New pods did not come up. The message has the pod's reason and its last log lines."""

    code = "rollout_failed"

    def __init__(
        self,
        name: str,
        where: str,
        reason: str,
        message: str,
        pod: str | None,
        tail: str,
    ) -> None:
        self.name, self.where, self.reason = name, where, reason
        self.message, self.pod, self.tail = message, pod, tail
        by = f" (pod {pod})" if pod else ""
        log = f"\nThe pod's log ends with:\n{tail}" if tail else ""
        super().__init__(
            f"deployment {name!r} in {where} failed{by}: {reason}: {message}{log}"
        )


class PodNameTaken(DeployError):
    """A pod or job of the name that a task asks for is there, and is not this task's."""

    code = "pod_name_taken"

    def __init__(self, kind: str, name: str, where: str) -> None:
        self.kind, self.name, self.where = kind, name, where
        super().__init__(
            f"there is a {kind} {name!r} in {where} that does not belong to this task "
            f"instance. Delete it (`kubectl delete {kind} {name}`), or let each have a name "
            "of its own with random_name_suffix=True."
        )


class PodTemplateBroken(DeployError):
    """The file or dict that a pod or job starts from cannot be used."""

    code = "pod_template_broken"

    def __init__(self, task_id: str, what: str, why: str) -> None:
        self.task_id, self.what, self.why = task_id, what, why
        super().__init__(f"task {task_id!r} cannot use its {what}: {why}")


class ServiceNotStarted(DeployError):
    """A long-lived process could not be started."""

    code = "service_not_started"

    def __init__(self, name: str, program: str, why: str) -> None:
        self.name, self.program, self.why = name, program, why
        super().__init__(
            f"the service {name!r} could not be started: {why}. "
            f"Is {program!r} installed, and may it be run?"
        )


# ── HomeError ───────────────────────────────────────────────────────────────


class HomeError(UserError):
    """A home folder that cannot be used."""

    code = "home"


class HomeUnwritable(HomeError):
    """The home cannot be made or written."""

    code = "home_unwritable"

    def __init__(self, path: object, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"the home {path} cannot be written: {why}. "
            "Mend its permissions, or set MLFLOWKIT_HOME to a folder of yours."
        )


class HomeOnNetwork(HomeError):
    """The home lies on a network file system."""

    code = "home_on_network"

    def __init__(self, path: object, kind: str) -> None:
        self.path, self.kind = path, kind
        super().__init__(
            f"the home {path} lies on a network file system ({kind}), where the SQLite store "
            "would be damaged. Set MLFLOWKIT_HOME to a folder on a local disk, for example "
            "MLFLOWKIT_HOME=/var/tmp/mlflowkit."
        )


class StoreDamaged(HomeError):
    """The store's file is not a database."""

    code = "store_damaged"

    def __init__(self, path: object, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"the store {path} cannot be read: {why}. Move it away to start with an empty one, "
            "or put a backup in its place."
        )


class StoreTooNew(HomeError):
    """The store was written by a newer mlflowkit."""

    code = "store_too_new"

    def __init__(self, path: object, found: str, known: str) -> None:
        self.path, self.found, self.known = path, found, known
        super().__init__(
            f"the store in {path} has version {found}; this mlflowkit knows up to {known}. "
            "Upgrade mlflowkit: pip install --upgrade mlflowkit"
        )


class HomeBusy(HomeError):
    """Another engine works in this home."""

    code = "home_busy"

    def __init__(self, path: object, pid: int) -> None:
        self.path, self.pid = path, pid
        super().__init__(
            f"an engine (process {pid}) already works in the home {path}; one home has one engine. "
            "Hand the run to it, stop it with `mlflowkit engine stop`, or use another MLFLOWKIT_HOME."
        )


class RunNotFound(UserError):
    """No DAG run of that id is in the store."""

    code = "run_not_found"

    def __init__(self, run_id: str, known: Iterable[str]) -> None:
        known = list(known)
        self.run_id = run_id
        super().__init__(
            f"there is no DAG run {run_id!r} (there are: {listing(known)}).{suggest(run_id, known)}"
        )


class TaskNotInRun(UserError):
    """A run has no such task."""

    code = "task_not_in_run"

    def __init__(self, run_id: str, task_id: str, known: Iterable[str]) -> None:
        known = list(known)
        self.run_id, self.task_id = run_id, task_id
        super().__init__(
            f"the run {run_id} has no task {task_id!r} (it has: {listing(known)})."
            f"{suggest(task_id, known)}"
        )


class ShapeChanged(UserError):
    """A run cannot go on with code whose DAG has another shape."""

    code = "shape_changed"

    def __init__(self, dag_id: str) -> None:
        self.dag_id = dag_id
        super().__init__(
            f"DAG {dag_id!r} has other tasks or arrows than when the run was started, so the run "
            "cannot go on with it. Start a new run, or retry with the run's own code (code='same')."
        )


class RunStillRunning(UserError):
    """A run that has not ended was asked to try again."""

    code = "run_still_running"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"the run {run_id} has not ended. Wait for it, stop it with "
            f"`mlflowkit runs cancel {run_id}`, or, if its engine died, go on with "
            f"`mlflowkit runs resume {run_id}`."
        )


class RunHasEnded(UserError):
    """A run that has ended was asked to go on where it was interrupted."""

    code = "run_has_ended"

    def __init__(self, run_id: str, state: str) -> None:
        self.run_id, self.state = run_id, state
        super().__init__(
            f"the run {run_id} has ended ({state}), so there is nothing to resume. "
            f"To run again what did not succeed: `mlflowkit runs retry {run_id}`."
        )


class BadSetting(UserError):
    """A setting has a value that does not fit."""

    code = "bad_setting"

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(
            f"the setting {name} does not fit: {why}. "
            f"Look at MLFLOWKIT_{name.upper()} and [tool.mlflowkit] in pyproject.toml."
        )


# ── MissingExtra ────────────────────────────────────────────────────────────


class MissingExtra(UserError):
    """A library that an optional part of mlflowkit needs is not installed."""

    code = "missing_extra"

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        self.needs, self.extra = library, extra
        super().__init__(
            f"{purpose} needs {library}, which is not installed. "
            f"Run: pip install 'mlflowkit[{extra}]'"
        )


# ── RunFailed, TaskFailed ───────────────────────────────────────────────────


class RunFailed(MlflowkitError):
    """A DAG run ended without success. `__cause__` is the error of the task that failed."""

    code = "run_failed"

    def __init__(
        self, run_id: str, task_id: str, why: str, states: Mapping[str, str] | None = None
    ) -> None:
        self.run_id, self.task_id, self.why = run_id, task_id, why
        #: How all tasks ended, where `dag.test()` failed.
        self.states = dict(states or {})
        where = (
            f"task {task_id!r} failed: {why}" if task_id else why or "it did not succeed"
        )
        super().__init__(
            f"the run {run_id} failed: {where}. Its log: `mlflowkit runs logs {run_id}`; "
            f"to go on from there: `mlflowkit runs retry {run_id}`."
        )


class RunInterrupted(MlflowkitError):
    """The engine of a run died; what it had saved is kept."""

    code = "run_interrupted"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"the run {run_id} was interrupted: its engine is gone. Nothing that was saved is "
            f"lost; `mlflowkit runs resume {run_id}` goes on."
        )


class TaskFailed(MlflowkitError):
    """A task's own code failed; it is retried as its policy says."""

    code = "task_failed"


class CommandFailed(TaskFailed):
    """The command of a BashOperator ended with an exit status other than 0."""

    code = "command_failed"

    def __init__(self, task_id: str, status: int, last_lines: str) -> None:
        self.task_id, self.status, self.last_lines = task_id, status, last_lines
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        shown = f" Its last output:\n{last_lines}" if last_lines else ""
        super().__init__(f"the command of task {task_id!r} ended with {how}.{shown}")


class TransformFailed(TaskFailed):
    """What should turn one file into another failed, or wrote nothing."""

    code = "transform_failed"

    def __init__(self, task_id: str, script: str, status: int, last_lines: str) -> None:
        self.task_id, self.script = task_id, script
        self.status, self.last_lines = status, last_lines
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        shown = f" Its last output:\n{last_lines}" if last_lines else " It said nothing."
        super().__init__(
            f"{script!r} of task {task_id!r} ended with {how}; nothing was uploaded.{shown}"
        )


class NothingTransformed(TaskFailed):
    """A script or function that should write a file wrote none."""

    code = "nothing_transformed"

    def __init__(self, task_id: str, name: str) -> None:
        self.task_id, self.name = task_id, name
        super().__init__(
            f"{name!r} of task {task_id!r} wrote no file; nothing was uploaded. It is given two "
            "paths: the downloaded file, and the one to write."
        )


class SqlFailed(TaskFailed):
    """The database refused a statement. Everything not yet committed was rolled back."""

    code = "sql_failed"

    def __init__(
        self, conn_id: str, statement: str, why: str, sqlstate: str, hint: str = ""
    ) -> None:
        self.conn_id, self.statement = conn_id, statement
        self.why, self.sqlstate, self.hint = why, sqlstate, hint
        at = f" [{sqlstate}]" if sqlstate else ""
        ran = f"\nThe statement was: {statement}" if statement else ""
        more = f"\n{hint}" if hint else ""
        super().__init__(f"connection {conn_id!r}: {why}{at}{ran}{more}")


class DatabaseUnreachable(TaskFailed):
    """No database answers there. A retry may find it."""

    code = "database_unreachable"

    def __init__(self, conn_id: str, where: str, why: str) -> None:
        self.conn_id, self.where, self.why = conn_id, where, why
        super().__init__(
            f"{where} (connection {conn_id!r}) cannot be opened: {why} Check the "
            "connection's host, port and schema, and that the server is up."
        )


class CheckFailed(TaskFailed):
    """What a SQL check found is not what it should be."""

    code = "check_failed"

    def __init__(self, task_id: str, why: str) -> None:
        self.task_id, self.why = task_id, why
        super().__init__(f"the check of task {task_id!r} failed: {why}")


class PodFailed(TaskFailed):
    """A pod of a task ended without success. The message has its reason and last log lines."""

    code = "pod_failed"

    def __init__(
        self,
        pod: str,
        where: str,
        why: str,
        *,
        reason: str = "",
        exit_code: int | None = None,
        memory_limit: str | None = None,
        tail: str = "",
        events: tuple[str, ...] = (),
    ) -> None:
        self.pod, self.where, self.why, self.reason = pod, where, why, reason
        self.exit_code, self.memory_limit = exit_code, memory_limit
        self.tail, self.events = tail, events
        super().__init__(f"pod {pod!r} in {where} failed: {why}{_pod_story(tail, events)}")


class PodNotStarted(TaskFailed):
    """A pod of a task did not come so far as to run: no place, no image, no such Secret."""

    code = "pod_not_started"

    def __init__(
        self, pod: str, where: str, reason: str, why: str, events: tuple[str, ...] = ()
    ) -> None:
        self.pod, self.where, self.reason = pod, where, reason
        self.why, self.events = why, events
        super().__init__(
            f"pod {pod!r} in {where} did not start: {reason}: {why}{_pod_story('', events)}"
        )


class PodGone(TaskFailed):
    """Somebody or something deleted the pod of a task while it ran."""

    code = "pod_gone"

    def __init__(
        self, pod: str, where: str, tail: str = "", events: tuple[str, ...] = ()
    ) -> None:
        self.pod, self.where, self.tail, self.events = pod, where, tail, events
        super().__init__(
            f"pod {pod!r} in {where} was deleted before it had ended, by somebody else or "
            f"because its node went away.{_pod_story(tail, events)}"
        )


class PodXComUnreadable(TaskFailed):
    """The result that a pod wrote is no JSON, is too large, or did not arrive whole."""

    code = "pod_xcom_unreadable"

    def __init__(self, pod: str, path: str, why: str) -> None:
        self.pod, self.path, self.why = pod, path, why
        super().__init__(f"the result of pod {pod!r} ({path}) cannot be taken: {why}")


class JobFailed(TaskFailed):
    """A Kubernetes job ended without success. The message tells of its last pod."""

    code = "job_failed"

    def __init__(self, job: str, where: str, reason: str, why: str, pod: str = "") -> None:
        self.job, self.where, self.reason, self.why = job, where, reason, why
        self.pod = pod
        told = f"\n{pod}" if pod else ""
        super().__init__(f"job {job!r} in {where} failed: {reason}: {why}{told}")


class ClusterOutage(TaskFailed):
    """A Kubernetes API server was away for longer than a task waits. A retry may succeed."""

    code = "cluster_outage"

    def __init__(self, why: str, seconds: float) -> None:
        self.why, self.seconds = why, seconds
        super().__init__(
            f"gave up after {seconds:.0f} s: {why} What was started is left as it is: the "
            "next attempt of this task goes on with it."
        )


def _pod_story(tail: str, events: tuple[str, ...]) -> str:
    told = f"\nIts log ends with:\n{tail}" if tail else ""
    return told + ("\nIts events:\n" + "\n".join(events) if events else "")


class TaskSkipped(MlflowkitError):
    """Raise it in a task to end the task instance as skipped. Not a failure."""

    code = "task_skipped"


class TaskFailedForGood(TaskFailed):
    """Raise it in a task that another try cannot mend: it fails, whatever retries are left."""

    code = "task_failed_for_good"
    retryable = False


class TaskRescheduled(MlflowkitError):
    """Raise it in a task to give its place back and be started again later; no try is spent."""

    code = "task_rescheduled"

    def __init__(self, when: datetime) -> None:
        if when.tzinfo is None:
            raise BadOption(
                "TaskRescheduled", "when", "must be a datetime with a time zone"
            )
        self.when = when.astimezone(UTC)
        super().__init__(f"it goes on at {self.when.isoformat(timespec='seconds')}")


class SensorTimeout(TaskFailed):
    """What a sensor waits for did not come in its time. Not retried, as in Airflow."""

    code = "sensor_timeout"
    retryable = False

    def __init__(self, task_id: str, waited: float, timeout: float) -> None:
        self.task_id, self.waited, self.timeout = task_id, waited, timeout
        super().__init__(
            f"sensor {task_id!r} has waited {waited:,.1f} s, longer than its timeout of "
            f"{timeout:,g} s. See that what it waits for is on its way, or give it a longer "
            "timeout=; with soft_fail=True it is skipped instead."
        )


class SensorFailed(TaskFailed):
    """A sensor saw that what it waits for will not come."""

    code = "sensor_failed"


class ExternalTaskFailed(SensorFailed):
    """The other DAG, task or task group that a sensor waits for reached a failed state."""

    code = "external_task_failed"

    def __init__(
        self, task_id: str, what: str, run_id: str, found: Mapping[str, str]
    ) -> None:
        self.task_id, self.what, self.run_id = task_id, what, run_id
        self.found = dict(found)
        told = ", ".join(f"{name} is {state}" for name, state in sorted(found.items()))
        super().__init__(
            f"sensor {task_id!r} waits for {what}, and in run {run_id}: {told}. "
            f"Clear or retry that run (`mlflowkit runs retry {run_id}`), then this task."
        )


class ExternalTaskMissing(UserError):
    """The DAG, task or task group that a sensor waits for does not exist."""

    code = "external_task_missing"

    def __init__(self, task_id: str, what: str, known: Iterable[str]) -> None:
        known = tuple(known)
        self.task_id, self.what, self.known = task_id, what, known
        there = f" (there is: {listing(known)})" if known else ""
        super().__init__(
            f"sensor {task_id!r} waits for {what}, which does not exist{there}. Mend the name, "
            "or leave check_existence=False to wait until it does."
        )


class NoRunDate(UserError):
    """A task needs the date of its DAG run, and the run has none."""

    code = "no_run_date"

    def __init__(self, task_id: str, what: str) -> None:
        self.task_id, self.what = task_id, what
        super().__init__(
            f"task {task_id!r} needs {what} of its DAG run, which has none. Start the run with "
            "a logical date, or let a schedule start it."
        )


class DagToTriggerMissing(UserError):
    """A task is to start a run of a DAG that nobody knows."""

    code = "dag_to_trigger_missing"

    def __init__(self, task_id: str, dag_id: str) -> None:
        self.task_id, self.dag_id = task_id, dag_id
        super().__init__(
            f"task {task_id!r} triggers DAG {dag_id!r}, which this home does not know. Hand it "
            "one with `.publish()`, or have `mlflowkit scheduler FOLDER` load its file."
        )


class PublishedElsewhere(UserError):
    """The id of a DAG belongs to one of another file."""

    code = "published_elsewhere"

    def __init__(self, dag_id: str, origin: str) -> None:
        self.dag_id, self.origin = dag_id, origin
        super().__init__(
            f"DAG {dag_id!r} is published from {origin or 'another place'}. Give this one "
            "another dag_id, or replace that one: publish(replace=True)."
        )


class DagNotPublished(UserError):
    """The scheduler does not know this DAG."""

    code = "dag_not_published"

    def __init__(self, dag_id: str, known: Iterable[str]) -> None:
        known = list(known)
        self.dag_id = dag_id
        super().__init__(
            f"the scheduler knows no DAG {dag_id!r}.{suggest(dag_id, known)} It knows: "
            f"{listing(known)}. `.publish()` hands it one, and `mlflowkit scheduler FOLDER` "
            "all of a folder."
        )


class RunExists(UserError):
    """There is a run of this id already."""

    code = "run_exists"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"there is a run {run_id} already: give the new one another id.")


class FolderNotLoaded(UserError):
    """A folder of pipeline files cannot be loaded at all."""

    code = "folder_not_loaded"

    def __init__(self, folder: object, why: str) -> None:
        self.folder, self.why = folder, why
        super().__init__(
            f"the folder {folder} was not loaded: {why or 'the process that does it ended'}. "
            "Its DAGs go on as they are."
        )


class BadBackfill(UserError):
    """A backfill that would run nothing, or cannot be run so."""

    code = "bad_backfill"

    def __init__(self, dag_id: str, why: str) -> None:
        self.dag_id, self.why = dag_id, why
        super().__init__(f"DAG {dag_id!r} cannot be backfilled so: {why}.")


class SchedulerAlive(UserError):
    """A scheduler works in this home already."""

    code = "scheduler_alive"

    def __init__(self, home: object) -> None:
        self.home = home
        super().__init__(
            f"a scheduler works in the home {home} already; one home has one. Stop it with "
            "Ctrl-C where it runs, or use another MLFLOWKIT_HOME."
        )


class BadRunId(UserError):
    """A run cannot have this id: it names a folder."""

    code = "bad_run_id"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"{run_id!r} cannot be the id of a run: use letters, digits and '_ . ~ : + -', at "
            "most 200 of them."
        )


class DagIsPaused(UserError):
    """A task is to start a run of a DAG that is paused."""

    code = "dag_is_paused"

    def __init__(self, task_id: str, dag_id: str) -> None:
        self.task_id, self.dag_id = task_id, dag_id
        super().__init__(
            f"task {task_id!r} triggers DAG {dag_id!r}, which is paused, so the run would not "
            f"start. Unpause {dag_id!r}, or leave fail_when_dag_is_paused=False."
        )


class DagRunAlreadyExists(UserError):
    """A task is to start a run of a DAG that has been started before."""

    code = "dag_run_already_exists"

    def __init__(self, task_id: str, dag_id: str, run_id: str, asked: str) -> None:
        self.task_id, self.dag_id, self.run_id, self.asked = task_id, dag_id, run_id, asked
        super().__init__(
            f"task {task_id!r} triggers DAG {dag_id!r} with {asked}, and run {run_id} has it "
            "already. Use reset_dag_run=True to run that one again, "
            "skip_when_already_exists=True to skip, or another trigger_run_id."
        )


class TriggeredRunFailed(TaskFailed):
    """The DAG run that a task started and waited for did not end well."""

    code = "triggered_run_failed"

    def __init__(self, task_id: str, run_id: str, state: str) -> None:
        self.task_id, self.run_id, self.state = task_id, run_id, state
        super().__init__(
            f"task {task_id!r} waited for run {run_id}, which is {state}. "
            f"`mlflowkit runs logs {run_id}` has its own error."
        )


class TrainingDiverged(TaskFailed):
    """The loss is no longer a number."""

    code = "training_diverged"

    def __init__(self, epoch: int, lr: float) -> None:
        self.epoch, self.lr = epoch, lr
        super().__init__(
            f"the loss stopped being a finite number in epoch {epoch}, at a learning rate of "
            f"up to {lr:.3g}. Use a smaller lr (a tenth is a good next try)."
        )


class OutOfDeviceMemory(TaskFailed):
    """The network and its batch do not fit into the device."""

    code = "out_of_device_memory"

    def __init__(self, device: str, batch_size: int) -> None:
        self.device, self.batch_size = device, batch_size
        super().__init__(
            f"{device} ran out of memory with batches of {batch_size} images. "
            "Use a smaller batch_size or image_size."
        )


class CellFailed(TaskFailed):
    """A cell of a notebook failed; the executed notebook was written and says so.

    Attributes:
        notebook: The notebook, as it was named.
        cell: Position of the cell, from 0, all cells counted.
        status: "error", "timeout", "killed" or "interrupted".
        source: The cell's code.
        ename, evalue: Class and text of what it raised; KernelDied, CellTimeout for ours.
        traceback: Lines for a terminal (with colours), without frames of libraries.
        stream: What the cell had printed, the last part of it.
        output: Path of the executed notebook.
        values: What the notebook had pushed before.
        retryable: False where the cell raised a UserError.
        hint: What to do, where we know.
    """

    code = "cell_failed"

    def __init__(
        self,
        notebook: str,
        cell: int,
        *,
        status: str,
        source: str,
        ename: str,
        evalue: str,
        traceback: tuple[str, ...] = (),
        stream: str = "",
        output: str = "",
        values: Mapping[str, object] | None = None,
        retryable: bool = True,
        hint: str = "",
    ) -> None:
        self.notebook, self.cell, self.status = notebook, cell, status
        self.source, self.ename, self.evalue = source, ename, evalue
        self.traceback, self.stream, self.output = traceback, stream, output
        self.values: Mapping[str, object] = dict(values or {})
        self.retryable, self.hint = retryable, hint
        super().__init__(self._message())

    def _message(self) -> str:
        verb = {"timeout": "ran out of time", "killed": "lost its kernel"}.get(self.status)
        verb = verb or ("was interrupted" if self.status == "interrupted" else "failed")
        said = f"{self.ename}: {self.evalue}" if self.evalue else self.ename
        lines = self.source.strip().splitlines()
        shown = lines if len(lines) <= 12 else [*lines[:6], "…", *lines[-5:]]
        parts = [f"cell {self.cell + 1} of {self.notebook} {verb}: {said}"]
        parts += [self.hint] if self.hint else []
        parts += ["", *(f"    {line}" for line in shown)]
        parts += (
            ["", "it had printed:", self.stream.rstrip()] if self.stream.strip() else []
        )
        parts += ["", *self.traceback] if self.traceback else []
        parts += ["", f"executed notebook: {self.output}"] if self.output else []
        return "\n".join(parts)

    @property
    def story(self) -> str:
        """What a person is shown; the frames of the worker tell nothing more."""
        return str(self)

    def __reduce__(self) -> tuple[object, ...]:
        return _cell_failed, (
            {key: value for key, value in vars(self).items() if key[0] != "_"},
        )


class NotebookStopped(TaskFailed):
    """Somebody asked a notebook to end before its first cell ran. Nothing was written."""

    code = "notebook_stopped"

    def __init__(self, notebook: str) -> None:
        self.notebook = notebook
        super().__init__(f"{notebook} was asked to stop before its first cell ran.")


def _cell_failed(fields: dict[str, Any]) -> CellFailed:
    """A CellFailed from its attributes, for pickle."""
    return CellFailed(fields.pop("notebook"), fields.pop("cell"), **fields)


# ── InternalError ───────────────────────────────────────────────────────────


class InternalError(MlflowkitError):
    """Something that should not be possible. Ours to mend: please report it."""

    code = "internal"


class TimetableElsewhere(InternalError):
    """A timetable that is a person's code was asked where no such code may run."""

    code = "timetable_elsewhere"

    def __init__(self, summary: str) -> None:
        self.summary = summary
        super().__init__(
            f"the timetable {summary!r} is code of a person: it is asked in a service attempt"
        )


class LeaseLost(InternalError):
    """Another engine has taken over this home. Nothing was saved."""

    code = "lease_lost"

    def __init__(self, engine_id: str) -> None:
        self.engine_id = engine_id
        super().__init__(
            f"engine {engine_id} no longer holds the home's lease: another one has taken over"
        )


class EngineRefused(UserError):
    """The engine says why it will not do what it was asked."""

    code = "engine_refused"

    def __init__(self, why: str, reason_code: str) -> None:
        self.why, self.reason_code = why, reason_code
        super().__init__(why)


class EngineGone(MlflowkitError):
    """The engine that was asked something is no longer there."""

    code = "engine_gone"

    def __init__(self, why: str, log: object) -> None:
        self.why, self.log = why, log
        super().__init__(
            f"the engine is gone ({why}); its log is {log}. Nothing that was saved is lost: "
            "`mlflowkit runs resume` goes on."
        )


class IllegalEvent(InternalError):
    """An event that a state has no answer to. Nothing was changed."""

    code = "illegal_event"

    def __init__(self, what: str, state: str, cause: str) -> None:
        self.what, self.state, self.cause = what, state, cause
        super().__init__(f"{what} is {state} and cannot take: {cause}")
