# mypy: allow-untyped-calls
"""The kernel server: who lives as long as whom, and what is left when somebody is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from mlflowkit.nbrun import kernel_client
from mlflowkit.nbrun.kernel_client import NoForkedKernel
from mlflowkit.nbrun.kernel_place import Place
from tests.nbrun.kernels import OwnServer, is_gone, kill, order, say, talking, wait_until

DAEMON = """
import os, sys, time, subprocess
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        time.sleep(600)
    os._exit(0)
os.wait()
print(os.read(read, 20).decode())
"""
CLIENT = """
import sys, time
from pathlib import Path
from mlflowkit.nbrun import kernel_client
from mlflowkit.nbrun.kernel_place import Place
from tests.nbrun.kernels import order
server = kernel_client.connect(Place(Path(sys.argv[1])))
with open("/dev/null", "wb") as log:
    lent = server.start(order(), log.fileno(), log.fileno())
print(lent.pid, lent.keeper, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def served() -> Iterator[OwnServer]:
    own = OwnServer()
    yield own
    own.close()


def test_a_kernel_is_lent_used_and_ended_and_leaves_nothing(
    served: OwnServer, tmp_path: Path
) -> None:
    lent = served.start(cwd=tmp_path)
    folder = Path(lent.connection["ip"]).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "connection.json").stat().st_mode & 0o777 == 0o600
    assert lent.info["implementation"] == "ipython"
    with talking(lent) as client:
        assert say(client, "import os; print(os.getcwd())").strip() == str(tmp_path)
        daemon = int(say(client, DAEMON))
        wish = f"import atexit; atexit.register(lambda: open({str(tmp_path / 'w')!r}, 'w').write('x'))"
        say(client, wish)
        say(client, f"file = open({str(tmp_path / 'f')!r}, 'w'); file.write('unflushed')")
    assert lent.end(5) == 0
    assert (tmp_path / "w").read_text() == "x"
    assert (tmp_path / "f").read_text() == "unflushed"
    assert lent.peak_bytes > 10_000_000
    assert is_gone(daemon)
    assert is_gone(lent.pid)
    wait_until(lambda: not folder.exists(), "its folder was left behind")


def test_how_a_kernel_died_is_told(served: OwnServer) -> None:
    for code, status in (
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("import os, signal; os.killpg(0, signal.SIGKILL)", -signal.SIGKILL),
    ):
        lent = served.start()
        with talking(lent) as client:
            client.execute(code)
            assert lent.wait(120) == status
        lent.close()


def test_an_interrupt_reaches_the_cell_and_a_stuck_kernel_is_killed_in_time(
    served: OwnServer,
) -> None:
    lent = served.start()
    with talking(lent) as client:
        sleeps = "import time\nprint('on')\ntime.sleep(600)"
        client.execute(sleeps, stop_on_error=False)  # else it may refuse the next one
        while client.get_iopub_msg(timeout=120)["msg_type"] != "stream":
            continue
        lent.interrupt()
        reply = client.get_shell_msg(timeout=120)
        while reply["msg_type"] != "execute_reply":
            reply = client.get_shell_msg(timeout=120)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        client.execute(
            "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
        )
        while client.get_iopub_msg(timeout=120)["msg_type"] != "execute_input":
            continue
        begun = time.monotonic()
        assert lent.end(0.3) == -signal.SIGKILL
        assert time.monotonic() - begun < 120


def test_whoever_is_killed_nothing_of_a_kernel_is_left(served: OwnServer) -> None:
    root = Path(__file__).parents[2]
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(served.place.folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    )
    assert client.stdout is not None
    kernel, keeper = map(int, client.stdout.readline().split())
    client.kill()
    client.communicate()
    for pid in (kernel, keeper):
        wait_until(lambda p=pid: is_gone(p), "a kernel outlived its client")

    lent = served.start()
    with talking(lent) as talk:
        daemon = int(say(talk, DAEMON))
    kill(lent.keeper)
    assert lent.wait(120) == -signal.SIGKILL
    for pid in (lent.pid, daemon):
        wait_until(lambda p=pid: is_gone(p), "a kernel outlived its keeper")
    folder = Path(lent.connection["ip"]).parent
    wait_until(lambda: not folder.exists(), "its folder was left")
    lent.close()


