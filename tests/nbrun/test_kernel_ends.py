# mypy: allow-untyped-calls
"""The end of a forked kernel: when it counts as over, and what the next ones learn of it."""

from __future__ import annotations

import bz2
import gzip
import mmap
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlflowkit.nbrun.kernel_keeper import Keeper
from mlflowkit.nbrun.kernel_pages import WrittenPages
from mlflowkit.nbrun.kernel_wire import Wire
from mlflowkit.worker import processes
from tests.nbrun.kernels import OwnServer, is_gone, say, talking, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    own = OwnServer()
    yield own
    own.close()


#: What a cell may leave that goes on, or that somebody else waits for.
LEFT = {
    "a thread": "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "a process": "import subprocess; subprocess.Popen(['sleep', '60'])",
    "a process without a parent": "import os; os.system('setsid sleep 60 >/dev/null 2>&1 &')",
    "an open file": "import mmap, os, sys; sys.kept = os.open('/etc/hostname', os.O_RDONLY)",
    "a port": "import socket, sys; sys.kept = socket.create_server(('127.0.0.1', 0))",
}


@pytest.mark.parametrize("code", LEFT.values(), ids=LEFT)
def test_a_kernel_that_leaves_something_is_over_when_all_of_it_is_dead(
    server: OwnServer, code: str
) -> None:
    lent = server.start()
    with talking(lent) as client:
        assert say(client, code) == ""
    assert lent.end(60) == 0
    assert is_gone(lent.pid)


def test_a_kernel_with_an_exit_status_of_its_own_tells_it_and_its_memory(
    server: OwnServer,
) -> None:
    lent = server.start()
    with talking(lent) as client:
        client.execute("big = bytearray(200 * 2**20); import sys")
        client.execute("import asyncio; asyncio.get_event_loop().call_soon(sys.exit, 3)")
        assert lent.wait(60) == 3
    assert lent.peak_bytes > 200 * 2**20
    wait_until(lambda: is_gone(lent.pid), "it is told to be over, and goes on")
    lent.close()


# ── the keeper, with a kernel that does what a test says ──


def _kept(folder: Path, life: Callable[[socket.socket], None]) -> tuple[Wire, Wire, int]:
    """A keeper in a process of its own: its links to the user and the server, its pid."""
    ours, theirs = zip(*(socket.socketpair() for _ in range(2)), strict=True)
    pid = os.fork()
    if pid == 0:
        try:
            for end in ours:
                end.close()
            processes.become_subreaper()
            bell, rung = socket.socketpair()
            kernel = os.fork()
            if kernel == 0:
                bell.close()
                life(rung)
                os._exit(0)
            rung.close()
            Keeper(kernel, Wire(theirs[1]), Wire(theirs[0]), bell, str(folder)).watch()
        finally:
            os._exit(0)
    for end in theirs:
        end.close()
    return Wire(ours[0]), Wire(ours[1]), pid


def test_nobody_waits_for_the_memory_of_a_kernel_that_is_over(tmp_path: Path) -> None:
    let_it_die, dying = os.pipe()
    (folder := tmp_path / "kernel").mkdir()

    def life(bell: socket.socket) -> None:
        bell.send(b"3 4096")
        os.read(let_it_die, 1)  # it gives its memory back
        os._exit(3)

    user, server, keeper = _kept(folder, life)
    assert user.receive(60)[0] == {"died": 3, "peak": 4096}
    user.close()  # done with it; that kills it no more
    assert folder.exists() and not is_gone(keeper)
    os.write(dying, b"!")
    assert server.receive(60)[0] == {"died": 3}
    os.waitpid(keeper, 0)
    assert not folder.exists()


