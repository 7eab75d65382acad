"""A branch by SQL: the first value of a query says which tasks go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlflowkit.authoring.branch import BaseBranchOperator
from mlflowkit.operators.sql_checks import FirstRow, number_of

_TRUE: Final = ("true", "y", "yes", "1", "on", "t")
_FALSE: Final = ("false", "n", "no", "0", "off", "f")


class BranchSQLOperator(FirstRow, BaseBranchOperator):
    """Goes on with one set of the tasks below, as the first value of a query says.

    True, numbers but 0, and "true", "y", "yes", "1", "on" are true; False, 0, and "false", "n",
    "no", "0", "off" are false; anything else is an error.

    Args:
        follow_task_ids_if_true: Ids of tasks or task groups directly below: one, or several.
        follow_task_ids_if_false: The same.
    """

    def __init__(
        self,
        task_id: str,
        *,
        sql: object,
        follow_task_ids_if_true: str | Sequence[str],
        follow_task_ids_if_false: str | Sequence[str],
        **options: Any,
    ) -> None:
        super().__init__(task_id, sql=sql, **options)
        self.follow_task_ids_if_true = _ids(follow_task_ids_if_true)
        self.follow_task_ids_if_false = _ids(follow_task_ids_if_false)

    def choose_branch(self, context: Mapping[str, Any]) -> list[str]:
        """The ids of the tasks that go on.

        Raises:
            CheckFailed: the query gives no row, or a value that is neither true nor false.
        """
        row = self.first_row()
        if not row:
            raise self.fail("the query gave no row, so that there is nothing to choose by.")
        if self._truth(row[0]):
            return self.follow_task_ids_if_true
        return self.follow_task_ids_if_false

    def _truth(self, value: object) -> bool:
        if isinstance(value, bool | int | float):
            return bool(value)
        number = number_of(value)
        if number is not None:
            return bool(number)
        word = str(value).strip().lower()
        if word not in (*_TRUE, *_FALSE):
            raise self.fail(f"the query gave {value!r}, which is neither true nor false.")
        return word in _TRUE


def _ids(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