def test_a_killed_template_is_replaced_and_its_kernels_live_on(served: OwnServer) -> None:
    lent = served.start()
    keeper = psutil.Process(lent.keeper)
    template = keeper.ppid()
    kill(template)
    wait_until(lambda: is_gone(template), "it lives")
    wait_until(lambda: keeper.ppid() == served.pid, "nobody adopted the keeper")
    other = served.start()
    assert other.end(5) == 0
    with talking(lent) as client:
        assert say(client, "print(6 * 7)") == "42\n"
        daemon = int(say(client, DAEMON))
    kill(lent.keeper)
    for pid in (lent.pid, daemon):
        wait_until(lambda p=pid: is_gone(p), "a kernel outlived keeper and template")
    lent.close()


def test_a_killed_server_takes_all_with_it_and_another_one_takes_its_place() -> None:
    own = OwnServer()
    lent = own.start()
    with talking(lent) as client:
        daemon = int(say(client, DAEMON))
    processes = own.below()
    kill(own.pid)
    for pid in [daemon, *(process.pid for process in processes)]:
        wait_until(lambda p=pid: is_gone(p), "something outlived the server")
    assert lent.wait(120) is not None
    with pytest.raises(NoForkedKernel):
        own.server.held()
    kernel_client._open.pop(own.place.folder)
    own.server = kernel_client.connect(own.place)
    assert own.start().end(5) == 0
    own.close()


def test_one_server_for_many_starters_and_none_when_nobody_needs_it() -> None:
    own = OwnServer(idle=0.6)
    own.server.close()
    kernel_client._open.pop(own.place.folder)
    wait_until(lambda: not own.place.folder.exists(), "it does not end", 120)
    assert [path.name for path in own.base.iterdir()] == ["kernel.log"]
    root = Path(__file__).parents[2]
    mine = {"MLFLOWKIT_HOME": "/tmp/home", "MLFLOWKIT_CONN_SHOP": "postgres://me:pass@shop"}
    mine |= {"PYTHONPATH": str(root), kernel_client.ENV_IDLE: "0.6"}
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(own.place.folder)],
            stdout=subprocess.PIPE,
            env={**os.environ, **mine},
            text=True,
        )
        for _ in range(4)
    ]
    kernels = [int(s.stdout.readline().split()[0]) for s in starters if s.stdout]
    servers = [
        p
        for p in psutil.process_iter(["cmdline"])
        if "mlflowkit.nbrun.kernel_server" in (p.info["cmdline"] or [])
        and str(own.place.folder) in p.info["cmdline"]
    ]
    assert (len(set(kernels)), len(servers)) == (4, 1)
    # It serves all homes, and outlives who started it: nothing of one of them is in it.
    assert [k for k in servers[0].environ() if k.startswith("MLFLOWKIT_")] == []
    for starter in starters:
        starter.kill()
        starter.communicate()
    wait_until(lambda: not own.place.folder.exists(), "it does not end", 120)
    for pid in kernels:
        assert is_gone(pid)
    own.server = kernel_client.connect(own.place)
    own.close()


def test_fifty_kernels_at_once_clash_on_nothing_and_share_nothing(
    served: OwnServer,
) -> None:
    draw = "import random, uuid, os, secrets\nprint(random.random(), uuid.uuid4(), os.urandom(8).hex(), secrets.token_hex(4))"

    def one(_: int) -> tuple[int, str, int]:
        lent = served.start()
        with talking(lent) as client:
            heard = say(client, "print('mine' in dir())\nmine = 1") + say(client, draw)
        return lent.pid, heard, lent.end(10)

    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(one, range(50)))
    assert {heard.splitlines()[0] for _, heard, _ in found} == {"False"}
    assert {status for _, _, status in found} == {0}
    assert len({pid for pid, _, _ in found}) == 50
    for word in range(3):
        assert len({heard.splitlines()[1].split()[word] for _, heard, _ in found}) == 50


