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
            f"there is no DAG run {shown(run_id)!r} (there are: {listing(known)}).{suggest(run_id, known)}"
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
