"""What a person asks of a task of a run: again, stop, or "it ended so".

Handed to the engine; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mlflowkit.core.spec import UNMAPPED, instance_name
from mlflowkit.errors import BadOption, NotCancelled, NotMarked
from mlflowkit.handles.again import Wish, ended_run, only_bad, refuse

if TYPE_CHECKING:
    from mlflowkit.handles.run import RunHandle


class TaskActions:
    """The part of `TaskHandle` that changes something."""

    task_id: str
    _run: RunHandle
    _index: int | None

    @property
    def _name(self) -> str:
        return instance_name(self.task_id, UNMAPPED if self._index is None else self._index)

    def clear(
        self,
        *,
        indexes: Iterable[int] = (),
        downstream: bool = True,
        code: str = "latest",
        resume: str | None = None,
    ) -> RunHandle:
        """Run it again, and all below it. Its run has ended; the XComs of the rest are kept.

        `run["fit"].clear()` is the whole task, `run["fit"][3].clear()` one task instance of
        a mapped one. In a mapped task group what is below an instance is that of the same
        index; after the group it is all.

        Args:
            indexes: Of a mapped task only these task instances: `run["fit"].clear(indexes=[3, 5])`.
            downstream: False: what is below keeps what it has.
            code: "latest" takes the DAG as it is now, and says which tasks changed; "same"
                keeps the run's own.
            resume: "cell": a notebook goes on from the failed cell, or from the first that
                has changed; None: it begins anew.

        Raises:
            RunStillRunning: its run has not ended.
            NotCleared: there is no such task instance.
            ShapeChanged: the DAG has other tasks or arrows now.
        """
        how: dict[str, Any] = {"code": code, "resume": resume or ""}
        return self._run.again(self._wish(self._indexes(indexes), downstream, how))

    def retry(
        self,
        *,
        indexes: Iterable[int] = (),
        code: str = "latest",
        resume: str | None = None,
    ) -> RunHandle:
        """Run it again if it did not succeed (of a mapped task the task instances that did
        not), and all below. What it takes is as for `clear`.

        Raises:
            NotCleared: it has succeeded, or there is no such task instance.
            RunStillRunning, ShapeChanged: as for `clear`.
        """
        chosen = self._indexes(indexes)
        if self._wish(chosen).parts:
            refuse(ended_run(self._run), self._wish(chosen))
        bad = only_bad(self._run, self.task_id, chosen)
        how: dict[str, Any] = {"code": code, "resume": resume or ""}
        return self._run.again(self._wish(bad, True, how))

    def _wish(
        self, indexes: tuple[int, ...], downstream: bool = True, how: Any = None
    ) -> Wish:
        named: dict[str, Any] = {"task_ids": (self.task_id,)}
        if indexes not in ((), (UNMAPPED,)):
            named = {"parts": {self.task_id: indexes}}
        return Wish(downstream=downstream, **named, **(how or {}))

    def _indexes(self, given: Iterable[int]) -> tuple[int, ...]:
        """The task instances that are meant; none for the task as a whole."""
        chosen = tuple(dict.fromkeys(given))
        if self._index in (None, UNMAPPED) or chosen == (self._index,):
            return chosen
        if chosen:
            raise BadOption(
                f"task {self._name!r}", "indexes", "belongs to the task as a whole"
            )
        assert self._index is not None
        return (self._index,)

    def cancel(self, *, indexes: Iterable[int] = ()) -> None:
        """Stop it while its run goes on: what runs is killed, what waits for its next try is
        not tried again. It counts as failed; tasks below go on by their trigger rules.

        Args:
            indexes: Of a mapped task only these task instances; none: all that have started.

        Raises:
            NotCancelled: it has ended, or has not started.
        """
        chosen = self._indexes(indexes)
        where: dict[str, Any] = {"task_id": self.task_id, "map_indexes": list(chosen)}
        why = self._run.ask("cancel_instances", **where)
        if why:
            raise NotCancelled(self._run.run_id, self._named(chosen), why)

    def _named(self, indexes: tuple[int, ...]) -> str:
        return instance_name(self.task_id, indexes[0]) if len(indexes) == 1 else self._name

    def mark(self, state: str, *, indexes: Iterable[int] = ()) -> None:
        """Say how it ended, whatever its code does: "success" or "failed".

        What runs is killed first; tasks below go on by their trigger rules. In a run that has
        ended, what failed below a success runs now. What is marked a success has no XComs:
        pulls give None. Of a mapped task, all instances that this changes; one: `task[3].mark`.

        Args:
            state: "success" or "failed".
            indexes: Of a mapped task only these task instances.

        Raises:
            NotMarked: it is so already, it ended in a run that still goes on, or has not begun.
            RunStillRunning: the run was interrupted.
            BadOption: there is no such state.
        """
        if state not in ("success", "failed"):
            raise BadOption(
                f"task {self.task_id!r}",
                "mark",
                f"is {state!r}: it is 'success' or 'failed'",
            )
        chosen = self._indexes(indexes)
        where: dict[str, Any] = {"task_id": self.task_id, "map_indexes": list(chosen)}
        why = self._run.ask("mark", state=state, **where)
        if why:
            raise NotMarked(self._run.run_id, self._named(chosen), state, why)
