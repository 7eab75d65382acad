# mypy: allow-untyped-calls
"""Outputs without end cost bounded memory and files, and what is cut is said."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mlflowkit.errors import ArtifactNotStored
from mlflowkit.nbrun.engine import NotebookEngine
from mlflowkit.nbrun.journal import JournaledRecord, journal_path, rebuild
from mlflowkit.nbrun.streams import redrawn
from mlflowkit.nbrun.written import write_notebook
from tests.nbrun.conftest import code, execute, save

NOW = datetime(2026, 3, 1, tzinfo=UTC)
#: Runs a notebook in a process that may write no file of more than so many bytes.
SMALL_DISK = """
import json, resource, signal, sys
from pathlib import Path
import mlflowkit.nbrun.engine as engine
from mlflowkit.errors import MlflowkitError
from mlflowkit.ports import NotebookOrder

path, most = Path(sys.argv[1]), int(sys.argv[2])
order = NotebookOrder(path=path, parameters={}, output=path.with_name("out.ipynb"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def listen(event):
    if event.kind == "cell_ended" and event.cell == 0:  # the disk fills up meanwhile
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

try:
    engine.NotebookEngine().run(order, listen)
except MlflowkitError as exc:
    notes = getattr(exc, "__notes__", [])
    print(json.dumps([type(exc).__name__, str(exc), notes]))
"""


def record(tmp_path: Path, *cells: str, **options: Any) -> JournaledRecord:
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    made = JournaledRecord(
        notebook, tmp_path / "o.ipynb", options.pop("limit", 100_000), **options
    )
    made.begin(NOW)
    return made


def display(text: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}


# ── limits ──


def test_more_outputs_than_a_cell_may_have_are_counted_and_an_error_is_kept(
    tmp_path: Path,
) -> None:
    cells = [
        code("for n in range(1200): display(n)\n1/0"),
        code("never = 1"),
    ]
    ran = execute(save(tmp_path / "n.ipynb", *cells), NotebookEngine(output_limit=1000))
    outputs = ran.notebook.cells[0].outputs
    assert len(outputs) == 499 + 2
    assert outputs[498].data["text/plain"] == "498"
    note, error = outputs[-2:]
    assert note.text == (
        "[mlflowkit: 701 more outputs (1.3 MB) cut; the outputs of a cell may have 1.0 MB]\n"
    )
    assert error.ename == "ZeroDivisionError"
    assert ran.statuses() == ["failed", "not run"]


def test_a_message_of_megabytes_is_cut_and_says_so(run: Any) -> None:
    ran = run(code("raise ValueError('x' * 5_000_000)"))
    [error] = ran.notebook.cells[0].outputs
    assert len(error.evalue) < 101_000
    assert error.evalue.endswith("… [mlflowkit: 4,900,000 characters were cut]")
    assert ran.statuses() == ["failed"]


def test_more_displays_than_the_channel_holds_all_arrive_in_order(run: Any) -> None:
    ran = run(code("for n in range(3000): display(n)"))
    shown = [out.data["text/plain"] for out in ran.notebook.cells[0].outputs]
    assert shown == [str(n) for n in range(3000)]
    assert len([e for e in ran.events if e.kind == "cell_output"]) < 100


def test_streams_in_turns_keep_their_order(run: Any) -> None:
    turns = "import sys\nfor n in range(50):\n    print(n)\n    print(-n, file=sys.stderr)"
    ran = run(code(turns + "\n    sys.stdout.flush(); sys.stderr.flush()"))
    outputs = ran.notebook.cells[0].outputs
    assert [(out.name, out.text) for out in outputs] == [
        pair for n in range(50) for pair in (("stdout", f"{n}\n"), ("stderr", f"{-n}\n"))
    ]


def test_states_of_a_progress_bar_that_nobody_can_see_are_not_written_down() -> None:
    assert redrawn("a\rb\rc") == "\rc"
    assert redrawn("x\n1%\r2%\r3%\n4%\r") == "x\n\r3%\n4%\r"
    assert redrawn("one\r\ntwo\r\n") == "one\ntwo\n"
    assert redrawn("no bar\n") == "no bar\n"


# ── the journal ──


def journaled(made: JournaledRecord) -> None:
    """All kinds of changes, many times over, in two cells at once."""
    made.cell_started(0, NOW)
    made.output(0, display("old"), "d")
    made.stream(0, "stdout", "first\nhalf a li")
    made.cell_ended(0, "completed", NOW, 1.0, 1)
    made.cell_started(1, NOW, replayed=True)
    for n in range(400):
        made.update("d", {"text/plain": f"state {n} " + "x" * 500}, {})
        made.stream(1, "stderr", f"\r{n} of 400")
        made.stream(0, "stdout", "ne" if not n else ".")  # a thread of the first cell
        if n % 100 == 50:
            made.clear(1, wait=True)
    made.output(1, display("y" * 900), "e")
    for n in range(600):
        made.output(1, display(str(n)), None)
    made.update("e", {"text/plain": "last"}, {})
    made.cell_ended(1, "completed", NOW, 1.0, 2)


def test_a_journal_of_what_was_drawn_over_begins_anew_and_gives_the_same_notebook(
    tmp_path: Path,
) -> None:
    small = record(tmp_path / "small", "a", "b", limit=1000, compact_bytes=30_000)
    whole = record(tmp_path / "whole", "a", "b", limit=1000)
    sizes = []
    for made in (small, whole):
        journaled(made)
        made.flush()
        sizes.append(made.path.stat().st_size)
    assert sizes[0] < sizes[1] / 2
    one, other = (rebuild(made.path) for made in (small, whole))
    one.cells = [dict(cell, id="") for cell in one.cells]
    other.cells = [dict(cell, id="") for cell in other.cells]
    assert one == other
    assert one.cells[0]["outputs"][0]["data"]["text/plain"].startswith("state 399 ")
    assert one.cells[0]["outputs"][1]["text"] == "first\nhalf a line" + "." * 399
    assert one.cells[1]["metadata"]["mlflowkit"]["replayed"] is True
    assert "more outputs" in one.cells[1]["outputs"][-1]["text"]
    for made in (small, whole):
        made.close()


def test_the_journal_grows_with_what_happens_and_not_with_the_notebook(
    tmp_path: Path,
) -> None:
    def size_after(cells: int) -> int:
        made = record(tmp_path, *["x"] * cells)
        begun = made.path.stat().st_size
        for at in range(cells):
            made.cell_started(at, NOW)
            made.output(at, display("y" * 100), None)
            made.cell_ended(at, "completed", NOW, 0.1, at + 1)
        made.close()
        return made.path.stat().st_size - begun

    assert size_after(1000) / size_after(100) == pytest.approx(10, rel=0.05)


def test_two_hundred_megabytes_of_text_are_neither_kept_in_memory_nor_in_the_journal(
    tmp_path: Path,
) -> None:
    made = record(tmp_path, "flood")
    made.cell_started(0, NOW)
    tracemalloc.start()
    for _ in range(3200):
        made.stream(0, "stdout", f"{'x' * 1023}\n" * 64)
    made.cell_ended(0, "completed", NOW, 1.0, 1)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    made.close()
    assert most < 5_000_000
    assert made.path.stat().st_size < 1_000_000
    (kept,) = made.notebook.cells[0].outputs
    assert len(kept.text) < 101_000
    assert kept.text.endswith(
        "[mlflowkit: 199.9 MB more were cut; an output may have 0.1 MB]\n"
    )


def test_the_file_written_cell_by_cell_is_nbformats_own(tmp_path: Path) -> None:
    cells = [
        new_markdown_cell("# Title\nwith ü and \u2028"),
        new_code_cell('x = """a\n  b"""', metadata={"tags": ["a"], "trusted": True}),
        new_code_cell("1", outputs=[nbformat.from_dict(display("one\ntwo\n"))]),
    ]
    for made in (
        new_notebook(cells=cells, metadata={"b": 1, "a": {"c": []}}),
        new_notebook(),
    ):
        write_notebook(made, tmp_path / "o.ipynb")
        written = (tmp_path / "o.ipynb").read_text(encoding="utf-8")
        assert written == nbformat.writes(made) + "\n"
        assert [path.name for path in tmp_path.iterdir()] == ["o.ipynb"]


# ── a full disk ──


def on_a_small_disk(path: Path, most: int) -> str:
    command = [sys.executable, "-c", SMALL_DISK, str(path), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_disk_that_fills_up_stops_the_notebook_and_what_is_known_is_not_lost(
    tmp_path: Path,
) -> None:
    flood = "for n in range(50_000): print('x' * 50)"
    path = save(tmp_path / "n.ipynb", code("print('first')"), code(flood), code("x = 1"))
    told = on_a_small_disk(path, 60_000)
    assert "ArtifactNotStored" in told
    assert "File too large" in told
    assert "executed notebook could not be written" in told
    output = tmp_path / "out.ipynb"
    assert not output.exists(), "half a notebook is none"
    found = rebuild(journal_path(output))
    statuses = [cell.metadata.mlflowkit["status"] for cell in found.cells]
    assert statuses == ["completed", "interrupted", "not run"]
    assert found.cells[0].outputs[0].text == "first\n"


def test_a_disk_with_no_room_for_the_notebook_is_said_and_its_journal_stays(
    tmp_path: Path,
) -> None:
    record_of = record(tmp_path, "print(1)")
    record_of.cell_started(0, NOW)
    record_of.cell_ended(0, "completed", NOW, 0.1, 1)
    record_of.finish("completed", NOW)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(ArtifactNotStored, match="File exists"):
        record_of.write(blocked / "o.ipynb")
    assert rebuild(record_of.path).cells[0].metadata.mlflowkit.status == "completed"
    record_of.close()


def test_what_a_cell_cannot_write_or_get_says_what_to_do(run: Any) -> None:
    disk = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    disk += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    ran = run(code(disk + "open('big', 'wb', buffering=0).write(b'x' * 1001)"), code("1"))
    assert ran.error is None, "a file that was cut short is no error of Python's"
    ran = run(
        code(
            disk + "f = open('big', 'wb', buffering=0)\nfor _ in '12': f.write(b'x' * 1000)"
        )
    )
    assert ran.error.ename == "OSError"
    assert "A file may not be larger than that here" in ran.error.hint
    assert ran.statuses() == ["failed"]
    memory = (
        "import resource\nhave = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
    )
    memory += "resource.setrlimit(resource.RLIMIT_AS, (have + (1 << 28),) * 2)\n"
    ran = run(code("x = 1"), code(memory + "data = bytearray(1 << 30)"), code("y = 1"))
    assert ran.error.ename == "MemoryError"
    assert "the kernel had up to " in ran.error.hint
    assert " that it may have)" in ran.error.hint
    assert ran.statuses() == ["completed", "failed", "not run"]


# ── cells that break what is around them ──


def test_a_cell_that_forks_closes_its_streams_or_deletes_its_folder_harms_no_other(
    run: Any,
) -> None:
    fork = "import os\npid = os.fork()\nprint('child' if pid == 0 else 'parent')"
    gone = "import tempfile\nd = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)"
    ran = run(
        code(fork),
        code("import os\nos.close(1); os.close(2); print('closed')"),
        code(gone),
        code("!echo shell"),
        code("mine = os.getpid(); print(pid > 0)"),
    )
    assert ran.error is None
    assert ran.statuses() == ["completed"] * 5
    assert sorted(ran.printed(0).split()) == ["child", "parent"]
    assert ran.printed(1) == "closed\n"
    assert ran.printed(4) == "True\n"


def test_a_kernel_that_a_cell_broke_is_no_hang(run: Any) -> None:
    ran = run(code("import sys\nsys.stdout = None"), code("print(1)"), code("2"))
    assert (ran.error.status, ran.error.ename) == ("error", "KernelBroken")
    assert "a cell may have replaced what the kernel itself needs" in ran.error.evalue
    assert ran.statuses() == ["completed", "failed", "not run"]
    assert [out.ename for out in ran.notebook.cells[1].outputs] == ["KernelBroken"]


FLOODS = """
import ctypes, os, subprocess, time
subprocess.run("yes from a subprocess | head -c 40000000", shell=True)
log = os.path.join(os.path.dirname(os.environ["MLFLOWKIT_NOTEBOOK_IO"]), "kernel.log")
until = time.monotonic() + 100
while os.path.getsize(log) > 16 * 1024 * 1024 and time.monotonic() < until:
    time.sleep(0.05)
assert os.path.getsize(log) <= 16 * 1024 * 1024
"""


def test_what_subprocesses_put_out_fills_no_disk_and_last_words_are_kept(
    tmp_path: Path,
) -> None:
    crash = code("ctypes.string_at(0)")
    ran = execute(save(tmp_path / "n.ipynb", code(FLOODS), crash))
    assert ran.statuses() == ["completed", "killed"]
    assert "Segmentation fault" in str(ran.error)
