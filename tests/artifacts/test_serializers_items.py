"""Values that mapped tasks expand over: item i without the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.artifacts.serializers import dump, item_slice, load, load_item
from mlflowkit.errors import ArtifactCorrupt, NotExpandable
from tests.artifacts.equal import same
from tests.artifacts.samples import Point
from tests.artifacts.test_serializers import nested


def items_of(value: Any) -> list[Any]:
    return list(value.items()) if isinstance(value, dict) else list(value)


def large(value: Any) -> Any:
    """Too much for the store."""
    if isinstance(value, dict):
        return {f"k{n}": value for n in range(3000)}
    return type(value)([*value, "x" * 40_000])


SMALL: list[Any] = [
    [1, "a", None], (1, (2, 3)), {"a": 1, "b": (2,)}, {1: 2}, [Point(1.0)], range(0),
    range(5, 0, -2),
    [], (), {}, [float("nan")], ["\ud800"], [{"$": 1}], range(2**64, 2**64 + 2),
    {"\ud800": 1},
]  # fmt: skip
LARGE: list[Any] = [
    large([1, 2]), large((1, (2,))), large({"a": 1}), large({"a": (1, b"x")}),
    list(range(10_000)),
    range(10_000), large([float("inf"), {2}]), {n: n for n in range(5000)},
]  # fmt: skip


@pytest.mark.parametrize("value", SMALL + LARGE)
def test_every_item_can_be_read_alone_and_the_whole_comes_back(
    value: Any, store: FileArtifacts
) -> None:
    stored = dump(value, store, expandable=True)
    assert stored.length == len(value)
    assert same(load(stored, store), value)
    for index, item in list(enumerate(items_of(value)))[-50:]:
        assert same(load_item(stored, store, index), item)


@pytest.mark.parametrize("value", SMALL)
def test_the_engine_cuts_an_item_of_a_small_value_without_opening_it(
    value: Any, store: FileArtifacts
) -> None:
    stored = dump(value, store, expandable=True)
    for index, item in enumerate(items_of(value)):
        assert same(load(item_slice(stored, index), store), item)


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(value=st.lists(nested(), max_size=6), padding=st.sampled_from([0, 40_000]))
def test_items_of_any_values_come_back(
    tmp_path_factory: pytest.TempPathFactory, value: list[Any], padding: int
) -> None:
    store = FileArtifacts(tmp_path_factory.getbasetemp() / "items")
    value = [*value, "x" * padding]
    stored = dump(value, store, expandable=True)
    assert same([load_item(stored, store, n) for n in range(len(value))], value)
    assert same(load(stored, store), value)


def test_keys_of_a_dict_are_known_without_opening_it(store: FileArtifacts) -> None:
    assert dump({"a": 1, (2, 3): 4}, store, expandable=True).keys == ("a", "(2, 3)")
    assert dump([1], store, expandable=True).keys is None


@pytest.mark.parametrize("value", [{1, 2}, 5, "abc", None, np.arange(3), iter([1])])
def test_what_cannot_be_expanded_is_an_error_that_names_the_type(
    value: Any, store: FileArtifacts
) -> None:
    kind = "numpy.ndarray" if isinstance(value, np.ndarray) else type(value).__name__
    with pytest.raises(
        NotExpandable, match=rf"^task 'load': .*but the value is an? {kind}\."
    ):
        dump(value, store, expandable=True, where="task 'load'")


@pytest.mark.parametrize("value", [[1, 2], list(range(20_000))])
@pytest.mark.parametrize("index", [-1, 20_000, 10**9])
def test_an_item_that_is_not_there_is_an_index_error(
    value: list[int], index: int, store: FileArtifacts
) -> None:
    with pytest.raises(
        IndexError, match=f"item {index} of a mapped value that has {len(value)}"
    ):
        load_item(dump(value, store, expandable=True), store, index)


def test_an_item_with_a_leaf_reads_only_its_own_leaf(store: FileArtifacts) -> None:
    arrays = [np.full(20_000, n) for n in range(4)]
    stored = dump(arrays, store, expandable=True)
    leaves = {n: next(h for h in store if n in np.load(store.path(h))) for n in range(4)}
    for n in (0, 1, 3):
        store.delete(leaves[n])
    assert np.array_equal(load_item(stored, store, 2), arrays[2])


def test_a_damaged_large_value_is_noticed(tmp_path: Path) -> None:
    store = FileArtifacts(tmp_path)
    stored = dump(list(range(300_000)), store, expandable=True)
    assert stored.artifact is not None
    path = store.path(stored.artifact)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactCorrupt):
        load_item(stored, store, 0)
