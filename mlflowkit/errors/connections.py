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
        # a task cannot know them all: it says nothing of them
        listed = f" (known here: {listing(known)})" if known else ""
        self.key, self.variable = key, variable
        super().__init__(
            f"there is no variable {key!r}{listed}.{suggest(key, known)} "
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


class BadSecretName(ConnectionError_):
    """What was given to `secret()` names no secret."""

    code = "bad_secret_name"

    def __init__(self, name: object) -> None:
        self.name = name
        super().__init__(
            f"secret({name!r}) names no secret: give the id of a connection, secret('db'), or a "
            "variable, secret('var:token')."
        )


class SecretTooShort(ConnectionError_):
    """A value that is too short to be hidden."""

    code = "secret_too_short"

    def __init__(self, what: str, shortest: int) -> None:
        self.what, self.shortest = what, shortest
        super().__init__(
            f"{what} cannot be used as a secret: it holds a value of fewer than {shortest} "
            "characters, which cannot be hidden in logs and notebooks without hiding half of "
            "them. Give it a longer value, or read it without secret()."
        )
