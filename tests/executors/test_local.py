"""The local executor: templates, supervisors and children as real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from mlflowkit.core.events import AttemptFailed, AttemptLost, AttemptSucceeded
from mlflowkit.engine.loop import SelectLoop
from mlflowkit.executors.local import LocalExecutor
from mlflowkit.worker import processes
from tests.executors.contract import (
    GRACE_SECONDS,
    PARALLELISM,
    ExecutorContract,
    Mailbox,
    MakeExecutor,
    Place,
)
from tests.homes import alive, below_engine


def make_local(
    loop: SelectLoop, mailbox: Mailbox, folder: Path, engine_id: str
) -> LocalExecutor:
    return LocalExecutor(
        loop,
        mailbox,
        folder,
        engine_id,
        parallelism=PARALLELISM,
        grace_seconds=GRACE_SECONDS,
    )


class TestLocal(ExecutorContract):
    @pytest.fixture
    def make(self) -> MakeExecutor:
        return make_local

    # ── nothing leaks ───────────────────────────────────────────────────────

    def test_what_one_task_changes_another_does_not_see(
        self, place: Place, tmp_path: Path
    ) -> None:
        elsewhere = str(tmp_path)

        def changes() -> None:
            import builtins
            import json
            import logging
            import os
            import signal
            import sys
            import tempfile

            json.dumps = lambda *_: "mine"
            vars(builtins)["mine"] = True
            os.environ["LEAK"] = "yes"
            sys.path.insert(0, "/leak")
            sys.modules["leak"] = json
            os.chdir(elsewhere)
            os.umask(0o777)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            logging.getLogger().setLevel(logging.CRITICAL)
            sys.setrecursionlimit(77_777)
            tempfile.tempdir = "/leak"
            sys.stdout = open(os.devnull, "w")

        def sees() -> dict[str, object]:
            import builtins
            import json
            import logging
            import os
            import signal
            import sys
            import tempfile

            print("it speaks")
            return {
                "dumps": json.dumps([1]),
                "builtin": hasattr(builtins, "mine"),
                "env": os.environ.get("LEAK"),
                "path": "/leak" in sys.path,
                "modules": "leak" in sys.modules,
                "cwd": os.getcwd(),
                "umask": os.umask(0),
                "sigterm": str(signal.getsignal(signal.SIGTERM)),
                "sigusr1": str(signal.getsignal(signal.SIGUSR1)),
                "level": logging.getLogger().level,
                "limit": sys.getrecursionlimit() == 77_777,
                "tempdir": tempfile.tempdir,
            }

        place.tasks(changes, sees)
        clean = place.result("sees")
        for number in range(1, 4):  # each slot has run both, in some order
            assert isinstance(place.run("changes", number=number).event, AttemptSucceeded)
            order = place.order("sees", number=number + 1)
            place.launch(order)
            assert place.value(place.end(order)) == clean
            assert Path(order.log).read_text() == "it speaks\n"
        assert (clean["dumps"], clean["env"], clean["cwd"]) == ("[1]", None, os.getcwd())

    def test_siblings_throw_their_own_dice(self, place: Place) -> None:
        def throws() -> list[float]:
            import random
            import uuid

            import numpy

            return [
                random.random(),
                float(numpy.random.random()),
                float(uuid.uuid4().int % 2**50),
            ]

        place.tasks(throws)
        orders = [place.order("throws", number=n) for n in range(1, 6)]
        place.launch(*orders)
        thrown = [place.value(place.end(o)) for o in orders]
        for kind in zip(*thrown, strict=True):
            assert len(set(kind)) == len(orders)

    def test_a_mapped_task_shares_a_process_unless_it_is_isolated(
        self, place: Place
    ) -> None:
        def pid() -> int:
            import os

            return os.getpid()

        place.tasks(pid)
        shared = [place.result("pid", map_index=i) for i in range(4)]
        assert len(set(shared)) == 1
        alone = [place.result("pid", map_index=i, number=2, isolate=True) for i in range(4)]
        assert len(set(alone)) == 4

    def test_a_task_may_start_threads(self, place: Place) -> None:
        def threads() -> int:
            import threading
            from concurrent.futures import ThreadPoolExecutor

            threading.Thread(target=threading.Event().wait, daemon=True).start()
            with ThreadPoolExecutor(8) as pool:
                return sum(pool.map(lambda n: n * n, range(100)))

        place.tasks(threads)
        assert place.result("threads") == 328_350

    def test_a_module_that_starts_threads_is_loaded_after_the_fork(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "starts_threads.py").write_text(
            "import threading\n"
            "EVENT = threading.Event()\n"
            "ANSWER = []\n"
            "def work():\n"
            "    EVENT.wait()\n"
            "    ANSWER.append(42)\n"
            "THREAD = threading.Thread(target=work, daemon=True)\n"
            "THREAD.start()\n"
        )
        monkeypatch.syspath_prepend(tmp_path)

        def uses() -> int:
            import starts_threads  # type: ignore[import-not-found]

            starts_threads.EVENT.set()
            starts_threads.THREAD.join(120)
            return int(starts_threads.ANSWER[0])

        place.tasks(uses)
        assert [place.result("uses", number=n) for n in (1, 2)] == [42, 42]

    # ── code that cannot be loaded ──────────────────────────────────────────

    @pytest.fixture
    def moody(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "moody.py").write_text(
            "import os\n"
            "if os.environ.get('MOOD') == 'import':\n"
            "    raise ImportError('cannot import what is not there')\n"
            "if os.environ.get('MOOD') == 'exit':\n"
            "    raise SystemExit(4)\n"
            "if os.environ.get('MOOD') == 'crash':\n"
            "    os.kill(os.getpid(), 11)\n"
            "VALUE = 7\n"
        )
        monkeypatch.syspath_prepend(tmp_path)

    @pytest.mark.usefixtures("moody")
    def test_a_module_that_cannot_be_imported_fails_the_attempt_with_its_text(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def uses() -> int:
            import moody  # type: ignore[import-not-found]

            return int(moody.VALUE)

        def other() -> int:
            return 1

        place.tasks(uses, other)
        monkeypatch.setenv("MOOD", "import")
        report = place.run("uses")
        assert isinstance(report.event, AttemptFailed)
        assert "cannot import what is not there" in report.event.why
        assert "moody.py" in report.error
        assert place.result("other") == 1
        monkeypatch.delenv("MOOD")
        assert place.result("uses", number=2) == 7

    @pytest.mark.usefixtures("moody")
    def test_a_module_that_exits_fails_the_attempt(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import moody

        def uses() -> int:
            return int(moody.VALUE)

        place.tasks(uses)
        monkeypatch.setenv("MOOD", "exit")
        report = place.run("uses")
        assert isinstance(report.event, AttemptFailed)
        assert "SystemExit: 4" in report.error + report.event.why

    @pytest.mark.usefixtures("moody")
    def test_a_module_that_crashes_does_not_start_workers_for_ever(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import moody

        def uses() -> int:
            return int(moody.VALUE)

        place.tasks(uses)
        monkeypatch.setenv("MOOD", "crash")
        report = place.run("uses")
        assert isinstance(report.event, AttemptLost | AttemptFailed)
        assert "SIGSEGV (segmentation fault)" in report.event.why

    # ── processes of ours that are killed ───────────────────────────────────

    def _family(self, place: Place) -> tuple[object, int, int]:
        """A running attempt: its order, its own pid and that of a `setsid` process below it."""
        pids = str(place.file("pids"))

        def family() -> None:
            import os
            import subprocess
            import time

            other = subprocess.Popen(["setsid", "sleep", "600"])
            with open(pids, "w") as out:
                out.write(f"{os.getpid()} {other.pid}\n")
            time.sleep(600)

        def after() -> str:
            return "well"

        place.tasks(family, after)
        order = place.order("family")
        place.launch(order)
        child, other = (int(p) for p in place.wait_for_file("pids").split())
        place.until(lambda: place.mailbox.mail)
        return order, child, other

    def test_an_attempt_whose_supervisor_is_killed_is_lost(self, place: Place) -> None:
        order, child, other = self._family(place)
        os.kill(_parent(child), signal.SIGKILL)
        report = place.end(order)  # type: ignore[arg-type]
        assert isinstance(report.event, AttemptLost)
        assert (alive(child), alive(other)) == (False, False)
        assert place.result("after") == "well"

    def test_an_attempt_whose_template_is_killed_is_lost(self, place: Place) -> None:
        order, child, other = self._family(place)
        os.kill(_parent(_parent(child)), signal.SIGKILL)
        report = place.end(order)  # type: ignore[arg-type]
        assert isinstance(report.event, AttemptLost)
        assert (alive(child), alive(other)) == (False, False)
        assert place.result("after") == "well"


def _parent(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[1])


def test_the_mark_of_an_engine_finds_what_it_started(tmp_path: Path) -> None:
    place = Place(make_local, tmp_path)

    def answer() -> int:
        return 1

    place.tasks(answer)
    assert place.result("answer") == 1
    found = set(processes.with_mark(processes.ENGINE_MARK, place.engine_id))
    assert len(found) >= 2
    place.executor.close()
    assert below_engine(place.engine_id) == []
