"""A value that cannot travel: what, where, who, and nothing stored."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.artifacts.serializers import dump
from mlflowkit.errors import CannotSerialize
from tests.artifacts.samples import Point, Service


def refused(value: Any, store: FileArtifacts, **options: Any) -> CannotSerialize:
    with pytest.raises(CannotSerialize) as caught:
        dump(value, store, where="task 'load'", **options)
    assert list(store) == []
    return caught.value


def generator() -> Any:
    yield 1


async def coroutine() -> None:
    return None


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (threading.Lock, "_thread.lock"),
        (generator, "generator"),
        (lambda: (n for n in [1]), "generator"),
        (lambda: open(__file__), "_io.TextIOWrapper"),
        (lambda: open(__file__, "rb"), "_io.BufferedReader"),
        (socket.socket, "socket.socket"),
        (lambda: memoryview(b"x"), "memoryview"),
        (threading.current_thread, "_thread._local"),
    ],
)
def test_what_cannot_travel_is_named_with_its_type(
    make: Any, kind: str, store: FileArtifacts
) -> None:
    value = make()
    error = refused(value, store)
    if kind != "_thread._local":
        assert (error.at, error.type_name, error.where) == (
            "value",
            kind,
            "task 'load'",
        )
    if hasattr(value, "close"):
        value.close()


def test_the_place_inside_the_value_is_named(store: FileArtifacts) -> None:
    error = refused({"big": b"x" * 100_000, "a": [1, 2, 3, (threading.Lock(),)]}, store)
    assert str(error) == (
        "task 'load': value['a'][3][0] is a _thread.lock, which cannot travel to another "
        "process (cannot pickle '_thread.lock' object). Pass on what it is made from "
        "(a path, a name, plain data) and make it again in the task that needs it."
    )


def test_the_place_is_followed_into_objects_dataclasses_and_closures(
    store: FileArtifacts,
) -> None:
    lock = threading.Lock()
    assert refused({"s": [Service()]}, store).at == "value['s'][0].lock"
    assert refused(Point(1, more=[lock]), store).at == "value.more[0]"
    assert refused(lambda: lock, store).at == "value.lock"
    assert refused([1, lock], store, expandable=True).at == "value[1]"


def test_a_value_that_is_nested_too_deeply_is_said_so(store: FileArtifacts) -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert refused(value, store).reason == "it is nested too deeply"


def test_a_class_whose_own_pickling_fails_is_named(store: FileArtifacts) -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise RuntimeError("not today")

    error = refused([Stubborn()], store)
    assert (error.at, error.reason) == ("value[0]", "not today")


def test_a_coroutine_is_refused(store: FileArtifacts) -> None:
    waiting = coroutine()
    assert refused(waiting, store).type_name == "coroutine"
    waiting.close()


def test_nothing_is_stored_when_the_last_part_fails(
    store: FileArtifacts, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    refused([b"x" * 10**6, tmp_path / "a", generator()], store)
