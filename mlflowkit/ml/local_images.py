"""Images in a folder of this machine, as the same manifest that S3 gives.

For trying things by hand, and for data that is already here. Such a manifest works on
this machine only: its images are not fetched from anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mlflowkit.errors import ImageGone, NoImages
from mlflowkit.ml.image_cache import why_no_image
from mlflowkit.ml.images import ImageRef, Manifest, SkippedObject


@dataclass(frozen=True, slots=True)
class LocalManifest(Manifest):
    """The images below a folder. `uri` is the folder; there is no connection."""

    def paths(self, cache: Path | str | None = None) -> Iterator[tuple[ImageRef, Path]]:
        """Each image with its file. Nothing is copied, so `cache` is not used.

        Raises:
            ImageGone: a file is not there any more, or has another size now.
        """
        del cache
        for image in self.images:
            file = Path(self.uri) / image.key
            if not file.is_file() or file.stat().st_size != image.size:
                raise ImageGone(self.uri, image.key, "was removed or changed")
            yield image, file


def local_images(folder: Path | str) -> LocalManifest:
    """List the images below a folder; the label of each is the folder it lies in.

    Files that are no whole images are listed in `skipped`; hidden ones are not looked at.

    Raises:
        NoImages: there is none.
    """
    root = Path(folder).resolve()
    keys = sorted(
        file.relative_to(root).as_posix()
        for file in root.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    )
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda key: _look_at(root, key), keys))
    images = tuple(each for each in found if isinstance(each, ImageRef))
    skipped = tuple(each for each in found if isinstance(each, SkippedObject))
    if not images:
        raise NoImages(str(root), "", len(skipped))
    return LocalManifest(uri=str(root), connection="", images=images, skipped=skipped)


def _look_at(root: Path, key: str) -> ImageRef | SkippedObject:
    with (root / key).open("rb") as body:
        etag = hashlib.file_digest(body, lambda: hashlib.md5(usedforsecurity=False))
        body.seek(0)
        reason = why_no_image(body)
    if reason:
        return SkippedObject(key, reason)
    label = Path(key).parent.as_posix()
    size = (root / key).stat().st_size
    return ImageRef(key, "" if label == "." else label, size, etag.hexdigest())
