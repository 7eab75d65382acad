"""Ending whole families of processes, and saying how one ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlflowkit.worker import processes
from tests.homes import alive, wait_until

FAMILY = """
import os, subprocess, sys, time
from mlflowkit.worker import processes
processes.become_subreaper()
where = sys.argv[1]
spared = subprocess.Popen(["sleep", "600"])
others = [
    subprocess.Popen(["sleep", "600"]),
    subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM INT; sleep 600 & sleep 600"]),
    subprocess.Popen(["sh", "-c", "(setsid sleep 600 &) ; exit 0"]),
]
others[2].wait()
while len(list(processes.below(os.getpid()))) < 6:
    time.sleep(0.01)
before = list(processes.below(os.getpid()))
processes.kill_all_below(spare={spared.pid})
after = list(processes.below(os.getpid()))
print(len(before), after == [spared.pid])
spared.kill()
"""


def test_all_below_are_killed_but_who_is_spared(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAMILY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "6 True\n"


FORKS = """
import os, sys, time
from mlflowkit.worker import processes
parent = os.getpid()
if os.fork() == 0:
    processes.die_with_parent(parent)
    print(os.getpid(), flush=True)
    time.sleep(600)
time.sleep(600)
"""


def test_a_child_dies_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(child), 120)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "its process ended by itself with exit status 0"),
        (3, "its process ended by itself with exit status 3"),
        (-11, "its process died of SIGSEGV (segmentation fault)"),
        (-9, "its process died of SIGKILL (killed from outside)"),
        (-10, "its process died of SIGUSR1"),
    ],
)
def test_how_a_process_ended_is_said_in_words(code: int, words: str) -> None:
    assert processes.words_for_code(code) == words
    status = code << 8 if code >= 0 else -code
    assert processes.words_for(status) == words


def test_running_out_of_memory_is_said_in_words() -> None:
    said = processes.words_for(signal.SIGKILL, out_of_memory=0)
    assert said == "its process was killed because the machine ran out of memory (SIGKILL)"
    said = processes.words_for(signal.SIGKILL, out_of_memory=3 * 2**29)
    assert said == (
        "its process was killed because its group of processes ran out of the 1.5 GB that "
        "it may have (SIGKILL)"
    )


def test_a_lock_is_held_until_the_last_process_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "alive.lock"
    code = "import sys, pathlib; from mlflowkit.worker import processes\n"
    code += "processes.hold_shared(pathlib.Path(sys.argv[1])); print('held', flush=True)\n"
    code += "sys.stdin.read()"
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for holder in holders:
        assert holder.stdout is not None
        holder.stdout.readline()
    for holder in holders:
        assert not processes.nobody_holds(lock)
        holder.kill()
        holder.wait()
    assert processes.nobody_holds(lock)


def test_marked_processes_are_found_by_their_mark_and_no_other() -> None:
    def sleeper(mark: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, processes.ENGINE_MARK: mark}
        return subprocess.Popen(["sleep", "600"], env=env)

    name = f"test-{os.getpid()}"
    mine, below, other = sleeper(name), sleeper(f"{name}/template-1"), sleeper(f"{name}2")
    try:
        found = set(processes.with_mark(processes.ENGINE_MARK, name))
        assert found == {mine.pid, below.pid}
        assert processes.kill_marked(name)
        assert [mine.wait(120), below.wait(120), other.poll()] == [-9, -9, None]
        assert not processes.kill_marked(name)
    finally:
        for process in (mine, below, other):
            process.kill()
            process.wait()
