"""What a DAG says of its templates, by Airflow's names, as `TemplateSettings`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlflowkit.authoring.template import TemplateSettings
from mlflowkit.errors import BadOption

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def templates_of(dag: DAG) -> TemplateSettings:
    """The template settings of a DAG; always the same ones of the same DAG.

    Raises:
        BadOption: an option cannot be what it is.
    """
    known: TemplateSettings | None = vars(dag).get("_templates")
    if known is None:
        known = vars(dag)["_templates"] = _settings(dag)
    return known


def _settings(dag: DAG) -> TemplateSettings:
    where = f"DAG {dag.dag_id!r}"
    return TemplateSettings(
        folder=str(Path(dag.origin).parent) if dag.origin else "",
        searchpath=tuple(str(place) for place in dag.template_searchpath),
        macros=_named(where, "user_defined_macros", dag.user_defined_macros),
        filters=_functions(where, dag.user_defined_filters),
        native=dag.render_template_as_native_obj,
        undefined=_undefined(where, dag.template_undefined),
        options=_named(where, "jinja_environment_kwargs", dag.jinja_environment_kwargs),
    )


def _named(where: str, option: str, given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise BadOption(where, option, f"must be a dict of names, not {given!r}")
    named = cast("Mapping[object, Any]", given)
    for name in named:
        if not isinstance(name, str) or not name.isidentifier():
            raise BadOption(where, option, f"has {name!r}, which is no name")
    return dict(cast("Mapping[str, Any]", named))


def _functions(where: str, given: object) -> dict[str, Any]:
    found = _named(where, "user_defined_filters", given)
    for name, value in found.items():
        if not callable(value):
            why = f"has {name}, which is not a function"
            raise BadOption(where, "user_defined_filters", why)
    return found


def _undefined(where: str, given: object) -> Any:
    if given is None:
        return None
    import jinja2

    if not (isinstance(given, type) and issubclass(given, jinja2.Undefined)):
        why = f"must be a class such as jinja2.Undefined, not {given!r}"
        raise BadOption(where, "template_undefined", why)
    return given
