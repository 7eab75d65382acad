"""Which image is for training, which for validation, which for the test. Pure.

Rule 1: content decides, not the order of a listing: images are ranked by a hash of the
        seed and their content, so that the same images give the same splits.
Rule 2: what has the same content is the same picture, and stays in one split.
Rule 3: every class is in train, and in test and val as far as it has pictures for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from mlflowkit.errors import ClassTooSmall, OneClassOnly, WrongFractions

if TYPE_CHECKING:
    from mlflowkit.ml.dataset import SplitName
    from mlflowkit.ml.images import ImageRef


def split_images(
    images: Iterable[ImageRef],
    content: Mapping[str, str],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> dict[SplitName, list[ImageRef]]:
    """Deal images out to train, val and test, each class by itself (stratified).

    Args:
        images: In any order.
        content: For each key a hash of the file's bytes. (An ETag will not do: that of
            an upload in parts, or of an encrypted object, is not one of the content.)
        val_fraction: Of each class's different pictures, rounded; at least one if it is
            above 0 and the class has three.
        test_fraction: The same; at least one if it is above 0 and the class has two.
        seed: Another seed deals differently.

    Returns:
        The images of each split, in an order that depends on content and seed alone.

    Raises:
        WrongFractions: One is negative, or they leave nothing for train.
        OneClassOnly: There are fewer than two classes.
        ClassTooSmall: A class has too few different pictures to be split.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise WrongFractions(val_fraction, test_fraction)
    images = list(images)
    classes = _pictures_by_class(images, content)
    if len(classes) < 2:
        raise OneClassOnly(classes)
    split_of: dict[str, SplitName] = {}
    needed = 2 if val_fraction + test_fraction > 0 else 1
    for label, pictures in sorted(classes.items()):
        if len(pictures) < needed:
            raise ClassTooSmall(label, len(pictures), needed)
        ranked = sorted(pictures, key=lambda picture: _rank(seed, picture))
        split_of |= _deal(ranked, val_fraction, test_fraction)
    dealt: dict[SplitName, list[ImageRef]] = {"train": [], "val": [], "test": []}
    for image in sorted(
        images, key=lambda each: (_rank(seed, content[each.key]), each.key)
    ):
        dealt[split_of[content[image.key]]].append(image)
    return dealt


def conflicting_labels(
    images: Iterable[ImageRef], content: Mapping[str, str]
) -> list[list[ImageRef]]:
    """Groups of images that are the same picture under different labels, sorted by key."""
    same: dict[str, list[ImageRef]] = defaultdict(list)
    for image in sorted(images, key=lambda each: each.key):
        same[content[image.key]].append(image)
    return [group for group in same.values() if len({image.label for image in group}) > 1]


def _pictures_by_class(
    images: list[ImageRef], content: Mapping[str, str]
) -> Mapping[str, set[str]]:
    """The contents of each class. A picture with several labels counts for the first."""
    home: dict[str, str] = {}
    for image in images:
        picture = content[image.key]
        home[picture] = min(image.label, home.get(picture, image.label))
    classes: dict[str, set[str]] = {image.label: set() for image in images}
    for picture, label in home.items():
        classes[label].add(picture)
    return classes


def _deal(ranked: list[str], val: float, test: float) -> dict[str, SplitName]:
    tests = _share(len(ranked), test, room=len(ranked) - 1)
    vals = _share(len(ranked), val, room=len(ranked) - tests - 1)
    return {
        picture: "test" if place < tests else "val" if place < tests + vals else "train"
        for place, picture in enumerate(ranked)
    }


def _share(count: int, fraction: float, *, room: int) -> int:
    """`fraction` of `count`, rounded, at least one unless 0 was asked, at most `room`."""
    return min(max(round(count * fraction), 1), room) if fraction > 0 else 0


def _rank(seed: int, picture: str) -> bytes:
    return sha256(f"{seed}:{picture}".encode()).digest()
