"""A supervisor hides what its child has told it, in the log and in the journal of its attempts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflowkit.core.masking import Masker
from mlflowkit.ports import LaunchOrder
from mlflowkit.worker import masking
from mlflowkit.worker.masking import mask_secret
from mlflowkit.worker.telling import LONGEST_TEXT, one_line, sendable
from tests.homes import wait_until
from tests.worker.test_supervisor import Deeds, Slot

SECRET = "hunter2-hunter2"


@pytest.fixture
def slot_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Children that know no secret: they are forks of this process, which has met some."""
    monkeypatch.setattr(masking, "_masker", Masker())
    made: list[Slot] = []

    def make(deeds: Deeds) -> Slot:
        made.append(Slot(deeds, tmp_path))
        return made[-1]

    yield make
    for slot in made:
        slot.close()


def test_nothing_of_a_secret_is_in_the_log_though_it_is_written_in_pieces(slot_for) -> None:
    def tells(_order: LaunchOrder) -> None:
        os.write(1, b"before ")
        mask_secret(SECRET)
        for start in range(0, len(SECRET), 4):
            os.write(1, SECRET[start : start + 4].encode())
            time.sleep(0.01)
        os.write(2, b" after, hunter2-hun")

    slot = slot_for({"tells": tells})
    orders = [slot.order("tells", index) for index in range(3)]
    slot.give(*orders)
    for order in orders:  # one child: what it told once holds for all of its attempts
        slot.ended()
        assert Path(order.log).read_bytes() == b"before *** after, hunter2-hun"


def test_a_line_that_begins_no_secret_is_in_the_log_at_once(
    slot_for, tmp_path: Path
) -> None:
    def waits(_order: LaunchOrder) -> None:
        mask_secret(SECRET)
        os.write(1, b"waiting\n")
        while not (tmp_path / "go").exists():
            time.sleep(0.01)

    slot = slot_for({"waits": waits})
    order = slot.order("waits")
    slot.give(order)
    log = Path(order.log)
    wait_until(lambda: log.exists() and log.read_bytes() == b"waiting\n")
    (tmp_path / "go").touch()
    slot.ended()


def test_the_journal_and_the_reason_hide_it_too(slot_for) -> None:
    def notes(_order: LaunchOrder) -> bytes:
        mask_secret(SECRET)
        return b'{"text": "it is hunter2-hunter2"}'

    def says(_order: LaunchOrder) -> str:
        mask_secret(SECRET)
        return f"it is {SECRET}"

    slot = slot_for({"notes": notes, "says": says})
    slot.give(slot.order("notes"), slot.order("says"))
    slot.ended()
    assert Path(slot.order("notes").journal).read_bytes() == b'{"text": "it is ***"}\n'
    assert slot.ended().why == "it is ***"


def test_what_a_fork_of_the_task_tells_is_hidden_as_soon_as_it_is_heard(
    slot_for, tmp_path: Path
) -> None:
    def forks(order: LaunchOrder) -> None:
        pid = os.fork()
        if pid == 0:
            mask_secret(SECRET)
            os._exit(0)
        os.waitpid(pid, 0)
        log = Path(order.log)
        while not (log.exists() and b"***" in log.read_bytes().splitlines()[-1:]):
            os.write(1, f"{SECRET}\n".encode())
            time.sleep(0.01)

    slot = slot_for({"forks": forks})
    order = slot.order("forks")
    slot.give(order)
    slot.ended()
    assert Path(order.log).read_bytes().splitlines()[-1] == b"***"


def test_a_child_that_dies_leaves_no_secret_and_loses_no_word(slot_for) -> None:
    def dies(_order: LaunchOrder) -> None:
        mask_secret(SECRET)
        os.write(1, f"{SECRET} and hunter2-".encode())
        os._exit(3)

    slot = slot_for({"dies": dies})
    order = slot.order("dies")
    slot.give(order)
    assert slot.ended().error == "*** and hunter2-"
    assert Path(order.log).read_bytes() == b"*** and hunter2-"


def test_what_is_cut_off_shows_no_half_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_masker", Masker([SECRET]))
    for before in range(270, 300):
        assert "hun" not in one_line(ValueError("x" * before + SECRET))
    for before in range(LONGEST_TEXT // 2 - len(SECRET), LONGEST_TEXT // 2 + 1):
        assert "hun" not in sendable("x" * before + SECRET + "y" * LONGEST_TEXT)
