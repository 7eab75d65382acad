"""S3 as tasks: buckets made and removed, objects listed, copied, removed.

Each names its connection as `aws_conn_id`. Uploads are in `s3_upload`, what turns an object
into another one in `s3_transform`; both can be had from here, too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from mlflowkit.errors import BadOption
from mlflowkit.operators.s3_transform import S3FileTransformOperator
from mlflowkit.operators.s3_upload import (
    LocalFilesystemToS3Operator,
    S3FileTransferOperator,
    S3Operator,
    text_of,
)

__all__ = [
    "LocalFilesystemToS3Operator",
    "S3CopyObjectOperator",
    "S3CreateBucketOperator",
    "S3DeleteBucketOperator",
    "S3DeleteObjectsOperator",
    "S3FileTransferOperator",
    "S3FileTransformOperator",
    "S3ListOperator",
]

log = logging.getLogger(__name__)


class S3CreateBucketOperator(S3Operator):
    """Makes a bucket, unless it is there already."""

    template_fields: ClassVar[tuple[str, ...]] = ("bucket_name",)

    def __init__(
        self,
        task_id: str,
        *,
        bucket_name: object,
        region_name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.bucket_name, self.region_name = bucket_name, region_name

    def execute(self, context: Mapping[str, Any]) -> None:
        name, hook = str(self.bucket_name), self.hook
        if hook.check_for_bucket(name):
            log.info("bucket %s is there already", name)
        else:
            hook.create_bucket(name, self.region_name)


class S3DeleteBucketOperator(S3Operator):
    """Removes a bucket, if it is there. With `force_delete` also what is in it."""

    template_fields: ClassVar[tuple[str, ...]] = ("bucket_name",)

    def __init__(
        self,
        task_id: str,
        *,
        bucket_name: object,
        force_delete: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.bucket_name, self.force_delete = bucket_name, force_delete

    def execute(self, context: Mapping[str, Any]) -> None:
        name, hook = str(self.bucket_name), self.hook
        if hook.check_for_bucket(name):
            hook.delete_bucket(name, self.force_delete)
        else:
            log.info("there is no bucket %s", name)


class S3ListOperator(S3Operator):
    """Gives the keys below a prefix.

    Args:
        delimiter: Leave out keys that have it after the prefix ("/": one folder only).
        apply_wildcard: The prefix is a pattern with `*`, `?` and `[...]`.
    """

    template_fields: ClassVar[tuple[str, ...]] = ("bucket", "prefix", "delimiter")

    def __init__(
        self,
        task_id: str,
        *,
        bucket: object,
        prefix: object = "",
        delimiter: object = "",
        apply_wildcard: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.bucket, self.prefix, self.delimiter = bucket, prefix, delimiter
        self.apply_wildcard = apply_wildcard

    def execute(self, context: Mapping[str, Any]) -> list[str]:
        """The keys, in order."""
        return self.hook.list_keys(
            str(self.bucket),
            text_of(self.prefix),
            text_of(self.delimiter),
            apply_wildcard=self.apply_wildcard,
        )


class S3DeleteObjectsOperator(S3Operator):
    """Removes objects: some keys, or all below a prefix that fit in time.

    Args:
        keys: One, or several. No keys at all is no error.
        prefix: All below it; "" is the whole bucket.
        from_datetime: Only objects changed after it.
        to_datetime: Only objects changed before it.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "bucket",
        "keys",
        "prefix",
        "from_datetime",
        "to_datetime",
    )

    def __init__(
        self,
        task_id: str,
        *,
        bucket: object,
        keys: object = None,
        prefix: object = None,
        from_datetime: object = None,
        to_datetime: object = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        chosen = (prefix, from_datetime, to_datetime)
        if keys is not None and any(c is not None for c in chosen):
            why = "cannot stand beside prefix or times: give one or the other"
            raise BadOption(f"task {task_id!r}", "keys", why)
        if keys is None and all(c is None for c in chosen):
            why = "is missing: give keys, or a prefix"
            raise BadOption(f"task {task_id!r}", "keys", why)
        self.bucket, self.keys, self.prefix = bucket, keys, prefix
        self.from_datetime, self.to_datetime = from_datetime, to_datetime

    def execute(self, context: Mapping[str, Any]) -> None:
        bucket, hook = str(self.bucket), self.hook
        chosen = (self.prefix, self.from_datetime, self.to_datetime)
        if any(c is not None for c in chosen):
            found = hook.list_keys(
                bucket,
                text_of(self.prefix),
                from_datetime=self._time("from_datetime"),
                to_datetime=self._time("to_datetime"),
            )
        else:
            found = _keys(self.keys)
        hook.delete_objects(bucket, found)
        log.info("%s objects removed from %s", f"{len(found):,}", bucket)

    def _time(self, name: str) -> datetime | None:
        given = getattr(self, name)
        if given is None or given == "":
            return None
        try:
            found = given if isinstance(given, datetime) else datetime.fromisoformat(given)
        except (TypeError, ValueError) as exc:
            why = f"must be a time as 2026-01-31T00:00:00+00:00, not {given!r}"
            raise BadOption(f"task {self.task_id!r}", name, why) from exc
        if found.tzinfo is None:
            why = f"has no time zone: {given!r}"
            raise BadOption(f"task {self.task_id!r}", name, why)
        return found


class S3CopyObjectOperator(S3Operator):
    """Copies an object inside the server, over one that is there.

    Args:
        source_bucket_key: `s3://bucket/key`, or a key in `source_bucket_name`.
        dest_bucket_key: `s3://bucket/key`, or a key in `dest_bucket_name`.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "source_bucket_key",
        "dest_bucket_key",
        "source_bucket_name",
        "dest_bucket_name",
    )

    def __init__(
        self,
        task_id: str,
        *,
        source_bucket_key: object,
        dest_bucket_key: object,
        source_bucket_name: object = None,
        dest_bucket_name: object = None,
        source_version_id: str | None = None,
        acl_policy: str | None = None,
        meta_data_directive: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.source_bucket_key, self.source_bucket_name = (
            source_bucket_key,
            source_bucket_name,
        )
        self.dest_bucket_key, self.dest_bucket_name = dest_bucket_key, dest_bucket_name
        self.source_version_id, self.acl_policy = source_version_id, acl_policy
        self.meta_data_directive = meta_data_directive

    def execute(self, context: Mapping[str, Any]) -> None:
        self.hook.copy_object(
            str(self.source_bucket_key),
            str(self.dest_bucket_key),
            text_of(self.source_bucket_name),
            text_of(self.dest_bucket_name),
            self.source_version_id,
            self.acl_policy,
            self.meta_data_directive,
        )


def _keys(keys: Any) -> list[str]:
    given: Sequence[Any] = [keys] if isinstance(keys, str) else list(keys or ())
    return [str(key) for key in given if key]
