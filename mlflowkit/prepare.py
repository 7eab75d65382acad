"""From an operator and what it waits for to something that can be executed: both app sides do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from mlflowkit.authoring.axes import values_at
from mlflowkit.authoring.composed import Source
from mlflowkit.authoring.refs import Ref, XComArg
from mlflowkit.authoring.resolve import render
from mlflowkit.authoring.template import Literal, Templates, TemplateSettings
from mlflowkit.core.secret import holds_handle
from mlflowkit.core.spec import XComRef
from mlflowkit.core.timetable import (
    DataInterval,
    TimeRestriction,
    Timetable,
    info_to_json,
)
from mlflowkit.worker.attempt import Executable
from mlflowkit.worker.run_context import Context, Sources
from mlflowkit.worker.sides import Inputs


def prepared(
    operator: Any, inputs: Inputs, settings: Callable[[], TemplateSettings]
) -> Executable:
    """An operator with real values: XComs, parameters, its own items of what is mapped, and
    its templates rendered.

    Args:
        settings: Gives the template settings of the DAG.

    Raises:
        TemplateError: a template cannot be rendered.
    """
    context = inputs.context

    def find(ref: XComRef) -> object:
        return inputs.resolve(ref.task_id, ref.key)

    def marked(ref: Ref) -> object:
        value = find(ref.ref) if isinstance(ref, XComArg) else inputs.params[ref.name]
        if isinstance(value, Mapping):
            return {name: Literal(one) for name, one in value.items()}
        return Literal(value)

    complete(context, operator)
    source = Source(inputs.item, inputs.count)
    mapped = values_at(operator, inputs.axes, source, marked) if inputs.axes else {}
    templates = Templates(operator.task_id, settings, context)
    made = render(operator, find, inputs.params, mapped, templates)
    context.now_rendered(made, templates)
    _fill_secrets(made)
    return made


def _fill_secrets(made: Any) -> None:
    """Real values in the place of `secret(...)`; a notebook's kernel asks for its own."""
    if not getattr(made, "fills_secrets", True):
        return
    for name, value in made.arguments().items():
        if holds_handle(value):
            setattr(made, name, _resolved(value))


def _resolved(value: Any) -> Any:
    from mlflowkit.hooks.secret import resolved

    return resolved(value)


def ask_timetable(timetable: Timetable, given: Mapping[str, Any]) -> bytes:
    """What a person's own timetable says comes next: a run, or null, as JSON."""

    def moment(name: str) -> datetime | None:
        return shown(datetime.fromisoformat(given[name])) if given[name] else None

    shown, last = Sources.shown, given["last"]
    ends = [shown(datetime.fromisoformat(one)) for one in last or ()]
    interval = DataInterval(*ends) if ends else None
    now = moment("now")
    assert now is not None
    restriction = TimeRestriction(
        moment("earliest"), moment("latest"), given["catchup"], now, moment("since")
    )
    info = timetable.next_dagrun_info(
        last_automated_data_interval=interval, restriction=restriction
    )
    return info_to_json(info).encode()


def complete(context: Context, operator: Any) -> None:
    """Put what belongs to a task, and not to its run alone, into its context.

    Callbacks and other code of a person outside `execute` need it, too.
    """
    context.of_task(
        operator,
        {"conn": _connections, "var": _variables, "macros": _macros},
    )


def _macros() -> object:
    from mlflowkit.authoring.macros import macros

    return macros


def _connections() -> object:
    from mlflowkit.authoring.template_lookups import Connections
    from mlflowkit.hooks.base import find_connection, get_connection

    return Connections(get_connection, find_connection)


def _variables() -> object:
    from mlflowkit.authoring.template_lookups import Variables
    from mlflowkit.hooks.variable import Variable

    return Variables(Variable.get)
