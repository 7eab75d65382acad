"""A client of S3 and what speaks like it, named by a connection.

boto3 for single calls, obstore for many objects; both get the same endpoint and
the same credentials. This is the one place that imports boto3 and obstore's store.
Secrets go to the libraries and nowhere else: never into a log, a repr or an error.

Extras are named as Airflow names them: `endpoint_url`, `region_name`, `profile_name`,
`aws_session_token`, `verify`, `config_kwargs`, `service_config`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.connection import Connection
from mlflowkit.errors import InvalidConnection, MissingExtra
from mlflowkit.hooks.base import find_connection, get_connection
from mlflowkit.hooks.s3_errors import Place, translated_boto, translated_obstore
from mlflowkit.hooks.s3_session import botocore_session

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Store

DEFAULT_CONNECTION: Final = "aws_default"
_CONNECT_TIMEOUT_S: Final = 5
_READ_TIMEOUT_S: Final = 60
_PURPOSE: Final = "reading and writing S3"


class S3Client:
    """A client of one S3 connection.

    `aws_default` needs no connection: without one, AWS's own ways to log in are used
    (environment, profile, SSO, role of the machine).

    Args:
        conn_id: The connection; `aws_conn_id` is the same.
        region_name: Instead of the connection's.
        verify: Whether to check certificates, or a file with those to trust.
        extra_args: For every upload and download, in boto3's words (`ExtraArgs`).
        transfer_config_args: When and how files go in parts (boto3's TransferConfig).
    """

    def __init__(
        self,
        conn_id: str | None = None,
        *,
        aws_conn_id: str | None = None,
        region_name: str | None = None,
        verify: bool | str | None = None,
        extra_args: Mapping[str, Any] | None = None,
        transfer_config_args: Mapping[str, Any] | None = None,
    ) -> None:
        self.conn_id = conn_id or aws_conn_id or DEFAULT_CONNECTION
        self.aws_conn_id = self.conn_id
        self._region_given, self._verify_given = region_name, verify
        self.extra_args = dict(extra_args or {})
        self.transfer_config_args = dict(transfer_config_args or {})

    @cached_property
    def connection(self) -> Connection:
        """The connection; an empty one where AWS's own ways to log in are used.

        Raises:
            ConnectionMissing: no such connection, and it is not `aws_default`.
        """
        if self.conn_id != DEFAULT_CONNECTION:
            return get_connection(self.conn_id)
        return find_connection(self.conn_id) or Connection(self.conn_id, "aws")

    @cached_property
    def endpoint(self) -> str:
        """The address that requests go to, such as `https://s3.amazonaws.com`."""
        return str(self.get_conn().meta.endpoint_url)

    def get_conn(self) -> Any:
        """The boto3 S3 client. Made once, and safe to share between threads."""
        return self._client

    def bucket_region(self, bucket: str) -> str | None:
        """See that the bucket is there and may be entered; gives its region if told.

        Raises:
            BucketMissing, CredentialsRefused, CredentialsMissing, EndpointUnreachable.
        """
        with self.errors(bucket):
            answer = self._head_bucket(bucket)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        region = answer.get("BucketRegion") or headers.get("x-amz-bucket-region")
        return str(region) if region else None

    def object_store(self, bucket: str) -> S3Store:
        """An obstore store of this bucket: many requests in flight, made for many objects.

        Raises:
            What `bucket_region` raises; MissingExtra without obstore.
        """
        try:
            from obstore.store import S3Store
        except ImportError as exc:
            raise MissingExtra("obstore", "s3", _PURPOSE) from exc
        region = self.bucket_region(bucket) or self.get_conn().meta.region_name
        options: dict[str, Any] = {
            "region": region if region and region != "aws-global" else "us-east-1",
            "virtual_hosted_style_request": not self._path_style,
        }
        if self._custom_endpoint:
            options["endpoint"] = self.endpoint
        if self._unsigned:
            options["skip_signature"] = True
        else:
            options["credential_provider"] = self._obstore_credentials()
        return S3Store(
            bucket,
            client_options=self._client_options(),
            retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
            **options,
        )

    @contextmanager
    def errors(self, bucket: str = "", key: str = "") -> Iterator[None]:
        """Turn boto3's and obstore's errors inside the block into ours.

        What is not there is the object, if a key is given, and else the bucket.
        """
        place = Place(self.conn_id, self._endpoint_shown, bucket, key)
        with translated_boto(place), translated_obstore(place):
            yield

    # ── how the connection is read ──────────────────────────────────────────

    @cached_property
    def _client(self) -> Any:
        session = self._session
        with translated_boto(Place(self.conn_id, self._endpoint_shown, "")):
            return session.client("s3", **self._client_arguments())

    def _client_arguments(self) -> dict[str, Any]:
        from botocore.config import Config

        return {
            "endpoint_url": self._endpoint_given,
            "verify": self._verify,
            "config": Config(**self._config_kwargs),
        }

    @cached_property
    def _session(self) -> Any:
        try:
            import boto3
        except ImportError as exc:
            raise MissingExtra("boto3", "s3", _PURPOSE) from exc
        connection, extra = self.connection, self.connection.extra
        if extra.get("role_arn"):
            raise InvalidConnection(
                f"connection {self.conn_id!r}",
                "role_arn in its extras is not supported. Put the role into a profile of "
                "~/.aws/config and name that as profile_name.",
            )
        key = connection.login or extra.get("aws_access_key_id")
        secret = connection.password or extra.get("aws_secret_access_key")
        if bool(key) != bool(secret):
            raise InvalidConnection(
                f"connection {self.conn_id!r}",
                "it has only one of login (access key) and password (secret key).",
            )
        with translated_boto(Place(self.conn_id, self._endpoint_shown, "")):
            return boto3.session.Session(
                botocore_session=botocore_session(),
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=extra.get("aws_session_token"),
                region_name=self._region_given or extra.get("region_name"),
                profile_name=extra.get("profile_name"),
            )

    @property
    def _endpoint_given(self) -> str | None:
        extra = self.connection.extra
        service = settings_of(extra.get("service_config"), self.conn_id)
        s3 = settings_of(service.get("s3"), self.conn_id)
        given = s3.get("endpoint_url") or extra.get("endpoint_url") or extra.get("host")
        return str(given) if given else None

    @property
    def _endpoint_shown(self) -> str:
        if "_client" in self.__dict__:
            return str(self._client.meta.endpoint_url)
        return self._endpoint_given or "AWS"

    @property
    def _custom_endpoint(self) -> bool:
        return not self.endpoint.removesuffix(".cn").endswith(".amazonaws.com")

    @property
    def _path_style(self) -> bool:
        style = (self.get_conn().meta.config.s3 or {}).get("addressing_style")
        return style == "path" or (style != "virtual" and self._custom_endpoint)

    @property
    def _unsigned(self) -> bool:
        from botocore import UNSIGNED

        return self.get_conn().meta.config.signature_version is UNSIGNED

    @property
    def _verify(self) -> bool | str | None:
        given = self._verify_given
        if given is None:
            given = self.connection.extra.get("verify")
        if isinstance(given, str) and given.lower() in ("true", "false", "0", "1"):
            return given.lower() in ("true", "1")
        return given

    @property
    def _config_kwargs(self) -> dict[str, Any]:
        from botocore import UNSIGNED

        given = dict(settings_of(self.connection.extra.get("config_kwargs"), self.conn_id))
        if given.get("signature_version") == "unsigned":
            given["signature_version"] = UNSIGNED
        style = {"addressing_style": "path"} if self._endpoint_given else {}
        return {
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "read_timeout": _READ_TIMEOUT_S,
            "max_pool_connections": 32,
            "retries": {"mode": "standard", "total_max_attempts": 3},
            **given,
            "s3": {**style, **given.get("s3", {})},
        }

    def _client_options(self) -> ClientConfig:
        options: ClientConfig = {
            "allow_http": self.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S),
            "timeout": timedelta(seconds=_READ_TIMEOUT_S),
        }
        if self._verify is False:
            options["allow_invalid_certificates"] = True
        return options

    def _obstore_credentials(self) -> Any:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider(self._session)

    def _head_bucket(self, bucket: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            return self.get_conn().head_bucket(Bucket=bucket)
        except ClientError as exc:
            if exc.response["ResponseMetadata"].get("HTTPStatusCode") != 403:
                raise
        # The answer to a HEAD has no body, and so no reason; this one has.
        return self.get_conn().list_objects_v2(Bucket=bucket, MaxKeys=1)


def settings_of(value: Any, conn_id: str) -> Mapping[str, Any]:
    """An extra that is itself a set of settings; from a URI it comes as JSON text."""
    if not value:
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, Mapping):
        raise InvalidConnection(
            f"connection {conn_id!r}",
            "config_kwargs and service_config must be JSON objects.",
        )
    return value
