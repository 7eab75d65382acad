"""Errors of published DAGs, of backfills, and of the ids of runs."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, shown, suggest


class PublishedElsewhere(UserError):
    """The id of a DAG belongs to one of another file."""

    code = "published_elsewhere"

    def __init__(self, dag_id: str, origin: str) -> None:
        self.dag_id, self.origin = dag_id, origin
        super().__init__(
            f"DAG {dag_id!r} is published from {origin or 'another place'}. Give this one "
            "another dag_id, or replace that one: publish(replace=True), --replace."
        )


class DagNotPublished(UserError):
    """The scheduler does not know this DAG."""

    code = "dag_not_published"

    def __init__(self, dag_id: str, known: Iterable[str]) -> None:
        known = list(known)
        self.dag_id = dag_id
        super().__init__(
            f"the scheduler knows no DAG {shown(dag_id)!r}.{suggest(dag_id, known)} It knows: "
            f"{listing(known)}. `.publish()` hands it one, and `mlflowkit scheduler FOLDER` "
            "all of a folder."
        )


class RunExists(UserError):
    """There is a run of this id already."""

    code = "run_exists"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"there is a run {shown(run_id)} already: give the new one another id."
        )


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
            f"{shown(run_id)!r} cannot be the id of a run: use letters, digits and '_ . ~ : + -', at "
            "most 200 of them."
        )
