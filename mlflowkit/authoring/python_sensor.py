"""PythonSensor: a function that looks whether something is there. `@task.sensor` makes these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlflowkit.authoring.python import PythonOperator
from mlflowkit.authoring.sensor import BaseSensorOperator, PokeReturnValue
from mlflowkit.errors import BadOption


class PythonSensor(BaseSensorOperator, PythonOperator):
    """Waits until a function gives something true, or a PokeReturnValue that is done.

    Args:
        python_callable: Called at each look; parameters named like the context are filled in.
        op_args: Its positional arguments (templated).
        op_kwargs: Its keyword arguments (templated).
        options: Also `templates_dict` and `templates_exts`, as of a PythonOperator.

    Raises:
        UnknownParameter, MissingParameter: the arguments do not fit the function.
    """

    def __init__(
        self,
        task_id: str,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[object] | None = None,
        op_kwargs: Mapping[str, object] | None = None,
        **options: Any,
    ) -> None:
        if options.get("multiple_outputs"):
            why = "is not for sensors: a sensor has one XCom, of its PokeReturnValue"
            raise BadOption(f"sensor {task_id!r}", "multiple_outputs", why)
        super().__init__(
            task_id,
            python_callable=python_callable,
            op_args=() if op_args is None else op_args,
            op_kwargs=op_kwargs,
            **options,
        )

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        found = self.call(context)
        return found if isinstance(found, PokeReturnValue) else bool(found)
