"""A folder of this machine, listed like a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflowkit.errors import ImageGone, NoImages
from mlflowkit.ml.images import SkippedObject
from mlflowkit.ml.local_images import local_images

from .digits import coloured


def test_images_are_labelled_by_their_folder_and_others_are_left_out(
    tmp_path: Path,
) -> None:
    coloured(tmp_path / "pets", {"cat": 2, "big dog/é": 1})
    (tmp_path / "pets/notes.txt").write_text("not an image")
    (tmp_path / "pets/.hidden").write_text("not looked at")
    manifest = local_images(tmp_path / "pets")
    assert [(image.key, image.label) for image in manifest.images] == [
        ("big dog/é/000.png", "big dog/é"), ("cat/000.png", "cat"), ("cat/001.png", "cat"),
    ]  # fmt: skip
    reason = "not an image in a format that Pillow knows"
    assert manifest.skipped == (SkippedObject("notes.txt", reason),)
    assert [path.name for _, path in manifest.paths()] == ["000.png", "000.png", "001.png"]


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "pets", {"cat": 2, "dog": 2})
    (tmp_path / "pets/dog/001.png").unlink()
    with pytest.raises(ImageGone, match=r"'dog/001\.png' .*was removed or changed"):
        list(manifest.paths())


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoImages):
        local_images(tmp_path)
