"""Connections and variables are looked for in the environment, then in the back end, then in
the store; in a person's own process the store is that of the home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflowkit import Connection, Variable, dag, task
from mlflowkit.errors import (
    BadSecretsFile,
    BadSetting,
    ConnectionMissing,
    InvalidVariable,
    SecretsBackendFailed,
    UnknownSecretsBackend,
    VariableMissing,
)
from mlflowkit.home_store import vault
from mlflowkit.hooks.base import BaseHook, get_connection, look_up
from mlflowkit.hooks.secrets_backend import BaseSecretsBackend
from mlflowkit.hooks.variable import look_up as look_up_variable


class MyBackend(BaseSecretsBackend):
    """A person's own."""

    def __init__(self, greeting: str = "hello") -> None:
        self.greeting = greeting

    def get_conn_value(self, conn_id: str) -> str | None:
        return "http://mine" if conn_id.startswith("mine") else None

    def get_variable(self, key: str) -> str | None:
        if key == "broken":
            raise SecretsBackendFailed("mine", "variable 'broken'", "it is shut")
        return self.greeting if key.startswith("mine") else None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FERNET_KEY", "SECRETS_BACKEND", "SECRETS_BACKEND_KWARGS"):
        monkeypatch.delenv(f"MLFLOWKIT_{name}", raising=False)
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file back end, with connections and variables named after where they are."""
    known = {name: f"http://backend-{name}" for name in ("all", "backend_and_store")}
    (tmp_path / "c.json").write_text(json.dumps(known))
    (tmp_path / "v.env").write_text("all=backend\nbackend_and_store=backend\n")
    arguments = {
        "connections_file_path": str(tmp_path / "c.json"),
        "variables_file_path": str(tmp_path / "v.env"),
    }
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND", "file")
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND_KWARGS", json.dumps(arguments))
    return tmp_path


def test_the_environment_comes_before_the_back_end_and_that_before_the_store(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("all", "backend_and_store", "store")
    for name in names:
        vault().put_connection(Connection(name, "http", "store"))
        vault().put_variable(name, "store")
    monkeypatch.setenv("MLFLOWKIT_CONN_ALL", "http://environment")
    monkeypatch.setenv("MLFLOWKIT_VAR_ALL", "environment")
    found = {name: look_up(name) for name in (*names, "none")}
    assert {name: each and (each[0].host, each[1]) for name, each in found.items()} == {
        "all": ("environment", "environment"),
        "backend_and_store": ("backend-backend_and_store", "secrets back end"),
        "store": ("store", "store"),
        "none": None,
    }
    assert {name: look_up_variable(name) for name in (*names, "none")} == {
        "all": ("environment", "environment"),
        "backend_and_store": ("backend", "secrets back end"),
        "store": ("store", "store"),
        "none": None,
    }


def test_looking_makes_no_home(home: Path) -> None:
    assert look_up("db") is None
    assert Variable.get("x", default=None) is None
    with pytest.raises(ConnectionMissing, match="mlflowkit connections add db"):
        Connection.get("db")
    assert not home.exists()


def test_a_connection_is_found_under_each_of_its_doors() -> None:
    stored = Connection("db", "postgres", "h", extra={"a": {"b": 1}})
    vault().put_connection(stored)
    doors = [Connection.get, BaseHook.get_connection, get_connection]
    assert [door("db") for door in doors] == [stored] * 3
    assert Connection.get("db").extra_dejson == {"a": {"b": 1}}
    assert Connection.get("db").get_uri() == stored.to_uri()


def test_a_task_of_dag_test_finds_what_the_home_has(home: Path) -> None:
    @task
    def use() -> list[object]:
        found = Connection.get("db").password if home.exists() else None
        before = Variable.get("mine", default=None)
        Variable.set("mine", 5)
        return [found, before, Variable.get("mine"), Variable.delete("mine")]

    @dag
    def d() -> None:
        use()

    assert d().test().result("use") == [None, None, "5", 1]
    vault().put_connection(Connection("db", "http", password="pw"))
    assert d().test().result("use") == ["pw", None, "5", 1]


# ── variables, under Airflow's names ────────────────────────────────────────


def test_a_variable_that_is_nowhere_is_an_error_or_a_default() -> None:
    Variable.set("warehouse", "x")
    with pytest.raises(VariableMissing, match="Did you mean 'warehouse'") as caught:
        Variable.get("warehause")
    assert isinstance(caught.value, KeyError)
    assert "MLFLOWKIT_VAR_WAREHAUSE" in str(caught.value)
    assert [
        Variable.get("no", None),
        Variable.get("no", default_var=2),
        Variable.get("no", default=3),
        Variable.get("no", default={"a": 1}, deserialize_json=True),
    ] == [None, 2, 3, {"a": 1}]


def test_a_variable_may_be_json() -> None:
    Variable.set("j", {"a": [1, None]}, serialize_json=True)
    assert Variable.get("j", deserialize_json=True) == {"a": [1, None]}
    assert Variable.get("j") == '{\n  "a": [\n    1,\n    null\n  ]\n}'
    Variable.set("n", 5)
    assert Variable.get("n") == "5"
    Variable.set("broken", "{hush")
    with pytest.raises(InvalidVariable, match=r"'broken' is no JSON \(line 1") as caught:
        Variable.get("broken", deserialize_json=True)
    assert "hush" not in str(caught.value)
    with pytest.raises(InvalidVariable, match="cannot be kept as JSON"):
        Variable.set("k", object(), serialize_json=True)
    with pytest.raises(InvalidVariable, match="1 to 250"):
        Variable.set(" ", "x")


def test_an_empty_variable_is_one() -> None:
    Variable.set("empty", "")
    assert Variable.get("empty", default="d") == ""


def test_setdefault_stores_only_what_is_not_there() -> None:
    assert Variable.setdefault("k", {"a": 1}, "words", deserialize_json=True) == {"a": 1}
    assert Variable.setdefault("k", "other", deserialize_json=True) == {"a": 1}
    assert vault().list_variables() == [("k", "words")]
    with pytest.raises(InvalidVariable, match="default of None"):
        Variable.setdefault("fresh", None)


def test_delete_says_how_many_there_were() -> None:
    Variable.set("k", "v")
    assert [Variable.delete("k"), Variable.delete("k")] == [1, 0]


def test_who_sets_a_variable_that_the_environment_hides_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOWKIT_VAR_K", "environment")
    Variable.set("k", "store")
    assert Variable.get("k") == "environment"
    assert "MLFLOWKIT_VAR_K hides it" in caplog.text


# ── the choice of a back end ────────────────────────────────────────────────


@pytest.mark.parametrize("path", [f"{__name__}.MyBackend", f"{__name__}:MyBackend"])
def test_a_class_of_ones_own_is_a_back_end(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND", path)
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND_KWARGS", '{"greeting": "hey"}')
    assert get_connection("mine_1") == Connection("mine_1", "http", "mine")
    assert Variable.get("mine_2") == "hey"
    assert Variable.get("other", "d") == "d"


def test_an_entry_point_names_a_back_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "their_vault-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: their-vault\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "[mlflowkit.secrets]\ntheirs = their_vault:Theirs\n"
    )
    (tmp_path / "site" / "their_vault.py").write_text(
        "from mlflowkit import BaseSecretsBackend\n"
        "class Theirs(BaseSecretsBackend):\n"
        "    def get_variable(self, key):\n        return 'theirs'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND", "theirs")
    assert Variable.get("anything") == "theirs"


def test_the_project_may_name_the_back_end(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("region: eu\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlflowkit]\nsecrets_backend = "file"\n'
        '[tool.mlflowkit.secrets_backend_kwargs]\nvariables_file_path = "v.yaml"\n'
    )
    assert Variable.get("region") == "eu"
    (tmp_path / "v.yaml").write_text("region: us-west\n")  # read anew when it changes
    assert Variable.get("region") == "us-west"


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("vaultt", "", "there is none of this name"),
        ("no.such.Module", "", "No module named 'no'"),
        ("mlflowkit.errors.Nope", "", "mlflowkit.errors has no Nope"),
        ("file", '{"path": "x"}', "its arguments do not fit"),
        ("pathlib.Path", "", "it is no BaseSecretsBackend"),
    ],
)
def test_a_back_end_that_cannot_be_made_is_an_error_that_says_why(
    monkeypatch: pytest.MonkeyPatch, name: str, arguments: str, why: str
) -> None:
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND", name)
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND_KWARGS", arguments)
    with pytest.raises(UnknownSecretsBackend, match=why):
        look_up("db")


def test_arguments_that_are_no_json_object_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND_KWARGS", "[1]")
    with pytest.raises(BadSetting, match="it is no JSON object"):
        look_up("db")


def test_a_back_end_that_cannot_answer_stops_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND", f"{__name__}.MyBackend")
    vault().put_variable("broken", "the store's own")
    with pytest.raises(SecretsBackendFailed, match="it is shut"):
        Variable.get("broken", "default")


def test_a_file_that_is_gone_is_an_error_and_not_an_empty_one(files: Path) -> None:
    (files / "c.json").unlink()
    with pytest.raises(BadSecretsFile, match=r"c\.json cannot be read: No such file"):
        look_up("all")
