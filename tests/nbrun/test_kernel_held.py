# mypy: allow-untyped-calls
"""What the kernel server does with the kernels that it holds: how many, how long, for whom."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.nbrun.kernel_client import KernelServer, Lent, NoForkedKernel
from tests.nbrun.kernels import OwnServer, is_gone, wait_until


@pytest.fixture(scope="module")
def served() -> Iterator[OwnServer]:
    own = OwnServer(idle=4)  # it looks around every second
    yield own
    own.close()


def let_go(
    served: OwnServer, home: str, **limits: float
) -> tuple[Lent, list[dict[str, Any]]]:
    """A kernel that is held, and what had to end for it."""
    lent = served.start()
    ended = served.server.hold_in_place_of(lent, 600, {"home": home, "n": lent.id}, limits)
    lent.close()
    return lent, ended


def test_one_that_is_open_is_held_past_its_time_until_it_is_closed(
    served: OwnServer, tmp_path: Path
) -> None:
    lent = served.start()
    served.server.hold(lent, 600, {"home": str(tmp_path)})
    lent.close()
    sock = served.place.connect()
    assert sock is not None
    opener = KernelServer(sock)
    until = opener.open(lent.id)["until"]
    served.server.renew(lent.id, 0.05)

    def prolonged() -> bool:
        (one,) = served.server.held()
        return bool(one["until"] > until - 590)

    wait_until(prolonged, "its time is not prolonged")
    assert not is_gone(lent.pid)
    opener.close()
    served.server.renew(lent.id, 0.05)
    wait_until(lambda: is_gone(lent.pid), "it is held for ever")


#: Attaches to a running kernel by its connection file, as a console or an editor does.
ATTACHES = """
import sys, time
from jupyter_client.blocking.client import BlockingKernelClient
client = BlockingKernelClient()
client.load_connection_file(sys.argv[1])
client.start_channels()
client.wait_for_ready(timeout=120)
print("attached", flush=True)
time.sleep(600)
"""


def test_one_that_somebody_attached_to_by_its_file_is_open_until_that_process_is_dead(
    served: OwnServer, tmp_path: Path
) -> None:
    lent = served.start()
    served.server.hold(lent, 600, {"home": str(tmp_path)})
    lent.close()
    (told,) = served.server.held()
    assert not told["opened"]
    file = tmp_path / "kernel.json"
    file.write_text(json.dumps(told["connection"]))
    argv = [sys.executable, "-c", ATTACHES, str(file)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as console:
        try:
            assert console.stdout is not None
            assert console.stdout.readline() == b"attached\n"
            (told,) = served.server.held()
            assert told["opened"]
            served.server.renew(lent.id, 0.05)

            def prolonged() -> bool:
                return any(o["until"] > time.time() + 15 for o in served.server.held())

            wait_until(prolonged, "it ended under somebody")
            second, _ = let_go(served, str(tmp_path), most=2)
            third, ended = let_go(served, str(tmp_path), most=2)
            assert ended == [{"home": str(tmp_path), "n": second.id}]
            served.server.release(third.id)
        finally:
            console.kill()
    wait_until(lambda: not served.server.held()[0]["opened"], "nobody has it open")
    served.server.renew(lent.id, 0.05)
    wait_until(lambda: is_gone(lent.pid), "it is held for ever")


def test_each_home_has_its_number_and_the_oldest_that_nobody_has_open_goes_first(
    served: OwnServer, tmp_path: Path
) -> None:
    homes = [str(tmp_path / name) for name in ("one", "two")]
    for each in homes:
        Path(each).mkdir()
    other, _ = let_go(served, homes[1], most=2)
    first, _ = let_go(served, homes[0], most=2)
    second, ended = let_go(served, homes[0], most=2)
    assert ended == []
    served.server.open(first.id)
    third, ended = let_go(served, homes[0], most=2)
    assert ended == [{"home": homes[0], "n": second.id}]
    wait_until(lambda: is_gone(second.pid), "it lives")
    assert {one["id"] for one in served.server.held()} == {other.id, first.id, third.id}
    with pytest.raises(NoForkedKernel, match="more than held kernels may have"):
        let_go(served, homes[1], share=1e-9)
    for one in served.server.held():
        served.server.release(one["id"])


def test_those_of_a_home_that_was_deleted_end(served: OwnServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    lent, _ = let_go(served, str(home))
    home.rmdir()
    wait_until(lambda: is_gone(lent.pid), "it outlives its home")
