"""Values of options: what fits, checked and made one kind. Each says what is wrong, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, cast

from mlflowkit.core.spec import DEFAULT_POOL
from mlflowkit.core.trigger_rule import TriggerRule
from mlflowkit.errors import BadOption, suggest

Callback = Callable[[Any], object]
WEIGHT_RULES: Final = ("downstream", "upstream", "absolute")
#: How long a result counts for a task with `cache=True`.
CACHE_FOREVER: Final = timedelta(days=36_500)
#: Names that trigger rules had before Airflow 3.
_OLD_RULES: Final = {
    "dummy": "always",
    "none_failed_or_skipped": "none_failed_min_one_success",
}


def trigger_rule_of(where: str, value: object) -> TriggerRule:
    """The rule of that name.

    Raises:
        BadOption: there is none; the message has the nearest name.
    """
    if value is None:
        return TriggerRule.ALL_SUCCESS
    text = str(getattr(value, "value", value))
    text = _OLD_RULES.get(text, text)
    names = [str(rule) for rule in TriggerRule]
    if text not in names:
        close = suggest(text, names).strip().replace("Did", "did")
        hint = close or f"there are: {', '.join(names)}"
        raise BadOption(where, "trigger_rule", f"has no rule {text!r} ({hint})")
    return TriggerRule(text)


def weight_rule_of(where: str, value: object) -> str:
    text = "downstream" if value is None else str(getattr(value, "value", value))
    if text not in WEIGHT_RULES:
        why = f"must be one of {', '.join(WEIGHT_RULES)}, not {text!r}"
        raise BadOption(where, "weight_rule", why)
    return text


def pool_of(where: str, value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise BadOption(where, "pool", f"must be the name of a pool, not {value!r}")
    return value or DEFAULT_POOL


def number(
    where: str, name: str, given: Mapping[str, Any], default: int, *, least: int | None
) -> int:
    value: object = given.get(name)
    value = default if value is None else value
    whole_number = isinstance(value, int) and not isinstance(value, bool)
    if not whole_number or (least is not None and cast("int", value) < least):
        start = "" if least is None else f" from {least} on"
        raise BadOption(where, name, f"must be a whole number{start}, not {value!r}")
    return cast("int", value)


def callbacks_of(
    where: str, given: Mapping[str, Any], kinds: Iterable[str]
) -> dict[str, list[Callback]]:
    """What is to be called, by kind; kinds without a callback are left out.

    Raises:
        BadOption: something cannot be called.
    """
    found: dict[str, list[Callback]] = {}
    for kind in kinds:
        name = f"on_{kind}_callback"
        value: object = given.get(name)
        several = cast("Iterable[object]", value) if _is_listed(value) else [value]
        calls = [one for one in several if one is not None]
        for one in calls:
            if not callable(one):
                why = f"must be a function or a list of them, not {one!r}"
                raise BadOption(where, name, why)
        if calls:
            found[kind] = cast("list[Callback]", calls)
    return found


def hooks_of(where: str, given: Mapping[str, Any]) -> dict[str, Callable[..., object]]:
    """What is called right before and after `execute`, by name.

    Raises:
        BadOption: something cannot be called.
    """
    found = {
        n: given[n] for n in ("pre_execute", "post_execute") if given.get(n) is not None
    }
    for name, call in found.items():
        if not callable(call):
            raise BadOption(where, name, f"must be a function, not {call!r}")
    return found


def _is_listed(value: object) -> bool:
    return isinstance(value, (list, tuple, set))


def assets_of(where: str, name: str, value: object) -> list[Any]:
    """Assets, or texts that are their URIs."""
    items = list(cast("Iterable[Any]", value)) if _is_listed(value) else [value]
    found = [one for one in items if one is not None]
    for one in found:
        if not isinstance(getattr(one, "uri", one), str):
            raise BadOption(where, name, f"must be an Asset or a list of them, not {one!r}")
    return found


def uris_of(assets: Iterable[Any]) -> tuple[str, ...]:
    """The URIs of assets, each once."""
    return tuple(dict.fromkeys(str(getattr(one, "uri", one)) for one in assets))


def cache_of(where: str, value: object) -> timedelta | None:
    if value is None or value is False:
        return None
    if value is True:
        return CACHE_FOREVER
    if not isinstance(value, timedelta) or value <= timedelta():
        why = f"must be True or a timedelta above zero, not {value!r}"
        raise BadOption(where, "cache", why)
    return value


def seconds(name: str, value: object, where: str) -> timedelta | None:
    """A time span given as a timedelta or in seconds.

    Raises:
        BadOption: it is something else, or negative.
    """
    if value is None:
        return None
    span = value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        span = timedelta(seconds=value)
    if not isinstance(span, timedelta) or span < timedelta():
        raise BadOption(where, name, f"must be a timedelta or seconds, not {value!r}")
    return plain_span(span)


def plain_span(span: timedelta) -> timedelta:
    """The same span as a timedelta and nothing more: pendulum's is a subclass."""
    if type(span) is timedelta:
        return span
    return timedelta(seconds=span.total_seconds())


def whole(name: str, value: object, where: str) -> int:
    """A whole number from 0 on.

    Raises:
        BadOption: it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadOption(where, name, f"must be a whole number from 0 on, not {value!r}")
    return value


def backoff_of(value: object, where: str) -> float:
    if isinstance(value, bool):
        return 2.0 if value else 1.0
    if isinstance(value, (int, float)) and value >= 1.0:
        return float(value)
    why = f"must be True, False or a factor from 1.0 on, not {value!r}"
    raise BadOption(where, "retry_exponential_backoff", why)
