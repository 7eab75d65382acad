"""From an operator of the bundle to one that can be executed. Runs in workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlflowkit.authoring.mapping import mapped_values
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.refs import Ref, XComArg
from mlflowkit.authoring.template import Templates
from mlflowkit.core.spec import XComRef
from mlflowkit.errors import MissingParameter

__all__ = ["mapped_values", "render"]


def render(
    operator: BaseOperator,
    resolve: Callable[[XComRef], object],
    params: Mapping[str, object],
    mapped: Mapping[str, object],
    templates: Templates | None = None,
) -> BaseOperator:
    """A copy of the operator with real values instead of stand-ins and templates.

    Args:
        resolve: Gives an XCom; for a mapped task a sequence, read as it is used.
        params: The run's parameters.
        mapped: This instance's arguments, from `mapped_values`.
        templates: Renders template fields; None leaves them as they are.

    Raises:
        TemplateError: a template cannot be rendered.
    """

    def give(ref: Ref) -> object:
        if isinstance(ref, XComArg):
            return resolve(ref.ref)
        if ref.name not in params:
            raise MissingParameter(f"task {operator.task_id!r}", ref.name)
        return params[ref.name]

    return operator.rendered(give, mapped, templates)
