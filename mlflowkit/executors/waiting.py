"""Orders that no slot has yet: those of a run in their order, the runs in turn.

Never one queue for all: a run whose attempts were short has dozens of orders here, and
once they take long, nobody behind them would get a place.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping

from mlflowkit.ports import LaunchOrder


class Waiting:
    """The orders that wait, by run."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, deque[LaunchOrder]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __iter__(self) -> Iterator[LaunchOrder]:
        """All of them, run by run; a copy, so that some may be taken out meanwhile."""
        return iter([order for queue in self._runs.values() for order in queue])

    def put(self, order: LaunchOrder) -> None:
        """Behind the others of its run."""
        self._of(order).append(order)

    def put_back(self, orders: Iterable[LaunchOrder]) -> None:
        """Before the others of their runs, in the order in which they were taken."""
        for order in reversed(list(orders)):
            self._of(order).appendleft(order)

    def take(self, busy: Mapping[str, int]) -> LaunchOrder:
        """The next of the run that has fewest places; among equals, of who waited longest.

        Args:
            busy: Places that runs have now, by run id.
        """
        run_id = min(self._runs, key=lambda each: busy.get(each, 0))
        order = self._runs[run_id].popleft()
        self._runs.move_to_end(run_id)
        self._forget_empty(run_id)
        return order

    def take_next_of(self, run_id: str, task_id: str) -> LaunchOrder | None:
        """The next of a run, if it is of this task and may share a process."""
        queue = self._runs.get(run_id)
        if not queue or queue[0].attempt.task_id != task_id or queue[0].isolate:
            return None
        order = queue.popleft()
        self._forget_empty(run_id)
        return order

    def remove(self, order: LaunchOrder) -> None:
        """Take it out, wherever it stands."""
        run_id = order.attempt.run_id
        self._runs[run_id].remove(order)
        self._forget_empty(run_id)

    def _of(self, order: LaunchOrder) -> deque[LaunchOrder]:
        return self._runs.setdefault(order.attempt.run_id, deque())

    def _forget_empty(self, run_id: str) -> None:
        if not self._runs[run_id]:
            del self._runs[run_id]
