"""Real values in the place of stand-ins and templates, in the arguments of one task instance.

What stand-ins give is data: no text that another task or whoever started the run wrote is
ever read as a template. Mapped arguments that come from elsewhere are marked with `Literal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlflowkit.authoring.refs import Ref, replaced
from mlflowkit.authoring.template import (
    DataWalk,
    Literal,
    Templates,
    extensions_of,
    fields_of,
    holds_template,
    texts_in,
)
from mlflowkit.core.spec import KWARGS_AXIS

Give = Callable[[Ref], object]
_WRITTEN = (list, tuple, dict, range)


def as_data(mapped: Mapping[str, Any], axes: Mapping[str, object]) -> dict[str, object]:
    """The mapped arguments of an instance; those that were not written in the DAG, as data."""
    found: dict[str, object] = {}
    for name, value in mapped.items():
        over = axes.get(name, axes.get(KWARGS_AXIS))
        known = isinstance(over, _WRITTEN) or type(value) is Literal
        found[name] = value if known else Literal[Any](value)
    return found


def fill(ready: Any, give: Give, templates: Templates | None, *, mapped: bool) -> None:
    """Put real values into the attributes of `ready`, an operator of one task instance.

    Args:
        give: Gives what a stand-in stands for.
        templates: Renders template fields; None leaves them as they are.
        mapped: Whether attributes may hold mapped arguments, marked as data.
    """
    fields = dict.fromkeys(fields_of(ready))
    extensions = extensions_of(ready)
    arguments: dict[str, object] = dict(ready.arguments())
    for name, value in arguments.items():
        if name in fields:
            made = _of_field(name, value, give, templates, extensions)
        else:
            made = DataWalk(give).value(value) if mapped else replaced(value, give)
        setattr(ready, name, made)
    for name in fields:
        value = getattr(ready, name, None)
        if name not in arguments and value is not None and not callable(value):
            setattr(ready, name, _of_field(name, value, give, templates, extensions))


def _of_field(
    name: str,
    value: object,
    give: Give,
    templates: Templates | None,
    extensions: tuple[str, ...],
) -> Any:
    if templates is None:
        return DataWalk(give).value(value)
    return templates.field(name, value, extensions, give)


def filled_options(
    cls: type, options: Mapping[str, object], give: Give, templates: Templates | None
) -> dict[str, Any]:
    """Arguments for the constructor of an operator that is made in each instance."""
    fields, extensions = set(class_fields(cls)), extensions_of(cls)
    return {
        name: _of_field(name, value, give, templates, extensions)
        if name in fields
        else DataWalk(give).value(value)
        for name, value in options.items()
    }


def fill_rest(
    made: Any,
    options: Mapping[str, object],
    templates: Templates | None,
) -> None:
    """Render template fields that the constructor filled in by itself.

    Args:
        options: What it was given, rendered already: what still looks like a template in it
            is data, and so is every text that it was put into.
    """
    if templates is None:
        return
    foreign = [t for t in texts_in(dict(options)) if holds_template(t)]
    extensions = extensions_of(made)
    for name in fields_of(made):
        if name in options or not hasattr(made, name):
            continue
        value = getattr(made, name)
        if not any(part in text for text in texts_in(value) for part in foreign):
            setattr(made, name, templates.field(name, value, extensions))


def class_fields(cls: type) -> Iterator[str]:
    """The `template_fields` of an operator's class."""
    found: Any = getattr(cls, "template_fields", ())
    yield from (found,) if isinstance(found, str) else found
