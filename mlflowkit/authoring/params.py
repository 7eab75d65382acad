"""Parameters of a DAG: what they are, and whether given values fit.

A parameter's JSON Schema comes from its annotation, or from `Param(...)`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature, unwrap
from typing import Any, get_type_hints

from mlflowkit.authoring.param_schema import (
    Schema,
    as_json,
    check_keywords,
    check_schema,
    fits,
    schema_of,
)
from mlflowkit.authoring.refs import has_refs
from mlflowkit.core.spec import DagSpec, ParamSpec
from mlflowkit.errors import (
    BadOption,
    MissingParameter,
    ScheduledWithoutDefault,
    UnknownParameter,
    a,
)


class Param:
    """A parameter with more to say: `Param(5, type="integer", minimum=1)`.

    Args:
        default: Its value if none is given; leave it out to make the parameter required. A
            default of None that the schema does not allow means the same, as in Airflow.
        description: For people.
        source: Taken for Airflow's sake; nothing here reads it.
        schema: JSON Schema keywords, or all of them as `schema={...}`.
    """

    def __init__(
        self,
        default: object = ...,
        description: str | None = None,
        source: str | None = None,
        **schema: Any,
    ) -> None:
        self.default, self.source = default, source
        whole: Schema = schema.pop("schema", None) or {}
        self.schema: Schema = {**whole, **schema}
        if description:
            self.schema["description"] = description
        nothing = default is None and bool(self.schema)
        if nothing and not fits(self.schema, None):
            self.default = ...

    @property
    def required(self) -> bool:
        return self.default is ...

    @property
    def value(self) -> object:
        """Its default, or None."""
        return None if self.required else self.default

    @property
    def description(self) -> str | None:
        return self.schema.get("description")

    def resolve(self, value: object = ...) -> object:
        """The value, or the default, checked against the schema.

        Raises:
            MissingParameter: there is neither.
            WrongType, RuleBroken: it does not fit.
        """
        chosen = self.default if value is ... else value
        if chosen is ...:
            raise MissingParameter("a Param", "value")
        found = as_json(self.schema, chosen)
        check_schema("a Param", "value", self.schema, found)
        return found


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Its annotations, made into types where their names can be found."""
    function = unwrap(function)
    written: dict[str, Any] = getattr(function, "__annotations__", {})
    names: dict[str, Any] = getattr(function, "__globals__", {})
    return {name: _resolved(one, names) for name, one in written.items()}


def _resolved(annotation: object, names: dict[str, Any]) -> object:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(holder, globalns=names)["it"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return annotation


def param_specs_of(where: str, function: Callable[..., Any]) -> tuple[ParamSpec, ...]:
    """The arguments of a function under `@dag`, as parameters."""
    hints = hints_of(function)
    found: list[ParamSpec] = []
    for parameter in signature(function).parameters.values():
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            raise BadOption(
                where, str(parameter), "cannot be a parameter: give each a name"
            )
        given = ... if parameter.default is Parameter.empty else parameter.default
        annotation = hints.get(parameter.name)
        schema = schema_of(annotation)
        if given is None and "type" in schema:
            schema = {"anyOf": [schema, {"type": "null"}]}
        param = given if isinstance(given, Param) else Param(given)
        shown = _shown(annotation)
        found.append(param_spec(where, parameter.name, param, schema, annotation=shown))
    return tuple(found)


def param_spec(
    where: str,
    name: str,
    value: object,
    schema: Schema | None = None,
    *,
    annotation: str = "",
) -> ParamSpec:
    """One parameter, from its default or a `Param`.

    Raises:
        BadOption: the default is not JSON.
        WrongType: the default does not fit the schema.
    """
    param = value if isinstance(value, Param) else Param(value)
    full = {**(schema or {}), **param.schema}
    if set(param.schema) - {"description", "title"}:
        check_keywords(where, name, full)
    default = as_json(full, param.default)
    text = None if param.required else _json(where, name, default)
    spec = ParamSpec(
        name=name,
        required=param.required,
        default_json=text,
        schema_json=json.dumps(full, sort_keys=True),
        annotation=annotation,
    )
    if not param.required:
        check_value(where, spec, default)
    return spec


def validate_params(spec: DagSpec, given: Mapping[str, object]) -> dict[str, Any]:
    """The parameters of a run: those given, and the defaults of the others.

    Raises:
        UnknownParameter, MissingParameter, WrongType: before anything has run.
    """
    where = f"DAG {spec.dag_id!r}"
    known = {param.name: param for param in spec.params}
    for name in given:
        if name not in known:
            raise UnknownParameter(where, name, known)
    found: dict[str, Any] = {}
    for name, param in known.items():
        if name in given:
            in_json = as_json(json.loads(param.schema_json), given[name])
            check_value(where, param, in_json)
            # A declared type is JSON's; what has none stays as it is, a tuple or a DataFrame.
            found[name] = given[name] if param.schema_json == "{}" else in_json
        elif param.required:
            raise MissingParameter(where, name)
        else:
            found[name] = json.loads(param.default_json or "null")
    return found


def default_params(spec: DagSpec) -> dict[str, Any]:
    """The defaults of a DAG's parameters, as far as there are any."""
    texts = {p.name: p.default_json for p in spec.params}
    return {name: json.loads(text) for name, text in texts.items() if text is not None}


def check_scheduled(dag_id: str, params: Iterable[ParamSpec]) -> None:
    """Raises ScheduledWithoutDefault if a parameter of a DAG with a schedule has none."""
    for param in params:
        if param.required:
            raise ScheduledWithoutDefault(dag_id, param.name)


def task_params(where: str, given: Mapping[str, object]) -> dict[str, object]:
    """The `params` of a task, which win over defaults of the DAG's.

    Raises:
        MissingParameter: one has no value.
        WrongType, RuleBroken, BadOption: a value does not fit.
    """
    specs = [param_spec(where, name, value) for name, value in given.items()]
    for spec in specs:
        if spec.required:
            raise MissingParameter(where, spec.name)
    return {spec.name: json.loads(spec.default_json or "null") for spec in specs}


def params_from_text(spec: DagSpec, texts: Mapping[str, str]) -> dict[str, Any]:
    """Parameters as typed in a terminal (`-p n=20`): read as JSON where the type asks for it."""
    schemas = {p.name: json.loads(p.schema_json) for p in spec.params}
    return {name: _from_text(schemas.get(name, {}), text) for name, text in texts.items()}


def _from_text(schema: Schema, text: str) -> object:
    if fits(schema, text) and schema:
        return text
    try:
        return json.loads(text)
    except ValueError:
        lowered = {"true": True, "false": False, "none": None}
        return lowered.get(text.lower(), text)


def check_value(where: str, param: ParamSpec, value: object) -> None:
    """Raises WrongType or RuleBroken if the value does not fit the parameter's schema."""
    schema: Schema = json.loads(param.schema_json)
    if not has_refs(value):
        check_schema(where, param.name, schema, value, param.annotation)


def _json(where: str, name: str, value: object) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as exc:
        why = f"has {a(type(value).__name__)} as default, which JSON cannot write"
        raise BadOption(where, name, why) from exc


def _shown(annotation: object) -> str:
    if annotation is None:
        return ""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
