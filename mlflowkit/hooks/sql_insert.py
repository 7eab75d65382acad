"""The statement that inserts a row: plain, or in the place of a row that is there.

Names are quoted, values are marks. Each database has its own words for replacing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflowkit.errors import BadSql
from mlflowkit.hooks.sql_text import marks, quoted

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

#: Dialects that know REPLACE INTO.
_REPLACE_INTO = ("mysql", "mariadb", "sqlite")


@dataclass(frozen=True, slots=True)
class Insert:
    """An insert into one table. Makes the statement for rows of some width."""

    dialect: Dialect
    paramstyle: str
    table: str
    fields: Sequence[str] = ()
    replace: bool = False
    #: Columns of the unique index that says which row is replaced (PostgreSQL).
    replace_index: Sequence[str] = ()

    def statement(self, width: int) -> str:
        """The statement for rows of `width` values.

        Raises:
            BadSql: another number of fields, or the database cannot replace in this way.
        """
        where = f"table {self.table!r}"
        if self.fields and len(self.fields) != width:
            names = ", ".join(self.fields)
            raise BadSql(where, f"a row has {width} values for the fields {names}")
        if not width:
            raise BadSql(where, "a row has no values")
        names = f" ({self._names(self.fields)})" if self.fields else ""
        values = ", ".join(marks(self.paramstyle, width))
        table = self._safe(quoted(self.dialect.identifier_preparer, self.table))
        verb = "REPLACE" if self._replaces_by_verb else "INSERT"
        plain = f"{verb} INTO {table}{names} VALUES ({values})"
        return f"{plain} {self._on_conflict(where)}" if self._needs_clause else plain

    def check(self, rows: Sequence[Sequence[object]]) -> None:
        """Raises BadSql where rows differ in length: the message names the first."""
        width = len(rows[0])
        odd = next((row for row in rows if len(row) != width), None)
        if odd is not None:
            why = f"one row has {width} values, another has {len(odd)}"
            raise BadSql(f"table {self.table!r}", why)

    @property
    def _replaces_by_verb(self) -> bool:
        return self.replace and self.dialect.name in _REPLACE_INTO

    @property
    def _needs_clause(self) -> bool:
        return self.replace and not self._replaces_by_verb

    def _on_conflict(self, where: str) -> str:
        if self.dialect.name != "postgresql":
            why = f"mlflowkit knows no way to replace rows in {self.dialect.name}"
            raise BadSql(where, f"{why}: use MERGE in a statement of your own")
        if not self.fields or not self.replace_index:
            raise BadSql(
                where,
                "PostgreSQL replaces a row by its unique index: give target_fields, and the "
                "index's columns as replace_index",
            )
        others = [f for f in self.fields if f not in self.replace_index]
        new = ", ".join(f"{self._name(f)} = excluded.{self._name(f)}" for f in others)
        what = f"UPDATE SET {new}" if others else "NOTHING"
        return f"ON CONFLICT ({self._names(self.replace_index)}) DO {what}"

    def _names(self, names: Iterable[str]) -> str:
        return ", ".join(self._name(name) for name in names)

    def _name(self, name: str) -> str:
        return self._safe(quoted(self.dialect.identifier_preparer, name, dotted=False))

    def _safe(self, name: str) -> str:
        # Drivers that format would read a percent sign in a name as a mark.
        return name.replace("%", "%%") if "format" in self.paramstyle else name
