"""What database drivers say when something is wrong, in our words.

Only the driver's own message and the statement as it was written are passed on: never the
parameters, and never the password (which is taken out, should a driver repeat it).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from mlflowkit.errors import DatabaseRefused, DatabaseUnreachable, SqlFailed
from mlflowkit.hooks.sql_url import Address

_SHOWN: Final = 600
_REFUSED: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba|access denied|unknown database"
    r"|(role|database|user) .*does not exist|not permitted to log in",
    re.IGNORECASE,
)
#: What databases say to several statements where they take one.
_SEVERAL: Final = re.compile(
    r"multiple commands|one statement at a time|error in your sql syntax", re.IGNORECASE
)
_NAMED: Final = r"(?<![:\w]):[A-Za-z_]\w*"
#: For each of PEP 249's styles: what to write, and the marks of others that are no SQL.
_STYLES: Final = {
    "pyformat": ("%s or %(name)s", rf"{_NAMED}|\?"),
    "format": ("%s", rf"{_NAMED}|\?|%\(\w+\)s"),
    "qmark": ("? or :name", r"%s|%\(\w+\)s"),
    "named": (":name", r"%s|%\(\w+\)s|\?"),
    "numeric": (":1", r"%s|%\(\w+\)s|\?"),
}


class Driver:
    """The module that a connection comes from: its base error, and its parameter style."""

    def __init__(self, conn: Any) -> None:
        module = sys.modules[type(conn).__module__.partition(".")[0]]
        found = [getattr(module, name, RuntimeError) for name in ("Error", "Warning")]
        self.error: tuple[type[Exception], ...] = tuple(found)
        self.paramstyle: str = getattr(module, "paramstyle", "qmark")

    def hint(self, statement: str, why: str, *, bound: bool) -> str:
        """What may be wrong: parameters in another style, or a script that was not cut."""
        how, others = _STYLES.get(self.paramstyle, ("", ""))
        if bound and others and re.search(others, statement):
            return f"This driver takes parameters as {how}."
        if _SEVERAL.search(why) and re.search(r";\s*[^\s;]", statement):
            return "For several statements give split_statements=True."
        return ""


class Refusal:
    """Runs what may be refused, and makes the error for it without the one secret text."""

    def __init__(self, conn_id: str, driver: Driver, secret: str | None) -> None:
        self._conn_id, self._driver, self._secret = conn_id, driver, secret
        self.error, self.paramstyle = driver.error, driver.paramstyle

    @contextmanager
    def translated(self, statement: str, *, bound: bool = False) -> Iterator[None]:
        """Turn the driver's errors inside the block into SqlFailed.

        Args:
            bound: Whether the statement was given parameters.
        """
        try:
            yield
        except self._driver.error as exc:
            why = said(exc)
            hint = self._driver.hint(statement, why, bound=bound)
            raise self._failed(statement, why, state(exc), hint) from self._safe(exc)

    def bind(self, cursor: Any, statement: str, parameters: Any) -> None:
        """Run a statement with parameters, which the driver binds.

        Raises:
            SqlFailed: they do not fit the marks in the statement.
        """
        try:
            cursor.execute(statement, parameters)
        except (
            TypeError,
            ValueError,
            KeyError,
        ) as exc:  # drivers that format by themselves
            why = f"the parameters do not fit the statement ({type(exc).__name__}: {exc})."
            hint = self._driver.hint(statement, why, bound=True)
            raise self._failed(statement, why, "", hint) from self._safe(exc)

    def _failed(self, statement: str, why: str, sqlstate: str, hint: str) -> SqlFailed:
        shown = without(shortened(statement), self._secret)
        return SqlFailed(self._conn_id, shown, without(why, self._secret), sqlstate, hint)

    def _safe(self, exc: Exception) -> Exception | None:
        return _safe(exc, self._secret)


@contextmanager
def opening(address: Address, error: type[Exception]) -> Iterator[None]:
    """Turn the driver's errors while a connection is opened into ours.

    Raises:
        DatabaseRefused: the server answers, and does not let this login in.
        DatabaseUnreachable: anything else; a retry may succeed.
    """
    secret = address.url.password
    try:
        yield
    except error as exc:
        why = without(said(exc), secret)
        kind = DatabaseRefused if _REFUSED.search(why) else DatabaseUnreachable
        raise kind(address.conn_id, address.shown, why) from _safe(exc, secret)
    except (TypeError, ValueError) as exc:  # an option that the driver does not know
        why = without(f"{exc}.", secret)
        raise DatabaseRefused(address.conn_id, address.shown, why) from _safe(exc, secret)


def said(exc: Exception) -> str:
    """The driver's message as sentences: what PostgreSQL tells beside it included."""
    diagnosis = getattr(exc, "diag", None)
    parts = [
        getattr(diagnosis, name, None)
        for name in ("message_primary", "message_detail", "message_hint")
    ]
    if not any(parts):
        args = exc.args
        parts = [str(args[1] if len(args) > 1 and isinstance(args[0], int) else exc)]
    lines = [" ".join(str(part).split()) for part in parts if part]
    return " ".join(
        line if line.endswith((".", "!", "?")) else line + "." for line in lines
    )


def state(exc: Exception) -> str:
    """The code that the database gives the error: 42P01, 1064, SQLITE_CONSTRAINT_UNIQUE."""
    found = getattr(exc, "sqlstate", None) or getattr(exc, "sqlite_errorname", None)
    if not found and exc.args and isinstance(exc.args[0], int):
        found = exc.args[0]
    return str(found or "")


def shortened(statement: str) -> str:
    """A statement for people: at most a few lines of it."""
    text = statement.strip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


def without(text: str, secret: str | None) -> str:
    """The text, with a password in it masked."""
    return text.replace(secret, "***") if secret and len(secret) > 3 else text


def _safe(exc: Exception, secret: str | None) -> Exception | None:
    """The cause to show: none where its own message holds the password."""
    return exc if without(str(exc), secret) == str(exc) else None
