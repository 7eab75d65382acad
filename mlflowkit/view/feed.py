"""The feed of one run: a snapshot, patches after a cursor, and answers to a screen's requests.

One door: `request(kind, payload)`. Payloads come from a browser: every field is checked
here, ids are looked up, and no path is made of what came in.

    kind        payload                                        answer
    snapshot    folded?                                        the whole picture, and a cursor
    patch       cursor, folded?                                fields that changed; or a snapshot
    layout      folded                                         places of boxes and arrows
    page        task_id, offset?, limit?, states? | index      instances of a mapped task
    gantt       -                                              rows with attempts as bars
    details     task_id, map_index?, what, …                   see `view.details`
    act         action, task_id?, map_index?                   {"heard": true, "said": "…"}
    foresee     as act                                         what it would do: "line", "ask"
    open        task_id, map_index?                            where its failed notebook is
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mlflowkit.core import screen, screen_groups
from mlflowkit.core.machine import InstanceRow
from mlflowkit.core.patches import Changes
from mlflowkit.core.screen import TaskRows, ms
from mlflowkit.core.spec import UNMAPPED, DagSpec, TaskId
from mlflowkit.core.states import RUN_ENDED, TaskState
from mlflowkit.core.waits import why_no_slot
from mlflowkit.engine.locks import engine_alive
from mlflowkit.errors import BadViewRequest, RunNotFound
from mlflowkit.home_store import database
from mlflowkit.store import reading
from mlflowkit.store import runs as stored
from mlflowkit.store import screen as rows_of
from mlflowkit.store.pools import get_pools
from mlflowkit.store.screen import RunHead
from mlflowkit.view import actions, details, gantt, opened, pages, places
from mlflowkit.view.given import Given
from mlflowkit.view.journals import AttemptJournals
from mlflowkit.view.notebooks import Notebooks
from mlflowkit.view.places import Direction
from mlflowkit.view.run_facts import run_facts

#: Patches that a run makes in a second, at most; a look may also take no more than `SHARE`
#: of the time, so that a run of 100,000 instances is looked at less often.
PER_SECOND: Final = 10.0
SHARE: Final = 0.15
#: Running instances whose journals are followed.
FOLLOWED: Final = 64
#: Layouts that are remembered: what is folded and opened again is not placed anew.
LAYOUTS: Final = 16


class RunFeed:
    """One run as a screen sees it. May be used from several threads, and by several screens.

    Args:
        home: The home folder.
        run_id: Its id, `train/3`.
        dag: The DAG as it is now, where the screen's owner has it: a retry then takes the
            latest code, and says which tasks changed.

    Raises:
        RunNotFound: the home has no such run.
    """

    def __init__(self, home: Path, run_id: str, dag: Any = None) -> None:
        self.home, self.run_id, self.dag = home, run_id, dag
        self._lock = threading.RLock()
        self._changes = Changes(secrets.token_hex(4))
        self._journals = AttemptJournals(home / "runs" / run_id / "logs")
        self._notebooks = Notebooks()
        self._looked_at, self._spent = 0.0, 0.0
        self._stamp: tuple[object, ...] = ()
        self._spec_hash = ""
        self._strips: dict[str, tuple[object, frozenset[tuple[int, TaskState]]]] = {}
        self._running: list[InstanceRow] = []
        self._layouts: dict[tuple[frozenset[str], Direction], dict[str, Any]] = {}
        self._look()

    # ── the door ────────────────────────────────────────────────────────────

    def request(self, kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a screen.

        Raises:
            BadViewRequest: the request makes no sense.
            MlflowkitError: what was asked for cannot be done; the message says why.
        """
        given = Given(kind, payload)
        doors: dict[str, Callable[[Given], dict[str, Any]]] = {
            "snapshot": lambda g: self.snapshot(g.names("folded"), g.direction()),
            "patch": lambda g: self.patch(
                g.text("cursor"), g.names("folded"), g.direction()
            ),
            "layout": lambda g: self.layout(g.names("folded") or (), g.direction()),
            "page": self._page,
            "gantt": lambda _: self.gantt(),
            "details": self._details,
        }
        of_people = {"act": self._act, "foresee": self._act, "open": self._open}
        if kind in of_people:  # these may take their time: others look meanwhile
            return of_people[kind](given)
        if kind not in doors:
            raise BadViewRequest(kind, f"there are: {', '.join([*doors, *of_people])}")
        with self._lock:
            return doors[kind](given)

    # ── the picture ─────────────────────────────────────────────────────────

    def snapshot(
        self, folded: tuple[str, ...] | None = None, direction: Direction = "right"
    ) -> dict[str, Any]:
        """Everything that a screen needs to begin with."""
        self._look()
        found = self._changes.all()
        shown = screen_groups.folded_at_first(self.spec) if folded is None else folded
        return {
            "kind": "snapshot",
            "cursor": self._changes.cursor,
            "now": ms(datetime.now(UTC)),
            "run": found["run"],
            "tasks": [
                facts | found[f"task:{facts['id']}"]
                for facts in screen.task_facts(self.spec, self._group_of)
            ],
            "groups": [
                facts | found[f"group:{facts['id']}"]
                for facts in screen_groups.group_facts(self.spec)
            ],
            "layout": self.layout(shown, direction),
        }

    def patch(
        self,
        cursor: str,
        folded: tuple[str, ...] | None = None,
        direction: Direction = "right",
    ) -> dict[str, Any]:
        """What changed since `cursor`: fields of the run, of tasks, of groups. A cursor
        from elsewhere gets a snapshot."""
        before = self._spec_hash
        self._look()
        if not self._changes.knows(cursor) or before != self._spec_hash:
            return self.snapshot(folded, direction)
        found = self._changes.since(cursor)
        parts: dict[str, dict[str, Any]] = {"task": {}, "group": {}}
        for name, fields in found.items():
            part, _, key = name.partition(":")
            if key:
                parts[part][key] = fields
        return {
            "kind": "patch",
            "since": cursor,
            "cursor": self._changes.cursor,
            "now": ms(datetime.now(UTC)),
            "run": found.get("run", {}),
            "tasks": parts["task"],
            "groups": parts["group"],
        }

    def layout(
        self, folded: tuple[str, ...] = (), direction: Direction = "right"
    ) -> dict[str, Any]:
        """Places of boxes and arrows, with these task groups folded."""
        key = (frozenset(folded), direction)
        if key not in self._layouts:
            while len(self._layouts) >= LAYOUTS:
                self._layouts.pop(next(iter(self._layouts)))
            self._layouts[key] = places.layout(self.spec, folded, direction)
        return self._layouts[key]

    @property
    def ended(self) -> bool:
        """Whether the run had ended when it was last looked at."""
        return self._head.state in RUN_ENDED

    def _look(self) -> None:
        """Read what changed, if the last look is long enough ago."""
        with self._lock:
            begun = time.monotonic()
            pause = max(1 / PER_SECOND, self._spent / SHARE)
            if self._stamp and begun - self._looked_at < pause:
                return
            with database(self.home).reading() as tx:
                self._read(tx)
            self._looked_at = time.monotonic()
            self._spent = self._looked_at - begun

    def _read(self, tx: Any) -> None:
        head = rows_of.head(tx, self.run_id)
        if head is None:
            raise RunNotFound(self.run_id, [r.run_id for r in reading.list_runs(tx)])
        alive = engine_alive(self.home) and head.engine_id == head.lease
        interrupted = head.state not in RUN_ENDED and not alive
        self._head, self._interrupted = head, interrupted
        if head.spec_hash != self._spec_hash:
            self._take_spec(tx, head)
        put: dict[str, Mapping[str, Any]] = {
            "run": run_facts(head, self.spec, interrupted=interrupted)
        }
        if head.stamp != self._stamp:
            put |= self._task_facts(tx, head)
            self._stamp = head.stamp
        self._changes.put(put)
        self._changes.put(self._progress())

    def _take_spec(self, tx: Any, head: RunHead) -> None:
        spec = stored.spec_of(tx, self.run_id)
        assert spec is not None  # its row was there a moment ago, in the same look
        self.spec: DagSpec = spec
        self._group_of = screen.groups_of_tasks(spec)
        self._layouts = {}
        if self._spec_hash:  # other code: nobody's cursor fits any more
            self._changes = Changes(secrets.token_hex(4))
            self._stamp = ()
        self._spec_hash = head.spec_hash

    def _task_facts(self, tx: Any, head: RunHead) -> dict[str, Mapping[str, Any]]:
        found = rows_of.rows_of_tasks(tx, head.run_key, self.spec)
        over, pools = head.state in RUN_ENDED, get_pools(tx)
        told: dict[str, Mapping[str, Any]] = {}
        for task_id, rows in found.items():
            self._add_strip(tx, head.run_key, task_id, rows)
            task = self.spec.tasks[task_id]
            facts = screen.task_state(task, rows, cancelled=head.cancelled, over=over)
            if facts["state"] == TaskState.SCHEDULED and not facts["reason"]:
                facts["reason"] = why_no_slot(task, pools)
            told[f"task:{task_id}"] = facts
        states = {t: TaskState(told[f"task:{t}"]["state"]) for t in found}
        for name, facts in screen_groups.group_states(self.spec, states).items():
            told[f"group:{name}"] = facts
        self._running = [] if over else rows_of.running(tx, head.run_key, FOLLOWED)
        return told

    def _add_strip(self, tx: Any, run_key: int, task_id: str, rows: TaskRows) -> None:
        """Read a strip anew only when the tallies are others."""
        length = rows.node.length
        if not length or rows.single is not None:
            return
        mark = (length, tuple(rows.tallies))
        known = self._strips.get(task_id)
        if known is None or known[0] != mark:
            known = (mark, rows_of.strip_places(tx, run_key, task_id, length))
            self._strips[task_id] = known
        rows.places = known[1]

    def _progress(self) -> dict[str, dict[str, Any]]:
        """How far the running instances are; of a mapped task its first one."""
        told: dict[str, dict[str, Any]] = {
            f"task:{t}": {"progress": None} for t in self.spec.tasks
        }
        for row in reversed(self._running):
            told[f"task:{row.task_id}"] = {"progress": self._journals.progress(row)}
        return told

    # ── requests ────────────────────────────────────────────────────────────

    def _task(self, given: Given) -> TaskId:
        task_id = TaskId(given.text("task_id"))
        if task_id not in self.spec.tasks:
            raise BadViewRequest(given.kind, "the run has no such task")
        return task_id

    def _page(self, given: Given) -> dict[str, Any]:
        task_id = self._task(given)
        notebook = screen.is_notebook(self.spec.tasks[task_id])
        show = pages.Pages(self.home, self._head.run_key, self._journals, notebook)
        if given.has("index"):
            return show.one(task_id, given.whole("index"), over=self.ended)
        return show.page(
            task_id,
            given.whole("offset", 0),
            given.whole("limit", pages.MOST_ROWS),
            given.names("states") or (),
            over=self.ended,
        )

    def gantt(self) -> dict[str, Any]:
        """Rows of task instances with their attempts as bars, bounded."""
        with database(self.home).reading() as tx:
            return gantt.rows(tx, self._head.run_key, self.spec)

    def _details(self, given: Given) -> dict[str, Any]:
        task_id = self._task(given)
        map_index = given.whole("map_index", -1)
        found = details.Details(self.home, self._head, task_id, map_index, self._notebooks)
        return found.answer(given)

    def _act(self, given: Given) -> dict[str, Any]:
        task_id = self._task(given) if given.has("task_id") else None
        asked = given.text("action"), task_id, given.whole("map_index", UNMAPPED)
        if given.kind == "foresee":
            return actions.foreseen(self, *asked)
        said = actions.act(self, *asked)
        self._looked_at = 0.0
        return {"heard": True, "said": said}

    def _open(self, given: Given) -> dict[str, Any]:
        where = self._task(given), given.whole("map_index", UNMAPPED)
        return opened.open_failed(self.home, self.run_id, *where)
