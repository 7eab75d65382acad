"""A feed whose every text is a payload: whatever is set as HTML anywhere would run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.browser.dags import payload
from tests.browser.server import Feed

#: What the page looks things up by, or draws with; a person writes none of these.
_BY_ENGINE: Final = frozenset(
    {"kind", "cursor", "since", "id", "path", "d", "strip", "state", "status", "from", "to"}
    | {
        "group",
        "parent",
        "task_id",
        "type",
        "mime",
        "direction",
        "what",
        "folded",
        "upstream",
    }
    | {"outcome", "actions"}
)


class PoisonedFeed:
    """Answers of a real feed, with a payload in place of each text."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        #: Where payloads were put.
        self.fields: set[str] = set()

    def request(self, kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._poisoned(self._feed.request(kind, payload), kind)
        return found

    def _poisoned(self, value: Any, name: str) -> Any:
        if isinstance(value, dict):
            named = name in ("params", "rendered", "facts", "value")
            return {
                (payload(f"name of {name}") if named else key): (
                    item if key in _BY_ENGINE else self._poisoned(item, key)
                )
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._poisoned(item, name) for item in value]
        if isinstance(value, str):
            self.fields.add(name)
            return payload(name)
        return value
