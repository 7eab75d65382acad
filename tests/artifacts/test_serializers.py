"""Values come back with the type that went in."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.artifacts.serializers import dump, load, preview, references
from mlflowkit.core.values import INLINE_LIMIT, StoredValue
from mlflowkit.errors import ArtifactCorrupt, ArtifactMissing, CannotRead, PickleRefused
from tests.artifacts.equal import same
from tests.artifacts.samples import (
    Cached,
    Colour,
    Frozen,
    Level,
    MyList,
    Name,
    Pair,
    Point,
    Rights,
)

ATHENS = ZoneInfo("Europe/Athens")


def there_and_back(value: Any, store: FileArtifacts) -> Any:
    return load(dump(value, store), store)


VALUES: list[Any] = [
    None, True, 0, -1, 2**63 - 1, 2**63, -(2**64), 10**5000, 1.5, -0.0, float("inf"),
    float("-inf"), float("nan"), 5e-324, "", "ü\0\n", "\ud800 lone", b"", b"\xff",
    bytearray(b"x"),
    [], (), {}, set(), frozenset(), [[]], ({},), {"a": (1, [2])}, {1: "int", "1": "str"},
    {(1, 2): 3, None: 4, True: 5, 1.5: 6}, {"$": 1}, {"$": "tuple", "v": [1]},
    {"\udc80": 1},
    {3, 1, 2}, {1, "a", (2, None)}, frozenset({frozenset({1})}), range(3),
    range(10**30, 0, -7),
    slice(1, None, 2), ..., 1 + 2j, complex(-0.0, float("inf")),
    date(2026, 3, 1), time(12, 30, 0, 5), time(1, 2, fold=1, tzinfo=UTC),
    datetime(1, 1, 1),  # noqa: DTZ001 - a naive one
    datetime(2026, 3, 1, 12, tzinfo=UTC),
    datetime(2026, 10, 25, 3, 30, fold=1, tzinfo=ATHENS),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30), "IST")),
    timedelta(days=-1, microseconds=1), timezone(-timedelta(hours=3)), UTC, ATHENS,
    Decimal("1.10"), Decimal("-Infinity"),
    Fraction(1, 3), UUID(int=5), PurePosixPath("/a/b"), PureWindowsPath("c:\\x"),
    Colour.RED, Colour.GREEN, Level.LOW, Name.ANNA, Rights.READ | Rights.WRITE, Rights(0),
    Point(1.0, float("inf"), [(1,)]), Frozen(name="n", at=Point(0.0)), Pair(1, {2}),
    OrderedDict(b=1, a=(2,)), Counter("aab"), deque([1, 2], maxlen=3),
    defaultdict(list, a=[1]),
    MyList([1, 2]), int, Point, len,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_with_its_type(value: Any, store: FileArtifacts) -> None:
    assert same(there_and_back(value, store), value)
    assert same(there_and_back([value, {"k": (value,)}], store), [value, {"k": (value,)}])


def test_a_zone_stays_the_one_zone_of_its_name(store: FileArtifacts) -> None:
    back = there_and_back(datetime(2026, 10, 25, 3, 30, fold=1, tzinfo=ATHENS), store)
    assert (back.tzinfo is ATHENS, back.fold) == (True, 1)


def test_a_dataclass_with_state_beside_its_fields_keeps_it(
    store: FileArtifacts,
) -> None:
    value = Cached(1)
    value.remember()
    assert vars(there_and_back(value, store)) == {"x": 1, "seen": True}


def test_a_circular_value_comes_back_circular(store: FileArtifacts) -> None:
    value: list[Any] = [1]
    value.append(value)
    back = there_and_back(value, store)
    assert back[0] == 1
    assert back[1] is back


def test_a_lambda_with_its_closure_comes_back(store: FileArtifacts) -> None:
    by = 3
    assert there_and_back(lambda x: x * by, store)(2) == 6


def scalars() -> st.SearchStrategy[Any]:
    zones = st.none() | st.sampled_from([UTC, ATHENS, timezone(timedelta(minutes=90))])
    return st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(-(2**70), 2**70), st.floats(),
        st.text(st.characters(exclude_categories=[])), st.binary(max_size=50),
        st.complex_numbers(),
        st.datetimes(timezones=zones, allow_imaginary=False), st.dates(), st.times(),
        st.timedeltas(),
        st.decimals(allow_nan=False), st.fractions(), st.uuids(),
        st.sampled_from(list(Colour)),
    )  # fmt: skip


def keys() -> st.SearchStrategy[Any]:
    plain = st.one_of(
        st.none(),
        st.integers(),
        st.text(),
        st.binary(max_size=9),
        st.dates(),
        st.just("$"),
    )
    return plain | st.tuples(plain, plain)


def nested() -> st.SearchStrategy[Any]:
    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.lists(inner, max_size=5), st.lists(inner, max_size=5).map(tuple),
            st.dictionaries(keys(), inner, max_size=5),
            st.dictionaries(st.text(), inner, max_size=5),
            st.sets(keys(), max_size=5), st.frozensets(keys(), max_size=5),
            st.builds(Pair, inner, inner),
            st.builds(Point, st.floats(), st.floats(), st.lists(inner)),
        )  # fmt: skip

    return st.recursive(scalars(), around, max_leaves=12)


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(value=nested())
def test_any_nested_value_comes_back_type_and_bits(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    store = FileArtifacts(tmp_path_factory.getbasetemp() / "law")
    assert same(there_and_back(value, store), value)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(value=nested())
def test_equal_values_have_equal_bytes_and_short_previews(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    store = FileArtifacts(tmp_path_factory.getbasetemp() / "law")
    one, two = dump(value, store), dump(there_and_back(value, store), store)
    assert (one.codec, one.size, one.inline) == (two.codec, two.size, two.inline)
    assert len(one.preview) <= 200
    assert "\n" not in one.preview


# ── where bytes go ──


def test_small_plain_values_are_json_in_the_store(store: FileArtifacts) -> None:
    stored = dump({"a": [1, 2.5, None]}, store)
    assert stored == StoredValue(
        codec="json",
        inline=b'{"a":[1,2.5,null]}',
        size=18,
        preview="{'a': [1, 2.5, None]}",
    )
    assert list(store) == []


@pytest.mark.parametrize("make", [lambda n: "x" * (n - 2), lambda n: b"x" * n])
def test_32_kib_are_inline_and_one_byte_more_is_an_artifact(
    store: FileArtifacts, make: Any
) -> None:
    at, over = dump(make(INLINE_LIMIT), store), dump(make(INLINE_LIMIT + 1), store)
    assert (at.artifact, at.size) == (None, INLINE_LIMIT)
    assert (over.inline, over.size, list(store)) == (
        None,
        INLINE_LIMIT + 1,
        [over.artifact],
    )
    assert load(over, store) == make(INLINE_LIMIT + 1)


def test_references_name_every_artifact_of_a_value(
    store: FileArtifacts, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    value = {
        "bytes": b"x" * 50_000,
        "deep": ([b"y" * 5_000],),
        "folder": tmp_path / "folder",
    }
    stored = dump(value, store)
    assert set(references(stored, store)) == set(store)
    assert set(references(dump([value], store, expandable=True), store)) == set(store)


def test_damaged_and_missing_bytes_are_named_errors(store: FileArtifacts) -> None:
    stored = dump("x" * 100_000, store)
    assert stored.artifact is not None
    path = store.path(stored.artifact)
    path.chmod(0o644)
    path.write_bytes(b"other")
    with pytest.raises(ArtifactCorrupt):
        load(stored, store)
    with pytest.raises(ArtifactMissing):
        load(stored, store)


@pytest.mark.parametrize(
    "codec", ["json", "tree", "items", "pickle", "npy", "pandas", "png"]
)
def test_bytes_that_are_not_what_their_codec_says_are_a_clear_error(
    store: FileArtifacts, codec: str
) -> None:
    stored = StoredValue(codec=codec, inline=b"\x00nonsense", size=9)
    with pytest.raises(CannotRead, match="cannot be read back here"):
        load(stored, store)


def test_a_codec_of_another_version_is_named(store: FileArtifacts) -> None:
    with pytest.raises(CannotRead, match="codec 'hologram'.*does not know it"):
        load(StoredValue(codec="hologram", inline=b"", size=0), store)


def test_a_reader_may_refuse_pickles_and_reads_the_rest(store: FileArtifacts) -> None:
    assert load(dump((1, Point(1.0)), store), store, allow_pickle=False) == (
        1,
        Point(1.0),
    )
    for value in (deque([1]), [deque([1])]):
        with pytest.raises(PickleRefused):
            load(dump(value, store), store, allow_pickle=False)


def test_a_class_that_is_gone_is_named(store: FileArtifacts) -> None:
    node = b'{"$":"object","c":"tests.artifacts.samples:Gone","v":{}}'
    with pytest.raises(CannotRead, match=r"samples has no class 'Gone'"):
        load(StoredValue(codec="tree", inline=node, size=len(node)), store)


def test_small_values_load_no_library() -> None:
    code = """if True:
        import sys, tempfile
        from pathlib import Path
        from mlflowkit.artifacts.files import FileArtifacts
        from mlflowkit.artifacts.serializers import dump, load, load_item
        store = FileArtifacts(Path(tempfile.gettempdir()) / "never-made")
        load(dump({"a": (1, 2.5, {3})}, store), store)
        load_item(dump([1, 2], store, expandable=True), store, 1)
        heavy = {"numpy", "pandas", "torch", "pyarrow", "polars", "PIL", "cloudpickle"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_preview_is_one_short_line_and_calls_no_strangers_repr() -> None:
    class Loud:
        def __repr__(self) -> str:
            raise AssertionError("a preview must not call this")

    assert preview([Loud(), {"a": Loud()}]) == "[<Loud>, {'a': <Loud>}]"
    assert preview(Point(1.0, 2.0)) == "Point(x=1.0, y=2.0, more=[])"
    assert preview("a\nb") == r"'a\nb'"
    assert preview(list(range(10))) == "[0, 1, 2, 3, 4, 5, … (10 in all)]"
    assert preview(10**5000) == "int of 16610 bits"
    assert len(preview({"k" * 300: "v" * 10**6})) == 200
