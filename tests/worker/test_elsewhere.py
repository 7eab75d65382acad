# mypy: allow-untyped-calls
"""An attempt is over only when what works for it elsewhere is over, too."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflowkit.core.spec import AttemptId
from mlflowkit.worker import child_process, elsewhere
from mlflowkit.worker.protocol import Kill
from tests.homes import wait_until
from tests.worker.test_supervisor import Slot


@pytest.fixture
def outside() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not below the supervisor."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_an_attempt_waits_for_what_works_elsewhere_and_ends_it_at_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outside: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(child_process, "ELSEWHERE_SECONDS", 0.3)
    slot = Slot({"t": lambda _: elsewhere.started(outside.pid)}, tmp_path)
    slot.give(slot.order("t"))
    assert slot.ended().outcome == "succeeded"
    assert outside.poll() == -signal.SIGKILL


def test_also_when_its_own_process_was_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outside: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(child_process, "ELSEWHERE_SECONDS", 0.3)

    def deed(_: object) -> None:
        elsewhere.started(outside.pid)
        (tmp_path / "told").touch()
        time.sleep(600)

    slot = Slot({"t": deed}, tmp_path)
    order = slot.order("t")
    slot.give(order)
    wait_until((tmp_path / "told").exists)
    attempt: AttemptId = order.attempt
    slot.channel.send(Kill(attempt, "stopped", 0.05))
    ended = slot.ended()
    assert (ended.outcome, ended.why) in {("failed", "stopped"), ("failed", "interrupted")}
    assert outside.poll() == -signal.SIGKILL


def test_what_has_ended_or_works_for_another_is_left_alone(
    tmp_path: Path, outside: subprocess.Popen[bytes]
) -> None:
    def deed(_: object) -> None:
        elsewhere.started(outside.pid)
        elsewhere.started(2**22 - 1)  # no such process
        elsewhere.ended(outside.pid)

    slot = Slot({"t": deed}, tmp_path)
    slot.give(slot.order("t"))
    assert slot.ended().outcome == "succeeded"
    assert outside.poll() is None
    assert os.path.exists(f"/proc/{outside.pid}")
