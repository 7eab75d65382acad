"""Errors of S3 and what is like it."""

from __future__ import annotations

from mlflowkit.errors.connections import ConnectionError_


class InvalidS3Url(ConnectionError_):
    """A text that should name a bucket, and perhaps a key in it, and does not."""

    code = "invalid_s3_url"

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"{url!r} is not an S3 URL. Write s3://bucket/prefix.")


class BucketMissing(ConnectionError_):
    """The server answers, and has no such bucket."""

    code = "bucket_missing"

    def __init__(self, bucket: str, endpoint: str, conn_id: str) -> None:
        self.bucket, self.endpoint, self.conn_id = bucket, endpoint, conn_id
        super().__init__(
            f"there is no bucket {bucket!r} at {endpoint} (connection {conn_id!r}). "
            "Check the name in the URL, or create the bucket first."
        )


class CredentialsRefused(ConnectionError_):
    """The server does not let these credentials do this."""

    code = "credentials_refused"

    def __init__(self, conn_id: str, endpoint: str, reason: str, bucket: str = "") -> None:
        self.conn_id, self.endpoint = conn_id, endpoint
        self.reason, self.bucket = reason, bucket
        what = f"bucket {bucket!r} at {endpoint}" if bucket else endpoint
        super().__init__(
            f"{what} refused the credentials of connection {conn_id!r} ({reason}). "
            "Check the connection's login (access key) and password (secret key), "
            "and that they are allowed to use this bucket."
        )


class CredentialsMissing(ConnectionError_):
    """No credentials were found anywhere."""

    code = "credentials_missing"

    def __init__(self, conn_id: str, variable: str, why: str) -> None:
        self.conn_id, self.variable, self.why = conn_id, variable, why
        super().__init__(
            f"connection {conn_id!r} has no AWS credentials: {why} Set {variable}, for "
            "example to aws://ACCESS_KEY:SECRET_KEY@/?region_name=eu-west-1, or log in in "
            "one of AWS's own ways (AWS_PROFILE, aws sso login, a role of the machine)."
        )


class EndpointUnreachable(ConnectionError_):
    """Nothing answers at this address."""

    code = "endpoint_unreachable"

    def __init__(self, conn_id: str, endpoint: str, why: str) -> None:
        self.conn_id, self.endpoint, self.why = conn_id, endpoint, why
        super().__init__(
            f"nothing answers at {endpoint} (connection {conn_id!r}): {why} "
            "Check endpoint_url in the connection's extras, and that the server is up."
        )


class StorageFailed(ConnectionError_):
    """The object store gave an error that we have no better words for."""

    code = "storage_failed"

    def __init__(self, conn_id: str, endpoint: str, what: str) -> None:
        self.conn_id, self.endpoint, self.what = conn_id, endpoint, what
        super().__init__(
            f"{endpoint} (connection {conn_id!r}) answered with an error: {what}"
        )


class S3ServerFailed(ConnectionError_):
    """The local S3 server did not come up."""

    code = "s3_server_failed"

    def __init__(self, why: str, log: str, tail: str) -> None:
        self.why, self.log, self.tail = why, log, tail
        super().__init__(
            f"the local S3 server did not start: {why}. Its log is {log}:\n{tail}"
        )


class KeyMissing(ConnectionError_):
    """The bucket has no object of that key."""

    code = "key_missing"

    def __init__(self, bucket: str, key: str, endpoint: str, conn_id: str) -> None:
        self.bucket, self.key = bucket, key
        self.endpoint, self.conn_id = endpoint, conn_id
        super().__init__(
            f"there is no object s3://{bucket}/{key} at {endpoint} (connection {conn_id!r}). "
            "Check the key, and that the task that writes it has run."
        )


class KeyExists(ConnectionError_):
    """An object would be written over another one, and nobody said that it may be."""

    code = "key_exists"

    def __init__(self, bucket: str, key: str) -> None:
        self.bucket, self.key = bucket, key
        super().__init__(
            f"s3://{bucket}/{key} is there already. Give replace=True to write over it, or "
            "another key."
        )


class BadS3Place(ConnectionError_):
    """A bucket and a key that do not say together which object is meant."""

    code = "bad_s3_place"

    def __init__(self, key: str, why: str) -> None:
        self.key, self.why = key, why
        super().__init__(f"{key!r} names no object: {why}.")


class S3SelectGone(ConnectionError_):
    """S3 Select was asked for, which AWS no longer offers."""

    code = "s3_select_gone"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"S3 Select was asked for on {key!r}: AWS closed it to new users in 2024, and other "
            "servers hardly have it. Read the object with read_key or download_file and "
            "filter it in the task (DuckDB, polars and pandas read parts of Parquet files)."
        )
