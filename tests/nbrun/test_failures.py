# mypy: allow-untyped-calls
"""A notebook that fails: the error says why, the written notebook is honest."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlflowkit.errors import (
    ArtifactNotStored,
    CannotSerialize,
    CellFailed,
    KernelDidNotStart,
    KernelWithoutMlflowkit,
    NotInNotebookTask,
    PathNotFound,
    ReturnMissing,
)
from mlflowkit.nbrun import failures
from mlflowkit.nbrun.journal import journal_path
from tests.memory_groups import small_group
from tests.nbrun.conftest import Ran, code, execute, save, text

PUSH = "import mlflowkit\nmlflowkit.push('early', (1, 2))"
BOOM = """
import json
def parse(text):
    return json.loads(text)
print('about to parse')
parse('{')
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    path = save(
        tmp_path_factory.mktemp("nb") / "fit.ipynb",
        text("# Fit"),
        code(PUSH),
        code(BOOM),
        code("print('never')"),
    )
    return execute(path)


def test_the_error_has_cell_source_output_and_values_pushed_before(failed: Ran) -> None:
    error = failed.error
    assert isinstance(error, CellFailed)
    assert (error.cell, error.status, error.ename) == (2, "error", "JSONDecodeError")
    assert error.values == {"early": (1, 2)}
    assert error.stream == "about to parse\n"
    assert error.source == BOOM
    assert error.retryable
    assert error.output.endswith("fit-executed.ipynb")


def test_its_message_reads_well(failed: Ran) -> None:
    message = str(failed.error)
    assert message.startswith(
        "cell 3 of fit.ipynb failed: JSONDecodeError: Expecting property"
    )
    assert "\n--> parse('{')\n" in message
    assert "it had printed:\nabout to parse" in message
    assert message.endswith(f"executed notebook: {failed.error.output}")


def test_its_traceback_has_the_cells_frames_and_none_of_libraries(failed: Ran) -> None:
    colourless = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failed.error.traceback))
    assert "Cell In[2], line 5" in colourless
    assert "Cell In[2], line 3, in parse(text)" in colourless
    assert "3 frames of libraries left out" in colourless
    assert "decoder.py" not in colourless
    assert "\x1b[" in "\n".join(failed.error.traceback)


def test_cells_that_never_ran_are_not_marked_as_run(failed: Ran) -> None:
    assert failed.statuses() == ["completed", "failed", "not run"]
    assert failed.papermill_statuses() == [
        "completed",
        "completed",
        "failed",
        "pending",
    ]
    assert failed.notebook.metadata.papermill.exception is True
    assert failed.notebook.metadata.mlflowkit.status == "failed"
    assert failed.notebook.cells[3].execution_count is None


def test_it_survives_being_sent_to_another_process(failed: Ran) -> None:
    again = pickle.loads(pickle.dumps(failed.error))
    assert (str(again), again.values, again.cell) == (
        str(failed.error),
        failed.error.values,
        failed.error.cell,
    )


def test_a_user_error_in_a_cell_is_not_worth_a_retry(run: Any) -> None:
    lines = "from mlflowkit.errors import DataError\nclass NoRows(DataError): ...\nraise NoRows('none')"
    ran = run(code(lines))
    assert (ran.error.ename, ran.error.retryable) == ("NoRows", False)


@pytest.mark.parametrize(
    ("leave", "said"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "killed by SIGKILL",
        ),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
        ("import os; os._exit(3)", "exited with status 3"),
        ("import os, signal; os.killpg(0, signal.SIGKILL)", "killed by SIGKILL"),
    ],
)
def test_a_dead_kernel_is_said_in_words_and_nothing_after_it_is_marked_as_run(
    run: Any, leave: str, said: str
) -> None:
    ran = run(code(PUSH), code(f"print('last words', flush=True)\n{leave}"), code("x = 1"))
    assert (ran.error.status, ran.error.ename) == ("killed", "KernelDied")
    assert said in ran.error.evalue
    assert ran.error.values == {"early": (1, 2)}
    assert ran.statuses() == ["completed", "killed", "not run"]
    assert ran.papermill_statuses() == ["completed", "failed", "pending"]
    outputs = ran.notebook.cells[1].outputs
    assert outputs[-1].ename == "KernelDied"
    assert said in outputs[-1].evalue


