"""The log of one container, each line once, however often its stream breaks.

The server can only be told "since so many seconds", so every line is asked for with its
time: what came before the break is known by time and text, and is not given again.
It never prints, and never decides whether a container has ended.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from mlflowkit.errors import ClusterRefused, ClusterUnreachable
from mlflowkit.hooks.kubernetes_pods import Pods
from mlflowkit.hooks.kubernetes_steady import passing

#: Lines of both streams may be written down in another order than their times say.
_WINDOW_NS = 2_000_000_000
#: How far the clocks of the API server and the node may differ.
_SKEW_S = 30
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d) ?"
)


class ContainerLog:
    """What a container has written and writes, line by line without line breaks."""

    def __init__(self, pods: Pods, pod: str, container: str) -> None:
        self.pods, self.pod, self.container = pods, pod, container
        #: Whether the last stream came to an orderly end.
        self.whole = False
        self._last_ns: int | None = None
        self._recent: deque[tuple[int, str]] = deque()
        self._server_time: tuple[datetime, float] | None = None

    def read(self, *, follow: bool) -> Iterator[str]:
        """The lines that were not given before, until the stream ends or breaks.

        With `follow` a last line without its line break waits for the next reading.

        Raises:
            ClusterRefused, ClusterForbidden: the log may not be read, or is no more.
        """
        import urllib3

        self.whole = False
        known = Counter(self._recent)
        before = self._last_ns
        try:
            since = self._since()
            with self.pods.log(
                self.pod, self.container, follow=follow, since_seconds=since
            ) as response:
                self._take_time(response)
                for line in _lines(response, with_rest=not follow):
                    fresh = self._taken(line, before, known)
                    if fresh is not None:
                        yield fresh
            self.whole = True
        except urllib3.exceptions.HTTPError:
            return  # cut off: what is missing comes with the next reading
        except ClusterUnreachable:
            return
        except ClusterRefused as exc:
            if not passing(exc):
                raise

    def _taken(
        self, line: str, before: int | None, known: Counter[tuple[int, str]]
    ) -> str | None:
        """The line without its time; None if it was given before."""
        found = _STAMP.match(line)
        if found is None:
            return line
        at, text = _nanoseconds(found), line[found.end() :]
        if before is not None:
            if at < before - _WINDOW_NS:
                return None
            if known[at, text] > 0:
                known[at, text] -= 1
                return None
        self._remember(at, text)
        return text

    def _remember(self, at: int, text: str) -> None:
        self._last_ns = at if self._last_ns is None else max(at, self._last_ns)
        self._recent.append((at, text))
        while self._recent[0][0] < self._last_ns - _WINDOW_NS:
            self._recent.popleft()

    def _since(self) -> int | None:
        """Seconds back from the server's present to some time before the last known line."""
        if self._last_ns is None:
            return None
        now = datetime.now(UTC)
        if self._server_time is not None:
            told, heard = self._server_time
            now = told + timedelta(seconds=time.monotonic() - heard)
        back = now.timestamp() - (self._last_ns - _WINDOW_NS) / 1e9
        return max(1, math.ceil(back) + _SKEW_S)

    def _take_time(self, response: Any) -> None:
        try:
            told = parsedate_to_datetime(response.headers.get("Date") or "")
        except ValueError:
            return
        self._server_time = told, time.monotonic()


def _lines(response: Any, *, with_rest: bool) -> Iterator[str]:
    rest = b""
    for chunk in response.stream(amt=None, decode_content=True):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from map(_text, whole)
    if rest and with_rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.decode(errors="backslashreplace").rstrip("\r")


def _nanoseconds(found: re.Match[str]) -> int:
    """A time in nanoseconds since 1970, from RFC 3339 with up to nine decimals."""
    moment, fraction, zone = found.groups()
    at = datetime.fromisoformat(moment + ("+00:00" if zone == "Z" else zone))
    return int(at.timestamp()) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
