"""What a screen shows of one task instance when somebody picks it, read when it is asked for.

    what        more of the payload           answer
    log         attempt?, offset?, until?           a part of the log, with its ANSI colours
    attempts    -                             all attempts, and the metrics of the latest
    values      -                             rendered templates, XComs with a line of each
    xcom        key                           one XCom: table, array, image, JSON, text
    notebook    cursor?                       the cells that changed since
    error       -                             the error of the latest failed attempt

Every answer is bounded; what is cut says so.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from mlflowkit.core.screen import ms, short
from mlflowkit.core.spec import TaskId, instance_name
from mlflowkit.core.states import HOLDS_PLACE, TaskState
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import BadViewRequest
from mlflowkit.home_store import database
from mlflowkit.ports import STORED
from mlflowkit.store import reading, xcoms
from mlflowkit.store import screen as rows_of
from mlflowkit.store.reading import AttemptView
from mlflowkit.store.screen import RunHead
from mlflowkit.view import notebooks, previews
from mlflowkit.view.given import Given
from mlflowkit.view.journals import AttemptJournal

#: Bytes of a log in one answer, and characters of an error, a parameter, a template.
LOG_BYTES: Final = 128 * 1024
ERROR_CHARACTERS: Final = 100_000
VALUE_CHARACTERS: Final = 4000


class Details:
    """One task instance of a run."""

    def __init__(
        self,
        home: Path,
        head: RunHead,
        task_id: TaskId,
        map_index: int,
        seen: notebooks.Notebooks,
    ) -> None:
        self._home, self._head, self._notebooks = home, head, seen
        self._task_id, self._map_index = task_id, map_index
        with database(home).reading() as tx:
            self._row = rows_of.instance(tx, head.run_key, task_id, map_index)

    @property
    def _name(self) -> str:
        return instance_name(self._task_id, self._map_index)

    @property
    def _folder(self) -> Path:
        return self._home / "runs" / self._head.run_id

    @property
    def _latest(self) -> int:
        return self._row.attempt if self._row else 0

    @property
    def _out(self) -> bool:
        """Whether its latest attempt goes on."""
        return self._row is not None and self._row.state in HOLDS_PLACE

    def answer(self, given: Given) -> dict[str, Any]:
        """Answer a request. Raises BadViewRequest if there is no such thing."""
        match given.text("what"):
            case "log":
                return self.log(
                    given.whole("attempt", self._latest),
                    given.whole("offset", -1),
                    given.whole("until", 1 << 53),
                )
            case "attempts":
                return self.attempts()
            case "values":
                return self.values()
            case "xcom":
                return self.xcom(given.text("key"))
            case "notebook":
                shown = self._notebooks.of(
                    self._folder / f"{self._name}.ipynb", self._latest
                )
                return shown.changed(given.text("cursor", ""), running=self._out)
            case "error":
                return self.error()
            case unknown:
                raise BadViewRequest(given.kind, f"there is no {short(unknown, 60)!r}")

    # ── the log ─────────────────────────────────────────────────────────────

    def log(self, attempt: int, offset: int, until: int = 1 << 53) -> dict[str, Any]:
        """A part of an attempt's log: from `offset` (no further than `until`), or its end
        where that is negative.

        `start` and `next` are offsets in bytes; `more` says that the rest is there already,
        `over` that nothing will come any more.
        """
        path = self._folder / "logs" / f"{self._name}.{attempt}.log"
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                start = max(size - LOG_BYTES, 0) if offset < 0 else min(offset, size)
                file.seek(start)
                data = file.read(max(min(LOG_BYTES, until - start), 0))
        except FileNotFoundError:
            size, start, data = 0, 0, b""
        if offset < 0 and start:  # begin with a whole line
            cut = data.find(b"\n") + 1
            start, data = start + cut, data[cut:]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data)
        end = start + len(data) - len(decoder.getstate()[0])
        over = not (self._out and attempt == self._latest)
        return {
            "attempt": attempt,
            "start": start,
            "next": end,
            "size": size,
            "text": text,
            "more": end < size and bool(data),
            "over": over,
        }

    # ── attempts, values, errors ────────────────────────────────────────────

    def _ended(self) -> list[AttemptView]:
        with database(self._home).reading() as tx:
            return reading.ended_attempts(
                tx, self._head.run_id, self._task_id, self._map_index
            )

    def attempts(self) -> dict[str, Any]:
        """All attempts, the oldest first, and the metrics that the latest one reported."""
        found = [
            {
                "attempt": one.number,
                "outcome": one.outcome,
                "reason": short(one.reason),
                "queued": ms(one.queued_at),
                "started": ms(one.started_at),
                "ended": ms(one.ended_at),
                "facts": _shown_facts(one.facts),
            }
            for one in self._ended()[-200:]
        ]
        if self._row is not None and self._out:
            running = self._row.state is TaskState.RUNNING
            found.append(
                {
                    "attempt": self._latest,
                    "outcome": str(self._row.state),
                    "reason": short(self._row.stopping),
                    "queued": ms(self._row.queued_at),
                    "started": ms(self._row.started_at) if running else None,
                    "ended": None,
                    "facts": {},
                }
            )
        journal = AttemptJournal(
            self._folder / "logs" / f"{self._name}.{self._latest}.jsonl"
        )
        return {"attempts": found, "curves": journal.read().curve_facts()}

    def values(self) -> dict[str, Any]:
        """The templates as they were rendered, and its XComs, each in a line."""
        ended = self._ended()
        rendered = ended[-1].facts.get("rendered") if ended else None
        with database(self._home).reading() as tx:
            found = rows_of.xcoms_of(tx, self._head.run_key, self._task_id, self._map_index)
        fields = rendered if isinstance(rendered, dict) else {}
        return {
            "rendered": {
                short(str(name), 100): short(str(text), VALUE_CHARACTERS)
                for name, text in list(fields.items())[:50]
            },
            "xcoms": found,
        }

    def xcom(self, key: str) -> dict[str, Any]:
        """One XCom as it can be shown."""
        with database(self._home).reading() as tx:
            value = xcoms.get_xcom(
                tx, self._head.run_key, self._task_id, key, self._map_index
            )
        if value is None:
            raise BadViewRequest("details", "the task has no such XCom")
        return previews.shown(value, self._home / "artifacts")

    def error(self) -> dict[str, Any]:
        """The error of its latest failed attempt, and the cell that raised it."""
        failed = [one for one in self._ended() if one.error or one.outcome == "failed"]
        if not failed:
            return {"attempt": 0, "text": "", "reason": "", "cell": None}
        last = failed[-1]
        cell = None
        if last.number == self._latest and not self._out:
            cell = notebooks.failed_cell(self._folder / f"{self._name}.ipynb")
        return {
            "attempt": last.number,
            "text": _cut_middle(last.error or last.reason, ERROR_CHARACTERS),
            "reason": short(last.reason),
            "cell": cell,
            "path": str(self._folder / f"{self._name}.ipynb") if cell else "",
        }


def shown_params(params: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a run as text for people; JSON where it is JSON."""
    return {
        short(str(name), 100): _shown_param(value)
        for name, value in list(params.items())[:100]
    }


def _shown_param(value: Any) -> str:
    if isinstance(value, dict) and STORED in value:
        return msgspec.convert(value[STORED], StoredValue).preview
    return short(json.dumps(value, ensure_ascii=False, default=str), VALUE_CHARACTERS)


def _shown_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Small plain facts of an attempt: pid, peak memory, where a kept result came from."""
    plain = (str, int, float)
    return {
        str(k): short(str(v), 120)
        for k, v in list(facts.items())[:30]
        if isinstance(v, plain) and k not in ("rendered", "exception")
    }


def _cut_middle(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit:,} characters left out …\n{text[-half:]}"
