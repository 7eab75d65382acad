"""The checks are able to fail: each forged piece of evidence is found."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.chaos.conftest import Arena


def _mark(what: str, attempt: str) -> Callable[[Arena], None]:
    def forge(arena: Arena) -> None:
        with arena.marks.open("a") as marks:
            marks.write(f"{what} {attempt} {time.time_ns()} 1\n")

    return forge


def _change(*statements: str) -> Callable[[Arena], None]:
    def forge(arena: Arena) -> None:
        with closing(sqlite3.connect(arena.home / "store.db")) as store:
            for statement in statements:
                assert store.execute(statement).rowcount
            store.commit()

    return forge


def _a_day_later(table: str, *columns: str) -> list[str]:
    later = "strftime('%Y-%m-%d %H:%M:%f000', {0}, '+1 day')"
    return [f"UPDATE {table} SET {c} = {later.format(c)}" for c in columns]


FORGED: dict[str, Callable[[Arena], object]] = {
    "ran again": _mark("start", "chaos/1/first/-1/1"),
    "nobody had decided it": _mark("start", "chaos/1/first/-1/2"),
    "it succeeded, and never ran": lambda arena: arena.marks.write_text(""),
    "before it was decided": _change(
        *(_a_day_later("run_log", "at")),
        *(_a_day_later("attempts", "started_at", "ended_at")),
        *(_a_day_later("task_instances", "queued_at", "first_started_at")),
        *(_a_day_later("task_instances", "started_at", "ended_at")),
        *(_a_day_later("runs", "started_at", "ended_at")),
    ),
    "failures": _change("UPDATE task_instances SET failures = 5 WHERE task_id = 'first'"),
    "state": _change("DELETE FROM run_log WHERE seq = (SELECT max(seq) FROM run_log)"),
    "engines": lambda arena: (arena.home / "engines" / "1-x").mkdir(),
}


@pytest.mark.parametrize("what", FORGED)
def test_forged_evidence_is_found(arena: Arena, what: str) -> None:
    assert arena.go("run", CHAOS_PACE="0.1") == 0, arena.said()
    arena.check()
    FORGED[what](arena)
    with pytest.raises((AssertionError, ValueError), match=what if " " in what else None):
        arena.check()
