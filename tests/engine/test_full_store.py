"""A store that takes no more ends no engine and loses nothing: all is done when it can be.

A limit on the size of files stands for the disk: the write-ahead log cannot grow by a byte.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from mlflowkit import DAG, Asset, task
from mlflowkit.app import make_request
from mlflowkit.core.timetable import info_to_json
from mlflowkit.engine import later, process
from mlflowkit.errors import HomeUnwritable
from mlflowkit.store.pools import put_pool
from mlflowkit.store.tables import outbox
from mlflowkit.timetables import DagRunInfo
from tests.engine.scheduling import DAY, HOUR, NOON, Office
from tests.engine.test_own_timetables import Every
from tests.engine.test_own_timetables import made as made_by
from tests.engine.test_schedules import Offices, made, office, offices

__all__ = ["Offices", "office", "offices"]
ASSET = Asset("s3://a")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "TRY_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(process, "TRY_AGAIN_SECONDS", 0.02)


class Disk:
    """The disk of an office: it can be full."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        size = (self._office.home / "store.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self._before[1]))
        with pytest.raises(OperationalError), self._office.engine.database.writing() as tx:
            put_pool(tx, "any", 1)

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    def fill_before(self, thing: object, name: str) -> None:
        """It is full from the next call of this method on."""
        usual = getattr(thing, name)
        fill = iter([self.fill])

        def called(*args: Any, **named: Any) -> Any:
            next(fill, lambda: None)()
            return usual(*args, **named)

        setattr(thing, name, called)


@pytest.fixture
def disk(office: Office) -> Iterator[Disk]:
    found = Disk(office)
    yield found
    found.free()


@contextmanager
def full(disk: Disk) -> Iterator[None]:
    disk.fill()
    yield
    disk.free()


def updating() -> DAG:
    with DAG("makes", schedule=None) as dag:
        task(task_id="a")(str)()
    return dag


def test_a_dag_that_an_asset_starts_starts_later(office: Office, disk: Disk) -> None:
    office.publish(made(schedule=ASSET), updating())
    office.executor.assets = {"a": [("s3://a", b"{}")]}
    disk.fill_before(office.engine.schedules.assets, "_start")
    office.trigger("makes")
    office.until(lambda: office.engine.later)
    office.rounds()
    assert office.rows("d") == []
    disk.free()
    office.settle()
    assert [(r.run_type, r.state) for r in office.rows("d")] == [
        ("asset_triggered", "success")
    ]


def test_a_run_that_is_due_starts_later_and_once(office: Office, disk: Disk) -> None:
    office.publish(made(schedule="@hourly"))
    office.settle()
    with full(disk):
        office.clock.now += HOUR  # type: ignore[attr-defined]
        office.until(lambda: office.engine.later)
        office.rounds()
    office.settle()
    assert office.states("d") == {"03-03T11:00": "success", "03-03T12:00": "success"}


def test_a_run_that_a_timetable_of_a_person_has_asked_for_is_not_passed_over(
    office: Office, disk: Disk
) -> None:
    """The one after it is asked for when the run is saved, and its answer is saved, too."""
    infos = [DagRunInfo.interval(NOON + n * HOUR, NOON + (n + 1) * HOUR) for n in range(3)]
    answers = [info_to_json(info).encode() for info in infos]
    office.executor.answers = {"d/timetable": answers}
    office.publish(made_by(Every()))
    office.settle()
    with full(disk):
        office.clock.now += HOUR  # type: ignore[attr-defined]
        office.until(lambda: office.engine.later)
        office.rounds()
        assert len(answers) == 2
    disk.fill_before(office.engine.schedules._own, "_tell")
    office.until(lambda: len(answers) == 1 and office.engine.later)
    office.rounds()
    assert (office.line("d").next, answers) == (None, answers[-1:])
    disk.free()
    office.settle()
    assert office.line("d").next == infos[1]
    office.pass_time(HOUR)
    assert office.states("d") == {"03-03T12:00": "success", "03-03T13:00": "success"}


def test_what_comes_next_of_a_dag_is_planned_later(office: Office, disk: Disk) -> None:
    disk.fill_before(office.engine.dags, "_changed")
    office.publish(made())
    assert office.line("d").next is None
    disk.free()
    office.settle()
    following = office.line("d").next
    assert following is not None
    assert following.run_after == NOON.replace(hour=0) + DAY


def test_a_callback_that_was_made_is_not_made_again(office: Office, disk: Disk) -> None:
    with DAG("d", schedule=None, on_success_callback=print) as dag:
        task(task_id="work")(str)()
    disk.fill_before(office.engine.carrying_out, "_called")
    office.engine.submit(make_request(dag, {}, {}, office.home))
    office.until(lambda: office.engine.later)
    office.rounds()
    assert len(office.executor.launched) == 2
    disk.free()
    office.settle()
    with office.engine.database.reading() as tx:
        assert (
            tx.execute(select(outbox.c.kind).where(outbox.c.kind.like("call:%"))).all()
            == []
        )
    office.engine.carrying_out.take_up_calls()
    assert len(office.executor.launched) == 2


def test_a_backfill_runs_again_later(office: Office, disk: Disk) -> None:
    dates = [NOON - n * DAY for n in (1, 2, 3)]
    office.backfill(made(), dates)
    office.settle()
    disk.fill_before(office.engine.backfills, "_rerun")
    outcome = office.backfill(made(), dates, rerun="all", max_active=1)
    assert len(outcome.again) == 3
    office.rounds()
    assert len(office.executor.launched) == 3
    disk.free()
    office.settle()
    assert len(office.executor.launched) == 6
    assert list(office.states("d").values()) == ["success"] * 3


def test_who_asks_is_told_and_nothing_is_half_done(office: Office, disk: Disk) -> None:
    schedules, dags = office.engine.schedules, office.engine.dags
    schedules.rest()
    office.publish(made())
    asks: list[Callable[[], object]] = [
        lambda: office.publish(made("other")),
        lambda: office.trigger("d"),
        lambda: dags.pause("d", True),
        lambda: dags.delete("d"),
        lambda: dags.retire("", []),
        lambda: office.backfill(made(), [NOON - DAY]),
        lambda: schedules.plan(),
    ]
    with full(disk):
        for ask in asks:
            with pytest.raises(HomeUnwritable, match=r"disk|full"):
                ask()
        office.rounds()
    assert (office.line("d").paused, office.rows("d"), schedules.planning) == (
        False,
        [],
        False,
    )
    schedules.plan()
    office.trigger("d")
    office.settle()
    assert [(r.run_type, r.state) for r in office.rows("d")] == [
        ("scheduled", "success"),
        ("manual", "success"),
    ]
