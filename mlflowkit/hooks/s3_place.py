"""Which object is meant: URLs, buckets with keys, patterns. Asks no server."""

from __future__ import annotations

import re
from typing import Final

from mlflowkit.errors import BadS3Place, InvalidS3Url, a

_URL_SCHEMES: Final = ("s3://", "s3a://", "s3n://")


def parse_s3_url(url: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`. The key is taken as it stands, and may be empty.

    Raises:
        InvalidS3Url: another scheme, or no bucket.
    """
    scheme = next((known for known in _URL_SCHEMES if url.startswith(known)), None)
    if scheme is None:
        raise InvalidS3Url(url)
    bucket, _, key = url.removeprefix(scheme).partition("/")
    if not bucket:
        raise InvalidS3Url(url)
    return bucket, key


def place_of(
    key: str, bucket: str | None = None, default: str | None = None
) -> tuple[str, str]:
    """The bucket and key of an object, given as `s3://bucket/key` or as both.

    Args:
        default: The bucket where neither names one: the connection's own.

    Raises:
        BadS3Place: both name a bucket, neither does, or there is no key.
        InvalidS3Url: a URL without a bucket.
    """
    if not isinstance(key, str):
        raise BadS3Place(str(key), f"a key is a text, not {a(type(key).__name__)}")
    is_url = key.startswith(_URL_SCHEMES)
    if is_url and bucket:
        raise BadS3Place(
            key,
            f"it is a whole URL, and the bucket {bucket!r} was given too: leave one out",
        )
    found, name = parse_s3_url(key) if is_url else (bucket or default, key)
    if not found:
        raise BadS3Place(
            key, "no bucket is given: write s3://bucket/key, or name the bucket"
        )
    if not name:
        raise BadS3Place(key, "it has no key after the bucket")
    return found, name


def fixed_part(pattern: str) -> str:
    """What every key that fits the pattern starts with: all before the first wildcard."""
    return re.split(r"[\[*?]", pattern, maxsplit=1)[0]
