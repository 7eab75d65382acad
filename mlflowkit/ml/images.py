"""Images in S3, as a manifest: what is there, and what each image is called.

`load_images` brings every object under a prefix into the local cache, sees that
each is a whole image, and gives a `Manifest`: keys, labels, sizes and ETags, never
pixels, so that it is small enough to travel between tasks and works on any machine.
Neither objects nor the whole listing's bodies are ever held in memory at once.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from mlflowkit.errors import BadImages, ImageGone, NoImages
from mlflowkit.hooks.s3 import DEFAULT_CONNECTION
from mlflowkit.ml.image_cache import ImageCache, default_cache
from mlflowkit.ml.image_fetch import BucketReader, Fetched, Found, fetch_all

log = logging.getLogger(__name__)

IN_FLIGHT = 16
_PATHS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image: its key in the bucket, its label, its size in bytes, its ETag."""

    key: str
    label: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class SkippedObject:
    """An object that was left out, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The images under a URI, sorted by key, and the objects that were left out."""

    uri: str
    connection: str
    images: tuple[ImageRef, ...]
    skipped: tuple[SkippedObject, ...] = ()
    #: How many objects, and bytes, this run had to download. No part of what it is.
    downloaded: int = field(default=0, compare=False)
    downloaded_bytes: int = field(default=0, compare=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({image.label for image in self.images}))

    @property
    def content_hash(self) -> str:
        """SHA-256 of labels and contents, in hex: the same wherever and in whatever
        order they lie, another as soon as one image or label is another."""
        lines = sorted(
            f"{image.label}\0{image.etag}\0{image.size}" for image in self.images
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def paths(self, cache: Path | str | None = None) -> Iterator[tuple[ImageRef, Path]]:
        """Each image with a local file of it, fetched now if this machine has none yet.

        Args:
            cache: The folder of the cache; the home's own if not given.

        Raises:
            ImageGone: an object is not there any more, or is another one now.
        """
        images = iter(self.images)
        store = ImageCache(default_cache() if cache is None else Path(cache))
        reader: BucketReader | None = None
        while batch := list(islice(images, _PATHS_AT_ONCE)):
            missing = [
                image for image in batch if store.verdict(_name(image), image.size) != ""
            ]
            if missing:
                reader = reader or BucketReader(self.uri, self.connection)
                self._fetch(missing, reader, store)
            yield from ((image, store.path(_name(image))) for image in batch)

    def _fetch(
        self, missing: list[ImageRef], reader: BucketReader, store: ImageCache
    ) -> None:
        found = (Found(image.key, image.size, image.etag) for image in missing)
        by_key = {image.key: image for image in missing}
        for fetched in fetch_all(found, reader, store, IN_FLIGHT):
            wanted = by_key[fetched.key]
            if fetched.reason:
                raise ImageGone(self.uri, fetched.key, f"cannot be used: {fetched.reason}")
            if (fetched.etag, fetched.size) != (wanted.etag, wanted.size):
                raise ImageGone(self.uri, fetched.key, "was changed since it was listed")


def load_images(
    uri: str,
    *,
    connection: str = DEFAULT_CONNECTION,
    on_error: Literal["skip", "fail"] = "skip",
    cache: Path | str | None = None,
    limit: int | None = None,
    in_flight: int = IN_FLIGHT,
) -> Manifest:
    """List the images under an S3 prefix, and bring those not seen before into the cache.

    The label of an image is the folder it lies in, seen from the prefix: `cat` for
    `s3://b/pets/cat/1.png` under `s3://b/pets`, and empty for `s3://b/pets/1.png`.
    A prefix is a folder: `train` stands for `train/…`, never for `training/…`.

    Args:
        uri: `s3://bucket` or `s3://bucket/prefix`.
        connection: The id of an S3 connection.
        on_error: What to do with objects that are no whole images: "skip" lists them in
            `Manifest.skipped`, "fail" raises, after all were looked at.
        cache: The folder to keep images in; the home's own if not given.
        limit: Look at the first so many objects only, in the order of their keys.
        in_flight: How many objects to fetch at the same time.

    Raises:
        NoImages: nothing under the prefix is an image.
        BadImages: with on_error="fail", some objects are not; names them.
        BucketMissing, CredentialsRefused, CredentialsMissing, EndpointUnreachable.
    """
    if on_error not in ("skip", "fail"):
        raise ValueError(f'on_error must be "skip" or "fail", not {on_error!r}')
    reader = BucketReader(uri, connection)
    store = ImageCache(default_cache() if cache is None else Path(cache))
    outcomes = fetch_all(islice(reader.list(), limit), reader, store, max(1, in_flight))
    manifest = _manifest(uri, connection, reader, outcomes)
    log.info(
        "images read",
        extra={
            "action": "images_read",
            "uri": uri,
            "images": len(manifest.images),
            "skipped": len(manifest.skipped),
            "downloaded": manifest.downloaded,
            "downloaded_bytes": manifest.downloaded_bytes,
        },
    )
    if manifest.skipped and on_error == "fail":
        raise BadImages(uri, [(each.key, each.reason) for each in manifest.skipped])
    if not manifest.images:
        raise NoImages(uri, connection, len(manifest.skipped))
    return manifest


def _manifest(
    uri: str, connection: str, reader: BucketReader, outcomes: list[Fetched]
) -> Manifest:
    outcomes.sort(key=lambda each: each.key)
    return Manifest(
        uri=uri,
        connection=connection,
        images=tuple(
            ImageRef(each.key, reader.label(each.key), each.size, each.etag)
            for each in outcomes
            if not each.reason
        ),
        skipped=tuple(
            SkippedObject(each.key, each.reason) for each in outcomes if each.reason
        ),
        downloaded=sum(each.downloaded for each in outcomes),
        downloaded_bytes=sum(each.size for each in outcomes if each.downloaded),
    )


def _name(image: ImageRef) -> str:
    return ImageCache.name(image.etag, image.size, image.key)
