"""Real images for the demo: scikit-learn's 1,797 handwritten digits, as PNG files.

The files are the same, byte for byte, wherever they are written, so that an upload
that was done before finds nothing to do.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflowkit.errors import MissingExtra
from mlflowkit.hooks.s3 import DEFAULT_CONNECTION, S3Hook, parse_s3_url

if TYPE_CHECKING:
    from obstore.store import S3Store

SIDE: Final = 8
_BRIGHTEST: Final = 16
_IN_FLIGHT: Final = 16


def write_digits(folder: Path) -> Path:
    """Write 1,797 grey PNG files of 8 x 8 pixels as `folder/<digit>/<number>.png`.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as exc:
        raise MissingExtra("scikit-learn", "demo", "writing the demo's images") from exc
    digits = load_digits()
    for number in range(10):
        (folder / str(number)).mkdir(parents=True, exist_ok=True)
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        grey = (image * 255 / _BRIGHTEST).round().astype("uint8")
        (folder / str(label) / f"{index:04d}.png").write_bytes(_png(grey.tobytes()))
    return folder


def upload_folder(folder: Path, uri: str, connection: str = DEFAULT_CONNECTION) -> int:
    """Put every file below a folder under an S3 URI; gives how many had to be sent.

    An object with the same size and MD5 as the file is left as it is.

    Raises:
        BucketMissing, CredentialsRefused, CredentialsMissing, EndpointUnreachable.
    """
    bucket, prefix = parse_s3_url(uri)
    prefix = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
    hook = S3Hook(connection)
    store = hook.object_store(bucket)
    with hook.errors(bucket):
        there = dict(_listed(hook, bucket, prefix))
        wanted = {
            prefix + file.relative_to(folder).as_posix(): file
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        missing = [
            (key, file) for key, file in wanted.items() if there.get(key) != _mark(file)
        ]
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="upload") as pool:
            list(pool.map(lambda each: _put(store, *each), missing))
    return len(missing)


def _put(store: S3Store, key: str, file: Path) -> None:
    import obstore

    obstore.put(store, key, file)


def _listed(
    hook: S3Hook, bucket: str, prefix: str
) -> Iterator[tuple[str, tuple[int, str]]]:
    pages = hook.get_conn().get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", ()):
            yield each["Key"], (each["Size"], each["ETag"].strip('"'))


def _mark(file: Path) -> tuple[int, str]:
    """Size and MD5, which is the ETag of an object that was put in one piece."""
    with file.open("rb") as body:
        digest = hashlib.file_digest(body, lambda: hashlib.md5(usedforsecurity=False))
    return file.stat().st_size, digest.hexdigest()


def _png(grey: bytes) -> bytes:
    """A PNG of 8 x 8 grey pixels. Written here: libraries' bytes differ by version."""
    rows = b"".join(b"\0" + grey[at : at + SIDE] for at in range(0, len(grey), SIDE))
    # Stored, not compressed: the zlib at hand must not change the bytes.
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows, 0))
        + _chunk(b"IEND", b"")
    )


def _chunk(name: bytes, body: bytes) -> bytes:
    return (
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
    )
