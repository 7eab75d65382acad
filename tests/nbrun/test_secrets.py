# mypy: allow-untyped-calls
"""`secret("db")`: a task or a notebook has the value, and nothing that is written does."""

from __future__ import annotations

import copy
import pickle
from base64 import b64decode, b64encode, encodebytes
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import numpy as np
import pytest
import requests

from mlflowkit import BashOperator, Connection, dag, notebook, secret, task
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.core.masking import Masker
from mlflowkit.core.secret import MOST_ITEMS, holds_handle, with_values
from mlflowkit.errors import (
    BadSecretName,
    SecretInValue,
    SecretTooShort,
    VariableMissing,
    WrongType,
)
from mlflowkit.hooks import secret as secrets
from mlflowkit.nbrun.guarding import dump_guarded
from mlflowkit.nbrun.parameters import check
from mlflowkit.nbrun.secrets_inside import holds_secret
from mlflowkit.store.vault import Vault
from mlflowkit.worker import masking
from tests.engine.conftest import World, home, world  # noqa: F401  # fixtures
from tests.nbrun.conftest import code, save
from tests.nbrun.leaks import leaks

# Not whole in this file: functions of it travel with the runs.
TOKEN = "-".join(["tok&en <7>", 'QQ"ünusual', "zz"])
PASSWORD = "-".join(["pa/ss+word", "ZUX9", "plain"])
#: As a file has it: with the end of its line.
LONG = (
    ".".join(["eyJhbGciOi", "JIUzI1NiIsInR5cCI6IkpX", "VCJ9-eyJzdWIiOiIxMjM0NTY3"]) + "\n"
)


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process meets in one test is forgotten in the next."""
    monkeypatch.setattr(masking, "_masker", Masker())
    monkeypatch.setattr(masking, "_guarded", {})


@pytest.fixture
def stored(world: World) -> World:  # noqa: F811
    """A home whose store has the connection `db` and the variable `api`."""
    vault = Vault(world.engine.database, world.home)
    vault.put_connection(Connection("db", "postgres", "h", "me", PASSWORD, 5, "s"))
    vault.put_variable("api", TOKEN)
    vault.put_variable("tiny", "four")
    vault.put_variable("long", LONG)
    return world


USES = """
import base64, json, logging, sys, time, urllib.parse
import pandas as pd
from IPython.display import HTML, Javascript, display
import ipywidgets

# each of these is another way out
print(token)
print(f"Bearer {token}", "{}".format(token), "%s" % token, token + "!", sep="|")
for before in ("", "u:", "me:", "you:"):
    print(base64.b64encode(f"{before}{token}!".encode()).decode())
    print(base64.urlsafe_b64encode(f"{before}{token}".encode()).decode())
print(urllib.parse.quote(token), json.dumps({"a": token}), repr(str(token)))
for character in token:
    print(character, end="", flush=True)
    time.sleep(0.005)
