"""What every executor promises (`ports.Executor`): subclass it, and say how to make one.

Tasks are written inside the tests, travel in real bundles and run in real processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from mlflowkit import DAG, task
from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.authoring.bundle import make_bundle
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptSucceeded,
)
from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.engine.loop import SelectLoop
from mlflowkit.errors import UnknownXCom
from mlflowkit.ports import Executor, LaunchOrder, Report
from mlflowkit.surroundings import surroundings
from tests.homes import alive, below_engine

PARALLELISM = 2
GRACE_SECONDS = 0.3


class Mailbox:
    """`ports.Engine` that keeps what it is told, and knows no XComs."""

    def __init__(self) -> None:
        self.mail: list[Report] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        #: What an XCom is when a task asks for it, by its key; nothing else is known.
        self.xcoms: dict[str, Any] = {}

    def report(self, report: Report) -> None:
        self.mail.append(report)

    def ask(self, attempt: AttemptId, what: str, arguments: Mapping[str, Any]) -> Any:
        self.asked.append((what, dict(arguments)))
        if what == "xcom" and arguments["key"] in self.xcoms:
            return {"value": self.xcoms[arguments["key"]], "succeeded": True, "keys": []}
        if what == "xcom":
            raise UnknownXCom(attempt.task_id, arguments["task_id"], "x", [])
        return None

    def end_of(self, attempt: AttemptId) -> Report | None:
        for report in self.mail:
            if report.event.attempt == attempt and not isinstance(
                report.event, AttemptStarted
            ):
                return report
        return None


class MakeExecutor(Protocol):
    def __call__(
        self, loop: SelectLoop, mailbox: Mailbox, folder: Path, engine_id: str
    ) -> Executor: ...


class Place:
    """An executor at work: orders go in, reports come out."""

    def __init__(self, make: MakeExecutor, folder: Path) -> None:
        self.folder, self.loop, self.mailbox = folder, SelectLoop(), Mailbox()
        self.engine_id = f"test-{os.getpid()}-{folder.name}"
        self.bundle = ""
        (folder / "engine").mkdir()
        self.executor = make(self.loop, self.mailbox, folder / "engine", self.engine_id)

    def tasks(self, *functions: Callable[[], object]) -> None:
        """From now on, orders are for these functions, as tasks of their names."""
        with DAG("d") as dag:
            for function in functions:
                task(function)()
        self.bundle = str(make_bundle(dag, self.folder).folder)

    def program(self, text: str) -> None:
        """From now on, orders are for the tasks of `dag` in this program, run as `__main__`."""
        path = self.file("program.py")
        path.write_text(
            "from mlflowkit import DAG, task\n"
            "from mlflowkit.authoring.bundle import make_bundle\n"
            f"{textwrap.dedent(text)}\n"
            f"print(make_bundle(dag, __import__('pathlib').Path({str(self.folder)!r})).folder)\n"
        )
        ran = subprocess.run([sys.executable, path], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        self.bundle = ran.stdout.splitlines()[-1]

    def order(
        self, task_id: str, *, map_index: int = -1, number: int = 1, **changes: Any
    ) -> LaunchOrder:
        attempt = AttemptId(RunId("d/1"), TaskId(task_id), map_index, number)
        name = str(self.folder / f"{task_id}.{map_index}.{number}")
        made = LaunchOrder(
            attempt=attempt,
            try_number=1,
            max_tries=1,
            bundle=self.bundle,
            surroundings=surroundings(),
            params_json=b"{}",
            facts_json=b"{}",
            log=f"{name}.log",
            journal=f"{name}.jsonl",
            state_dir=f"{name}.state",
            output_base=name,
            artifacts=str(self.folder / "artifacts"),
        )
        return replace(made, **changes)

    def launch(self, *orders: LaunchOrder) -> None:
        for order in orders:
            self.executor.launch(order)
        getattr(self.executor, "flush", lambda: None)()

    def until(self, what: Callable[[], Any], seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, f"only this came: {self.mailbox.mail}"
            self.loop.run_once(0.02)
        return found

    def end(self, order: LaunchOrder) -> Report:
        found: Report = self.until(lambda: self.mailbox.end_of(order.attempt))
        return found

    def run(self, task_id: str, **changes: Any) -> Report:
        """One attempt, from its launch to its end."""
        order = self.order(task_id, **changes)
        self.launch(order)
        return self.end(order)

    def value(self, report: Report) -> Any:
        assert isinstance(report.event, AttemptSucceeded), report
        stored = dict(report.values).get("return_value")
        if stored is None:
            return None
        return serializers.load(stored, FileArtifacts(self.folder / "artifacts"))

    def result(self, task_id: str, **changes: Any) -> Any:
        return self.value(self.run(task_id, **changes))

    def file(self, name: str) -> Path:
        return self.folder / name

    def wait_for_file(self, name: str) -> str:
        path = self.file(name)
        self.until(lambda: path.exists() and path.read_text().endswith("\n"))
        return path.read_text()


class ExecutorContract:
    """The promises."""

    @pytest.fixture
    def make(self) -> MakeExecutor:
        raise NotImplementedError

    @pytest.fixture
    def place(self, make: MakeExecutor, tmp_path: Path) -> Iterator[Place]:
        place = Place(make, tmp_path)
        yield place
        place.executor.close()
        assert below_engine(place.engine_id) == []

    def test_start_end_and_value_are_reported_in_order(self, place: Place) -> None:
        def answer() -> int:
            return 42

        place.tasks(answer)
        order = place.order("answer")
        place.launch(order)
        assert place.value(place.end(order)) == 42
        assert [r.event for r in place.mailbox.mail] == [
            AttemptStarted(order.attempt),
            AttemptSucceeded(order.attempt),
        ]

    def test_the_same_launch_twice_runs_once(self, place: Place) -> None:
        count = str(place.file("count"))

        def counted() -> None:
            with open(count, "a") as out:
                out.write("x")

        def later() -> None:
            pass

        place.tasks(counted, later)
        order = place.order("counted")
        place.launch(order, order)
        place.end(order)
        place.launch(order)
        place.run("later")
        assert Path(count).read_text() == "x"
        mine = [r for r in place.mailbox.mail if r.event.attempt == order.attempt]
        assert len(mine) == 2

    def test_killing_an_unknown_attempt_is_no_error(self, place: Place) -> None:
        def answer() -> int:
            return 1

        place.tasks(answer)
        place.executor.kill(AttemptId(RunId("x/1"), TaskId("x"), -1, 1), "cancelled")
        assert place.result("answer") == 1

    def test_a_kill_ends_every_process_below_the_attempt(self, place: Place) -> None:
        pids = str(place.file("pids"))

        def family() -> None:
            import os
            import subprocess
            import time

            plain = subprocess.Popen(["sleep", "600"])
            session = subprocess.Popen(["setsid", "sleep", "600"])
            read, write = os.pipe()
            if os.fork() == 0:  # a daemon: forked twice, a session of its own
                os.setsid()
                if os.fork() == 0:
                    os.write(write, str(os.getpid()).encode())
                    time.sleep(600)
                os._exit(0)
            os.wait()
            daemon = int(os.read(read, 20))
            with open(pids, "w") as out:
                out.write(f"{os.getpid()} {plain.pid} {session.pid} {daemon}\n")
            time.sleep(600)

        place.tasks(family)
        order = place.order("family")
        place.launch(order)
        found = [int(p) for p in place.wait_for_file("pids").split()]
        assert [alive(p) for p in found] == [True] * 4
        place.executor.kill(order.attempt, "cancelled")
        report = place.end(order)
        assert [alive(p) for p in found] == [False] * 4
        assert isinstance(report.event, AttemptFailed)

    def test_whoever_ignores_signals_is_killed_after_the_grace(self, place: Place) -> None:
        ready = str(place.file("ready"))

        def stubborn() -> None:
            import signal
            import time

            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with open(ready, "w") as out:
                out.write("yes\n")
            while True:
                time.sleep(600)

        place.tasks(stubborn)
        order = place.order("stubborn")
        place.launch(order)
        place.wait_for_file("ready")
        since = time.monotonic()
        place.executor.kill(order.attempt, "cancelled")
        report = place.end(order)
        assert isinstance(report.event, AttemptFailed)
        assert report.event.why == "cancelled"
        assert time.monotonic() - since >= 2 * GRACE_SECONDS

    def test_an_interrupted_task_may_clean_up(self, place: Place) -> None:
        ready, cleaned = str(place.file("ready")), str(place.file("cleaned"))

        def tidy() -> None:
            import time

            try:
                with open(ready, "w") as out:
                    out.write("yes\n")
                time.sleep(600)
            finally:
                with open(cleaned, "w") as out:
                    out.write("yes\n")

        place.tasks(tidy)
        order = place.order("tidy")
        place.launch(order)
        place.wait_for_file("ready")
        place.executor.kill(order.attempt, "cancelled")
        place.end(order)
        assert Path(cleaned).exists()

    def test_an_attempt_that_waits_can_be_killed(self, place: Place) -> None:
        def slow() -> None:
            import time

            time.sleep(600)

        place.tasks(slow)
        orders = [place.order("slow", map_index=i) for i in range(PARALLELISM + 1)]
        place.launch(*orders)
        waiting = orders[-1]
        place.executor.kill(waiting.attempt, "cancelled")
        assert place.end(waiting).event == AttemptFailed(waiting.attempt, "cancelled")
        for order in orders[:-1]:
            place.executor.kill(order.attempt, "cancelled")
        assert [type(place.end(o).event) for o in orders] == [AttemptFailed] * len(orders)

    @pytest.mark.parametrize(
        ("how", "words"),
        [
            ("import ctypes; ctypes.string_at(0)", "SIGSEGV (segmentation fault)"),
            ("import os; os.abort()", "SIGABRT (abort)"),
            ("import os; os._exit(3)", "ended by itself with exit status 3"),
            ("import os; os._exit(0)", "ended by itself with exit status 0"),
            ("import os; os.kill(os.getpid(), 9)", "SIGKILL (killed from outside)"),
        ],
    )
    def test_a_process_that_dies_fails_its_attempt_alone(
        self, place: Place, how: str, words: str
    ) -> None:
        go = str(place.file("go"))

        def dies() -> None:
            print("last words", flush=True)
            exec(how)

        def lives() -> str:
            import os
            import time

            while not os.path.exists(go):
                time.sleep(0.005)
            return "well"

        place.tasks(dies, lives)
        other, order = place.order("lives"), place.order("dies")
        place.launch(other, order)
        report = place.end(order)
        assert isinstance(report.event, AttemptFailed)
        assert words in report.event.why
        assert report.event.retryable
        assert "last words" in report.error
        place.file("go").touch()
        assert place.value(place.end(other)) == "well"

    def test_an_exception_fails_the_attempt_with_its_own_frames(self, place: Place) -> None:
        def breaks() -> None:
            raise ValueError("no such thing\nand more")

        place.tasks(breaks)
        report = place.run("breaks")
        attempt = place.order("breaks").attempt
        assert report.event == AttemptFailed(attempt, "ValueError: no such thing")
        assert "and more" in report.error
        assert 'raise ValueError("no such thing' in report.error
        assert "mlflowkit/worker" not in report.error

    def test_an_exception_whose_text_is_odd_is_told_all_the_same(
        self, place: Place
    ) -> None:
        def half_a_character() -> None:
            raise FileNotFoundError("caf\udce9")

        def huge() -> None:
            raise ValueError("x" * 100_000_000)

        def unprintable() -> None:
            class Bad(Exception):
                def __str__(self) -> str:
                    raise TypeError("no text")

            raise Bad

        place.tasks(half_a_character, huge, unprintable)
        odd, large, bad = map(place.run, ("half_a_character", "huge", "unprintable"))
        assert odd.event == AttemptFailed(
            odd.event.attempt, "FileNotFoundError: caf\\udce9"
        )
        assert "characters left out]" in large.error
        assert len(large.error) < 1_000_000
        assert bad.event == AttemptFailed(
            bad.event.attempt, "Bad: (its text cannot be shown)"
        )

    def test_the_log_is_whole_when_the_end_is_reported(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)

        def writes() -> None:
            import ctypes
            import logging
            import os
            import subprocess
            import sys

            print("from print")
            print("an error", file=sys.stderr)
            logging.getLogger("some.where").info("from logging")
            os.write(1, b"from the descriptor\n")
            ctypes.CDLL(None).puts(b"from C")
            subprocess.run(["sh", "-c", "echo from a subprocess; echo its error >&2"])
            print("the end, without a newline", end="")

        place.tasks(writes)
        order = place.order("writes")
        place.launch(order)
        place.end(order)
        lines = Path(order.log).read_text().splitlines()
        logged = [line for line in lines if "from logging" in line]
        assert len(logged) == 1
        assert "INFO some.where: from logging" in logged[0]
        assert sorted(set(lines) - set(logged)) == [
            "an error",
            "from C",
            "from a subprocess",
            "from print",
            "from the descriptor",
            "its error",
            "the end, without a newline",
        ]

    def test_a_log_that_cannot_be_written_ends_no_attempt(self, place: Place) -> None:
        def talks() -> int:
            print("into the void")
            return 7

        place.tasks(talks)
        place.file("file").touch()
        log = str(place.file("file") / "log")
        report = place.run("talks", log=log)
        assert place.value(report) == 7
        assert log.removesuffix("/log") in report.facts["log_error"]
        assert "log_error" not in place.run("talks", number=2).facts

    def test_fifty_megabytes_of_output_are_all_kept(self, place: Place) -> None:
        def talks() -> None:
            line = "x" * 1023
            for _ in range(50 * 1024):
                print(line)

        place.tasks(talks)
        order = place.order("talks")
        place.launch(order)
        assert isinstance(place.end(order).event, AttemptSucceeded)
        assert Path(order.log).stat().st_size == 50 * 1024 * 1024

    def test_a_background_process_that_never_stops_writing_is_ended(
        self, place: Place
    ) -> None:
        def leaves_a_chatterbox() -> str:
            import subprocess

            subprocess.Popen(["setsid", "yes"])
            return "done"

        def dies_beside_a_chatterbox() -> None:
            import os
            import subprocess

            subprocess.Popen(["setsid", "yes"])
            os._exit(5)

        place.tasks(leaves_a_chatterbox, dies_beside_a_chatterbox)
        assert place.result("leaves_a_chatterbox") == "done"
        report = place.run("dies_beside_a_chatterbox")
        assert "exit status 5" in getattr(report.event, "why", "")

    def test_closed_streams_harm_nobody(self, place: Place) -> None:
        def closes() -> str:
            import os
            import sys

            sys.stdout.close()
            sys.stderr.close()
            os.close(1)
            os.close(2)
            return "fine"

        place.tasks(closes)
        assert place.result("closes") == "fine"

    def test_a_task_has_the_surroundings_of_whoever_asked(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def looks() -> list[object]:
            import os
            import sys

            mask = os.umask(0)
            return [os.environ["MINE"], os.getcwd(), mask, sys.path[:2], sys.stdin.read()]

        place.tasks(looks)
        (tmp_path / "here").mkdir()
        monkeypatch.setenv("MINE", "my own\nvalue")
        monkeypatch.chdir(tmp_path / "here")
        monkeypatch.setattr(sys, "path", ["/first", "/second", *sys.path])
        before = os.umask(0o027)
        try:
            order = place.order("looks")
        finally:
            os.umask(before)
        place.launch(order)
        where = str(tmp_path / "here")
        wanted = ["my own\nvalue", where, 0o027, ["/first", "/second"], ""]
        assert place.value(place.end(order)) == wanted

    def test_at_most_so_many_run_at_once(self, place: Place) -> None:
        marks = str(place.file("marks"))

        def watched() -> None:
            import os
            import time

            fd = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(fd, b"+")
            time.sleep(0.05)
            os.write(fd, b"-")

        place.tasks(watched)
        assert place.executor.places() == PARALLELISM
        orders = [place.order("watched", number=n) for n in range(1, 8)]
        place.launch(*orders)
        for order in orders:
            place.end(order)
        running = most = 0
        for sign in Path(marks).read_text():
            running += 1 if sign == "+" else -1
            most = max(most, running)
        assert most == PARALLELISM
        assert place.executor.places() >= PARALLELISM

    def test_closing_leaves_no_process(self, make: MakeExecutor, tmp_path: Path) -> None:
        place = Place(make, tmp_path)
        pids = str(place.file("pids"))

        def stays() -> None:
            import os
            import subprocess
            import time

            child = subprocess.Popen(["setsid", "sleep", "600"])
            with open(pids, "w") as out:
                out.write(f"{os.getpid()} {child.pid}\n")
            time.sleep(600)

        place.tasks(stays)
        place.launch(place.order("stays"))
        found = [int(p) for p in place.wait_for_file("pids").split()]
        place.executor.close()
        assert [alive(p) for p in found] == [False, False]
        assert below_engine(place.engine_id) == []

    def test_closing_does_not_wait_for_code_that_hangs_while_it_is_loaded(
        self, make: MakeExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "hangs_when_loaded.py").write_text(
            "import os, time\n"
            "if 'HANG' in os.environ:\n"
            "    open(os.environ['HANG'], 'w').write('yes\\n')\n"
            "    time.sleep(600)\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        import hangs_when_loaded  # type: ignore[import-not-found]

        place = Place(make, tmp_path)

        def uses() -> None:
            print(hangs_when_loaded)

        place.tasks(uses)
        monkeypatch.setenv("HANG", str(place.file("hangs")))
        place.launch(place.order("uses"))
        place.wait_for_file("hangs")
        since = time.monotonic()
        place.executor.close()
        assert time.monotonic() - since < 14  # it waits 15 s for whoever may listen
        assert below_engine(place.engine_id) == []

    def test_a_signal_to_the_attempts_process_is_said_in_words(self, place: Place) -> None:
        pid = str(place.file("pid"))

        def waits() -> None:
            import os
            import time

            with open(pid, "w") as out:
                out.write(f"{os.getpid()}\n")
            time.sleep(600)

        place.tasks(waits)
        order = place.order("waits")
        place.launch(order)
        os.kill(int(place.wait_for_file("pid")), signal.SIGTERM)
        report = place.end(order)
        assert not isinstance(report.event, AttemptLost)
        assert "SIGTERM (asked to end)" in getattr(report.event, "why", "")

    # ── code of `__main__` ──────────────────────────────────────────────────

    def test_what_is_in_main_can_be_pickled_in_a_task(self, place: Place) -> None:
        place.program("""
            import enum, multiprocessing, pickle
            class Net:
                class Layer: pass
                def __eq__(self, other): return type(self) is type(other)
            class Kind(enum.Enum):
                CAT = 1
            def square(n): return n * n
            def unused(): pass
            LIMIT = 7
            @task
            def pickles():
                again = pickle.loads(pickle.dumps([Net(), Kind.CAT, square, Net.Layer]))
                return [again == [Net(), Kind.CAT, square, Net.Layer], LIMIT]
            @task
            def pools():
                with multiprocessing.get_context("fork").Pool(2) as pool:
                    return pool.map(square, range(5)) + [len(pool.map(type, [Net()]))]
            @task
            def spawns():
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    found = pool.map(square, range(3)), pool.map(type, [Net()])
                    return [found[0], found[1][0] is Net]
            @task
            def looks():
                import __main__
                return sorted(n for n in ("Worker", "main", "square") if hasattr(__main__, n))
            with DAG("d") as dag:
                pickles(), pools(), spawns(), looks()
        """)
        assert place.result("pickles") == [True, 7]
        assert place.result("pools") == [0, 1, 4, 9, 16, 1]
        assert place.result("spawns") == [[0, 1, 4], True]
        assert place.result("looks") == ["square"]
        mapped = [place.result("pickles", map_index=i, number=2) for i in range(3)]
        assert mapped == [[True, 7]] * 3

    # ── XComs ───────────────────────────────────────────────────────────────

    def test_threads_may_ask_for_xcoms_at_once(self, place: Place) -> None:
        def gives() -> None:
            pass

        def asks() -> bool:
            from concurrent.futures import ThreadPoolExecutor

            from mlflowkit import get_current_context

            ti = get_current_context()["ti"]
            names = [f"k{n % 40}" for n in range(400)]
            with ThreadPoolExecutor(16) as pool:
                found = list(pool.map(lambda key: ti.xcom_pull("gives", key=key), names))
            return found == names

        for n in range(40):
            stored = serializers.dump(
                f"k{n}",
                FileArtifacts(place.folder / "artifacts"),
                expandable=False,
                where="x",
            )
            place.mailbox.xcoms[f"k{n}"] = msgspec.to_builtins(
                stored, builtin_types=(bytes,)
            )
        place.tasks(gives, asks)
        assert place.result("asks") is True

    def test_odd_keys_and_pulls_fail_the_attempt_with_a_clear_text(
        self, place: Place
    ) -> None:
        def gives() -> None:
            pass

        def odd() -> list[str]:
            from mlflowkit import get_current_context
            from mlflowkit.errors import XComError

            ti: Any = get_current_context()["ti"]
            told = []
            calls: tuple[Callable[[], object], ...] = (
                lambda: ti.xcom_push(5, 1),
                lambda: ti.xcom_push("", 1),
                lambda: ti.xcom_push("x" * 251, 1),
                lambda: ti.xcom_push("caf\udce9", 1),
                lambda: ti.xcom_pull("gives", key=["return_value"]),
                lambda: ti.xcom_pull(5),
                lambda: ti.xcom_pull(["gives", 5]),
                lambda: ti.xcom_pull("gives", map_indexes=[1, "2"]),
            )
            for call in calls:
                try:
                    call()
                except XComError as exc:
                    told.append(exc.code)
            ti.xcom_push("x" * 250, 1)
            return told

        def pushes_five() -> None:
            from mlflowkit import get_current_context

            ti: Any = get_current_context()["ti"]
            ti.xcom_push(5, 1)

        place.tasks(gives, odd, pushes_five)
        assert place.result("odd") == ["bad_xcom_key"] * 5 + ["bad_xcom_pull"] * 3
        report = place.run("pushes_five")
        assert isinstance(report.event, AttemptFailed)
        assert "uses the XCom key 5" in report.event.why
        assert not report.event.retryable

    def test_more_xcoms_than_can_be_told_fail_the_attempt_and_say_so(
        self, place: Place
    ) -> None:
        def floods() -> None:
            from mlflowkit import get_current_context

            for n in range(3000):
                get_current_context()["ti"].xcom_push(f"k{n}", "x" * 30_000)

        def after() -> int:
            return 1

        place.tasks(floods, after)
        report = place.run("floods")
        assert isinstance(report.event, AttemptFailed)
        assert "its 3,000 XComs are 91 MB" in report.event.why, report.event
        assert place.result("after") == 1

    # ── forks and threads of a task ─────────────────────────────────────────

    def test_a_fork_that_returns_from_the_task_does_not_end_its_attempt(
        self, place: Place
    ) -> None:
        def forks() -> list[int]:
            import os
            import sys

            codes = []
            for end in ("return", "exit", "raise"):
                pid = os.fork()
                if pid == 0:
                    print(end, "in the fork")
                    if end == "exit":
                        sys.exit(3)
                    if end == "raise":
                        raise ValueError("of the fork")
                    return []
                codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            return codes

        place.tasks(forks)
        order = place.order("forks")
        place.launch(order)
        assert place.value(place.end(order)) == [0, 3, 1]
        log = Path(order.log).read_text()
        assert log.startswith("return in the fork\nexit in the fork\nraise in the fork\n")
        assert "ValueError: of the fork" in log

    def test_an_attempt_ends_when_the_threads_it_started_have(self, place: Place) -> None:
        done = str(place.file("done"))

        def leaves_threads() -> str:
            import threading
            import time
            from concurrent.futures import ThreadPoolExecutor

            def work(name: str) -> None:
                time.sleep(0.3)
                with open(done, "a") as out:
                    out.write(name)
                print(name, "is done")

            threading.Thread(target=work, args=("a",)).start()
            pool = ThreadPoolExecutor(1)
            for name in "bc":
                pool.submit(work, name)
            threading.kept = pool  # type: ignore[attr-defined]  # it never becomes garbage
            return "returned"

        place.tasks(leaves_threads)
        for number, index in enumerate((-1, 0, 1), 1):
            order = place.order("leaves_threads", map_index=index)
            place.launch(order)
            assert place.value(place.end(order)) == "returned"
            assert sorted(Path(done).read_text()) == sorted("abc" * number)
            assert Path(order.log).read_text().count("is done") == 3

    def test_a_kill_ends_an_attempt_that_waits_for_its_threads(self, place: Place) -> None:
        ready = str(place.file("ready"))

        def leaves_a_thread() -> None:
            import threading

            threading.Thread(target=threading.Event().wait).start()
            with open(ready, "w") as out:
                out.write("yes\n")

        place.tasks(leaves_a_thread)
        for index in (-1, 0):
            order = place.order("leaves_a_thread", map_index=index)
            place.launch(order)
            place.wait_for_file("ready")
            place.file("ready").unlink()
            place.executor.kill(order.attempt, "it took too long")
            ended = place.end(order).event
            assert isinstance(ended, AttemptFailed)
            assert ended.why in ("it took too long", "interrupted")

    def test_what_exit_handlers_print_is_in_the_log(self, place: Place) -> None:
        def registers() -> None:
            import atexit

            atexit.register(print, "goodbye")

        place.tasks(registers)
        order = place.order("registers")
        place.launch(order)
        place.end(order)
        place.until(lambda: Path(order.log).exists())
        place.until(lambda: Path(order.log).read_text() == "goodbye\n")

    def test_streams_that_do_not_block_harm_nobody(self, place: Place) -> None:
        def unblocks() -> str:
            import os

            os.set_blocking(1, False)
            try:
                while True:
                    os.write(1, b"x" * 65_536)
            except BlockingIOError:
                return "full"

        place.tasks(unblocks)
        assert [place.result("unblocks", map_index=i) for i in range(3)] == ["full"] * 3

    def test_bytes_in_the_tasks_channel_fail_the_attempt_alone(self, place: Place) -> None:
        def scribbles() -> None:
            import os
            import time

            for fd in range(3, 100):
                try:
                    if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                        os.write(fd, b"\0\0\0\2\x63nonsense")
                except OSError:
                    continue
            time.sleep(600)

        def after() -> int:
            return 1

        place.tasks(scribbles, after)
        report = place.run("scribbles")
        assert isinstance(report.event, AttemptFailed)
        assert "said what cannot be read" in report.event.why
        assert place.result("after") == 1
