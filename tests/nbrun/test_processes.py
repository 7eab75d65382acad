# mypy: allow-untyped-calls
"""Workers and kernels die in every way; nothing is left running and nothing is pretended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from mlflowkit.errors import NotebookInvalid
from mlflowkit.nbrun import private
from mlflowkit.nbrun.journal import journal_path, rebuild
from mlflowkit.nbrun.kernel_place import Place
from tests.nbrun.conftest import code, save, text

WORKER = """
import json, sys
from pathlib import Path
from mlflowkit.nbrun.engine import NotebookEngine
from mlflowkit.ports import NotebookOrder

def tell(event):
    print(json.dumps([event.kind, event.cell, dict(event.facts)]), flush=True)

path = Path(sys.argv[1])
order = NotebookOrder(path=path, parameters={}, output=path.with_name("out.ipynb"))
NotebookEngine().run(order, tell)
"""
CHILD = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid)"
SLOW = "import time\nprint('slow', flush=True)\ntime.sleep(600)"


class Worker:
    """A process that executes one notebook."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", WORKER, str(path)]
        self.output = path.with_name("out.ipynb")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.kernel = 0

    def wait_for(self, kind: str, cell: int) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told, at, facts = json.loads(line)
            self.kernel = facts.get("pid", self.kernel)
            if (told, at) == (kind, cell):
                return dict(facts)
        assert self.process.stderr is not None
        raise AssertionError(self.process.stderr.read().decode())


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    path = save(
        tmp_path / "nb.ipynb",
        text("# Slow"),
        code("x = 1\nprint('done')\nx"),
        code(CHILD),
        code(SLOW),
        code("x = 2"),
    )
    working = Worker(path)
    yield working
    working.process.kill()
    working.process.communicate()


def test_a_kernel_dies_with_its_worker_and_the_journal_gives_the_notebook(
    worker: Worker,
) -> None:
    worker.wait_for("cell_output", 3)
    worker.process.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(worker.kernel), "the kernel outlived its worker")
    assert not worker.output.exists()
    journal = journal_path(worker.output)
    with journal.open("ab") as torn:
        torn.write(b'{"op": "stream", "cell": 3, "na')
    found = rebuild(journal)
    nbformat.validate(found)
    statuses = [cell.metadata.get("mlflowkit", {}).get("status") for cell in found.cells]
    assert statuses == [None, "completed", "completed", "interrupted", "not run"]
    assert found.metadata.mlflowkit.status == "interrupted"
    printed, value = found.cells[1].outputs
    assert (printed.text, value.data["text/plain"]) == ("done\n", "1")
    assert found.cells[3].outputs[0].text == "slow\n"
    assert [cell.get("execution_count") for cell in found.cells] == [
        None,
        1,
        2,
        None,
        None,
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_writes_the_notebook_first(
    worker: Worker, number: signal.Signals
) -> None:
    child = int(worker.wait_for("cell_output", 2)["text"])
    worker.wait_for("cell_output", 3)
    worker.process.send_signal(number)
    worker.process.communicate(timeout=120)
    assert worker.process.returncode == -number
    assert is_gone(worker.kernel)
    assert is_gone(child)
    written = nbformat.read(worker.output, as_version=4)
    statuses = [cell.metadata.get("mlflowkit", {}).get("status") for cell in written.cells]
    assert statuses == [None, "completed", "completed", "interrupted", "not run"]
    enames = [out.ename for out in written.cells[3].outputs if out.output_type == "error"]
    assert enames == ["KeyboardInterrupt", "Interrupted"]
    assert not journal_path(worker.output).exists()


def test_children_of_a_kernel_end_with_it_and_its_last_wishes_are_heard(
    run: Any, tmp_path: Path
) -> None:
    wish = f"import atexit\natexit.register(lambda: open({str(tmp_path / 'wish')!r}, 'w').write('x'))"
    ran = run(code(wish), code(CHILD))
    assert is_gone(int(ran.printed(1)))
    assert (tmp_path / "wish").read_text() == "x"


def test_private_folders_of_the_dead_are_swept_and_those_of_the_living_kept(
    tmp_path: Path,
) -> None:
    dead, young = tmp_path / "kdead", tmp_path / "kyoung"
    for folder in (dead, young):
        folder.mkdir()
        (folder / "s-1").touch()
    old = time.time() - 3600
    os.utime(dead, (old, old))
    with private.PrivateFolder() as mine:
        os.utime(mine.path, (old, old))
        private.sweep(mine.path.parent)
        assert mine.path.stat().st_mode & 0o777 == 0o700
    private.sweep(tmp_path)
    assert [folder.name for folder in tmp_path.iterdir()] == ["kyoung"]
    assert not mine.path.exists()


def test_a_kernel_server_that_leaves_takes_the_folders_of_the_killed_with_it(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path / "s1")
    place.enter().close()
    (left := tmp_path / "kleft").mkdir()
    (left / "lock").touch()
    place.leave()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_just_being_made_is_never_swept() -> None:
    """Many begin at once, and each one sweeps."""

    def one(_: int) -> bool:
        with private.PrivateFolder() as folder:
            (folder.path / "io").mkdir()
            return (folder.path / "lock").exists()

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(400)))


def test_a_journal_without_a_whole_first_line_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "x.journal.jsonl"
    journal.write_text('{"op": "begin", "nb": {')
    with pytest.raises(NotebookInvalid, match="ended before anything was written down"):
        rebuild(journal)


def test_a_rebuilt_notebook_is_the_written_one(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflowkit.nbrun.journal import JournaledRecord

    kept: list[Path] = []
    write = JournaledRecord.write

    def write_and_keep(self: JournaledRecord, output: Path) -> None:
        kept.append(output.with_name("kept"))
        kept[0].write_bytes(self.path.read_bytes())
        write(self, output)

    monkeypatch.setattr(JournaledRecord, "write", write_and_keep)
    show = "h = display('a', display_id=True)\nh.update('b')\nprint('c\\rd')"
    again = "from IPython.display import clear_output\nprint(1)\nclear_output(wait=True)\nprint(2)"
    ran = run(code(show), code(again), code("1/0"), code("5"))
    found = rebuild(kept[0])
    for ours, written in zip(found.cells, ran.notebook.cells, strict=True):
        assert ours.outputs == written.outputs
        assert ours.metadata.mlflowkit == written.metadata.mlflowkit
        assert ours.metadata.papermill == written.metadata.papermill
