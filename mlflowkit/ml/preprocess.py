"""From a manifest of images to packed shards: check, decode, resize, split, pack.

It holds one shard of pixels in memory, never the dataset. The folder appears whole, under
its name, or not at all. What it writes is described in dataset.py, which reads it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.errors import MissingExtra, OutputInUse
from mlflowkit.ml.dataset import (
    FORMAT,
    META,
    SPLITS,
    PackedDataset,
    labels_file,
    shard_file,
)
from mlflowkit.ml.decode import decode_square
from mlflowkit.ml.splits import conflicting_labels, split_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlflowkit.ml.dataset import SplitName
    from mlflowkit.ml.images import ImageRef, Manifest

_SHARD_BYTES: Final = 64 * 2**20
#: A channel that is the same everywhere is not divided by zero.
_SMALLEST_STD: Final = 1 / 255


def preprocess(
    manifest: Manifest,
    *,
    out: Path | str,
    image_size: int = 32,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    shard_images: int | None = None,
    cache: Path | str | None = None,
) -> PackedDataset:
    """Decode, resize and split the images of a manifest, and pack them to uint8 shards.

    The splits depend on the images' content and `seed`, not on the order of the manifest;
    copies of one picture stay in one split. `decode_square` tells of odd formats.

    Args:
        manifest: What `load_images` gave. Files that are not in the cache are fetched.
        out: The folder to make. An older dataset there is replaced.
        image_size: Width and height in pixels.
        val_fraction: Of each class.
        test_fraction: Of each class.
        seed: Another seed deals the images out differently.
        shard_images: Images in a shard; by default as many as fit into 64 MiB.
        cache: Where the image files lie or are put; by default the cache of `load_images`.

    Raises:
        BrokenImage: An image cannot be decoded.
        OneClassOnly, ClassTooSmall, WrongFractions: It cannot be split.
        OutputInUse: `out` holds something that is not a dataset.
    """
    try:
        import numpy as np  # noqa: F401 - asked for early, with a clear error
    except ImportError as exc:
        raise MissingExtra("numpy", "vision", "packing images") from exc

    rows = shard_images or max(1, _SHARD_BYTES // (image_size * image_size * 3))
    files = {ref.key: path for ref, path in manifest.paths(cache)}
    with _whole_or_nothing(Path(out)) as folder, ThreadPoolExecutor(_threads()) as pool:
        content = dict(zip(files, pool.map(_content, files.values()), strict=True))
        dealt = split_images(
            manifest.images,
            content,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
        )
        packer = _Packer(
            folder, files, tuple(sorted(manifest.classes)), image_size, rows, pool
        )
        parts = {split: packer.pack(split, dealt[split]) for split in SPLITS}
        meta = packer.meta(dealt, parts)
        meta |= {
            "manifest_hash": manifest.content_hash,
            "notes": _notes(manifest, content, dealt),
            "made_with": {
                "val_fraction": val_fraction,
                "test_fraction": test_fraction,
                "seed": seed,
            },
        }
        text = json.dumps(meta, ensure_ascii=False, indent=1)
        (folder / META).write_text(text, encoding="utf-8")
    return PackedDataset.open(out)


class _Packer:
    """Writes shards, and keeps the sums that mean and standard deviation are made of."""

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, Path],
        classes: tuple[str, ...],
        image_size: int,
        shard_rows: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._folder, self._files, self._classes = folder, files, classes
        self._size, self._rows, self._pool = image_size, shard_rows, pool
        self._digest = sha256(json.dumps([classes, image_size]).encode())
        self._sums = _ChannelSums()

    def pack(self, split: SplitName, images: list[ImageRef]) -> list[str]:
        """Write a split; returns the names of its shards."""
        import numpy as np

        labels = np.array([self._classes.index(image.label) for image in images], np.int64)
        np.save(self._folder / labels_file(split), labels)
        self._digest.update(split.encode() + labels.tobytes())
        names = []
        for number, first in enumerate(range(0, len(images), self._rows)):
            pixels = self._decode(images[first : first + self._rows])
            self._digest.update(np.ascontiguousarray(pixels).data)
            if split == "train":
                self._sums.add(pixels)
            names.append(shard_file(split, number))
            np.save(self._folder / names[-1], pixels)
        return names

    def _decode(self, images: list[ImageRef]) -> NDArray[np.uint8]:
        """Decode in threads (Pillow works without the GIL), each into its own row."""
        import numpy as np

        pixels = np.empty((len(images), self._size, self._size, 3), np.uint8)

        def fill(rows: range) -> None:
            for row in rows:
                key = images[row].key
                pixels[row] = decode_square(self._files[key], self._size, name=key)

        chunks = (range(i, min(i + 16, len(images))) for i in range(0, len(images), 16))
        for _ in self._pool.map(fill, chunks):
            pass
        return pixels

    def meta(
        self,
        dealt: Mapping[SplitName, list[ImageRef]],
        parts: Mapping[SplitName, list[str]],
    ) -> dict[str, Any]:
        """What dataset.json says, as far as the packer knows it."""
        mean, std = self._sums.mean_and_std()
        return {
            "format": FORMAT,
            "classes": self._classes,
            "image_size": self._size,
            "mean": mean,
            "std": std,
            "counts": {split: self._count(dealt[split]) for split in SPLITS},
            "content_hash": self._digest.hexdigest(),
            "shards": parts,
            "keys": {split: [image.key for image in dealt[split]] for split in SPLITS},
        }

    def _count(self, images: list[ImageRef]) -> dict[str, int]:
        counts = dict.fromkeys(self._classes, 0)
        for image in images:
            counts[image.label] += 1
        return counts


class _ChannelSums:
    """Exact sums of bytes and their squares, so that the order of adding is no matter."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, [0, 0, 0], [0, 0, 0]

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Take (N, H, W, 3) uint8 into account."""
        import numpy as np

        values = np.arange(256, dtype=np.int64)
        self._count += pixels[..., 0].size
        for channel in range(3):
            histogram = np.bincount(pixels[..., channel].ravel(), minlength=256)
            self._sum[channel] += int(histogram @ values)
            self._squares[channel] += int(histogram @ values**2)

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Of values in [0, 1], for each channel."""
        mean = [total / self._count for total in self._sum]
        variance = [
            squares / self._count - of_channel**2
            for squares, of_channel in zip(self._squares, mean, strict=True)
        ]
        std = [max(max(value, 0.0) ** 0.5 / 255, _SMALLEST_STD) for value in variance]
        return [value / 255 for value in mean], std


