"""Which runs may open: as many at once as their DAG, or their backfill, allows.

A run that may not yet stays queued. What opens it is the end of another run of its DAG, so
only DAGs of which something was heard are looked at: ten thousand waiting runs cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from mlflowkit.core.gates import may_open
from mlflowkit.core.spec import RunId
from mlflowkit.core.states import RunState
from mlflowkit.engine.owned import OwnedRun

#: A DAG, and the backfill that the run belongs to (None: to none).
_Lane = tuple[str, int | None]


class Gates:
    """The queued runs of an engine, in the order in which they came."""

    def __init__(
        self, owned: Mapping[RunId, OwnedRun], starts_again: Callable[[RunId], bool]
    ) -> None:
        self._owned, self._starts_again = owned, starts_again
        self._queued: dict[_Lane, dict[RunId, None]] = {}
        #: Runs that are under way; those that have ended meanwhile may still be in it.
        self._open: dict[_Lane, set[RunId]] = {}
        #: Backfills with the runs that each may have under way at once.
        self._backfills: dict[int, int] = {}
        #: Lanes to be looked at.
        self._stirred: dict[_Lane, None] = {}

    def wait(self, run_id: RunId, backfill_limit: int | None = None) -> None:
        """A run wants to open."""
        lane = self._lane(run_id)
        self._queued.setdefault(lane, {})[run_id] = None
        self._stirred[lane] = None
        if lane[1] is not None and backfill_limit is not None:
            self._backfills[lane[1]] = backfill_limit

    def opened(self, run_id: RunId, backfill_id: int | None = None) -> None:
        """A run is under way that has not waited here: tried again, or gone on with.

        Args:
            backfill_id: The backfill that tries it again; None: it is in its own one, if any.
        """
        dag_id, own_backfill = self._lane(run_id)
        lane = (dag_id, own_backfill if backfill_id is None else backfill_id)
        self._open.setdefault(lane, set()).add(run_id)

    def under_way(self, dag_id: str, backfill_id: int | None) -> int:
        """How many runs of a DAG, or of one of its backfills, are under way."""
        return len(self._still_open((dag_id, backfill_id)))

    def waits(self, run_id: RunId) -> bool:
        """Whether a run has still to open."""
        return any(run_id in waiting for waiting in self._queued.values())

    def forget(self, run_id: RunId) -> bool:
        """It is cancelled, or no longer ours. Whether it waited."""
        for lane, waiting in list(self._queued.items()):
            if run_id in waiting:
                del waiting[run_id]
                if not waiting:
                    del self._queued[lane]
                return True
        return False

    def stir(self, dag_ids: Iterable[str]) -> None:
        """Runs of these DAGs have ended."""
        wanted = set(dag_ids)
        if wanted:
            self._stirred |= dict.fromkeys(x for x in self._queued if x[0] in wanted)

    def opening(self) -> Iterator[RunId]:
        """The runs that may open now; from here on they count as under way."""
        if not self._stirred:
            return
        stirred, self._stirred = self._stirred, {}
        for lane in stirred:
            yield from self._opening_of(lane)

    def _opening_of(self, lane: _Lane) -> Iterator[RunId]:
        waiting = self._queued.get(lane, {})
        under_way = self._still_open(lane)
        for run_id in list(waiting):
            owned = self._owned.get(run_id)
            if owned is None or owned.run.row.state is not RunState.QUEUED:
                del waiting[run_id]
                continue
            if not self._has_room(owned, lane[1], len(under_way)):
                break
            del waiting[run_id]
            under_way.add(run_id)
            yield run_id
        if not waiting:
            self._queued.pop(lane, None)
        if not under_way:
            self._open.pop(lane, None)

    def _still_open(self, lane: _Lane) -> set[RunId]:
        found = self._open.setdefault(lane, set())
        found -= {run_id for run_id in found if self._is_over(run_id)}
        return found

    def _is_over(self, run_id: RunId) -> bool:
        owned = self._owned.get(run_id)
        return owned is None or (owned.run.ended and not self._starts_again(run_id))

    def _has_room(self, owned: OwnedRun, backfill_id: int | None, under_way: int) -> bool:
        if backfill_id in self._backfills:
            return under_way < self._backfills[backfill_id]
        return may_open(owned.run.spec, under_way)

    def _lane(self, run_id: RunId) -> _Lane:
        owned = self._owned[run_id]
        return owned.dag_id, owned.facts["backfill_id"]
