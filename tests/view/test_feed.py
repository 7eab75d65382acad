"""What the feed of a run answers to a screen, and what it refuses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mlflowkit import dag, task
from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.errors import (
    BadOption,
    BadViewRequest,
    MlflowkitError,
    NotCancelled,
    NotCleared,
    NotMarked,
    RunNotFound,
)
from mlflowkit.handles.run import RunHandle
from mlflowkit.view import RunFeed, previews
from mlflowkit.view.static import static_text
from tests.homes import fresh_home

LINES = 6000


@task
def writes(n: int) -> list[int]:
    for i in range(n):
        print(f"line {i} ä")
    return [1, 2]


@task
def double(x: int) -> int:
    if x == 2:
        raise ValueError("not two")
    return 2 * x


@dag
def fed(n: int = LINES) -> None:
    double.expand(x=writes(n))


@task(task_id="double")
def triple(x: int) -> int:
    if x == 2:
        raise ValueError("still not two")
    return 3 * x


@dag(dag_id="fed")
def other(n: int = LINES) -> None:
    triple.expand(x=writes(n))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunHandle]:
    folder = tmp_path_factory.mktemp("feed")
    with pytest.MonkeyPatch.context() as patch, fresh_home(folder) as home:
        patch.setenv("MLFLOWKIT_HOME", str(home))
        patch.chdir(folder)
        handle = fed().run(wait=False)
        with pytest.raises(MlflowkitError):
            handle.wait(timeout=120)
        yield handle


@pytest.fixture(scope="module")
def feed(run: RunHandle) -> RunFeed:
    return RunFeed(run.home, run.run_id)


def details(feed: RunFeed, task_id: str, what: str, **more: Any) -> dict[str, Any]:
    return feed.request("details", {"task_id": task_id, "what": what, **more})


def test_a_snapshot_and_its_cursor_say_all_and_an_old_cursor_gets_a_snapshot(
    feed: RunFeed,
) -> None:
    found = feed.request("snapshot", {})
    assert json.loads(json.dumps(found)) == found
    assert {t["id"]: t["state"] for t in found["tasks"]} == {
        "writes": "success",
        "double": "failed",
    }
    assert found["tasks"][1]["counts"] == {"success": 1, "failed": 1}
    assert found["tasks"][1]["strip"] == "s1f1"
    assert (found["run"]["actions"], found["run"]["over"]) == (["retry"], True)
    assert found["run"]["params"] == {"n": str(LINES)}
    assert [b["id"] for b in found["layout"]["boxes"]] == ["writes", "double"]
    patch = feed.request("patch", {"cursor": found["cursor"]})
    assert (patch["kind"], patch["tasks"], patch["run"]) == ("patch", {}, {})
    assert feed.request("patch", {"cursor": "gone:4"})["kind"] == "snapshot"


def test_a_log_is_read_by_its_end_then_by_offset_in_whole_letters(feed: RunFeed) -> None:
    whole = "".join(f"line {i} ä\n" for i in range(LINES))
    end = details(feed, "writes", "log")
    assert end["over"]
    text = end["text"]
    while end["more"]:
        end = details(feed, "writes", "log", offset=end["next"])
        text += end["text"]
    assert whole.endswith(text)
    assert text.startswith("line ")
    found, at = "", 0
    while True:
        part = details(feed, "writes", "log", offset=at)
        found, at = found + part["text"], part["next"]
        if not part["more"]:
            break
    assert found == whole
    before = details(feed, "writes", "log", offset=3, until=7)
    assert (before["text"], before["next"]) == ("e 0 ", 7)
    assert details(feed, "writes", "log", attempt=7)["text"] == ""


def test_pages_bars_errors_and_values_of_instances(feed: RunFeed) -> None:
    page = feed.request("page", {"task_id": "double", "limit": 10_000})
    assert [(r["map_index"], r["state"]) for r in page["rows"]] == [
        (0, "success"),
        (1, "failed"),
    ]
    bad = feed.request("page", {"task_id": "double", "states": ["failed"]})
    assert (bad["total"], [r["map_index"] for r in bad["rows"]]) == (1, [1])
    one = feed.request("page", {"task_id": "double", "index": 1})["rows"]
    assert [r["reason"] for r in one] == ["ValueError: not two"]
    bars = feed.request("gantt", {})
    assert [(r["task_id"], r["map_index"], len(r["bars"])) for r in bars["rows"]] == [
        ("writes", -1, 1),
        ("double", 0, 1),
        ("double", 1, 1),
    ]
    error = details(feed, "double", "error", map_index=1)
    assert error["text"].strip().endswith("ValueError: not two")
    assert details(feed, "double", "attempts", map_index=1)["attempts"][0]["outcome"] == (
        "failed"
    )
    values = details(feed, "double", "values", map_index=0)["xcoms"]
    assert [(x["key"], x["preview"]) for x in values] == [("return_value", "2")]
    shown = details(feed, "double", "xcom", map_index=0, key="return_value")
    assert (shown["kind"], shown["value"]) == ("json", 2)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("nothing", {}),
        ("patch", {}),
        ("patch", {"cursor": 7}),
        ("page", {"task_id": "nobody"}),
        ("page", {"task_id": "double", "offset": "1"}),
        ("page", {"task_id": "double", "states": "failed"}),
        ("details", {"task_id": "../../etc", "what": "log"}),
        ("details", {"task_id": "writes", "what": "secrets"}),
        ("details", {"task_id": "writes", "what": "xcom", "key": "none"}),
        ("details", {"task_id": "writes", "what": "log", "attempt": "../1"}),
        ("act", {"action": "format"}),
        ("act", {"action": "clear"}),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    feed: RunFeed, kind: str, payload: dict[str, Any]
) -> None:
    with pytest.raises(BadViewRequest):
        feed.request(kind, payload)


def test_a_run_that_is_not_there_is_named(run: RunHandle) -> None:
    with pytest.raises(RunNotFound, match="fed/99"):
        RunFeed(run.home, "fed/99")


def test_the_static_text_says_the_same(run: RunHandle) -> None:
    lines = static_text(run.view()).splitlines()
    assert lines[0].startswith(f"run {run.run_id}: failed")
    assert [" ".join(line.split()[:-2]) for line in lines[1:]] == [
        "✓ success writes",
        "✕ 1 success, 1 failed double",
    ]


class Custom:
    """Only a pickle can carry it."""

    opened: ClassVar[list[str]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, ()


def _open() -> Custom:
    Custom.opened.append("opened")
    return Custom()


def test_values_are_previewed_by_kind_and_no_pickle_is_opened(tmp_path: Path) -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    image = pytest.importorskip("PIL.Image")
    artifacts = FileArtifacts(tmp_path)

    def shown(value: Any) -> dict[str, Any]:
        found = previews.shown(serializers.dump(value, artifacts), tmp_path)
        assert len(json.dumps(found)) < 2_000_000
        return found

    table = shown(pd.DataFrame({"a": range(1000), "b": "<b>"}))
    assert (table["kind"], table["shape"], len(table["rows"])) == ("table", [1000, 2], 50)
    assert (table["columns"], table["rows"][1]) == (["a", "b"], ["1", "<b>"])
    array = shown(np.zeros((300, 300), dtype="float32"))
    assert (array["kind"], array["shape"], array["dtype"]) == (
        "array",
        [300, 300],
        "float32",
    )
    assert len(array["values"]) == 200
    picture = shown(image.new("RGB", (2000, 1000), "red"))
    assert (picture["kind"], picture["width"], picture["height"]) == ("image", 2000, 1000)
    deep: Any = "x" * 5000
    for _ in range(30):
        deep = {"deeper": [deep, float("nan")]}
    assert shown(deep)["kind"] == "json"
    many = shown({str(i): i for i in range(1000)})["value"]
    assert (len(many), many["…"]) == (201, "1,000 in all")
    pickled = shown({"a": Custom()})
    assert (pickled["kind"], Custom.opened) == ("line", [])
    assert "pickle" in pickled["why"].lower()


def test_what_would_run_again_is_told_before_it_does(run: RunHandle) -> None:
    def told(action: str, dag: Any = None, **where: Any) -> dict[str, Any]:
        feed = RunFeed(run.home, run.run_id, dag)
        return feed.request("foresee", {"action": action, **where})

    assert told("retry") == {
        "line": "double[1] (with the code that it had)",
        "ask": "",
        "changed": [],
    }
    assert told("clear", fed(), task_id="double", map_index=0) == {
        "line": "double[0] (with the same code)",
        "ask": "Run double[0] again, with the same code? Results of double[0] are replaced.",
        "changed": [],
    }
    assert told("clear", other(), task_id="writes") == {
        "line": "writes, double (with changed code: double)",
        "ask": "Run writes, double again, with changed code: double? "
        "Results of writes, double[0] are replaced.",
        "changed": ["double"],
    }
    with pytest.raises(NotCleared, match="its task instances are"):
        told("clear", task_id="double", map_index=7)
    with pytest.raises(BadViewRequest):
        told("cancel")
    assert [i.attempt for i in run.view().task("double").instances] == [1, 1]


def test_an_instance_is_cleared_alone_while_others_go_on_printing(
    run: RunHandle, capsys: pytest.CaptureFixture[str]
) -> None:
    over, printed = threading.Event(), list[int]()

    def prints() -> None:
        while not over.is_set():
            print("tick")
            printed.append(1)
            time.sleep(0.001)

    others = threading.Thread(target=prints)
    others.start()
    feed = RunFeed(run.home, run.run_id, other())
    where = {"task_id": "double", "map_index": 0}
    said = feed.request("act", {"action": "clear_only", **where})["said"]
    over.set()
    others.join()
    assert said == "it runs again, with changed code: double"
    assert capsys.readouterr().out == "tick\n" * len(printed)
    with pytest.raises(MlflowkitError):
        run.wait(timeout=60)
    attempts = [i.attempt for i in run.view().task("double").instances]
    assert (attempts, run["double"][0].result()) == ([2, 1], 3)
    with pytest.raises(MlflowkitError, match="still not two"):
        run["double"].retry(code="same").wait(timeout=60)  # those that did not succeed
    with pytest.raises(MlflowkitError, match="still not two"):
        run["double"].clear(indexes=[0], downstream=False, code="same").wait(timeout=60)
    assert [i.attempt for i in run.view().task("double").instances] == [3, 2]
    with pytest.raises(BadOption, match="belongs to the task as a whole"):
        run["double"][0].clear(indexes=[1])
    with pytest.raises(NotCancelled, match="nobody works on its run now"):
        run["double"][0].cancel()
    bars = feed.request("gantt", {})["rows"][1]["bars"]
    assert [b["attempt"] for b in bars] == [1, 2, 3]
    assert all(b["queued"] <= b["started"] <= b["ended"] for b in bars)


def test_a_person_marks_an_instance_and_the_run_ends_as_that_says(
    feed: RunFeed, run: RunHandle
) -> None:
    """Stands last: it changes the run of this file."""
    pages = feed.request("page", {"task_id": "double"})
    again = ["clear", "clear_only"]
    assert [row["actions"] for row in pages["rows"]] == [
        [*again, "mark_failed"],
        [*again, "mark_success"],
    ]
    asked = {"action": "mark_success", "task_id": "double", "map_index": 1}
    assert feed.request("act", asked)["said"] == "it was marked success"
    assert run.wait(timeout=120).state == "success"
    assert [i.state for i in run.view().task("double").instances] == ["success"] * 2
    with pytest.raises(NotMarked, match="it is success already"):
        feed.request("act", asked)
    with pytest.raises(BadOption, match="'success' or 'failed'"):
        run["double"][0].mark("skipped")
