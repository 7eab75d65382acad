"""JSON Schemas of parameters: made from annotations, and values checked against them."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from datetime import date, datetime, time
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, Union, cast, get_args, get_origin

from mlflowkit.errors import BadRule, RuleBroken, WrongType
from mlflowkit.late_imports import while_importing

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


#: The kinds of JSON, as people call them.
_KINDS = {
    "array": "a list",
    "boolean": "True or False",
    "integer": "a whole number",
    "null": "None",
    "number": "a number",
    "object": "a dict",
    "string": "a text",
}
#: Formats of texts whose values may be given as what they are.
_FORMATS: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "time": time.fromisoformat,
}


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


def check_schema(
    where: str, name: str, schema: Schema, value: object, annotation: str = ""
) -> None:
    """Whether a value fits a JSON Schema.

    Raises:
        WrongType: it is of another type, or not among those that are allowed.
        RuleBroken: it breaks another rule.
    """
    if fits(schema, value):
        return
    from jsonschema import exceptions

    best: Any = exceptions.best_match  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    errors: list[Any] = list(_validator(schema).iter_errors(cast("Any", value)))
    first: Any = best(iter(errors))
    rule, kinds = str(first.validator), {str(error.validator) for error in errors}
    top_level = not first.absolute_path
    if annotation or (top_level and kinds & {"type", "enum", "anyOf", "const", "oneOf"}):
        raise WrongType(where, name, annotation or _words(schema), value)
    at = "".join(f"[{part!r}]" for part in first.absolute_path)
    why = f"{f'at {at}, ' if at else ''}{first.message}"
    raise RuleBroken(where, name, value, f"{rule}={first.validator_value!r}", why)


def fits(schema: Schema, value: object) -> bool:
    if not schema:
        return True
    simple = schema.get("type") if len(schema) == 1 else None
    if simple == "string":
        return isinstance(value, str)
    if simple == "boolean":
        return isinstance(value, bool)
    if simple in ("integer", "number") and not isinstance(value, float):
        return isinstance(value, int) and not isinstance(value, bool)
    return bool(_validator(schema).is_valid(cast("Any", value)))  # pyright: ignore[reportUnknownMemberType]


def check_keywords(where: str, name: str, schema: Schema) -> None:
    """Raises BadRule if what a `Param` says is no JSON Schema."""
    with while_importing():
        import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as exc:
        wrong: Any = exc
        rule = ".".join(str(part) for part in wrong.absolute_path)
        expected = _rule_words(rule, str(wrong.validator), wrong.validator_value)
        raise BadRule(where, name, rule, wrong.instance, expected) from exc


def _rule_words(rule: str, broken: str, wanted: object) -> str:
    """What a keyword has to be, from what JSON Schema's own schema says of it."""
    if rule.rpartition(".")[2] == "type":
        return f"one of {', '.join(sorted(_KINDS))}, or a list of them"
    if broken == "type":
        kinds = [wanted] if isinstance(wanted, str) else cast("list[str]", wanted)
        return " or ".join(_KINDS.get(kind, kind) for kind in kinds)
    if broken == "format" and wanted == "regex":
        return "a regular expression"
    bounds = {"minimum": "at least", "exclusiveMinimum": "more than"}
    if broken in bounds:
        return f"{bounds[broken]} {wanted}"
    return f"what JSON Schema allows there ({broken}: {wanted})"


def _validator(schema: Schema) -> Any:
    with while_importing():
        import jsonschema

    checker = jsonschema.FormatChecker(())
    for name, read in _FORMATS.items():
        checker.checks(name, ValueError)(_text_checker(read))
    return jsonschema.Draft202012Validator(schema, format_checker=checker)


def _text_checker(read: Callable[[str], object]) -> Callable[[object], bool]:
    """What is no text is the business of `type`."""
    return lambda value: not isinstance(value, str) or read(value) is not None


def as_json(schema: Schema, value: object) -> object:
    """The value as JSON says it; dates and paths as texts, where the schema asks for those."""
    if value is not ... and "string" in _kinds(schema):
        if schema.get("format") in _FORMATS and isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, PurePath):
            return str(value)
    return plain(value)


def _kinds(schema: Schema) -> set[str]:
    kinds: object = schema.get("type", "string" if "format" in schema else ())
    return {kinds} if isinstance(kinds, str) else set(cast("list[str]", kinds))


def plain(value: object) -> object:
    """Enum members as their values, tuples and sets as lists: what JSON would make of it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in cast("dict[object, object]", value).items()}
    return value


def _hashable(value: object) -> bool:
    return getattr(type(value), "__hash__", None) is not None and not get_args(value)


def _words(schema: Schema) -> str:
    if set(schema) == {"type"}:
        return str(schema["type"])
    if "enum" in schema:
        return f"one of {schema['enum']}"
    return f"as its schema says ({json.dumps(schema, sort_keys=True)})"