def test_a_segfault_names_the_native_call(run: Any) -> None:
    ran = run(code("import ctypes; ctypes.string_at(0)"))
    assert "Fatal Python error: Segmentation fault" in ran.error.evalue


def test_a_cell_that_takes_too_long_is_interrupted_and_says_where_it_was(
    run: Any,
) -> None:
    slow = "import time\nprint('waiting')\ntime.sleep(60)"
    ran = run(code("x = 1"), code(slow), code("x = 2"), cell_timeout=timedelta(seconds=1))
    assert (ran.error.status, ran.error.ename) == ("timeout", "CellTimeout")
    assert ran.error.evalue == "the cell took more than its 1 s"
    assert "----> 3 time.sleep(60)" in re.sub(r"\x1b\[[0-9;]*m", "", str(ran.error))
    assert ran.statuses() == ["completed", "timeout", "not run"]
    assert ran.papermill_statuses() == ["completed", "failed", "pending"]
    assert [o.ename for o in ran.notebook.cells[1].outputs[1:]] == [
        "KeyboardInterrupt",
        "CellTimeout",
    ]


@pytest.mark.parametrize("forked", ["on", "off"], ids=["forked", "cold"])
def test_a_cell_that_awaits_too_long_is_interrupted_and_tidies_up(
    run: Any, monkeypatch: pytest.MonkeyPatch, forked: str
) -> None:
    """A signal alone wakes no loop that waits: such a cell would have to be killed."""
    monkeypatch.setenv("MLFLOWKIT_FORKED_KERNELS", forked)
    waits = (
        "import asyncio\ntry:\n    await asyncio.sleep(600)\nfinally:\n    print('tidied')"
    )
    ran = run(code(PUSH), code(waits), cell_timeout=timedelta(seconds=2))
    assert (ran.statuses(), ran.printed(1)) == (["completed", "timeout"], "tidied\n")
    assert (ran.error.line, ran.error.ename) == (5, "CellTimeout")
    assert ran.error.values == {"early": (1, 2)}
    enames = [o.ename for o in ran.notebook.cells[1].outputs[1:]]
    assert enames == ["CancelledError", "CellTimeout"]


def test_a_cell_that_swallows_the_interrupt_is_ended_all_the_same(run: Any) -> None:
    stubborn = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)"
    )
    ran = run(code(stubborn), cell_timeout=timedelta(seconds=1))
    assert ran.statuses() == ["timeout"]


def test_input_explains_what_to_do_instead(run: Any) -> None:
    ran = run(code("name = input('who? ')"))
    assert ran.error.hint.startswith("input() asks a person")
    assert "make it a parameter" in str(ran.error)


def test_a_name_that_was_never_assigned_is_named_with_the_nearest_one(run: Any) -> None:
    ran = run(code("model = 1\nscores = 2"), returns=("model", "score"))
    assert isinstance(ran.error, ReturnMissing)
    assert "never assigned 'score'" in str(ran.error)
    assert "(it assigned: model, scores). Did you mean 'scores'?" in str(ran.error)
    assert ran.statuses() == ["completed"]


def test_a_value_that_cannot_travel_is_named_with_its_type(run: Any) -> None:
    ran = run(code("import threading\nlock = {'a': threading.Lock()}"), returns=("lock",))
    assert isinstance(ran.error, CannotSerialize)
    assert ran.error.type_name.endswith("lock")
    assert "notebook nb.ipynb, 'lock'" in str(ran.error)