print()
sys.stderr.write(token[:9]); sys.stderr.flush(); time.sleep(0.02); sys.stderr.write(token[9:])
logging.getLogger().warning("sent %s", token)
display(HTML(f"<b title='{token}'>{token}</b>"), pd.DataFrame({"t": [str(token)]}))
display(Javascript(f"let t = {json.dumps(token)}"))
display({"application/json": {"t": [str(token)]}, "text/plain": str(token)}, raw=True)
slider = ipywidgets.Text(value=str(token), description=db.password)
display(slider)
handle = display("before", display_id="x"); handle.update(str(token))
"""
CUTS = """
import os, subprocess, textwrap
key = long.strip()
print([key], key.encode().hex(), base64.encodebytes(f"me:{key}".encode()).decode())
display(pd.DataFrame({"t": [key]}))
print(textwrap.fill(key, 24))
subprocess.run(["echo", key]); os.write(1, token.encode() + b"\\n"); os.write(2, key.encode())
time.sleep(0.5)
log = os.path.join(os.path.dirname(os.environ["MLFLOWKIT_NOTEBOOK_IO"]), "kernel.log")
print("in the log of the kernel:", len(open(log).read()))
"""
GIVES = """
import mlflowkit
assert db.get_uri().startswith("postgres://me:")
assert inner["keys"][0] == token and type(inner["keys"][0]) is type(token)
mlflowkit.push("length", len(token))
mlflowkit.push("again", token)
mlflowkit.report_progress(message=f"with {token}")
token
"""


def test_no_byte_of_the_home_shows_a_secret_that_a_notebook_and_functions_used(
    stored: World, tmp_path: Path
) -> None:
    nb = save(
        tmp_path / "use.ipynb",
        code(
            "token: str = ''\nlong = ''\ndb = None\ninner: dict[str, list[str]] = {}",
            "parameters",
        ),
        code(USES),
        code(GIVES),
        code("db"),
        code(CUTS),
        code("1 / 0 if len(token) else token\n"),
    )

    @task
    def takes(key: str, more: dict[str, Any]) -> list[object]:
        print(key, more)
        return [len(key), type(key).__name__, more["db"].host, len(more["db"].password)]

    @task
    def after(key: str) -> int:
        print("and", key)
        return len(key)

    @dag
    def d(key: object = None) -> None:
        used = notebook(
            nb,
            token=secret("var:api"),
            long=secret("var:long"),
            db=secret("db"),
            inner={"keys": [secret("var:api")]},
            retries=0,
        )
        takes(secret("var:api"), {"db": secret("db")})
        BashOperator(
            "shell", bash_command='echo "$K" | wc -c', env={"K": secret("var:api")}
        )
        after(hands_on()) >> used
        after.override(task_id="by_param")(key)

    @task
    def hands_on() -> object:
        return secret("var:api")

    run = stored.run(d(), key=secret("var:api"))
    assert {t.task_id: str(t.state) for t in run.view().tasks} == {
        "use": "failed",
        "takes": "success",
        "shell": "success",
        "hands_on": "success",
        "after": "success",
        "by_param": "success",
    }
    assert run["takes"].result() == [len(TOKEN), "SecretText", "h", len(PASSWORD)]
    assert run["shell"].result() == str(len(TOKEN.encode()) + 1)
    assert run["after"].result() == run["by_param"].result() == len(TOKEN)
    assert run["hands_on"].result() == secret("var:api")
    (executed,) = run.path.glob("use.ipynb")
    cells = nbformat.read(executed, 4).cells
    assert "token = mlflowkit.input('token')" in cells[1].source
    shown = "".join(out.get("text", "") for out in cells[2].outputs)
    assert shown.splitlines()[:2] == ["***", "Bearer ***|***|***|***!"]
    assert cells[3].outputs[-1]["data"]["text/plain"] == "'***'"
    assert "password='***'" in cells[4].outputs[0]["data"]["text/plain"]
    shown = "".join(out.get("text", "") for out in cells[5].outputs)
    assert shown.startswith("['***'] ***") and "in the log of the kernel: 0\n" in shown
    meta = nbformat.read(executed, 4).metadata.papermill["parameters"]
    assert meta["token"] == "secret('var:api')"
    assert leaks(stored.home, TOKEN, PASSWORD, LONG.strip(), LONG[:24]) == []
    assert leaks(
        stored.home, "a word of this file"
    )  # it travelled with the run: they are read


def test_what_holds_a_secret_is_not_stored_and_the_task_says_what_to_do(
    stored: World, tmp_path: Path
) -> None:
    tagged = save(
        tmp_path / "gives.ipynb",
        code("token = ''", "parameters"),
        code("headers = {'Authorization': f'Bearer {token}'}"),
    )
    pushes = save(
        tmp_path / "pushes.ipynb",
        code("db = None", "parameters"),
        code(
            "import mlflowkit\nmlflowkit.push('fine', 1)\nmlflowkit.push('uri', db.get_uri())"
        ),
    )

    @task(retries=3, retry_delay=60)
    def returns(key: str) -> object:
        import numpy

        return {"a": numpy.array(["x", key + "!"]), "big": ["y" * 40_000]}

    named = save(
        tmp_path / "named.ipynb",
        code("token = ''", "parameters"),
        code("import mlflowkit\nmlflowkit.push('fine', 2)\nmlflowkit.push(token, 1)"),
    )

    @task(retries=3, retry_delay=60)
    def names(key: str, ti: Any = None) -> None:
        ti.xcom_push(f"of {key}", 1)

    @dag
    def d() -> None:
        returns(secret("var:api"))
        names(secret("var:api"))
        notebook(named, token=secret("var:api"))
        notebook(tagged, token=secret("var:api"), returns=["headers"])
        notebook(pushes, db=secret("db"))

    run = stored.run(d())
    tasks = ("returns", "gives", "pushes", "names", "named")
    said = {t: run[t].attempts()[-1].reason for t in tasks}
    assert said["returns"].startswith(
        "SecretInValue: task 'returns', XCom 'return_value' holds the value of the variable "
        "'api', and nothing that is stored may: it was not stored."
    )
    assert (
        "notebook gives.ipynb, 'headers' holds the value of the variable 'api'"
        in said["gives"]
    )
    assert (
        "push('uri') in notebook pushes.ipynb holds the value of the connection 'db'"
        in (run["pushes"].attempts()[-1].error)
    )
    what = "holds the value of the variable 'api'"
    assert f"the name of an XCom of notebook named.ipynb {what}" in said["named"]
    assert f"the name of an XCom of task 'names' {what}" in said["names"]
    assert run["named"].pushed() == {"fine": 2}
    assert [len(run[t].attempts()) for t in said] == [1] * 5
    assert leaks(stored.home, TOKEN, PASSWORD) == []


def test_a_secret_that_cannot_be_hidden_or_found_is_an_error_of_the_task(
    stored: World,
) -> None:
    @task
    def takes(key: object) -> None:
        raise AssertionError("it never runs")

    @dag
    def d() -> None:
        takes.override(task_id="short")(secret("var:tiny"))
        takes.override(task_id="gone")(secret("var:nothing"))

    run = stored.run(d())
    assert "SecretTooShort: the variable 'tiny' cannot be used as a secret" in (
        run["short"].attempts()[0].reason
    )
    assert "VariableMissing" in run["gone"].attempts()[0].reason


# ── in one process ──


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> secrets.SecretText:
    monkeypatch.setenv("MLFLOWKIT_VAR_API", TOKEN)
    found = secrets.value_of(secret("var:api"))
    assert isinstance(found, secrets.SecretText)
    return found


def test_the_text_of_a_secret_is_a_text_for_libraries_and_hidden_in_its_repr(
    token: secrets.SecretText,
) -> None:
    assert repr(token) == "'***'" and f"{[token]}" == "['***']"
    assert f"{token}" == str(token) == token == TOKEN
    assert type(str(token)) is str and ("a" + token).startswith("atok")
    plain = "-".join(["ascii", "secret", "77"])
    sent = requests.Request(
        "GET",
        "http://h/x",
        headers={"Authorization": secrets.SecretText(plain, "var:x")},
        params={"key": token},
    ).prepare()
    assert sent.headers["Authorization"] == plain
    assert quote(TOKEN[:3]) in (sent.url or "")
    assert copy.copy(token) is token and copy.deepcopy([token])[0] is token


def test_a_pickled_secret_is_its_name_and_is_looked_up_again(
    token: secrets.SecretText,
) -> None:
    data = pickle.dumps({"a": [token]})
    assert TOKEN.encode() not in data and b"var:api" in data
    assert pickle.loads(data) == {"a": [TOKEN]}
    assert repr(pickle.loads(data)) == "{'a': ['***']}"


def test_handles_are_found_in_containers_and_data_is_left_alone() -> None:
    handle = secret("var:api")
    given = {"a": [1, (handle, {2: handle})], "b": {3}}
    assert with_values(given, lambda one: one.name) == {
        "a": [1, ("var:api", {2: "var:api"})],
        "b": {3},
    }
    rows = [[0]] * (MOST_ITEMS + 1)
    assert with_values(rows, lambda _: None) is rows
    assert not holds_handle({"a": "secret('var:api')"})
    for name in ("", "var:", 3):
        with pytest.raises(BadSecretName, match=r"secret\('var:token'\)"):
            secret(name)  # type: ignore[arg-type]


def test_a_handle_has_a_type_that_is_checked_before_the_run(tmp_path: Path) -> None:
    nb = save(
        tmp_path / "n.ipynb",
        code(
            "a: str = ''\nb: Connection = None\nc: int = 1\nd = ''\ne: Any = 0\n"
            "f: list[str] = []",
            "parameters",
        ),
    )
    check(nb, {"a": secret("var:x"), "b": secret("db"), "d": secret("var:x")})
    check(nb, {"e": secret("db")})
    check(nb, {"f": [secret("var:x")]})
    for name, handle in (("a", "db"), ("c", "var:x"), ("c", "db"), ("d", "db")):
        with pytest.raises(WrongType, match=f"given secret\\('{handle}'\\)"):
            check(nb, {name: secret(handle)})


class Client:
    def __init__(self, **facts: object) -> None:
        vars(self).update(facts)


def test_what_holds_a_secret_is_known_at_any_depth(token: secrets.SecretText) -> None:
    frames = pytest.importorskip("pandas")
    text = str(token)
    holders = [
        token,
        text,
        f"x{text}y",
        quote(text),
        b64encode(b"me:" + text.encode()),
        {"a": [(1, text)]},
        Client(headers={"auth": text}),
        Client(inner=Client(key=token)),
        frames.DataFrame({"t": ["a", text]}),
        np.array(["a", text]),
        np.array(["a", token], dtype=object),
        lambda: text,
        Connection("c", "http", password="short"),
    ]
    assert [holds_secret(one) for one in holders] == [True] * len(holders)
    others = [1, None, "text", ["a"] * 5, np.zeros((9, 9)), Client(a=1), open, object()]
    others += [frames.DataFrame({"t": ["a"]}), Connection("c", "http"), secret("var:api")]
    assert [holds_secret(one) for one in others] == [False] * len(others)


def test_without_a_secret_nothing_is_looked_into() -> None:
    assert not holds_secret(Connection("c", "http", password="never-met"))


@pytest.mark.parametrize(
    "value",
    [
        "{}",
        {"k": "{}"},
        {"{}": 1},
        ("x", {"{}"}),
        ["y" * 40_000, "{}"],
        np.array(["a", "{}"]),
        np.array(["{}"] * 9000),
        Path("{}"),
        Path("{}.txt"),
        b64encode(b"{}"),
        encodebytes(b"a longer name before it, so that it is in two lines: {}"),
    ],
    ids=repr,
)
def test_every_way_to_store_a_value_refuses_the_secret_and_leaves_nothing(
    token: secrets.SecretText, tmp_path: Path, value: object
) -> None:
    artifacts = FileArtifacts(tmp_path / "a")
    held = _put(value, str(token), tmp_path)
    with pytest.raises(SecretInValue, match="holds the value of the variable 'api'"):
        dump_guarded(held, artifacts, where="task 't'")
    assert leaks(tmp_path / "a", TOKEN) == []
    fine = _put(value, "something else", tmp_path / "other")
    assert dump_guarded(fine, artifacts, where="task 't'").size > 0
    if not isinstance(value, Path | str | bytes):
        with pytest.raises(SecretInValue):
            dump_guarded([held], artifacts, where="t", expandable=True)
    assert leaks(tmp_path / "a", TOKEN) == []


def _put(value: Any, text: str, folder: Path) -> Any:
    """`value` with `text` in the place of each "{}"."""
    if isinstance(value, bytes):
        encode = encodebytes if b"\n" in value else b64encode
        return encode(b64decode(value).replace(b"{}", text.encode()))
    if isinstance(value, Path) and value.suffix:
        (folder / "named").mkdir(parents=True)
        named = folder / "named" / f"{text}{value.suffix}"
        named.write_text("x")
        return named
    if isinstance(value, Path):
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "file.txt").write_text("x" * 1_048_570 + text)
        return folder / "in"
    if isinstance(value, str):
        return text if value == "{}" else value
    if isinstance(value, dict):
        return {_put(k, text, folder): _put(v, text, folder) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return np.array([_put(str(one), text, folder) for one in value])
    if isinstance(value, int):
        return value
    return type(value)(_put(one, text, folder) for one in value)


def test_missing_and_short_values_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_VAR_TINY", "four")
    with pytest.raises(SecretTooShort, match="fewer than 5 characters"):
        secrets.value_of(secret("var:tiny"))
    with pytest.raises(VariableMissing):
        secrets.value_of(secret("var:not_there_at_all"))
