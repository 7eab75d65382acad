"""Errors of the home folder and the engine that owns it."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, shown, suggest


class HomeError(UserError):
    """A home folder that cannot be used."""

    code = "home"


class HomeUnwritable(HomeError):
    """The home cannot be made or written."""

    code = "home_unwritable"

    def __init__(self, path: object, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"the home {path} cannot be written: {why}. {_way_out(why)}")


def _way_out(why: str) -> str:
    """What to do about it: the words are SQLite's and the system's own."""
    said = why.lower()
    if "locked" in said:
        return (
            "Another process is writing, or hangs: try again, or look for it with "
            "`fuser -v` and the path of store.db in that folder."
        )
    if "full" in said or "no space" in said or "quota" in said:
        return (
            "Make room: `mlflowkit clean` deletes what old runs left. "
            "Or set MLFLOWKIT_HOME to a folder on another disk."
        )
    if "file exists" in said or "not a directory" in said:
        return "A file is in its way: set MLFLOWKIT_HOME to a folder of yours."
    return "Mend its permissions, or set MLFLOWKIT_HOME to a folder of yours."


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


class StoreOfOtherVersion(HomeError):
    """The store has a schema that this version of mlflowkit does not know."""

    code = "store_of_other_version"

    def __init__(self, path: object, found: str, known: str) -> None:
        self.path, self.found, self.known = path, found, known
        super().__init__(
            f"the home {path} was made by another version of mlflowkit: its store has the "
            f"schema revision {found}, this version has {known}. Nothing was changed. "
            "Upgrade (`pip install --upgrade mlflowkit`), or use another home: set "
            "MLFLOWKIT_HOME to a new folder."
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
        there = f"there are: {listing(known)}" if known else "there are none here yet"
        super().__init__(
            f"there is no DAG run {shown(run_id)!r} ({there}).{suggest(run_id, known)} "
            "`mlflowkit runs list` shows them."
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


class NotMarked(UserError):
    """A task instance cannot be marked as a success or failure now."""

    code = "not_marked"

    def __init__(self, run_id: str, name: str, state: str, why: str) -> None:
        self.run_id, self.name, self.state, self.why = run_id, name, state, why
        super().__init__(
            f"task {name!r} of the run {run_id} was not marked {state}: {why}. "
            f"`mlflowkit runs show {run_id}` says how it is."
        )


class NotCleared(UserError):
    """A task instance cannot run again: there is no such one, or it needs no other try."""

    code = "not_cleared"

    def __init__(self, run_id: str, name: str, why: str) -> None:
        self.run_id, self.name, self.why = run_id, name, why
        super().__init__(
            f"task {name!r} of the run {run_id} was not cleared: {why}. "
            f"`mlflowkit runs show {run_id}` says how it is."
        )


class NotCancelled(UserError):
    """A task instance cannot be stopped now."""

    code = "not_cancelled"

    def __init__(self, run_id: str, name: str, why: str) -> None:
        self.run_id, self.name, self.why = run_id, name, why
        super().__init__(
            f"task {name!r} of the run {run_id} was not cancelled: {why}. "
            f"`mlflowkit runs show {run_id}` says how it is."
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

    def __init__(self, name: str, why: str, given: object = None) -> None:
        self.name, self.why, self.given = name, why, given
        value = f" is {shown(repr(given))} and" if given is not None else ""
        super().__init__(
            f"the setting {name}{value} does not fit: {why}. "
            f"Look at MLFLOWKIT_{name.upper()} and [tool.mlflowkit] in pyproject.toml."
        )


class BadSettingsFile(UserError):
    """The file with the settings of a project cannot be read."""

    code = "bad_settings_file"

    def __init__(self, path: object, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"{path} cannot be read: {why}. Mend it: mlflowkit looks there for its settings, "
            "in [tool.mlflowkit]."
        )


class RunCleaned(HomeError):
    """What a run held was cleaned away."""

    code = "run_cleaned"

    def __init__(self, run_id: str, when: str, wanted: str) -> None:
        self.run_id, self.when = run_id, when
        super().__init__(
            f"{wanted}: the logs, notebooks and values of the run {run_id} were cleaned away at "
            f"{when}. Run its DAG anew."
        )


class CannotClean(HomeError):
    """A home cannot be cleaned now."""

    code = "cannot_clean"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"nothing was cleaned: {why}")
