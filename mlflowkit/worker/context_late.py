"""Values of a context that are made when somebody looks at them, and those that are not here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mlflowkit.errors import NoAirflowConf


class Later:
    """Stands for a value until somebody looks at it. `is None` cannot see through it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)

    @property
    def __class__(self) -> type:
        return type(self._make())

    @__class__.setter
    def __class__(self, kind: type) -> None:
        raise TypeError("a late value keeps its type")

    def __eq__(self, other: object) -> bool:
        return bool(self._make() == other)

    def __hash__(self) -> int:
        return hash(self._make())

    def __lt__(self, other: Any) -> bool:
        return bool(self._make() < other)

    def __le__(self, other: Any) -> bool:
        return bool(self._make() <= other)

    def __gt__(self, other: Any) -> bool:
        return bool(self._make() > other)

    def __ge__(self, other: Any) -> bool:
        return bool(self._make() >= other)

    def __sub__(self, other: Any) -> Any:
        return self._make() - other

    def __rsub__(self, other: Any) -> Any:
        return other - self._make()

    def __add__(self, other: Any) -> Any:
        return self._make() + other

    __radd__ = __add__

    def __getitem__(self, key: Any) -> Any:
        return self._make()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())

    def __contains__(self, item: object) -> bool:
        return item in self._make()

    def __len__(self) -> int:
        return len(self._make())

    def __bool__(self) -> bool:
        return bool(self._make())

    def __str__(self) -> str:
        return str(self._make())

    def __repr__(self) -> str:
        return repr(self._make())

    def __format__(self, spec: str) -> str:
        return format(self._make(), spec)

    def __reduce__(self) -> Any:
        return _itself, (self._make(),)


def _itself(value: Any) -> Any:
    return value


class Conf:
    """`conf` in a context of Airflow 2: its own configuration, which is not here."""

    def get(self, section: str, key: str, fallback: Any = ..., **_more: Any) -> Any:
        """The fallback.

        Raises:
            NoAirflowConf: there is none.
        """
        if fallback is ...:
            raise NoAirflowConf(section, key)
        return fallback

    getboolean = getint = getfloat = get

    def __repr__(self) -> str:
        return "<conf: Airflow's configuration is not here>"
