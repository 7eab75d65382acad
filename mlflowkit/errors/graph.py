"""Errors of drawing a DAG."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, suggest


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
