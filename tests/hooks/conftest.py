"""The servers that the tests of this folder share."""

from __future__ import annotations

from tests.s3 import bucket, s3, s3_server
from tests.services import mysql, mysql_server, postgres, postgres_server

__all__ = [
    "bucket",
    "mysql",
    "mysql_server",
    "postgres",
    "postgres_server",
    "s3",
    "s3_server",
]
