"""Images packed for training: a folder of uint8 shards that is opened, never changed.

    dataset.json             classes, mean/std of train, counts, hashes, the key of each row
    train-00000.npy …        (N, H, W, 3) uint8, opened as memory maps
    train-labels.npy         (N,) int64, indices into `classes`
    val-…, test-…            the same; a split may be empty

The folder knows nothing about where it lies: moved or copied, it is the same dataset.
This file reads; only preprocess.py writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mlflowkit.errors import MissingExtra, NotADataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SplitName = Literal["train", "val", "test"]
SPLITS: Final[tuple[SplitName, ...]] = ("train", "val", "test")
FORMAT: Final = 1
META: Final = "dataset.json"


class ShardedImages:
    """Several memory-mapped shards, indexed as if they were one (N, H, W, 3) uint8 array.

    An index, a slice, or an array of indices reads only the rows it names.
    `np.asarray(images)` reads all of them.
    """

    def __init__(self, shards: Sequence[NDArray[np.uint8]], image_size: int) -> None:
        self._shards = list(shards)
        self._starts = [0, *accumulate(len(shard) for shard in self._shards)]
        self._row_shape = (image_size, image_size, 3)

    def __len__(self) -> int:
        return self._starts[-1]

    def __repr__(self) -> str:
        return f"<ShardedImages {self.shape} uint8, {len(self._shards)} shards>"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3)."""
        return (len(self), *self._row_shape)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Always uint8."""
        import numpy as np

        return np.dtype(np.uint8)

    def __getitem__(
        self, rows: int | slice | Sequence[int] | NDArray[Any]
    ) -> NDArray[np.uint8]:
        """One image (H, W, 3) for an integer, else the named rows in the order named."""
        import numpy as np

        if isinstance(rows, int | np.integer):
            one: NDArray[np.uint8] = self.take(np.asarray([range(len(self))[int(rows)]]))[0]
            return one
        if isinstance(rows, slice):
            return self.take(np.arange(*rows.indices(len(self))))
        wanted = np.asarray(rows)
        if wanted.dtype == np.bool_:
            wanted = np.flatnonzero(wanted)
        return self.take(wanted)

    def take(self, rows: NDArray[Any]) -> NDArray[np.uint8]:
        """The images at `rows`, in that order: a new (len(rows), H, W, 3) array."""
        import numpy as np

        if len(rows) and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows go from 0 to {len(self) - 1}")
        rows = np.where(rows < 0, rows + len(self), rows).astype(np.int64)
        if len(self._shards) == 1:
            chosen: NDArray[np.uint8] = np.asarray(self._shards[0])[rows]
            return chosen
        found = np.empty((len(rows), *self._row_shape), np.uint8)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(owner):
            here = owner == number
            found[here] = self._shards[number][rows[here] - self._starts[number]]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All images in memory. `copy` is taken for NumPy's sake: it is always a copy."""
        import numpy as np

        whole = self.take(np.arange(len(self)))
        return whole if dtype is None else whole.astype(dtype)


@dataclass(frozen=True, slots=True)
class PackedDataset:
    """An opened folder of packed images.

    Attributes:
        folder: Where it lies. The folder is the whole dataset: hand this on.
        classes: Their names; a label is an index into this.
        image_size: Width and height in pixels.
        mean: Of the train split, each channel, of values in [0, 1].
        std: Of the same; never 0.
        counts: Images by split and class.
        manifest_hash: `content_hash` of the manifest that it was made from.
        content_hash: Of pixels, labels and classes: equal for equal content.
        notes: What a person should know about the data, in sentences.
    """

    folder: Path
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    counts: Mapping[str, Mapping[str, int]]
    manifest_hash: str
    content_hash: str
    notes: tuple[str, ...]
    _shards: Mapping[str, tuple[str, ...]]

    @classmethod
    def open(cls, folder: Path | str) -> PackedDataset:
        """Open a folder made by `preprocess`. Reads one JSON file, no pixels.

        Raises:
            NotADataset: `folder` does not exist, is something else, or lacks a file.
        """
        folder = Path(folder)
        meta = _read_meta(folder)
        try:
            shards: dict[str, tuple[str, ...]] = {
                name: tuple(meta["shards"][name]) for name in SPLITS
            }
            dataset = cls(
                folder=folder,
                classes=tuple(meta["classes"]),
                image_size=int(meta["image_size"]),
                mean=tuple(meta["mean"]),
                std=tuple(meta["std"]),
                counts=meta["counts"],
                manifest_hash=meta["manifest_hash"],
                content_hash=meta["content_hash"],
                notes=tuple(meta["notes"]),
                _shards=shards,
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise NotADataset(folder, f"{META} lacks or garbles {exc}") from exc
        names = [name for of_split in shards.values() for name in of_split]
        for name in [*names, *(labels_file(split) for split in SPLITS)]:
            if Path(name).name != name or not (folder / name).is_file():
                raise NotADataset(folder, f"its file {name!r} is not there")
        return dataset

    def __fspath__(self) -> str:
        return str(self.folder)

    def split(self, name: SplitName) -> tuple[ShardedImages, NDArray[np.int64]]:
        """The images (N, H, W, 3) uint8, memory-mapped, and labels (N,) int64 of a split.

        Raises:
            NotADataset: A file is damaged.
            KeyError: `name` is not "train", "val" or "test".
        """
        try:
            import numpy as np
        except ImportError as exc:
            raise MissingExtra("numpy", "vision", "reading packed images") from exc

        try:
            shards = [
                np.load(self.folder / file, mmap_mode="r") for file in self._shards[name]
            ]
            labels: NDArray[np.int64] = np.load(self.folder / labels_file(name))
        except (OSError, ValueError, EOFError) as exc:
            raise NotADataset(self.folder, f"a file of {name!r} is damaged: {exc}") from exc
        images = ShardedImages(shards, self.image_size)
        if len(images) != len(labels):
            raise NotADataset(
                self.folder, f"{name!r} has {len(images)} images and {len(labels)} labels"
            )
        return images, labels

    def size(self, name: SplitName) -> int:
        """How many images a split has."""
        return sum(self.counts[name].values())

    def keys(self, name: SplitName) -> tuple[str, ...]:
        """The key that each row of a split was read from."""
        return tuple(_read_meta(self.folder)["keys"][name])


def labels_file(split: SplitName) -> str:
    """The name of the file that holds a split's labels."""
    return f"{split}-labels.npy"


def shard_file(split: SplitName, number: int) -> str:
    """The name of a split's shard."""
    return f"{split}-{number:05d}.npy"


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise NotADataset(folder, f"it has no {META}") from exc
    except (OSError, ValueError) as exc:
        raise NotADataset(folder, f"{META} cannot be read ({exc})") from exc
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise NotADataset(folder, f"{META} is not of format {FORMAT}")
    return meta
