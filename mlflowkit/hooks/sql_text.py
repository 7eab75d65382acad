"""SQL as text: cutting a script into statements, quoting names, marks for values.

Values never become part of a text here: they are bound by the driver, always.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.errors import BadSql, MissingExtra

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import IdentifierPreparer

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENTS: Final = re.compile(r"(?:\s|;|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_DELIMITER: Final = re.compile(r"\bdelimiter\s+\S", re.IGNORECASE)
_MARKS: Final = {"pyformat": "%s", "format": "%s", "qmark": "?"}


def split_statements(sql: str, *, strip_semicolon: bool = False) -> list[str]:
    """The statements of a script, in order; comments stay, pieces of only comments go.

    Semicolons in quotes, comments, dollar quotes and bodies of procedures do not cut.

    Raises:
        BadSql: a DELIMITER line, which only the mysql program understands.
        MissingExtra: sqlparse is not installed.
    """
    try:
        import sqlparse
    except ImportError as exc:
        raise MissingExtra("sqlparse", "sql", "splitting SQL into statements") from exc
    found = sqlparse.split(sql, strip_semicolon=strip_semicolon)
    statements = [s.strip() for s in found if not _COMMENTS.fullmatch(s)]
    for statement in statements:
        start = _COMMENTS.match(statement)
        if _DELIMITER.match(statement, start.end() if start else 0):
            raise BadSql(
                "a script",
                "DELIMITER is a word of the mysql program, not of the server. Leave it out: "
                "the body of a procedure is kept together without it",
            )
    return statements


def quoted(preparer: IdentifierPreparer, name: str, *, dotted: bool = True) -> str:
    """The name of a table or column as the database writes it, whatever it holds.

    `schema.table` names a table in a schema. A plain name that is no reserved word stays as
    it is, so that the database folds its case as it does everywhere; all else is quoted.
    A part that is in quotes already is taken as what stands inside them.

    Args:
        dotted: Whether a dot parts a schema from a table; a column's name has no parts.
    """
    return ".".join(_part(preparer, part) for part in _parts(preparer, name, dotted))


def _parts(preparer: IdentifierPreparer, name: str, dotted: bool) -> list[tuple[str, bool]]:
    """The parts between dots that stand outside of quotes, and whether each was quoted."""
    first, last = preparer.initial_quote, preparer.final_quote
    end = re.escape(last)
    in_quotes = rf"{re.escape(first)}((?:[^{end}]|{end}{end})+){end}"
    bare = rf"([^.{re.escape(first)}][^.]*)" if dotted else "(.+)"
    one = rf"(?:{in_quotes}|{bare})"
    whole = rf"{one}(?:\.{one})*" if dotted else in_quotes
    if not re.fullmatch(whole, name):
        return [(name, dotted)]
    return [
        (m[1].replace(last * 2, last), True) if m[1] else (m[2], False)
        for m in re.finditer(one, name)
    ]


def _part(preparer: IdentifierPreparer, part: tuple[str, bool]) -> str:
    name, was_quoted = part
    reserved = name.lower() in preparer.reserved_words
    if _PLAIN.fullmatch(name) and not was_quoted and not reserved:
        return name
    first, last = preparer.initial_quote, preparer.final_quote
    return first + name.replace(last, last * 2) + last


def marks(paramstyle: str, count: int) -> list[str]:
    """What stands for `count` values in a statement of this driver."""
    if paramstyle in ("named", "numeric"):
        return [f":{number}" for number in range(1, count + 1)]
    return [_MARKS[paramstyle]] * count


def plain(value: Any) -> Any:
    """A value that every driver takes: numpy's and pandas's own become Python's."""
    home = type(value).__module__.partition(".")[0]
    if home == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    if home == "pandas":
        if type(value).__name__ in ("NaTType", "NAType"):
            return None
        convert = getattr(value, "to_pydatetime", None) or getattr(
            value, "to_pytimedelta", None
        )
        return convert() if convert else value
    return value


def plain_row(row: Iterable[Any], dialect: str) -> tuple[Any, ...]:
    """A row whose values the driver of this dialect takes."""
    found = (plain(value) for value in row)
    return tuple(map(_as_text, found)) if dialect == "sqlite" else tuple(found)


def plain_values(
    values: Sequence[Any] | Mapping[str, Any], dialect: str
) -> tuple[Any, ...] | dict[str, Any]:
    """Parameters of a statement, whose values the driver of this dialect takes."""
    if isinstance(values, Mapping):
        return dict(zip(values, plain_row(values.values(), dialect), strict=True))
    return plain_row(values, dialect)


def _as_text(value: Any) -> Any:
    """Times as SQLite keeps them: Python's own way to do it will go away."""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, date) else value
