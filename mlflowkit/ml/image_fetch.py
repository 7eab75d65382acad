"""Objects of a bucket into the image cache, many in flight, in bounded memory.

Workers draw from one listing, page by page, so that listing and fetching overlap
and nothing queues up. An object is held in memory only if it is small.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mlflowkit.hooks.s3 import S3Hook, parse_s3_url
from mlflowkit.hooks.s3_errors import error_code
from mlflowkit.ml.image_cache import ImageCache
from mlflowkit.ports import report_progress

if TYPE_CHECKING:
    from pathlib import Path

    from obstore.store import S3Store

#: Larger bodies go to disk as they come.
_IN_MEMORY_BYTES: Final = 4 << 20
_CHUNK_BYTES: Final = 1 << 20
_REPORT_EVERY_S: Final = 0.5
_GONE: Final = "was removed while it was being read"


class Found(NamedTuple):
    """An object as the listing gives it."""

    key: str
    size: int
    etag: str


class Fetched(NamedTuple):
    """An object that was looked at: `reason` is empty if it is a whole image."""

    key: str
    size: int
    etag: str
    reason: str
    downloaded: bool


class BucketReader:
    """The objects under one S3 URI.

    Raises:
        InvalidS3Url, BucketMissing, CredentialsRefused, CredentialsMissing,
        EndpointUnreachable: when made, before anything is read.
    """

    def __init__(self, uri: str, connection: str) -> None:
        self.bucket, prefix = parse_s3_url(uri)
        self.prefix = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
        self._hook = S3Hook(connection)
        self._client: Any = self._hook.get_conn()
        self._store: S3Store = self._hook.object_store(self.bucket)

    def label(self, key: str) -> str:
        """The folder that the object lies in, seen from the prefix."""
        return key.removeprefix(self.prefix).rpartition("/")[0]

    def list(self) -> Iterator[Found]:
        """All objects under the prefix but folder markers, in the order of their keys."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix
        )
        with self._hook.errors(self.bucket):
            for page in pages:
                for each in page.get("Contents", ()):
                    if not (each["Key"].endswith("/") and each["Size"] == 0):
                        yield Found(
                            each["Key"], each["Size"], each.get("ETag", "").strip('"')
                        )

    def fetch(self, found: Found, store: ImageCache) -> Fetched:
        """Bring one object into the cache, and look at it."""
        with self._hook.errors(self.bucket):
            if _plain(found.key):
                return self._fetch_plain(found, store)
            return self._fetch_odd(found, store)

    def _fetch_plain(self, found: Found, store: ImageCache) -> Fetched:
        import obstore

        try:
            answer = obstore.get(self._store, found.key)
        except FileNotFoundError:
            return Fetched(*found, _GONE, False)
        size, etag = answer.meta["size"], (answer.meta["e_tag"] or "").strip('"')
        name = ImageCache.name(etag, size, found.key)
        if size <= _IN_MEMORY_BYTES:
            reason = store.add(name, bytes(answer.bytes()))
        else:
            chunks = answer.stream(min_chunk_size=_CHUNK_BYTES)
            reason = store.add_file(name, _to_disk(chunks, store.scratch()))
        return Fetched(found.key, size, etag, reason, True)

    def _fetch_odd(self, found: Found, store: ImageCache) -> Fetched:
        """Keys that S3 allows and obstore cannot say: `a//b`, `../a`, line breaks."""
        from botocore.exceptions import ClientError

        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=found.key)
        except ClientError as exc:
            if error_code(exc) != "NoSuchKey":
                raise
            return Fetched(*found, _GONE, False)
        size, etag = answer["ContentLength"], answer["ETag"].strip('"')
        chunks = answer["Body"].iter_chunks(_CHUNK_BYTES)
        name = ImageCache.name(etag, size, found.key)
        reason = store.add_file(name, _to_disk(chunks, store.scratch()))
        return Fetched(found.key, size, etag, reason, True)


@dataclass(slots=True)
class _Shared:
    """What the workers of one fetch share: the listing, and how far they are.

    The lock is held for as short as can be: a worker that holds it while it waits for
    the disk makes all others wait. Only while one object after the other turns out to
    be known are they settled under it, since then no other worker has anything to do.
    """

    source: Iterator[Found]
    reader: BucketReader
    store: ImageCache
    settled: list[Fetched] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    drawn: int = 0
    all_known: bool = True

    def draw(self) -> Found | None:
        """The next object that may have to be fetched."""
        with self.lock:
            while not self.stop.is_set() and (found := next(self.source, None)) is not None:
                self.drawn += 1
                known = self.look_up(found) if self.all_known else None
                if known is None:
                    self.all_known = False
                    return found
                self.settled.append(known)
            return None

    def look_up(self, found: Found) -> Fetched | None:
        """What is known of an object without asking for it."""
        if not found.size:
            return Fetched(*found, "an empty object", False)
        name = ImageCache.name(found.etag, found.size, found.key)
        reason = self.store.verdict(name, found.size)
        return None if reason is None else Fetched(*found, reason, False)

    def work(self) -> None:
        """One worker: draw and fetch until nothing is left, or another worker failed."""
        while (found := self.draw()) is not None:
            known = self.look_up(found)
            if known is not None:
                self.all_known = True
            self.settled.append(known or self.reader.fetch(found, self.store))


def fetch_all(
    source: Iterable[Found], reader: BucketReader, store: ImageCache, in_flight: int
) -> list[Fetched]:
    """Fetch all of them, `in_flight` at a time, and give what became of each, in any order.

    The first error stops all workers and is raised.
    """
    shared = _Shared(iter(source), reader, store)
    with ThreadPoolExecutor(in_flight, thread_name_prefix="images") as pool:
        workers = [pool.submit(shared.work) for _ in range(in_flight)]
        try:
            pending = set(workers)
            while pending:
                done, pending = wait(pending, _REPORT_EVERY_S, FIRST_EXCEPTION)
                report_progress(done=len(shared.settled), total=shared.drawn)
                for worker in done:
                    worker.result()
        finally:
            shared.stop.set()
    return shared.settled


def _to_disk(chunks: Iterable[Any], file: Path) -> Path:
    try:
        with file.open("xb") as out:
            for chunk in chunks:
                out.write(chunk)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file


def _plain(key: str) -> bool:
    """Whether obstore's paths, which are cleaned and checked, can say this key."""
    parts = key.split("/")
    return key.isprintable() and not any(part in ("", ".", "..") for part in parts)
