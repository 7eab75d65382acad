"""From images to a folder of packed shards."""

from __future__ import annotations

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlflowkit.errors import BrokenImage, ClassTooSmall, NotADataset, OutputInUse
from mlflowkit.ml.dataset import SPLITS, PackedDataset, ShardedImages
from mlflowkit.ml.decode import decode_square
from mlflowkit.ml.preprocess import preprocess

from .digits import coloured, digits


def test_every_row_is_the_image_of_its_key_with_its_label(tmp_path: Path) -> None:
    manifest = digits(tmp_path / "images", only=(3, 8), per_class=10)
    packed = preprocess(manifest, out=tmp_path / "packed", image_size=16)
    assert packed.classes == ("3", "8")
    assert packed.counts == {
        "train": {"3": 7, "8": 7}, "val": {"3": 1, "8": 1}, "test": {"3": 2, "8": 2},
    }  # fmt: skip
    for split in SPLITS:
        images, labels = packed.split(split)
        assert images.shape == (packed.size(split), 16, 16, 3)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        for row, key in enumerate(packed.keys(split)):
            there = decode_square(tmp_path / "images" / key, 16, name=key)
            assert np.array_equal(images[row], there)
            assert packed.classes[labels[row]] == key.split("/")[0]


def test_the_same_content_gives_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 12, "b": 9})
    backwards = replace(manifest, images=manifest.images[::-1])
    for name, each in (("one", manifest), ("two", backwards)):
        preprocess(each, out=tmp_path / name, image_size=8, shard_images=5)
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [file.name for file in one] == [file.name for file in two]
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 12, "b": 9})
    packed = preprocess(manifest, out=tmp_path / "packed", image_size=8, shard_images=4)
    values = np.asarray(packed.split("train")[0]) / 255
    assert packed.mean == pytest.approx(values.mean(axis=(0, 1, 2)), rel=1e-9)
    assert packed.std == pytest.approx(values.std(axis=(0, 1, 2)), rel=1e-9)
    assert packed.manifest_hash == manifest.content_hash


def test_the_size_of_the_shards_changes_nothing_but_the_files(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 12, "b": 9})
    whole = preprocess(manifest, out=tmp_path / "whole", image_size=8)
    parts = preprocess(manifest, out=tmp_path / "parts", image_size=8, shard_images=4)
    assert len(list(parts.folder.glob("train-0*.npy"))) == 4
    assert whole.content_hash == parts.content_hash
    for split in SPLITS:
        one, two = whole.split(split)[0], parts.split(split)[0]
        assert np.array_equal(np.asarray(one), np.asarray(two))


def test_sharded_images_are_indexed_like_one_array() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
    images = ShardedImages([pixels[:3], pixels[3:4], pixels[4:]], 4)
    assert (len(images), images.shape) == (10, (10, 4, 4, 3))
    for rows in (0, -1, slice(2, 9, 3), slice(None, None, -1), np.array([9, 0, 3, 3, -2])):
        assert np.array_equal(images[rows], pixels[rows])
    dark = pixels.mean(axis=(1, 2, 3)) < 128
    assert np.array_equal(images[dark], pixels[dark])
    assert images[[]].shape == (0, 4, 4, 3)
    for outside in (10, -11, [0, 10]):
        with pytest.raises(IndexError):
            images[outside]


def test_a_folder_that_was_moved_is_the_same_dataset(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 5, "b": 5})
    packed = preprocess(manifest, out=tmp_path / "here", image_size=8)
    before = np.asarray(packed.split("test")[0])
    shutil.rmtree(tmp_path / "images")
    packed.folder.rename(tmp_path / "there")
    moved = PackedDataset.open(tmp_path / "there")
    assert replace(moved, folder=packed.folder) == packed
    assert np.array_equal(np.asarray(moved.split("test")[0]), before)


def test_copies_stay_together_and_are_mentioned(tmp_path: Path) -> None:
    coloured(tmp_path / "images", {"a": 6, "b": 6})
    shutil.copy(tmp_path / "images/a/000.png", tmp_path / "images/a/again.png")
    shutil.copy(tmp_path / "images/a/001.png", tmp_path / "images/b/wrong.png")
    from mlflowkit.ml.local_images import local_images

    # An object store may give two copies different ETags: it is the bytes that count.
    listed = local_images(tmp_path / "images")
    images = tuple(replace(image, etag=image.key) for image in listed.images)
    packed = preprocess(
        replace(listed, images=images), out=tmp_path / "packed", image_size=8
    )
    homes = [
        {split for split in SPLITS if key in packed.keys(split)}
        for key in ("a/000.png", "a/again.png", "a/001.png", "b/wrong.png")
    ]
    assert homes[0] == homes[1]
    assert homes[2] == homes[3]
    assert packed.notes[:2] == (
        "2 images are copies of others; copies stay in one split.",
        "One picture has different labels: 'a/001.png', 'b/wrong.png'.",
    )


def test_an_image_that_breaks_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 5, "b": 5}, side=32)
    broken = tmp_path / "images/b/002.png"
    broken.write_bytes(broken.read_bytes()[:500].ljust(broken.stat().st_size, b"\0"))
    with pytest.raises(BrokenImage) as caught:
        preprocess(manifest, out=tmp_path / "packed", image_size=8)
    assert caught.value.name == "b/002.png"
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_class_with_one_image_leaves_the_last_dataset_in_place(tmp_path: Path) -> None:
    good = coloured(tmp_path / "images", {"a": 5, "b": 5})
    packed = preprocess(good, out=tmp_path / "packed", image_size=8)
    lonely = replace(good, images=good.images[:6])
    with pytest.raises(ClassTooSmall, match="class 'b' has 1 different image,"):
        preprocess(lonely, out=tmp_path / "packed", image_size=8)
    assert PackedDataset.open(tmp_path / "packed") == packed


def test_an_older_dataset_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 5, "b": 5})
    preprocess(manifest, out=tmp_path / "packed", image_size=8, shard_images=1)
    preprocess(manifest, out=tmp_path / "packed", image_size=8)
    assert len(list((tmp_path / "packed").glob("train-0*.npy"))) == 1
    with pytest.raises(OutputInUse, match="Nothing was written"):
        preprocess(manifest, out=tmp_path / "images", image_size=8)
    assert len(list((tmp_path / "images").rglob("*.png"))) == 10


def test_a_folder_that_is_no_dataset_says_why(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 5, "b": 5})
    packed = preprocess(manifest, out=tmp_path / "packed", image_size=8)
    with pytest.raises(NotADataset, match=r"it has no dataset\.json\. Make one with"):
        PackedDataset.open(tmp_path / "nowhere")
    shard = packed.folder / "train-00000.npy"
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(NotADataset, match="a file of 'train' is damaged"):
        packed.split("train")
    shard.unlink()
    with pytest.raises(NotADataset, match=r"its file 'train-00000\.npy' is not there"):
        PackedDataset.open(packed.folder)
    (packed.folder / "dataset.json").write_text('{"format": 1')
    with pytest.raises(NotADataset, match="cannot be read"):
        PackedDataset.open(packed.folder)


def test_it_holds_one_shard_in_memory_and_not_the_dataset(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 100, "b": 100})
    size, rows = 200, 10  # 120 kB an image: 24 MB in all, 1.2 MB a shard
    tracemalloc.start()
    try:
        preprocess(manifest, out=tmp_path / "packed", image_size=size, shard_images=rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8e6
