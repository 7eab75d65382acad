"""Variables: texts by name, from the environment, the secrets back end or the store.

`MLFLOWKIT_VAR_<KEY>` defines one. Values whose names look secret are hidden in logs.
"""

from __future__ import annotations

import json
import logging
import os
import re
from typing import Any, Final

from mlflowkit.core.masking import looks_secret, secrets_by_name
from mlflowkit.errors import InvalidVariable, VariableMissing
from mlflowkit.hooks import secrets_backend, stand_ins, store_side
from mlflowkit.worker import masking
from mlflowkit.worker.masking import VARIABLE_PREFIX

log = logging.getLogger("mlflowkit.secrets")
_UNSET: Final = object()


def env_variable(key: str) -> str:
    """The variable of the environment that defines a variable: MLFLOWKIT_VAR_<KEY>."""
    return VARIABLE_PREFIX + re.sub(r"\W", "_", key).upper()


def look_up(key: str) -> tuple[str, str] | None:
    """The text of a variable and the name of the place that knows it, or None."""
    found = stand_ins.variable(key), "stand-ins of a test"
    if found[0] is None:
        found = os.environ.get(env_variable(key)), "environment"
    if found[0] is None:
        backend = secrets_backend.chosen_backend()
        found = (backend.get_variable(key) if backend else None), "secrets back end"
    if found[0] is None:
        found = store_side.ask("variable", key=key), "store"
    value, place = found
    if value is None:
        return None
    if looks_secret(key):
        masking.hide([value], f"the variable {key!r}")
    masking.hide(secrets_by_name(value), f"the variable {key!r}")
    return value, place


class Variable:
    """Variables, under Airflow's names. There is nothing to make an instance of."""

    @staticmethod
    def get(
        key: str,
        default_var: Any = _UNSET,
        deserialize_json: bool = False,
        *,
        default: Any = _UNSET,
    ) -> Any:
        """The value of a variable.

        Args:
            key: Its name.
            default_var: Given back where there is none; Airflow 2's name.
            deserialize_json: The text is JSON: give what it says.
            default: The same as `default_var`; Airflow 3's name.

        Raises:
            VariableMissing: there is none, and no default. It is a KeyError, too.
            InvalidVariable: it should be JSON, and is not.
        """
        found = look_up(key)
        if found is not None:
            return _from_json(key, found[0]) if deserialize_json else found[0]
        fallback = default if default is not _UNSET else default_var
        if fallback is _UNSET:
            raise VariableMissing(key, env_variable(key), store_side.known("variables"))
        return fallback

    @staticmethod
    def set(
        key: str,
        value: Any,
        description: str | None = None,
        serialize_json: bool = False,
    ) -> None:
        """Keep a value in the store, in the place of an earlier one.

        Args:
            key: Its name.
            value: A text; anything else is kept as `str` gives it.
            description: None keeps the one that is there.
            serialize_json: Keep it as JSON.

        Raises:
            InvalidVariable: the name does not fit, or the value is no JSON.
        """
        if not key.strip() or len(key) > 250:
            raise InvalidVariable(key, "needs a name of 1 to 250 characters.")
        text = _to_json(key, value) if serialize_json else str(value)
        if looks_secret(key):
            masking.hide([text], f"the variable {key!r}")
        store_side.ask("variable_set", key=key, value=text, description=description)
        if env_variable(key) in os.environ:
            log.warning(
                "the variable %r was stored, but %s hides it", key, env_variable(key)
            )

    @staticmethod
    def delete(key: str) -> int:
        """Take a variable out of the store. Returns how many there were: 1 or 0."""
        return int(store_side.ask("variable_delete", key=key) is not None)

    @classmethod
    def setdefault(
        cls,
        key: str,
        default: Any,
        description: str | None = None,
        deserialize_json: bool = False,
    ) -> Any:
        """The value of a variable; where there is none, `default`, which is stored.

        Raises:
            InvalidVariable: there is no value and `default` is None, or it is no JSON.
        """
        found = cls.get(key, None, deserialize_json)
        if found is not None:
            return found
        if default is None:
            raise InvalidVariable(
                key, "is not set, and a default of None cannot be stored."
            )
        cls.set(key, default, description, serialize_json=deserialize_json)
        return default


def _from_json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        why = f"is no JSON (line {exc.lineno}, column {exc.colno})."
        raise InvalidVariable(key, why) from None


def _to_json(key: str, value: Any) -> str:
    try:
        return json.dumps(value, indent=2)
    except (TypeError, ValueError) as exc:
        kind = type(value).__name__
        raise InvalidVariable(key, f"cannot be kept as JSON ({kind}).") from exc