def test_a_path_that_names_nothing_is_named(run: Any) -> None:
    ran = run(code("from pathlib import Path\nout = Path('/nowhere/x')"), returns=("out",))
    assert isinstance(ran.error, PathNotFound)
    assert "'/nowhere/x'" in str(ran.error)


def test_a_parameter_that_cannot_travel_is_refused_before_a_kernel_starts(
    run: Any,
) -> None:
    import threading

    ran = run(code("x = None", "parameters"), parameters={"x": threading.Lock()})
    assert isinstance(ran.error, CannotSerialize)
    assert "parameter 'x' of notebook nb.ipynb" in str(ran.error)
    assert (ran.notebook, ran.events) == (None, [])


def test_input_and_push_outside_of_a_task_say_where_they_work() -> None:
    from mlflowkit.nbrun import inside

    with pytest.raises(NotInNotebookTask, match=r"mlflowkit.input\(\) works while"):
        inside.input("rows")
    with pytest.raises(NotInNotebookTask, match=r"mlflowkit.push\(\) works while"):
        inside.push("rows", 1)


def test_an_unknown_input_is_an_error_of_the_cell_and_not_retried(run: Any) -> None:
    asks = "import mlflowkit\nmlflowkit.input('rosw')"
    ran = run(code("rows = ()", "parameters"), code(asks), parameters={"rows": (1,)})
    assert (ran.error.ename, ran.error.retryable) == ("UnknownInput", False)
    assert "Did you mean 'rows'?" in ran.error.evalue


def test_a_listener_that_breaks_stops_the_notebook_and_is_heard(tmp_path: Path) -> None:
    import nbformat

    from mlflowkit.nbrun.engine import NotebookEngine
    from mlflowkit.ports import CellEvent, NotebookOrder

    path = save(tmp_path / "n.ipynb", code("1"), code("2"))
    order = NotebookOrder(path=path, parameters={}, output=tmp_path / "o.ipynb")

    def listen(event: CellEvent) -> None:
        if (event.kind, event.cell) == ("cell_output", 0):
            raise BrokenPipeError("the engine is gone")

    with pytest.raises(BrokenPipeError):
        NotebookEngine().run(order, listen)
    written = nbformat.read(order.output, as_version=4)
    statuses = [cell.metadata.mlflowkit.status for cell in written.cells]
    assert statuses == ["interrupted", "not run"]