def _content(file: Path) -> str:
    with file.open("rb") as body:
        return file_digest(body, "sha256").hexdigest()


def _notes(
    manifest: Manifest,
    content: Mapping[str, str],
    dealt: Mapping[SplitName, list[ImageRef]],
) -> list[str]:
    notes = []
    copies = len(content) - len(set(content.values()))
    if copies:
        notes.append(f"{copies} images are copies of others; copies stay in one split.")
    for same in conflicting_labels(manifest.images, content):
        named = ", ".join(repr(image.key) for image in same[:4])
        notes.append(f"One picture has different labels: {named}.")
    for split in ("val", "test"):
        missing = set(manifest.classes) - {image.label for image in dealt[split]}
        if missing and dealt[split]:
            notes.append(f"{split} has no image of: {', '.join(sorted(missing))}.")
    return notes


@contextmanager
def _whole_or_nothing(out: Path) -> Iterator[Path]:
    """A folder to write to, that takes the name `out` when all has gone well."""
    if (
        out.exists()
        and not (out / META).is_file()
        and (not out.is_dir() or any(out.iterdir()))
    ):
        raise OutputInUse(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        work.chmod(0o777 & ~_umask())
        yield work
        if out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
            out.rename(old / "dataset")
            work.rename(out)
            shutil.rmtree(old)
        else:
            work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _umask() -> int:
    """The umask, read from the kernel: setting it to look would race with threads."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0o022
    return next(
        (int(x.split()[1], 8) for x in status.splitlines() if x[:6] == "Umask:"), 0o022
    )


def _threads() -> int:
    return min(16, (os.cpu_count() or 1) + 1)
