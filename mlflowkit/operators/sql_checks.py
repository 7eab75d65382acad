"""Checks by SQL: the first row of a query says whether the DAG goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mlflowkit.errors import BadOption, CheckFailed, TaskFailedForGood
from mlflowkit.operators.sql import BaseSQLOperator


class FirstRow(BaseSQLOperator):
    """A task that looks at the first row of a query."""

    template_fields: ClassVar[tuple[str, ...]] = (
        "sql",
        "parameters",
        *BaseSQLOperator.template_fields,
    )
    template_ext: ClassVar[tuple[str, ...]] = (".sql", ".hql")

    def __init__(
        self,
        task_id: str,
        *,
        sql: object,
        parameters: object = None,
        retry_on_failure: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.sql, self.parameters = sql, parameters
        self.retry_on_failure = retry_on_failure

    def first_row(self) -> Sequence[Any] | None:
        """The first row, or None."""
        found = self.get_db_hook().get_first(str(self.sql), self.parameters)  # type: ignore[arg-type]  # templates are done by now
        return tuple(found) if found is not None else None

    def fail(self, why: str) -> Exception:
        """The error to raise; a retry is of no use where `retry_on_failure` is off."""
        error = CheckFailed(self.task_id, why)
        return error if self.retry_on_failure else TaskFailedForGood(str(error))


class SQLCheckOperator(FirstRow):
    """Fails if the query gives no row, or a first row in which something is false.

    0, None, False, an empty text and an empty list are false.

    Args:
        retry_on_failure: Whether a failed check is retried as any failure is.
    """

    def execute(self, context: Mapping[str, Any]) -> None:
        """Look once.

        Raises:
            CheckFailed: the check failed. TaskFailedForGood without `retry_on_failure`.
        """
        row = self.first_row()
        if row is None:
            raise self.fail("the query gave no row.")
        if not all(row):
            raise self.fail(f"something in the first row is false: {row!r}.")


class SQLValueCheckOperator(FirstRow):
    """Fails unless every value of the first row is the one expected.

    Args:
        pass_value: The value. A text that is a number counts as the number.
        tolerance: For numbers: the part of the expected value by which it may differ.
    """

    template_fields: ClassVar[tuple[str, ...]] = (*FirstRow.template_fields, "pass_value")

    def __init__(
        self,
        task_id: str,
        *,
        sql: object,
        pass_value: object,
        tolerance: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, sql=sql, **options)
        if tolerance is not None and tolerance < 0:
            why = f"must be a part of the value, such as 0.1, not {tolerance!r}"
            raise BadOption(f"task {task_id!r}", "tolerance", why)
        self.pass_value, self.tolerance = pass_value, tolerance

    def execute(self, context: Mapping[str, Any]) -> None:
        """Look once.

        Raises:
            CheckFailed: the check failed. TaskFailedForGood without `retry_on_failure`.
        """
        row = self.first_row()
        if row is None:
            raise self.fail("the query gave no row.")
        wanted = number_of(self.pass_value)
        fits = (
            all(str(value) == str(self.pass_value) for value in row)
            if wanted is None
            else all(self._near(number_of(value), wanted) for value in row)
        )
        if not fits:
            near = f" within {self.tolerance:.0%}" if self.tolerance else ""
            raise self.fail(f"expected {self.pass_value!r}{near}, found {row!r}.")

    def _near(self, value: float | None, wanted: float) -> bool:
        room = abs(wanted) * (self.tolerance or 0.0)
        return value is not None and wanted - room <= value <= wanted + room


def number_of(value: Any) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
