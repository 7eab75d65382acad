"""S3 and what speaks like it, named by a connection: `S3Hook`, under Airflow's names.

Here is what writes: uploads, copies. `s3_client` has the connection, `s3_buckets` buckets and
lists, `s3_reading` what reads single objects. An object that is there is never written over
unless `replace=True` says so.
"""

from __future__ import annotations

import gzip as gzip_format
import io
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mlflowkit.errors import BadS3Place, KeyExists, NoFileToUpload
from mlflowkit.hooks.s3_client import DEFAULT_CONNECTION
from mlflowkit.hooks.s3_place import parse_s3_url, place_of
from mlflowkit.hooks.s3_reading import Reading

__all__ = ["DEFAULT_CONNECTION", "S3Hook", "parse_s3_url"]


class S3Hook(Reading):
    """A client of one S3 connection, with the methods of Airflow's hook.

    An object is named by `key` and `bucket_name`, or by a whole URL as `key`
    (`s3://bucket/key`). Files go in parts, several at a time, from 8 MiB on.
    """

    parse_s3_url = staticmethod(parse_s3_url)

    def load_file(
        self,
        filename: str | Path,
        key: str,
        bucket_name: str | None = None,
        replace: bool = False,
        encrypt: bool = False,
        gzip: bool = False,
        acl_policy: str | None = None,
    ) -> None:
        """Upload a file.

        Args:
            replace: Write over an object that is there.
            encrypt: Let the server encrypt it (AES256).
            gzip: Pack it on the way; the file stays as it is.
            acl_policy: One of S3's own, such as "public-read".

        Raises:
            KeyExists: there is one, and `replace` is False.
            NoFileToUpload: there is no such file.
        """
        bucket, name = self.check_writable(key, replace, bucket_name)
        file = Path(filename)
        if not file.is_file():
            raise NoFileToUpload(str(file), f"s3://{bucket}/{name}")
        options = self._upload_args(encrypt, acl_policy)
        with file.open("rb") as source:
            if not gzip:
                return self._send(source, bucket, name, options)
            with tempfile.TemporaryFile() as packed:
                with gzip_format.GzipFile(file.name, "wb", fileobj=packed, mtime=0) as pack:
                    shutil.copyfileobj(source, pack)
                packed.seek(0)
                return self._send(packed, bucket, name, options)

    def load_string(
        self,
        string_data: str,
        key: str,
        bucket_name: str | None = None,
        replace: bool = False,
        encrypt: bool = False,
        encoding: str | None = None,
        acl_policy: str | None = None,
        compression: str | None = None,
    ) -> None:
        """Write a text, in UTF-8 if no other encoding is given. `compression` may be "gzip"."""
        data = string_data.encode(encoding or "utf-8")
        if compression not in (None, "gzip"):
            raise BadS3Place(
                key, f"compression must be 'gzip' or None, not {compression!r}"
            )
        if compression:
            data = gzip_format.compress(data, mtime=0)
        self.load_bytes(data, key, bucket_name, replace, encrypt, acl_policy)

    def load_bytes(
        self,
        bytes_data: bytes,
        key: str,
        bucket_name: str | None = None,
        replace: bool = False,
        encrypt: bool = False,
        acl_policy: str | None = None,
    ) -> None:
        """Write bytes."""
        source = io.BytesIO(bytes_data)
        self.load_file_obj(source, key, bucket_name, replace, encrypt, acl_policy)

    def load_file_obj(
        self,
        file_obj: BinaryIO | io.BytesIO,
        key: str,
        bucket_name: str | None = None,
        replace: bool = False,
        encrypt: bool = False,
        acl_policy: str | None = None,
    ) -> None:
        """Write what an open binary file still holds. It is read in parts, and left open."""
        bucket, name = self.check_writable(key, replace, bucket_name)
        self._send(_Open(file_obj), bucket, name, self._upload_args(encrypt, acl_policy))

    def copy_object(
        self,
        source_bucket_key: str,
        dest_bucket_key: str,
        source_bucket_name: str | None = None,
        dest_bucket_name: str | None = None,
        source_version_id: str | None = None,
        acl_policy: str | None = None,
        meta_data_directive: str | None = None,
        **options: Any,
    ) -> None:
        """Copy an object inside the server; in parts where it is large. It replaces.

        Args:
            meta_data_directive: "COPY" (as it is without it) or "REPLACE".
            options: More for boto3's copy, in its words.

        Raises:
            KeyMissing: there is nothing to copy.
        """
        source = place_of(source_bucket_key, source_bucket_name, self.default_bucket())
        bucket, name = place_of(dest_bucket_key, dest_bucket_name, self.default_bucket())
        version = {"VersionId": source_version_id} if source_version_id else {}
        given = {"ACL": acl_policy, "MetadataDirective": meta_data_directive, **options}
        with self.object_errors(*source):
            self.get_conn().copy(
                {"Bucket": source[0], "Key": source[1], **version},
                bucket,
                name,
                ExtraArgs={k: v for k, v in given.items() if v is not None},
                Config=self._transfer_config(),
            )

    def check_writable(
        self, key: str, replace: bool, bucket_name: str | None = None
    ) -> tuple[str, str]:
        """The bucket and key, if an object may be written there now.

        Raises:
            KeyExists: there is one, and `replace` is False.
        """
        bucket, name = self._place(key, bucket_name)
        if not replace and self.check_for_key(name, bucket):
            raise KeyExists(bucket, name)
        return bucket, name

    # ── inside ──

    def _upload_args(self, encrypt: bool, acl_policy: str | None) -> dict[str, Any]:
        given = self._only("ALLOWED_UPLOAD_ARGS")
        if encrypt:
            given["ServerSideEncryption"] = "AES256"
        if acl_policy:
            given["ACL"] = acl_policy
        return given

    def _send(self, source: Any, bucket: str, key: str, options: Mapping[str, Any]) -> None:
        with self.errors(bucket):
            self.get_conn().upload_fileobj(
                source, bucket, key, ExtraArgs=dict(options), Config=self._transfer_config()
            )


class _Open:
    """A file for reading only: boto3 closes what it can close after an upload."""

    def __init__(self, file: BinaryIO | io.BytesIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)
