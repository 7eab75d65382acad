"""What must not bring an engine down, mix things up, or let others in."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflowkit import DAG, task
from mlflowkit.engine.client import EngineClient
from mlflowkit.errors import EngineRefused, RunFailed
from tests.homes import alive, engine_pid, fresh_home, wait_until


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_home(tmp_path) as home:
        monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
        monkeypatch.chdir(tmp_path)
        yield home


@task
def echo(value: object = None) -> object:
    return value


@task
def kind(value: object) -> str:
    return repr(value)


@task
def fail() -> None:
    raise ValueError("not today")


@task
def half(x: int) -> int | None:
    return x // 2 if x % 2 == 0 else None


@task
def pair(y: object) -> str:
    return f"<{y}>"


def test_a_home_that_was_deleted_is_a_new_home_and_its_engine_goes(home: Path) -> None:
    with DAG("again") as dag:
        echo(1)
    assert dag.run(wait=True).state == "success"
    first = engine_pid(home)
    shutil.rmtree(home)
    with DAG("again") as dag:
        fail()
    failed = dag.run(wait=False)
    with pytest.raises(RunFailed, match="not today"):
        failed.wait(120)
    wait_until(lambda: not alive(first))
    # The engine that went has not taken the socket of its successor with it.
    assert EngineClient(home).call("ping")["engine_id"].startswith(f"{engine_pid(home)}-")


def test_a_command_that_makes_no_sense_is_refused_and_the_engine_lives_on(
    home: Path,
) -> None:
    with DAG("alive") as dag:
        echo(1)
    dag.run(wait=True)
    pid = engine_pid(home)
    for command, arguments in [
        ("cancel", {"run_id": 2**63 - 1}),
        ("cancel", {"run_id": ["x"]}),
        ("retry", {"run_id": "alive/1", "task_ids": 7}),
        ("no such thing", {}),
    ]:
        client = EngineClient(home)
        with pytest.raises(EngineRefused):
            client.call(command, **arguments)
        client.close()
    assert engine_pid(home) == pid
    assert dag.run(wait=True).state == "success"


def test_parameters_keep_their_types_and_may_be_large(home: Path) -> None:
    with DAG("typed", params={"a": None, "b": None}) as dag:
        kind.override(task_id="a")(dag.params["a"])
        kind.override(task_id="b")(dag.params["b"])
    large = "x" * 70_000_000
    run = dag.run({"a": [(1, 2), {1: "a"}], "b": {"text": large[:40]}}, wait=True)
    assert run["a"].result() == "[(1, 2), {1: 'a'}]"
    with DAG("large", params={"text": ""}) as dag:
        echo(dag.params["text"])
    assert dag.run(text=large, wait=True)["echo"].result() == large


def test_files_of_task_instances_never_share_a_name(home: Path) -> None:
    with DAG("names") as dag:
        pair.override(task_id="a").expand(y=[1, 2])
        pair.override(task_id="a.1")(y=3)
    run = dag.run(wait=True)
    from mlflowkit.home_store import database
    from mlflowkit.store.runs import load_run

    with database(home).reading() as tx:
        found = load_run(tx, run.run_id)
    assert found is not None
    from mlflowkit.engine.owned import OwnedRun

    owned = OwnedRun(found, home)
    attempts = [
        owned.run.attempt_of(i)
        for n in owned.run.nodes.values()
        for i in n.instances.values()
    ]
    orders = [owned.order(a, lambda *_: None, lambda *_: None) for a in attempts]
    for file in ("log", "journal", "state_dir", "output_base"):
        assert len({getattr(order, file) for order in orders}) == 3


def test_a_retry_keeps_the_options_that_the_run_was_started_with(home: Path) -> None:
    with DAG("once", default_args={"retries": 3, "retry_delay": 3600}) as dag:
        fail()
    run = dag.run(retries=0, wait=False)
    with pytest.raises(RunFailed):
        run.wait(120)
    with pytest.raises(RunFailed):
        run.retry().wait(120)
    assert [a.number for a in run["fail"].attempts()] == [1, 2]


def test_a_task_may_be_mapped_over_a_mapped_one_and_none_has_its_place(home: Path) -> None:
    with DAG("twice") as dag:
        pair.expand(y=half.expand(x=[0, 1, 2]))
    run = dag.run(wait=True)
    assert run["half"].result() == [0, None, 1]
    assert run["pair"].result() == ["<0>", "<None>", "<1>"]


def test_a_home_is_for_its_owner_alone(home: Path) -> None:
    home.chmod(0o755)
    with DAG("private") as dag:
        echo(1)
    dag.run(wait=True)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "store.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "engine.sock").stat().st_mode) == 0o600


def test_files_of_the_working_folder_do_not_stand_in_for_pythons_own(
    home: Path, tmp_path: Path
) -> None:
    pipeline = tmp_path / "pipe.py"
    pipeline.write_text(
        "from mlflowkit import dag, task\n"
        "@task\ndef one():\n    return 1\n"
        "@dag\ndef piped():\n    one()\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("selectors.py", "argparse.py", "json.py"):
        (elsewhere / name).write_text("raise SystemExit('the wrong file ran')\n")
    command = Path(sys.executable).parent / "mlflowkit"
    done = subprocess.run(
        [str(command), "run", str(pipeline), "--json"],
        cwd=elsewhere,
        env={**os.environ, "MLFLOWKIT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "success"


@task(retries=2)
def a_lock() -> object:
    import threading

    return {"rows": [1, threading.Lock()]}


def test_a_value_that_cannot_travel_is_named_with_its_task_and_is_not_tried_again(
    home: Path,
) -> None:
    with DAG("stuck") as dag:
        echo(1) >> a_lock()
    run = dag.run(wait=False)
    with pytest.raises(RunFailed) as caught:
        run.wait(120)
    said = str(caught.value)
    assert "task 'a_lock' failed: CannotSerialize" in said
    assert "value['rows'][1]" in said
    assert "_thread.lock" in said
    assert len(run["a_lock"].attempts()) == 1
    assert run["echo"].result() == 1
