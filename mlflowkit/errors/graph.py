"""Errors of drawing a DAG."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, a, listing, suggest


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
            f"{a(self.type_name)} is not a task and cannot be joined with >> or <<. "
            "Call the @task function first: load() >> train(), not load >> train."
        )


class NotAnOperator(GraphError):
    """A class of one's own that leaves out what every operator must have."""

    code = "not_an_operator"

    def __init__(self, kind: str, missing: str, task_id: str = "") -> None:
        self.kind, self.missing, self.task_id = kind, missing, task_id
        where = f"task {task_id!r}: " if task_id else ""
        todo = (
            "does not call super().__init__(task_id, **options) in its __init__"
            if missing == "super().__init__"
            else f"has no {missing}(self, context): write it, it does the work of the task"
        )
        super().__init__(f"{where}the operator class {kind} {todo}.")


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