@pytest.fixture
def other_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a kernel spec with this command."""

    def install(*argv: str) -> str:
        import json

        folder = tmp_path / "jupyter" / "kernels" / "odd"
        folder.mkdir(parents=True)
        spec = {"argv": list(argv), "display_name": "Odd", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        return "odd"

    return install


def test_a_kernel_that_cannot_start_shows_its_last_words(
    run: Any, other_kernel: Any
) -> None:
    import sys

    name = other_kernel(sys.executable, "-c", "raise RuntimeError('no luck')")
    ran = run(code("1"), kernel_name=name)
    assert isinstance(ran.error, KernelDidNotStart)
    assert "exited with status 1 before it was ready" in str(ran.error)
    assert "RuntimeError: no luck" in str(ran.error)


def test_a_kernel_whose_program_is_missing_is_named(run: Any, other_kernel: Any) -> None:
    ran = run(code("1"), kernel_name=other_kernel("/no/such/python", "-m", "ipykernel"))
    assert isinstance(ran.error, KernelDidNotStart)
    assert "/no/such/python: No such file" in str(ran.error)


def test_a_working_folder_that_is_none_is_named(run: Any, tmp_path: Path) -> None:
    ran = run(code("1"), cwd=tmp_path / "gone")
    assert isinstance(ran.error, KernelDidNotStart)
    assert f"could not be started in {tmp_path / 'gone'}, which is no folder" in str(
        ran.error
    )


def test_a_full_disk_is_said_and_no_kernel_is_left(tmp_path: Path) -> None:
    output = tmp_path / "o.ipynb"
    journal_path(output).symlink_to("/dev/full")
    ran = execute(save(tmp_path / "n.ipynb", code("x = 1")), output=output)
    assert isinstance(ran.error, ArtifactNotStored)
    assert "No space left on device" in str(ran.error)
    assert ran.statuses() == ["not run"]
    assert not [
        child for child in psutil.Process().children() if "ipykernel" in child.name()
    ]


def test_too_much_memory_is_an_error_with_a_hint(run: Any) -> None:
    ran = run(code("bytearray(1 << 50)"))
    assert (ran.error.ename, ran.error.retryable) == ("MemoryError", True)
    assert "work on less at a time" in str(ran.error)


def test_a_kernel_without_mlflowkit_runs_plain_notebooks_only(
    run: Any, other_kernel: Any, tmp_path: Path
) -> None:
    import sys

    hide = "import sys; sys.modules['mlflowkit'] = None; from ipykernel import kernelapp as a; "
    name = other_kernel(
        sys.executable,
        "-c",
        hide + "a.launch_new_instance()",
        "-f",
        "{connection_file}",
    )
    plain = run(
        code("x = 1", "parameters"),
        code("print(x)"),
        kernel_name=name,
        parameters={"x": 2},
    )
    assert plain.printed(2) == "2\n"
    ran = run(code("x = 1"), kernel_name=name, returns=("x",))
    assert isinstance(ran.error, KernelWithoutMlflowkit)
    assert "needs mlflowkit inside the kernel 'Odd'" in str(ran.error)
    assert ran.statuses() == ["not run"]


def test_out_of_memory_is_told_from_other_kills() -> None:
    said, todo = failures.death(-9, (3 * 1024**3, 4 * 1024**3), oom=True)
    assert said == (
        "the kernel ran out of memory: the system killed it (SIGKILL), having used 3.0 GB of "
        "memory; its group of processes may have 4.0 GB"
    )
    assert "Work on less data" in todo
    said, todo = failures.death(-9, (3 * 1024**3, 4 * 1024**3), oom=False)
    assert said == "the kernel was killed by SIGKILL, having used 3.0 GB of memory"
    assert "Something outside of it" in todo


#: Runs in a group of little memory, with a kernel server of its own.
OUT_OF_MEMORY = """
import json, sys
from pathlib import Path
from tests.nbrun.conftest import code, execute, save
folder = Path(sys.argv[1])
ran = execute(save(folder / "n.ipynb", code("x = 1"), code("print('so far')"), code("big = b'x' * (900 * 2**20)"), code("print('later')")))
print(json.dumps([ran.error.ename, ran.error.evalue, ran.error.hint, ran.statuses(), ran.printed(1)]))
again = execute(save(folder / "again.ipynb", code("print('there is room for this')")))
print(again.printed(0))
"""


def test_a_kernel_that_its_group_has_no_memory_for_is_said_with_numbers(
    tmp_path: Path,
) -> None:
    """A real kill by the system; what runs the notebook lives on, and runs the next one."""
    with small_group(500 * 2**20) as enter, tempfile.TemporaryDirectory(dir="/tmp") as own:
        if enter is None:
            pytest.skip("this system lets nobody here make a group with less memory")
        ended = subprocess.run(
            [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path)],
            env={**os.environ, "TMPDIR": own, "MLFLOWKIT_KERNEL_IDLE": "0.1"},
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=enter,
        )
        assert ended.returncode == 0, ended.stderr
    told, later = ended.stdout.splitlines()[0], ended.stdout.splitlines()[1:]
    ename, evalue, hint, statuses, printed = json.loads(told)
    assert ename == "KernelDied"
    said = r"the kernel ran out of memory: the system killed it \(SIGKILL\), having used (\d+) MB of memory; its group of processes may have 500 MB"
    found = re.match(said, evalue)
    assert found, evalue
    assert 200 < int(found[1]) <= 500
    assert hint == "Work on less data at a time, or give the task more memory."
    assert statuses == ["completed", "completed", "killed", "not run"]
    assert (printed, later) == ("so far\n", ["there is room for this", ""])
