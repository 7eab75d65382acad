"""The S3 server that the tests of this folder share."""

from __future__ import annotations

from tests.s3 import bucket, s3, s3_server

__all__ = ["bucket", "s3", "s3_server"]
