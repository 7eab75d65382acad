"""Errors of connections and of the systems behind them."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote

from mlflowkit.errors.base import UserError, listing, suggest


class ConnectionError_(UserError):
    """An outside system that cannot be reached or entered."""

    code = "connection"


class ConnectionMissing(ConnectionError_):
    """No place that holds connections knows this one."""

    code = "connection_missing"

    def __init__(self, conn_id: str, variable: str, known: Iterable[str] = ()) -> None:
        known = list(known)
        self.conn_id, self.variable = conn_id, variable
        super().__init__(
            f"there is no connection {conn_id!r} (defined: {listing(known)})."
            f"{suggest(conn_id, known)} Add it with `mlflowkit connections add {conn_id}`, or "
            f"set the environment variable {variable} to a URI "
            f"(type://login:password@host:port/schema?name=value, each part percent-encoded) "
            f'or to JSON ({{"conn_type": ..., "login": ..., "password": ..., "extra": {{...}}}}).'
        )


class InvalidConnection(ConnectionError_):
    """A connection that is written in a way nobody can read. Never shows its secrets."""

    code = "invalid_connection"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where} cannot be read: {why}")


class ConnectionExists(ConnectionError_):
    """A connection of this id is in the store already."""

    code = "connection_exists"

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        super().__init__(
            f"there is a connection {conn_id!r} already. Give --overwrite to replace it, or "
            f"remove it first: mlflowkit connections delete {conn_id}"
        )


class VariableMissing(ConnectionError_, KeyError):
    """No place that holds variables knows this one. A `KeyError` too, as in Airflow 2."""

    code = "variable_missing"

    def __init__(self, key: str, variable: str, known: Iterable[str] = ()) -> None:
        known = list(known)
        self.key, self.variable = key, variable
        super().__init__(
            f"there is no variable {key!r} (known here: {listing(known)}).{suggest(key, known)} "
            f"Set it with `mlflowkit variables set {key} VALUE` or the environment variable "
            f"{variable}, or give Variable.get a default."
        )

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidVariable(ConnectionError_):
    """A variable whose value or key does not fit. Never shows the value."""

    code = "invalid_variable"

    def __init__(self, key: str, why: str) -> None:
        self.key, self.why = key, why
        super().__init__(f"the variable {key!r} {why}")


class WrongFernetKey(ConnectionError_):
    """The store's secrets were encrypted with another key than those at hand."""

    code = "wrong_fernet_key"

    def __init__(self, what: str, tried: str) -> None:
        self.what, self.tried = what, tried
        super().__init__(
            f"{what} was encrypted with another key than {tried}. Put the key it was encrypted "
            "with back in place (append it to MLFLOWKIT_FERNET_KEY behind a comma, or restore "
            "fernet.key in the home), or define it anew: mlflowkit connections add --overwrite, "
            "mlflowkit variables set. A background engine keeps the MLFLOWKIT_FERNET_KEY it was "
            "started with: after a change, `mlflowkit engine stop`."
        )


class BadFernetKey(ConnectionError_):
    """A text that should be a Fernet key, and is none. Never shows it."""

    code = "bad_fernet_key"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"{where} holds no usable Fernet key: {why}. A key is 32 bytes in URL-safe base64; "
            'make one with: python -c "from cryptography.fernet import Fernet; '
            'print(Fernet.generate_key().decode())"'
        )


class UnknownSecretsBackend(ConnectionError_):
    """The setting `secrets_backend` names no class that can be loaded."""

    code = "unknown_secrets_backend"

    def __init__(self, name: str, why: str, known: Iterable[str] = ()) -> None:
        self.name, self.why = name, why
        super().__init__(
            f"the secrets back end {name!r} cannot be used: {why}. Set secrets_backend to one of "
            f"{listing(known)}, or to a class as package.module.Class; secrets_backend_kwargs "
            "to a JSON object of its arguments."
        )


class SecretsBackendFailed(ConnectionError_):
    """The secrets back end was asked, and could not say whether it knows."""

    code = "secrets_backend_failed"

    def __init__(self, backend: str, what: str, why: str) -> None:
        self.backend, self.what, self.why = backend, what, why
        super().__init__(
            f"the secrets back end {backend} could not be asked for {what}: {why}. Mend what "
            "keeps it from answering, or unset secrets_backend. The store is not asked instead: "
            "it could hold another secret of the same name."
        )


class BadSecretsFile(ConnectionError_):
    """A file of connections, variables or pools that cannot be read. Never shows its secrets."""

    code = "bad_secrets_file"

    def __init__(self, path: object, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"the file {path} cannot be read: {why}")


class PoolMissing(ConnectionError_):
    """There is no pool of this name."""

    code = "pool_missing"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.name = name
        super().__init__(
            f"there is no pool {name!r} (there are: {listing(known)}).{suggest(name, known)} "
            f"Make it with: mlflowkit pools set {quote(name)} SLOTS"
        )


class BadPool(ConnectionError_):
    """A pool that cannot be made or deleted in this way."""

    code = "bad_pool"

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"the pool {name!r} {why}")


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


class DatabaseRefused(ConnectionError_):
    """The database does not let this login in."""

    code = "database_refused"

    def __init__(self, conn_id: str, where: str, why: str) -> None:
        self.conn_id, self.where, self.why = conn_id, where, why
        super().__init__(
            f"{where} refused the login of connection {conn_id!r}: {why} "
            "Check the connection's login, password and schema (the database's name)."
        )


class NoSqlDialect(ConnectionError_):
    """Nothing installed here speaks to this kind of database."""

    code = "no_sql_dialect"

    def __init__(self, conn_id: str, name: str, why: str) -> None:
        self.conn_id, self.name, self.why = conn_id, name, why
        super().__init__(
            f"connection {conn_id!r} has the type {name!r}, which SQLAlchemy cannot open here: "
            f"{why}. Install the package that brings this dialect, or write the type as "
            "SQLAlchemy does (dialect+driver, such as mssql+pyodbc)."
        )


class NotADatabase(ConnectionError_):
    """A hook was given a connection to another kind of system."""

    code = "not_a_database"

    def __init__(self, hook: str, conn_id: str, conn_type: str, wanted: str) -> None:
        self.hook, self.conn_id, self.conn_type = hook, conn_id, conn_type
        super().__init__(
            f"{hook} takes connections of the type {wanted}, and {conn_id!r} is of the type "
            f"{conn_type!r}. Name another connection, or use SqlHook, which takes any."
        )


class BadSql(ConnectionError_):
    """SQL that no database could take: nothing at all, or words of a client program."""

    code = "bad_sql"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"the SQL for {where} cannot be run: {why}.")
