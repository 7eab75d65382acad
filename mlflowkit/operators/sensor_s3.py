"""S3KeySensor: waits for objects in a bucket."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar

from mlflowkit.authoring.python import with_context
from mlflowkit.authoring.sensor import BaseSensorOperator
from mlflowkit.errors import BadOption
from mlflowkit.hooks.s3 import S3Hook
from mlflowkit.hooks.s3_client import DEFAULT_CONNECTION
from mlflowkit.hooks.s3_place import fixed_part, place_of


class S3KeySensor(BaseSensorOperator):
    """Waits until all of the keys are there.

    Args:
        bucket_key: One key or several (templated): `s3://bucket/key`, or a key of
            `bucket_name`.
        bucket_name: The bucket (templated); None where each key has its own, or the
            connection names one.
        wildcard_match: Keys are patterns with `*`, `?` and `[…]`; one match each will do.
        use_regex: Keys are regular expressions, matched from the key's beginning.
        check_fn: Called with what was found for one key, a list of dicts with
            `metadata_keys`, and those names of the context that it has parameters for; true
            when that is what is waited for.
        metadata_keys: What `check_fn` is told of each object, as in the answer to a HEAD
            request, "Key" and "Size"; "*" for all of it.
        aws_conn_id: The connection.
        region_name: Instead of the connection's.
        verify: Whether to check certificates, or a file with those to trust.

    Raises:
        BadOption: both kinds of patterns.
        BadS3Place: a bucket that is named twice, or a key that is not there.
    """

    template_fields: ClassVar[Sequence[str]] = ("bucket_key", "bucket_name")

    def __init__(
        self,
        task_id: str,
        *,
        bucket_key: str | Sequence[str],
        bucket_name: str | None = None,
        wildcard_match: bool = False,
        use_regex: bool = False,
        check_fn: Callable[..., bool] | None = None,
        metadata_keys: Sequence[str] | None = None,
        aws_conn_id: str | None = DEFAULT_CONNECTION,
        region_name: str | None = None,
        verify: bool | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        if wildcard_match and use_regex:
            why = "cannot be used together with wildcard_match"
            raise BadOption(f"sensor {task_id!r}", "use_regex", why)
        self.bucket_key = bucket_key
        self.bucket_name = bucket_name
        self.wildcard_match, self.use_regex = wildcard_match, use_regex
        self.check_fn = check_fn
        self.metadata_keys = list(metadata_keys or ("Size", "Key"))
        self.aws_conn_id = aws_conn_id or DEFAULT_CONNECTION
        self.region_name, self.verify = region_name, verify
        self._check_written()

    @cached_property
    def _hook(self) -> S3Hook:
        return S3Hook(self.aws_conn_id, region_name=self.region_name, verify=self.verify)

    def poke(self, context: Mapping[str, Any]) -> bool:
        return all(self._is_there(key, context) for key in self._keys())

    def _keys(self) -> Iterable[str]:
        return [self.bucket_key] if isinstance(self.bucket_key, str) else self.bucket_key

    def _check_written(self) -> None:
        """What stands in the DAG itself can be checked when it is written."""
        if not isinstance(self.bucket_name, str | None):
            return
        written = self._keys() if isinstance(self.bucket_key, str | list | tuple) else ()
        for key in written:
            if isinstance(key, str) and "{{" not in key:
                self._place(key, "the connection's own")

    def _place(self, key: str, default: str | None) -> tuple[str, str]:
        return place_of(key, self.bucket_name, default)

    def _is_there(self, key: str, context: Mapping[str, Any]) -> bool:
        bucket, name = self._place(key, self._hook.default_bucket())
        if not self.wildcard_match and not self.use_regex:
            head = self._head(bucket, name)
            found = [] if head is None else [{**head, "Key": name}]
        else:
            matches = self._matches(bucket, name)
            first = next(matches, None)
            found = [] if first is None else [first]
            if self.check_fn is not None:
                found += matches
        if not found or self.check_fn is None:
            return bool(found)
        return self._checked([self._told(bucket, one) for one in found], context)

    def _matches(self, bucket: str, pattern: str) -> Iterator[dict[str, Any]]:
        if self.wildcard_match:
            prefix = fixed_part(pattern)
            fits: Callable[[str], object] = lambda key: fnmatchcase(key, pattern)  # noqa: E731
        else:
            prefix, fits = "", re.compile(pattern).match
        pages = self._hook.get_conn().get_paginator("list_objects_v2")
        with self._hook.errors(bucket):
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                yield from (one for one in page.get("Contents", ()) if fits(one["Key"]))

    def _head(self, bucket: str, key: str) -> dict[str, Any] | None:
        """What S3 says of an object, its size as `Size`, too; None if there is none."""
        found = self._hook.head_object(key, bucket)
        return None if found is None else {**found, "Size": found.get("ContentLength")}

    def _told(self, bucket: str, found: Mapping[str, Any]) -> dict[str, Any]:
        wanted = self.metadata_keys
        known = dict(found)
        if "*" in wanted or any(name not in known for name in wanted):
            known |= self._head(bucket, found["Key"]) or {}
        return known if "*" in wanted else {name: known.get(name) for name in wanted}

    def _checked(self, files: list[dict[str, Any]], context: Mapping[str, Any]) -> bool:
        assert self.check_fn is not None
        kwargs = with_context(self.check_fn, (files,), {}, context)
        return bool(self.check_fn(files, **kwargs))
