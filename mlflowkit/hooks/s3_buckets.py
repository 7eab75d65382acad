"""Buckets, and what is in them: made, looked into, listed, removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from mlflowkit.errors import BadS3Place, BucketMissing, StorageFailed
from mlflowkit.hooks.s3_client import S3Client, settings_of
from mlflowkit.hooks.s3_place import fixed_part

_HOME_REGION: Final = "us-east-1"
_AT_ONCE: Final = 1000


class Buckets(S3Client):
    """What is done to buckets and with lists of keys."""

    def default_bucket(self) -> str | None:
        """The bucket of the connection: `service_config.s3.bucket_name` in its extras."""
        service = settings_of(self.connection.extra.get("service_config"), self.conn_id)
        s3 = settings_of(service.get("s3"), self.conn_id)
        name = s3.get("bucket_name")
        return str(name) if name else None

    def check_for_bucket(self, bucket_name: str | None = None) -> bool:
        """Whether there is such a bucket.

        Raises:
            CredentialsRefused: it may not be looked into, so that nobody knows.
        """
        try:
            self.bucket_region(self._bucket(bucket_name))
        except BucketMissing:
            return False
        return True

    def get_bucket(self, bucket_name: str | None = None) -> Any:
        """boto3's Bucket, as in `hook.get_bucket("pets").objects.all()`.

        What is done with it raises boto3's own errors; `with hook.errors("pets"):` turns
        them into ours.
        """
        with self.errors():
            resource = self._session.resource("s3", **self._client_arguments())
        return resource.Bucket(self._bucket(bucket_name))

    def create_bucket(
        self, bucket_name: str | None = None, region_name: str | None = None
    ) -> None:
        """Make a bucket, in the connection's region if no other is given."""
        name = self._bucket(bucket_name)
        region = region_name or self.get_conn().meta.region_name
        away = region not in (None, _HOME_REGION, "aws-global")
        options = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with self.errors(name):
            self.get_conn().create_bucket(Bucket=name, **(options if away else {}))

    def delete_bucket(self, bucket_name: str, force_delete: bool = False) -> None:
        """Remove a bucket that is empty, or all that is in it too with `force_delete`.

        Raises:
            StorageFailed: it is not empty. Asked for here, since not every server does.
        """
        if force_delete:
            self.delete_objects(bucket_name, self.list_keys(bucket_name))
        elif self.list_keys(bucket_name, max_items=1):
            what = f"BucketNotEmpty: {bucket_name} holds objects (force_delete=True)"
            raise StorageFailed(self.conn_id, self.endpoint, what)
        with self.errors(bucket_name):
            self.get_conn().delete_bucket(Bucket=bucket_name)

    # ── lists ──

    def list_keys(
        self,
        bucket_name: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        page_size: int | None = None,
        max_items: int | None = None,
        start_after_key: str | None = None,
        from_datetime: datetime | None = None,
        to_datetime: datetime | None = None,
        object_filter: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None,
        apply_wildcard: bool = False,
    ) -> list[str]:
        """Keys in order, each once.

        Args:
            delimiter: Leave out keys that have it after the prefix ("/": one folder only).
            max_items: Look at no more objects than this.
            start_after_key: Only keys after this one.
            from_datetime: Only objects changed after this time (aware).
            to_datetime: Only objects changed before this time (aware).
            object_filter: Chooses among the objects, as dicts with Key, Size, LastModified.
            apply_wildcard: The prefix is a pattern with `*`, `?` and `[...]`.
        """
        start = fixed_part(prefix or "") if apply_wildcard else prefix
        found = [
            item
            for page in self._pages(
                bucket_name, start, delimiter, page_size, max_items, start_after_key
            )
            for item in page.get("Contents", ())
            if not apply_wildcard or fnmatchcase(item["Key"], prefix or "")
        ]
        if object_filter is not None:
            found = object_filter(found)
        return [o["Key"] for o in found if _between(o, from_datetime, to_datetime)]

    def list_prefixes(
        self,
        bucket_name: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = "/",
        page_size: int | None = None,
        max_items: int | None = None,
    ) -> list[str]:
        """The "folders" directly below a prefix, each with the delimiter at its end."""
        pages = self._pages(bucket_name, prefix, delimiter, page_size, max_items)
        return [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", ())]

    def get_file_metadata(
        self,
        prefix: str,
        bucket_name: str | None = None,
        page_size: int | None = None,
        max_items: int | None = None,
    ) -> list[dict[str, Any]]:
        """What a listing says of each object below a prefix: Key, Size, LastModified, ETag."""
        pages = self._pages(bucket_name, prefix, None, page_size, max_items)
        return [item for page in pages for item in page.get("Contents", ())]

    def delete_objects(self, bucket: str, keys: str | list[str]) -> None:
        """Remove objects, a thousand in a request. A key that is not there is no error.

        Raises:
            BadS3Place: the server kept one; the message says why.
        """
        wanted = [keys] if isinstance(keys, str) else list(keys)
        for start in range(0, len(wanted), _AT_ONCE):
            objects = [{"Key": key} for key in wanted[start : start + _AT_ONCE]]
            with self.errors(bucket):
                answer = self.get_conn().delete_objects(
                    Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
                )
            for kept in answer.get("Errors", ()):
                why = f"the server did not remove it ({kept.get('Code')}: {kept.get('Message')})"
                raise BadS3Place(str(kept.get("Key")), why)

    def _bucket(self, name: str | None) -> str:
        found = name or self.default_bucket()
        if not found:
            raise BadS3Place("", "no bucket is given, and the connection names none")
        return found

    def _pages(
        self,
        bucket_name: str | None,
        prefix: str | None,
        delimiter: str | None,
        page_size: int | None = None,
        max_items: int | None = None,
        start_after: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        bucket = self._bucket(bucket_name)
        options = {"Prefix": prefix, "Delimiter": delimiter, "StartAfter": start_after}
        with self.errors(bucket):
            yield from (
                self.get_conn()
                .get_paginator("list_objects_v2")
                .paginate(
                    Bucket=bucket,
                    PaginationConfig={"PageSize": page_size, "MaxItems": max_items},
                    **{name: value for name, value in options.items() if value},
                )
            )


def _between(item: dict[str, Any], first: datetime | None, last: datetime | None) -> bool:
    changed: datetime = item["LastModified"]
    return (first is None or changed > first) and (last is None or changed < last)
