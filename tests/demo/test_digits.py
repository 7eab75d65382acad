"""The demo's images: real, whole, the same everywhere, and sent once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from mlflowkit.demo.digits import upload_folder, write_digits

#: Of all names and bytes: a change here means that every upload is done again.
EXPECTED = "37f2c7d1912de0dc"


def test_the_files_are_the_digits_of_scikit_learn(tmp_path: Path) -> None:
    write_digits(tmp_path)
    files = sorted(tmp_path.rglob("*.png"), key=lambda file: file.name)
    digits = load_digits()
    assert len(files) == 1797
    assert [int(file.parent.name) for file in files] == digits.target.tolist()
    for file, pixels in zip(files[::100], digits.images[::100], strict=True):
        with Image.open(file) as image:
            assert (image.mode, image.size) == ("L", (8, 8))
            assert np.array_equal(np.asarray(image), (pixels * 255 / 16).round())


def test_the_bytes_are_the_same_everywhere(tmp_path: Path) -> None:
    write_digits(tmp_path)
    digest = hashlib.sha256()
    for file in sorted(tmp_path.rglob("*.png")):
        digest.update(file.relative_to(tmp_path).as_posix().encode() + file.read_bytes())
    assert digest.hexdigest().startswith(EXPECTED)


def test_a_folder_is_uploaded_once_and_changes_are_sent(
    tmp_path: Path, bucket: str
) -> None:
    for name in ("a/1.txt", "a/b c/ü.txt", "2.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    assert upload_folder(tmp_path, f"{bucket}/in") == 3
    assert upload_folder(tmp_path, f"{bucket}/in/") == 0
    (tmp_path / "2.txt").write_text("3.txt")
    assert upload_folder(tmp_path, f"{bucket}/in") == 1