def test_what_a_kernel_says_of_its_end_is_not_believed_while_a_child_lives(
    tmp_path: Path,
) -> None:
    let_it_die, dying = os.pipe()
    (folder := tmp_path / "kernel").mkdir()

    def life(bell: socket.socket) -> None:
        if os.fork() == 0:
            signal.pause()
        bell.send(b"0 4096")
        os.read(let_it_die, 1)
        os._exit(5)

    user, server, keeper = _kept(folder, life)
    with pytest.raises(TimeoutError):
        user.receive(0.3)
    os.write(dying, b"!")
    assert user.receive(60)[0]["died"] == server.receive(60)[0]["died"] == 5
    os.waitpid(keeper, 0)


# ── what the next ones learn ──

#: Four pages, of which a fork writes two; the next one has its own of these from the start.
LEARNS = """
import mmap, os
from mlflowkit.nbrun import kernel_pages
memory = mmap.mmap(-1, 4 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory[:] = b"a" * len(memory)
kernel_pages._private_areas = lambda: [(begin, begin + len(memory))]
import ctypes
begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
pages = kernel_pages.WrittenPages()

def own():
    with open("/proc/self/pagemap", "rb") as file:
        return [entry >> 56 & 1 for entry in kernel_pages._entries(file, begin, 4)]

def in_a_fork(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

def writes():
    assert own() == [0, 0, 0, 0]
    memory[1 * mmap.PAGESIZE] = memory[3 * mmap.PAGESIZE] = ord("b")
    print(own(), pages.note(), flush=True)

def is_ready():
    print(pages.copy_ahead(), own(), set(memory[:]) == {ord("a")}, pages.copy_ahead(), flush=True)

in_a_fork(is_ready)
in_a_fork(writes)
in_a_fork(is_ready)
kernel_pages.MOST = 1
in_a_fork(is_ready)
"""


def test_the_pages_that_a_kernel_wrote_are_copied_ahead_for_the_next_one() -> None:
    told = subprocess.run([sys.executable, "-c", LEARNS], capture_output=True, text=True)
    assert told.stderr == ""
    assert told.stdout.splitlines() == [
        "0 [0, 0, 0, 0] True 0",
        "[0, 1, 0, 1] 2",
        "2 [0, 1, 0, 1] True 2",
        "1 [0, 1, 0, 0] True 1",
    ]


def test_only_private_memory_that_is_there_is_looked_at() -> None:
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    shared[:] = bytes(mmap.PAGESIZE)
    pages = WrittenPages()
    assert all(count > 0 and address % mmap.PAGESIZE == 0 for address, count in pages.runs)
    assert sum(count for _, count in pages.runs) * mmap.PAGESIZE > 2**20


#: Files that only their closing makes whole, held by a module of the person.
HOLDS = """
import gzip, zipfile
text = gzip.open("text.gz", "wt")
text.write("hello" * 1000)
archive = zipfile.ZipFile("a.zip", "w")
archive.writestr("inside", "hello")
"""


def test_files_that_a_persons_modules_hold_are_closed_at_the_end(
    server: OwnServer, tmp_path: Path
) -> None:
    (tmp_path / "holding.py").write_text(HOLDS)
    lent = server.start(cwd=tmp_path)
    with talking(lent) as client:
        assert say(client, "import holding, sys, types, bz2") == ""
        made = "sys.modules['made'] = made = types.ModuleType('made')\n"
        made += "made.file = bz2.open('made.bz2', 'wt'); _ = made.file.write('bye')"
        assert say(client, made) == ""
    assert lent.end(60) == 0
    assert gzip.decompress((tmp_path / "text.gz").read_bytes()) == b"hello" * 1000
    assert bz2.decompress((tmp_path / "made.bz2").read_bytes()) == b"bye"
    assert zipfile.ZipFile(tmp_path / "a.zip").read("inside") == b"hello"


def test_a_kernel_that_may_open_nothing_more_ends_as_any_other(server: OwnServer) -> None:
    lent = server.start()
    with talking(lent) as client:
        code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))"
        assert say(client, code) == ""
        assert say(client, "print('on')") == "on\n"
    assert lent.end(60) == 0
