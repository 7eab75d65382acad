"""BashOperator: output streamed, the last line kept, nothing left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlflowkit import DAG, BashOperator, task
from mlflowkit.errors import BadOption, BashCannotStart, CommandFailed, TaskSkipped


def test_the_last_line_is_the_value_and_all_output_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = BashOperator(task_id="t", bash_command="echo one; echo two >&2; echo three")
    assert task.execute({}) == "three"
    assert capsys.readouterr().out == "one\ntwo\nthree\n"
    assert BashOperator(task_id="t", bash_command="true").execute({}) == ""


def test_environment_and_folder_are_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", "here")

    def run(**options: object) -> object:
        command = 'echo "$OUTSIDE-$OWN-$(pwd)"'
        return BashOperator(
            task_id="t",
            bash_command=command,
            cwd=tmp_path,
            **options,  # type: ignore[arg-type]
        ).execute({})

    assert run() == f"here--{tmp_path}"
    assert run(env={"OWN": 1}) == f"-1-{tmp_path}"
    assert run(env={"OWN": 1}, append_env=True) == f"here-1-{tmp_path}"


def test_a_failed_command_says_its_status_and_last_lines() -> None:
    task = BashOperator(task_id="t", bash_command="echo a; echo b; exit 3")
    with pytest.raises(CommandFailed) as caught:
        task.execute({})
    assert str(caught.value) == (
        "the command of task 't' ended with exit status 3. Its last output:\na\nb"
    )
    with pytest.raises(CommandFailed, match="ended with signal 9"):
        BashOperator(task_id="t", bash_command="kill -9 $$").execute({})


def test_status_99_means_skipped_and_can_be_changed() -> None:
    with pytest.raises(TaskSkipped, match="ended with 99"):
        BashOperator(task_id="t", bash_command="exit 99").execute({})
    with pytest.raises(TaskSkipped):
        BashOperator(task_id="t", bash_command="exit 4", skip_on_exit_code=(4, 5)).execute(
            {}
        )
    with pytest.raises(CommandFailed):
        BashOperator(task_id="t", bash_command="exit 99", skip_on_exit_code=None).execute(
            {}
        )


def test_several_statuses_can_mean_skipped_and_what_is_no_status_is_refused() -> None:
    task = BashOperator(task_id="t", bash_command="exit 5", skip_on_exit_code=[4, 5])
    with pytest.raises(TaskSkipped):
        task.execute({})
    with pytest.raises(BadOption, match="must be whole numbers, not '99'"):
        BashOperator(task_id="t", bash_command="true", skip_on_exit_code=["99"])


def test_the_value_is_what_the_processor_makes_of_the_last_line() -> None:
    with DAG("bash") as dag:
        BashOperator(
            task_id="count",
            bash_command="echo noise; echo '{\"rows\": 3}'",
            output_processor=json.loads,
        )
        BashOperator(task_id="none", bash_command="exit 99")
    done = dag.test()
    assert done.states() == {"count": "success", "none": "skipped"}
    assert done.result("count") == {"rows": 3}
    with pytest.raises(BadOption, match="must be a function"):
        BashOperator(task_id="t", bash_command="true", output_processor="json")  # type: ignore[arg-type]


def test_the_environment_may_come_from_another_task() -> None:
    @task
    def names() -> dict[str, str]:
        return {"NAME": "Rex"}

    with DAG("bash") as dag:
        BashOperator(task_id="say", bash_command='echo "$NAME"', env=names())
    assert dag.test().result("say") == "Rex"


def test_templates_reach_the_fields_that_airflow_has() -> None:
    assert BashOperator.template_fields == ("bash_command", "env", "cwd")
    assert BashOperator.template_ext == (".sh", ".bash")


def test_a_folder_that_is_not_there_is_an_error_before_the_command() -> None:
    with pytest.raises(BashCannotStart, match="its cwd /nowhere is not a folder"):
        BashOperator(task_id="t", bash_command="true", cwd="/nowhere").execute({})


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ending_the_task_ends_all_that_the_command_started(how: signal.Signals) -> None:
    code = (
        "import signal, sys\nfrom mlflowkit import BashOperator\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        "command = 'sleep 600 & echo $!; wait'\n"
        "BashOperator(task_id='t', bash_command=command).execute({})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        sleeper = int(child.stdout.readline())
        os.kill(child.pid, how)
        assert child.wait(timeout=120) != 0
    deadline = time.monotonic() + 120
    while _alive(sleeper) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(sleeper)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()
