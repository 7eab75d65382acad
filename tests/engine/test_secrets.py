"""A task uses secrets of the store: nothing that the run leaves behind shows them."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from mlflowkit import (
    Connection,
    Variable,
    dag,
    mask_secret,
    notebook,
    report_progress,
    task,
)
from mlflowkit.handles.run import RunHandle
from mlflowkit.store.vault import Vault
from tests.engine.conftest import World

PASSWORD = "-".join(["pa/ss wörd", "ZUX9"])  # not whole in this file, which travels
TOKEN = "-".join(["tok-77", "QQ-unusual"])
SECRETS = [
    form
    for secret in (PASSWORD, TOKEN)
    for form in (secret, quote(secret, safe=""), b64encode(secret.encode()).decode())
]


@pytest.fixture(autouse=True)
def secrets(world: World) -> Vault:
    """`db` and the variables `my_token` and `plain` are in the store of the home."""
    vault = Vault(world.engine.database, world.home)
    vault.put_connection(Connection("db", "postgres", "h", "me", PASSWORD, 5, "s"))
    vault.put_variable("my_token", TOKEN)
    vault.put_variable("plain", '{"a": 1}')
    return vault


def shown_in(folder: Path) -> list[tuple[str, str]]:
    """Each file below a folder with each secret that stands in it."""
    found: list[tuple[str, str]] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        found += [(path.name, form) for form in SECRETS if form.encode() in data]
    return found


def log_of(run: RunHandle, task_id: str) -> str:
    (log,) = (run.path / "logs").glob(f"{task_id}*.log")
    return log.read_text()


def test_a_task_finds_what_the_store_has_and_no_byte_of_the_home_shows_it(
    world: World,
) -> None:
    @task
    def use() -> list[object]:
        import os
        import time
        from pathlib import Path

        connection = Connection.get("db")
        password = connection.password or ""
        print(password, repr(connection.get_uri()), connection)
        for byte in f"<{password}>\n".encode():
            os.write(1, bytes([byte]))
            time.sleep(0.001)
        print(
            "prompt: pass", end="", flush=True
        )  # begins like no secret, and ends without a line end
        os.write(2, f" {Variable.get('my_token')} {Variable.get('plain')}\n".encode())
        report_progress(message=f"with {password}", done=1)
        everybody = [
            path.name
            for path in Path("/proc").glob("[0-9]*")
            if any(_has(path / name, password) for name in ("environ", "cmdline"))
        ]
        variable = Variable.get("plain", deserialize_json=True)
        return [everybody, variable, Variable.get("none", default=5), len(password)]

    def _has(path: Path, secret: str) -> bool:
        try:
            return secret.encode() in path.read_bytes()
        except OSError:
            return False

    @task(retries=0)
    def breaks(_rows: object) -> None:
        password = Connection.get("db").password
        try:
            raise KeyError(password)
        except KeyError as exc:
            raise ValueError(f"cannot log in as me:{password}") from exc

    @dag
    def d() -> None:
        breaks(use())

    run = world.run(d())
    assert {t.task_id: str(t.state) for t in run.view().tasks} == {
        "use": "success",
        "breaks": "failed",
    }
    assert run["use"].result() == [[], {"a": 1}, 5, len(PASSWORD)]
    assert log_of(run, "use").splitlines() == [
        "*** 'postgres://me:***@h:5/s' Connection(conn_id='db', conn_type='postgres', "
        "host='h', login='me', password='***', port=5, schema='s', extra={})",
        "<***>",
        'prompt: pass *** {"a": 1}',
    ]
    (attempt,) = run["breaks"].attempts()
    assert attempt.reason == "ValueError: cannot log in as me:***"
    assert "KeyError: '***'" in attempt.error
    assert attempt.facts.get("exception") is None
    (journal,) = run.path.rglob("use*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert {"kind": "progress", "message": "with ***", "done": 1} in lines
    assert shown_in(world.home) == []


def test_a_notebook_finds_it_too_and_its_executed_copy_shows_nothing(
    world: World, tmp_path: Path
) -> None:
    cells = [
        "import sys, time\nfrom mlflowkit import Connection, Variable, mask_secret, push\n"
        "password = Connection.get('db').password\n"
        "print(password)\n"
        "for c in password:\n    print(c, end='')\n    sys.stdout.flush()\n    time.sleep(0.02)",
        "made = 'made' + '-here-88'\nmask_secret(made)\nprint(made, 'pa')",
        "{'my': Variable.get('my_token')}",
        "Variable.set('from_notebook', len(password))\npush('length', len(password))",
        "raise ValueError('no: ' + password)",
    ]
    path = tmp_path / "n.ipynb"
    made = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(made, path)

    @dag
    def d() -> None:
        notebook(str(path), retries=0)

    run = world.run(d())
    (attempt,) = run["n"].attempts()
    assert attempt.outcome == "failed"
    assert "ValueError: no: ***" in attempt.error
    (executed,) = run.path.rglob("n.ipynb")
    outputs = [cell.outputs for cell in nbformat.read(executed, 4).cells]
    assert outputs[0][0]["text"] == "***\n***"
    assert outputs[1][0]["text"] == "*** pa\n"
    assert outputs[2][0]["data"]["text/plain"] == "{'my': '***'}"
    assert outputs[4][0]["evalue"] == "no: ***"
    assert b"made-here-88" not in b"".join(
        p.read_bytes() for p in run.path.rglob("*") if p.is_file() and p.suffix != ".ipynb"
    )
    assert shown_in(world.home) == []
    vault = Vault(world.engine.database, world.home)
    assert vault.variable("from_notebook") == str(len(PASSWORD))


def test_a_task_sets_and_deletes_variables_of_the_store(
    world: World, secrets: Vault
) -> None:
    @task
    def work() -> list[object]:
        Variable.set("rows", {"n": 3}, "counted", serialize_json=True)
        before = Variable.get("rows", deserialize_json=True)
        kept = Variable.setdefault("rows", "other")
        new = Variable.setdefault("fresh", "first")
        return [before, kept, new, Variable.delete("plain"), Variable.delete("plain")]

    @dag
    def d() -> None:
        work()

    run = world.run(d())
    assert run["work"].result() == [{"n": 3}, '{\n  "n": 3\n}', "first", 1, 0]
    assert secrets.list_variables() == [
        ("fresh", ""),
        ("my_token", ""),
        ("rows", "counted"),
    ]


def test_the_previews_of_xcoms_show_no_secret(world: World) -> None:
    @task
    def gives() -> str:
        return "it is " + Variable.get("my_token")

    @dag
    def d() -> None:
        gives()

    run = world.run(d())
    assert run["gives"].result() == f"it is {TOKEN}"  # a value stays what it is
    with world.engine.database.reading() as tx:
        previews = tx.exec_driver_sql("SELECT preview FROM xcoms").fetchall()
    assert [TOKEN in preview for (preview,) in previews] == [False]
    assert "***" in previews[0][0]


def test_a_value_that_a_task_names_itself_is_hidden_and_a_short_one_is_said_not_to_be(
    world: World,
) -> None:
    @task
    def work() -> None:
        mask_secret({"a": "first-value", "b": ["second-value"]})
        mask_secret("four")
        print("first-value second-value four")

    @dag
    def d() -> None:
        work()

    log = log_of(world.run(d()), "work")
    assert log.endswith("*** *** four\n")
    assert "has fewer than 5 characters: it is not masked in logs" in log


def test_what_the_environment_defines_is_hidden_though_a_task_prints_all_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_ENV_DB", f"http://me:{quote(PASSWORD, safe='')}@h")
    monkeypatch.setenv("MLFLOWKIT_VAR_ENV_TOKEN", TOKEN)

    @task
    def prints() -> str:
        print(dict(os.environ))
        return str(Variable.get("env_token") == TOKEN)

    @dag
    def d() -> None:
        prints()

    run = world.run(d())
    assert run["prints"].result() == "True"
    log = log_of(run, "prints")
    assert "http://me:***@h" in log and "'MLFLOWKIT_VAR_ENV_TOKEN': '***'" in log
    assert [form for form in SECRETS if form in log] == []


def test_the_key_of_the_store_never_reaches_a_task(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.fernet import Fernet

    key = Fernet.generate_key().decode()
    monkeypatch.setenv("MLFLOWKIT_FERNET_KEY", key)

    @task
    def looks() -> str | None:
        return os.environ.get("MLFLOWKIT_FERNET_KEY")

    @dag
    def d() -> None:
        looks()

    run = world.run(d())
    assert run["looks"].result() is None
    files = [p for p in world.home.rglob("*") if p.is_file()]
    assert [p.name for p in files if key.encode() in p.read_bytes()] == []


def test_a_wrong_key_ends_the_task_at_once_and_says_what_to_do(world: World) -> None:
    from cryptography.fernet import Fernet

    (world.home / "fernet.key").write_text(Fernet.generate_key().decode())

    @task(retries=3, retry_delay=60)
    def work() -> None:
        Connection.get("db")

    @dag
    def d() -> None:
        work()

    run = world.run(d())
    (attempt,) = run["work"].attempts()
    assert "the connection 'db' was encrypted with another key" in attempt.reason
    assert "append it to MLFLOWKIT_FERNET_KEY" in attempt.error
