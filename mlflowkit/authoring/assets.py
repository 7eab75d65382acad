"""Assets: data that tasks update and that DAGs wait for, named by a URI.

An asset is a name; nothing here looks at what it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from mlflowkit.core.timetable import AllOf, AnyOf, AssetUri, Condition
from mlflowkit.errors import BadAsset

#: Longer names and URIs are refused, as in Airflow.
LONGEST = 1500


class BaseAsset:
    """An asset, or several joined: `a & b` waits for both, `a | b` for one of them."""

    def condition(self) -> Condition:
        """What has to be updated, as plain data."""
        raise NotImplementedError

    def __and__(self, other: BaseAsset) -> AssetAll:
        if not isinstance(other, BaseAsset):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return AssetAll(self, other)

    def __or__(self, other: BaseAsset) -> AssetAny:
        if not isinstance(other, BaseAsset):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return AssetAny(self, other)


@dataclass(frozen=True, init=False)
class Asset(BaseAsset):
    """Some data, by its URI: `Asset("s3://bucket/images")`.

    Args:
        name: For people; the URI if it is left out. Alone, it is the URI as well.
        uri: Kept in its normal form: scheme and host in small letters, without a slash at
            the end, query in order.
        group: For people.
        extra: Facts that belong to the asset itself; events have their own.

    Raises:
        BadAsset: the name or the URI cannot be one.
    """

    name: str
    uri: str
    group: str = field(compare=False)
    extra: Mapping[str, Any] = field(compare=False, hash=False)

    def __init__(
        self,
        name: str | None = None,
        uri: str | None = None,
        *,
        group: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        given = uri if uri is not None else name
        shown = name if name is not None else uri
        if given is None or shown is None:
            raise BadAsset("", "needs a URI: write Asset('s3://bucket/folder')")
        object.__setattr__(self, "uri", checked_uri(given))
        object.__setattr__(self, "name", _checked(shown))
        object.__setattr__(self, "group", group if group is not None else "asset")
        object.__setattr__(self, "extra", MappingProxyType(dict(extra or {})))

    def condition(self) -> AssetUri:
        return AssetUri(self.uri)

    def __reduce__(self) -> tuple[object, ...]:
        return _asset, (self.name, self.uri, self.group, dict(self.extra))


#: What Airflow 2 calls an asset.
Dataset = Asset


class _Joined(BaseAsset):
    """Several assets; one inside another of the same kind is taken apart."""

    def __init__(self, *objects: BaseAsset) -> None:
        if not objects:
            raise BadAsset((), "is an empty list: name at least one asset")
        for one in objects:
            if not isinstance(one, BaseAsset):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise BadAsset(one, "is no asset: write Asset('s3://bucket/folder')")
        self.objects: tuple[BaseAsset, ...] = tuple(
            part
            for one in objects
            for part in (one.objects if type(one) is type(self) else (one,))
        )

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.objects))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.objects))})"


class AssetAll(_Joined):
    """All of them have to be updated: `AssetAll(a, b)` is `a & b`."""

    def condition(self) -> AllOf:
        return AllOf(tuple(one.condition() for one in self.objects))


class AssetAny(_Joined):
    """One of them has to be updated: `AssetAny(a, b)` is `a | b`."""

    def condition(self) -> AnyOf:
        return AnyOf(tuple(one.condition() for one in self.objects))


DatasetAll, DatasetAny = AssetAll, AssetAny


def checked_uri(uri: object) -> str:
    """The URI in its normal form, so that one asset has one spelling.

    Raises:
        BadAsset: it is empty, too long, not ASCII, holds a password, or uses a scheme
            that is taken.
    """
    text = _checked(uri)
    try:
        parts = urlsplit(text)
    except ValueError as exc:
        raise BadAsset(text, f"has no URI that can be read ({exc})") from exc
    if not parts.scheme or parts.scheme.startswith("x-"):
        return text
    if parts.scheme in ("airflow", "mlflowkit"):
        raise BadAsset(text, f"uses the scheme {parts.scheme!r}, which is taken")
    if "@" in parts.netloc:
        safe = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        why = "has a user name or a password in its URI: keep those in a connection"
        raise BadAsset(safe, why)
    query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc.lower(), path, query, parts.fragment))


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise BadAsset(text, "needs a text as name and URI")
    if not text.strip():
        raise BadAsset(text, "has no name: write Asset('s3://bucket/folder')")
    if len(text) > LONGEST:
        raise BadAsset(f"{text[:40]}…", f"has a name of more than {LONGEST} characters")
    if not text.isascii() or not text.isprintable():
        why = "has characters that are not ASCII, or not printable: quote them (%C3%A9)"
        raise BadAsset(text, why)
    return text


def _asset(name: str, uri: str, group: str, extra: dict[str, Any]) -> Asset:
    """An Asset from its parts, for pickle."""
    return Asset(name, uri, group=group, extra=extra)
