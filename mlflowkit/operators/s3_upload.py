"""S3 as tasks: what all of them have, and the one that uploads a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.hooks.s3 import DEFAULT_CONNECTION, S3Hook


class S3Operator(BaseOperator):
    """A task with an S3 connection.

    Args:
        aws_conn_id: The connection.
        verify: Whether to check certificates, or a file with those to trust.
    """

    def __init__(
        self,
        task_id: str,
        *,
        aws_conn_id: str | None = DEFAULT_CONNECTION,
        verify: bool | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.aws_conn_id, self.verify = aws_conn_id, verify

    @property
    def hook(self) -> S3Hook:
        """A client of the connection."""
        return S3Hook(self.aws_conn_id, verify=self.verify)


class LocalFilesystemToS3Operator(S3Operator):
    """Uploads a file of this machine. Large ones go in parts.

    Args:
        filename: The file, absolute or from the folder the task runs in.
        dest_key: Where to: `s3://bucket/key`, or a key in `dest_bucket`.
        replace: Write over an object that is there; else that is an error.
        encrypt: Let the server encrypt it.
        gzip: Pack it on the way.
        acl_policy: One of S3's own, such as "public-read".
    """

    template_fields: ClassVar[tuple[str, ...]] = ("filename", "dest_key", "dest_bucket")

    def __init__(
        self,
        task_id: str,
        *,
        filename: object,
        dest_key: object,
        dest_bucket: object = None,
        replace: bool = False,
        encrypt: bool = False,
        gzip: bool = False,
        acl_policy: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.filename, self.dest_key, self.dest_bucket = filename, dest_key, dest_bucket
        self.replace, self.encrypt, self.gzip = replace, encrypt, gzip
        self.acl_policy = acl_policy

    def execute(self, context: Mapping[str, Any]) -> None:
        """Upload it.

        Raises:
            KeyExists: there is an object of that key, and `replace` is False.
            NoFileToUpload: there is no such file.
        """
        self.hook.load_file(
            str(self.filename),
            str(self.dest_key),
            text_of(self.dest_bucket),
            self.replace,
            self.encrypt,
            self.gzip,
            self.acl_policy,
        )


class S3FileTransferOperator(LocalFilesystemToS3Operator):
    """`LocalFilesystemToS3Operator` under the name that a well-known tutorial gives it."""


def text_of(value: object) -> str | None:
    """What was given as a text; None where it was left out or empty."""
    return None if value is None or value == "" else str(value)