def test_a_held_kernel_outlives_its_client_and_can_be_found_used_and_ended(
    served: OwnServer, tmp_path: Path
) -> None:
    lent = served.start()
    with talking(lent) as client:
        say(client, "x = 41")
    held = served.server.hold(lent, 600, {"run": "r1", "task": "fit"})
    lent.close()
    (told,) = served.server.held()
    assert (told["id"], told["pid"], told["facts"]) == (
        held,
        lent.pid,
        {"run": "r1", "task": "fit"},
    )
    assert 0 < told["until"] - time.time() <= 600
    assert told["bytes"] > 10_000_000
    path = served.server.attach(held, tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = served.server.take(held)
    assert served.server.held() == []
    with talking(again) as client:
        assert say(client, "print(x + 1)") == "42\n"
    served.server.hold(again, 600, {})
    again.close()
    assert served.server.renew(held, 300)
    assert served.server.release(held)
    wait_until(lambda: is_gone(lent.pid), "it was not ended")
    assert not served.server.release(held)
    with pytest.raises(NoForkedKernel, match="no such kernel is held"):
        served.server.attach(held, tmp_path)


def test_held_kernels_end_at_their_time_and_are_limited_in_number(
    served: OwnServer,
) -> None:
    short = served.start()
    served.server.hold(short, 0.2, {})
    wait_until(lambda: is_gone(short.pid), "it outlived its time")
    lents = [served.start() for _ in range(4)]
    for at, lent in enumerate(lents):
        served.server.hold(lent, 500 + at, {"at": at})
        lent.close()
    wait_until(lambda: is_gone(lents[0].pid), "the one that would end first is still held")
    assert [each["facts"]["at"] for each in served.server.held()] == [1, 2, 3]
    for each in served.server.held():
        served.server.release(each["id"])
    wait_until(lambda: all(is_gone(lent.pid) for lent in lents), "they were not ended")
    gone = served.start()
    gone.end(5)
    with pytest.raises((NoForkedKernel, OSError, ValueError)):
        served.server.hold(gone, 60, {})


def test_what_cannot_be_imported_ahead_of_a_fork_is_said_and_not_imported(
    served: OwnServer, tmp_path: Path
) -> None:
    lent = served.start("polars", "no_such_module", "numpy")
    assert lent.excluded == {
        "polars": "its thread pool does not survive a fork",
        "no_such_module": "it is no installed distribution",
    }
    with talking(lent) as client:
        code = "import sys; print([m in sys.modules for m in ('polars', 'numpy')])"
        assert say(client, code) == "[False, True]\n"
    assert lent.end(5) == 0
    (tmp_path / "msgspec.py").write_text("")
    with pytest.raises(NoForkedKernel, match=r"msgspec\.py in its working folder hides"):
        served.start(cwd=tmp_path)


def test_a_server_answers_its_own_user_alone(served: OwnServer) -> None:
    place: Place = served.place
    assert place.folder.stat().st_mode & 0o777 == 0o700
    assert place.socket_path.stat().st_mode & 0o777 == 0o600


def test_an_order_that_makes_no_sense_is_refused_and_hurts_nobody(
    served: OwnServer,
) -> None:
    with pytest.raises(NoForkedKernel, match="KeyError"):
        served.server._ask({"do": "nothing of the kind"})
    with pytest.raises(NoForkedKernel, match="could not be made|working folder"):
        served.start(cwd=Path("/no/such/folder"))
    assert served.server.start(order(), 1, 2).end(5) == 0
