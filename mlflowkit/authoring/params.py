"""Parameters of a DAG: what they are, and whether given values fit.

A parameter's JSON Schema comes from its annotation, or from `Param(...)`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping
from enum import Enum
from inspect import Parameter, signature, unwrap
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from mlflowkit.authoring.refs import has_refs
from mlflowkit.core.spec import DagSpec, ParamSpec
from mlflowkit.errors import BadOption, MissingParameter, UnknownParameter, WrongType

Schema = dict[str, Any]
_PLAIN: dict[object, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    set: {"type": "array"},
    dict: {"type": "object"},
}


class Param:
    """A parameter with more to say: `Param(5, type="integer", minimum=1)`.

    Args:
        default: Its value if none is given; leave it out to make the parameter required.
        schema: JSON Schema keywords.
    """

    def __init__(
        self, default: object = ..., *, description: str = "", **schema: Any
    ) -> None:
        self.default = default
        self.schema: Schema = {**schema}
        if description:
            self.schema["description"] = description

    @property
    def required(self) -> bool:
        return self.default is ...


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
    default = plain(param.default)
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


def schema_of(annotation: object) -> Schema:
    """The JSON Schema of an annotation; {} (everything) for one that JSON cannot say."""
    if annotation in _PLAIN if _hashable(annotation) else False:
        return dict(_PLAIN[annotation])
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        options = [schema_of(one) for one in arguments]
        return {} if {} in options else {"anyOf": options}
    if origin in (list, set, tuple):
        return _array_of(origin, arguments)
    if origin is dict:
        values = schema_of(arguments[1])
        return {
            "type": "object",
            **({"additionalProperties": values} if values else {}),
        }
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {"enum": [member.value for member in annotation]}
    return {}


def _array_of(origin: object, arguments: tuple[Any, ...]) -> Schema:
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
        items = [schema_of(one) for one in arguments]
        size = len(items)
        return {
            "type": "array",
            "prefixItems": items,
            "minItems": size,
            "maxItems": size,
        }
    items_schema = schema_of(arguments[0])
    return {"type": "array", **({"items": items_schema} if items_schema else {})}


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
            as_json = plain(given[name])
            check_value(where, param, as_json)
            # A declared type is JSON's; what has none stays as it is, a tuple or a DataFrame.
            found[name] = given[name] if param.schema_json == "{}" else as_json
        elif param.required:
            raise MissingParameter(where, name)
        else:
            found[name] = json.loads(param.default_json or "null")
    return found


def params_from_text(spec: DagSpec, texts: Mapping[str, str]) -> dict[str, Any]:
    """Parameters as typed in a terminal (`-p n=20`): read as JSON where the type asks for it."""
    schemas = {p.name: json.loads(p.schema_json) for p in spec.params}
    return {name: _from_text(schemas.get(name, {}), text) for name, text in texts.items()}


def _from_text(schema: Schema, text: str) -> object:
    if _fits(schema, text) and schema:
        return text
    try:
        return json.loads(text)
    except ValueError:
        lowered = {"true": True, "false": False, "none": None}
        return lowered.get(text.lower(), text)


def check_value(where: str, param: ParamSpec, value: object) -> None:
    """Raises WrongType if the value does not fit the parameter's schema."""
    schema: Schema = json.loads(param.schema_json)
    if not has_refs(value) and not _fits(schema, value):
        raise WrongType(where, param.name, param.annotation or _words(schema), value)


def _fits(schema: Schema, value: object) -> bool:
    if not schema:
        return True
    simple = schema.get("type") if len(schema) == 1 else None
    if simple == "string":
        return isinstance(value, str)
    if simple == "boolean":
        return isinstance(value, bool)
    if simple in ("integer", "number") and not isinstance(value, float):
        return isinstance(value, int) and not isinstance(value, bool)
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)  # pyright: ignore[reportUnknownMemberType]
    return bool(validator.is_valid(cast("Any", value)))  # pyright: ignore[reportUnknownMemberType]


def plain(value: object) -> object:
    """Enum members as their values, tuples and sets as lists: what JSON would make of it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in cast("dict[object, object]", value).items()}
    return value


def _json(where: str, name: str, value: object) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as exc:
        why = f"has a {type(value).__name__} as default, which JSON cannot write"
        raise BadOption(where, name, why) from exc


def _hashable(value: object) -> bool:
    return getattr(type(value), "__hash__", None) is not None and not get_args(value)


def _shown(annotation: object) -> str:
    if annotation is None:
        return ""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _words(schema: Schema) -> str:
    if set(schema) == {"type"}:
        return str(schema["type"])
    if "enum" in schema:
        return f"one of {schema['enum']}"
    return f"as its schema says ({json.dumps(schema, sort_keys=True)})"
