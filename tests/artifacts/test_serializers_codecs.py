"""Arrays, tables, images, tensors and files: typed, exact, and mapped where that helps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.artifacts.serializers import dump, load
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import BadFolder, PathNotFound
from tests.artifacts.samples import Upload


def there_and_back(value: Any, store: FileArtifacts) -> Any:
    return load(dump(value, store), store)


def codecs(stored: StoredValue) -> str:
    """The codec, or for a tree its JSON."""
    return (
        stored.inline.decode() if stored.codec == "tree" and stored.inline else stored.codec
    )


# ── numpy ──

SCALARS = [
    np.float64(1.5), np.float32("nan"), np.float16(-0.0), np.int8(-3), np.uint64(2**64 - 1),
    np.bool_(True), np.complex64(1 + 2j), np.str_("ü"), np.bytes_(b"x"), np.str_(""),
    np.datetime64("2026-03-01T12:00", "ns"), np.timedelta64(5, "D"), np.longlong(5),
    np.longdouble(1),
]  # fmt: skip


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_a_numpy_scalar_keeps_its_type_and_bits(value: Any, store: FileArtifacts) -> None:
    back = there_and_back(value, store)
    assert (type(back), back.dtype, back.tobytes()) == (
        type(value),
        value.dtype,
        value.tobytes(),
    )
    assert dump(value, store).codec == "tree"


ARRAYS = [
    np.arange(6).reshape(2, 3), np.zeros((0, 3)), np.array(5.0),
    np.asfortranarray(np.ones((3, 4))),
    np.arange(100_000, dtype="f4"), np.arange(20)[::3], np.array(["a", "ü"]),
    np.array([b"x"]),
    np.array([1, 2], dtype=">i4"), np.array(["2026-01-01"], dtype="M8[D]"),
    np.array([True]),
    np.array([1, None, "x"], dtype=object),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    np.full((3, 50_000), 1 + 2j),
]  # fmt: skip


@pytest.mark.parametrize("value", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_an_array_keeps_dtype_shape_and_values(value: Any, store: FileArtifacts) -> None:
    for back in (
        there_and_back(value, store),
        there_and_back({"a": (value,)}, store)["a"][0],
    ):
        assert (type(back), back.dtype, back.shape) == (
            np.ndarray,
            value.dtype,
            value.shape,
        )
        np.testing.assert_array_equal(back, value)


def test_subclasses_of_arrays_come_back_as_themselves(store: FileArtifacts) -> None:
    masked = np.ma.masked_array([1, 2], mask=[True, False])
    back = there_and_back(masked, store)
    assert type(back) is np.ma.MaskedArray
    assert back.mask.tolist() == [True, False]


def test_a_large_array_is_mapped_and_not_read_and_changing_it_leaves_the_file_alone(
    store: FileArtifacts,
) -> None:
    stored = dump(np.zeros(10_000_000), store)
    assert (stored.codec, stored.inline) == ("npy", None)
    code = """if True:
        import sys
        from pathlib import Path
        import numpy as np
        from mlflowkit.artifacts.files import FileArtifacts
        from mlflowkit.artifacts.serializers import load
        from mlflowkit.core.values import StoredValue
        store = FileArtifacts(Path(sys.argv[1]))
        resident = lambda: int(Path('/proc/self/statm').read_text().split()[1]) * 4
        before = resident()
        stored = StoredValue(codec="npy", artifact=sys.argv[2], size=int(sys.argv[3]))
        array = load(stored, store)
        array[:3] = 7
        grown = resident() - before
        print(array.sum() if grown < 20_000 else f"grew by {grown} KiB")
    """
    assert stored.artifact is not None
    arguments = [str(store.root), stored.artifact, str(stored.size)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "21.0\n"
    store.verify(stored.artifact)


# ── tables ──


def frames() -> dict[str, pd.DataFrame]:
    days = pd.date_range("2026-03-01", periods=3, freq="D")
    return {
        "numbers": pd.DataFrame(
            {"i": [1, 2, 3], "f": [1.5, np.nan, -0.0], "u": np.array([1, 2, 3], dtype="u1")}
        ),
        "text": pd.DataFrame(
            {"t": ["a", "b", None], "b": [True, False, True]}, index=["x", "y", "z"]
        ),
        "category": pd.DataFrame(
            {
                "c": pd.Categorical(
                    ["b", "a", None], categories=["c", "b", "a"], ordered=True
                )
            }
        ),
        "times": pd.DataFrame(
            {"d": days, "z": days.tz_localize("Europe/Athens")}, index=days
        ),
        "zoned index": pd.DataFrame({"x": [1, 2, 3]}, index=days.tz_localize("UTC")),
        "nullable": pd.DataFrame({"n": pd.array([1, None], dtype="Int32")}),
        "named": pd.DataFrame({"a": [1]}, index=pd.Index([5], name="id")),
        "numbered columns": pd.DataFrame([[1, 2]], columns=[10, 20]),
        "named columns": pd.DataFrame(
            [[1, 2]], columns=pd.Index(["a", "b"], name="letters")
        ),
        "two levels": pd.DataFrame(
            [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])
        ),
        "rows of two levels": pd.DataFrame(
            {"x": [1]}, index=pd.MultiIndex.from_tuples([("a", 1)], names=["l", "n"])
        ),
        "mixed": pd.DataFrame({"m": [1, "a", None]}),
        "objects": pd.DataFrame({"o": [[1], {2}]}),
        "integers as objects": pd.DataFrame({"o": pd.Series([1, 2], dtype=object)}),
        "nan in text": pd.DataFrame({"o": pd.Series(["a", np.nan], dtype=object)}),
        "twice": pd.DataFrame([[1, 2]], columns=["a", "a"]),
        "empty": pd.DataFrame(),
        "no rows": pd.DataFrame({"a": np.array([], dtype="f4")}),
        "with attrs": _with_attrs(),
        "large": pd.DataFrame({"x": np.arange(50_000), "y": np.linspace(0, 1, 50_000)}),
    }


def _with_attrs() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["source"] = ("tuple", 1)
    return frame


@pytest.mark.parametrize("name", list(frames()))
def test_a_pandas_frame_comes_back_the_same(name: str, store: FileArtifacts) -> None:
    frame = frames()[name]
    back = there_and_back(frame, store)
    pd.testing.assert_frame_equal(
        back,
        frame,
        check_exact=True,
        check_index_type="exact",
        check_column_type="exact",
    )
    assert back.attrs == frame.attrs
    for column in range(frame.shape[1]):
        one, two = back.iloc[:, column].tolist(), frame.iloc[:, column].tolist()
        assert list(map(type, one)) == list(map(type, two))


@pytest.mark.parametrize("name", ["numbers", "text", "category", "named", "large"])
def test_usual_frames_travel_as_arrow(name: str, store: FileArtifacts) -> None:
    assert dump(frames()[name], store).codec == "pandas"


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1.5, None], name="s"),
        pd.Series(["a", "b"], index=[5, 6]),
        pd.Series([1], name=("a", 1)),
        pd.Series([1, 2], index=pd.date_range("2026-01-01", periods=2, tz="Europe/Athens")),
        pd.Series(["x"], dtype="category", name=7),
    ],
)
def test_a_pandas_series_comes_back_the_same(series: Any, store: FileArtifacts) -> None:
    back = there_and_back(series, store)
    pd.testing.assert_series_equal(back, series, check_exact=True, check_index_type="exact")
    assert type(back.name) is type(series.name)


def test_an_arrow_table_comes_back_the_same(store: FileArtifacts) -> None:
    table = pa.table({"a": [1, None], "b": [["x"], []]}).replace_schema_metadata({"k": "v"})
    back = there_and_back(table, store)
    assert back.equals(table, check_metadata=True)


def test_polars_frames_and_series_come_back_the_same(store: FileArtifacts) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {"a": [1, None], "b": ["x", "y"], "c": [[1.5], []], "d": [{"e": 1}, None]}
    )
    frame = frame.with_columns(pl.col("b").cast(pl.Categorical).alias("f"))
    large = pl.DataFrame({"n": range(50_000)})
    for value in (frame, large):
        back = there_and_back(value, store)
        assert (back.equals(value, null_equal=True), back.schema) == (
            True,
            value.schema,
        )
    back = there_and_back({"s": frame["a"]}, store)["s"]
    assert (type(back), back.name, back.to_list()) == (pl.Series, "a", [1, None])


# ── images ──


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "RGB", "RGBA", "I;16", "P", "I", "F", "CMYK", "HSV"]
)
def test_an_image_keeps_mode_and_pixels(mode: str, store: FileArtifacts) -> None:
    size = {
        "LA": 2,
        "RGB": 3,
        "RGBA": 4,
        "I;16": 2,
        "I": 4,
        "F": 4,
        "CMYK": 4,
        "HSV": 3,
    }.get(mode, 1)
    noise = (
        np.random.default_rng(1).integers(0, 255, 20 * 30 * size, dtype=np.uint8).tobytes()
    )
    image = Image.frombytes(mode, (20, 30), noise)
    image.info["dpi"] = (72, 72)
    back = there_and_back(image, store)
    assert (type(back), back.mode, back.size) == (Image.Image, mode, (20, 30))
    assert (back.tobytes(), back.info) == (image.tobytes(), {"dpi": (72, 72)})


def test_an_rgb_image_is_a_png_that_a_browser_can_show(store: FileArtifacts) -> None:
    stored = dump(Image.new("RGB", (8, 8), "red"), store)
    assert stored.codec == "png"
    assert stored.inline is not None
    assert stored.inline.startswith(b"\x89PNG")
    assert stored.preview == "Image RGB 8×8"


def test_an_image_opened_from_a_file_comes_back_as_its_class(
    store: FileArtifacts, tmp_path: Path
) -> None:
    Image.new("RGB", (9, 5), "blue").save(tmp_path / "b.jpg")
    image = Image.open(tmp_path / "b.jpg")
    back = there_and_back(image, store)
    assert (type(back), back.tobytes()) == (type(image), image.tobytes())


# ── tensors ──

TENSORS = [
    torch.arange(6).reshape(2, 3), torch.tensor(1.5), torch.zeros(0, 3),
    torch.ones(3, 4).t(),
    torch.randn(100_000), torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([True]),
    torch.tensor([1 + 2j]), torch.arange(100)[10:20], torch.eye(3).to_sparse(),
    torch.ones(2, requires_grad=True),
    torch.nn.Parameter(torch.ones(2), requires_grad=False),
]  # fmt: skip


@pytest.mark.parametrize("value", TENSORS, ids=lambda t: f"{t.dtype}{tuple(t.shape)}")
def test_a_tensor_keeps_dtype_shape_and_values(value: Any, store: FileArtifacts) -> None:
    for back in (there_and_back(value, store), there_and_back([(value,)], store)[0][0]):
        assert (type(back), back.dtype, back.layout) == (
            type(value),
            value.dtype,
            value.layout,
        )
        assert back.requires_grad == value.requires_grad
        assert torch.equal(back.to_dense(), value.to_dense())


def test_a_loss_with_a_graph_comes_back_as_its_number(store: FileArtifacts) -> None:
    loss = (torch.ones(2, requires_grad=True) * 3).sum()
    back = there_and_back(loss, store)
    assert (back.item(), back.requires_grad) == (6.0, False)


def test_a_slice_of_a_large_tensor_stores_only_itself(store: FileArtifacts) -> None:
    assert dump(torch.zeros(1_000_000)[:10], store).size < 1000


def test_a_state_dict_is_one_safetensors_file_in_order_with_its_metadata(
    store: FileArtifacts,
) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 99, 3), torch.nn.BatchNorm2d(99))
    state = model.state_dict()
    back = there_and_back(state, store)
    assert type(back) is OrderedDict
    assert list(back) == list(state)
    assert vars(back)["_metadata"] == vars(state)["_metadata"]
    assert all(torch.equal(back[name], state[name]) for name in state)
    model.load_state_dict(back)


def test_tied_weights_are_stored_once_and_are_tied_again(store: FileArtifacts) -> None:
    weights = torch.randn(300, 300)
    stored = dump({"in": weights, "out": weights, "part": weights[:2]}, store)
    back = load(stored, store)
    assert back["in"] is back["out"]
    assert torch.equal(back["part"], weights[:2])
    assert sum(store.path(digest).stat().st_size for digest in store) < 1.5 * weights.nbytes


def test_a_dict_of_tensors_and_others_keeps_both(store: FileArtifacts) -> None:
    back = there_and_back({"w": torch.ones(2), "lr": 0.1, 3: torch.zeros(1)}, store)
    assert torch.equal(back["w"], torch.ones(2))
    assert (back["lr"], list(back)) == (
        0.1,
        ["w", "lr", 3],
    )


# ── paths ──


def test_a_path_takes_its_file_along_and_keeps_its_name(
    store: FileArtifacts, tmp_path: Path
) -> None:
    source = tmp_path / "model ü.pt.zip"
    source.write_bytes(b"weights" * 10_000)
    source.chmod(0o755)
    stored = dump(source, store)
    source.unlink()
    back = load(stored, store)
    assert (type(back), back.name, back.suffixes) == (
        type(source),
        source.name,
        [".pt", ".zip"],
    )
    assert (back.read_bytes(), os.access(back, os.X_OK)) == (b"weights" * 10_000, True)
    back.write_bytes(b"mine")
    assert load(stored, store).read_bytes() == b"weights" * 10_000


def test_paths_travel_inside_lists_dicts_tuples_and_dataclasses(
    store: FileArtifacts, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.txt").write_text("b")
    value = {"l": [tmp_path / "a.txt"], "t": (Upload(tmp_path / "folder"),)}
    back = load(dump(value, store), store, restore_to=tmp_path)
    assert back["l"][0].read_text() == "a"
    assert (back["t"][0].file / "b.txt").read_text() == "b"
    assert back["l"][0].is_relative_to(tmp_path)
    assert back["l"][0] != tmp_path / "a.txt"


def test_a_path_to_nothing_is_named_and_nothing_is_stored(
    store: FileArtifacts, tmp_path: Path
) -> None:
    value = {"big": b"x" * 100_000, "files": [Path("nowhere.csv")]}
    with pytest.raises(PathNotFound) as caught:
        dump(value, store, where="task 'load'")
    assert str(caught.value) == (
        "task 'load': value['files'][0] is the path 'nowhere.csv', which does not exist in "
        f"{Path.cwd()}. A Path travels with its file or folder: write it first, or pass "
        "str(path) if only the name is meant."
    )
    assert list(store) == []


def test_a_folder_that_leaks_is_refused_before_anything_is_stored(
    store: FileArtifacts, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "leak").symlink_to("/etc")
    with pytest.raises(BadFolder, match="leak"):
        dump([b"x" * 100_000, tmp_path / "folder"], store)
    assert list(store) == []


def test_private_copies_are_removed_when_their_process_ends(
    store: FileArtifacts, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    stored = dump(tmp_path / "a.txt", store)
    code = f"""if True:
        from pathlib import Path
        from mlflowkit.artifacts.files import FileArtifacts
        from mlflowkit.artifacts.serializers import load
        from mlflowkit.core.values import StoredValue
        path = load({stored!r}, FileArtifacts(Path({str(store.root)!r})))
        print(path, path.read_text())
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    path, text = done.stdout.split()
    assert (text, Path(path).parent.parent.exists()) == ("a", False)


def test_containers_of_typed_values_keep_them_all(store: FileArtifacts) -> None:
    value = {
        "frames": {"a": pd.DataFrame({"x": [1]})},
        "arrays": [np.arange(50_000), np.float32(2)],
        "tensors": (torch.ones(2), torch.zeros(3)),
        "image": Image.new("L", (3, 3)),
    }
    stored = dump(value, store)
    assert "pickle" not in codecs(stored)
    back = load(stored, store, allow_pickle=False)
    assert back["frames"]["a"].equals(value["frames"]["a"])  # type: ignore[index]  # a dict
    assert np.array_equal(back["arrays"][0], np.arange(50_000))
    assert type(back["arrays"][1]) is np.float32
    assert type(back["tensors"]) is tuple
