"""Hiding parts of long secrets: as tables cut them, and consoles and base64 tools wrap them.

A part is what a text and a secret have in common, if it is long. Pure: knows neither where a
text comes from nor which secrets are hidden whole.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

#: A shorter part of a secret is left: it may stand in any text.
SHORTEST_PART: Final = 16
#: A shorter secret is hidden whole, or not at all.
SHORTEST_WHOLE: Final = 32
#: Every part has one of these in it: pieces of a secret, at every multiple of their length.
_PIECE: Final = SHORTEST_PART // 2
#: What is written as it is, and has no blanks at which a text of words would be cut.
_PLAIN: Final = re.compile(rf"[!-~]{{{SHORTEST_WHOLE},}}")

Span = tuple[int, int]


class Parts:
    """Finds parts of secrets. Of texts in which every character is one byte.

    Args:
        values: Secrets. Those with blanks in them are taken line by line.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        wholes = sorted({whole for value in values for whole in _written(value)})
        #: One after another, with something between them that stands in no text.
        self._wholes = "\n".join(wholes)
        self._longest = max(map(len, wholes), default=0)
        self._places: defaultdict[str, list[int]] = defaultdict(list)
        start = 0
        for whole in wholes:
            for at in range(start, start + len(whole) - _PIECE + 1, _PIECE):
                self._places[self._wholes[at : at + _PIECE]].append(at)
            start += len(whole) + 1
        self._pieces = re.compile(_any_of(self._places) if wholes else "(?!)")

    def __bool__(self) -> bool:
        return bool(self._wholes)

    def spans(self, text: str) -> list[Span]:
        """Where the parts in `text` are: first and behind last, in order, none in another."""
        found: list[Span] = []
        for at, piece in self._met(text):
            for place in self._places[piece]:
                start, end = self._grown(text, at, place)
                if end - start >= SHORTEST_PART:
                    found.append((start, end))
        return _merged(sorted(found))

    def hidden(self, text: str, mask: str) -> str:
        """`text` with `mask` in the place of each part."""
        return _replaced(text, self.spans(text), mask) if self._wholes else text

    def certain(self, text: str, mask: str) -> tuple[str, str]:
        """The same for a text that goes on: what is certain of it, and what is not yet."""
        end, spans = self.open_at(text), self.spans(text)
        end = min([end, *(start for start, behind in spans if behind > end)])
        sure = [span for span in spans if span[1] <= end]
        return _replaced(text[:end], sure, mask), text[end:]

    def open_at(self, text: str) -> int:
        """Where what may be the beginning of a part begins at the end of `text`."""
        at = len(text)
        while at > 0 and len(text) - at < self._longest and text[at - 1 :] in self._wholes:
            if text[at - 1] == "\n":
                break
            at -= 1
        return at

    def _met(self, text: str) -> Iterator[tuple[int, str]]:
        at = 0
        while (met := self._pieces.search(text, at)) is not None:
            yield met.start(), met[0]
            at = met.start() + 1

    def _grown(self, text: str, at: int, place: int) -> Span:
        """How far a text goes on like a secret, to both sides of a piece."""
        wholes = self._wholes
        start, before = at, place
        while start and before and text[start - 1] == wholes[before - 1] != "\n":
            start, before = start - 1, before - 1
        end, after = at + _PIECE, place + _PIECE
        while text[end : end + 1] == wholes[after : after + 1] not in ("", "\n"):
            end, after = end + 1, after + 1
        return start, end


def _replaced(text: str, spans: Iterable[Span], mask: str) -> str:
    out: list[str] = []
    at = 0
    for start, end in spans:
        out += text[at:start], mask
        at = end
    return "".join([*out, text[at:]])


def _written(value: str) -> Iterator[str]:
    yield from _PLAIN.findall(value)
    raw = value.encode(errors="replace")
    for before in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            part = encode(b"\0" * before + raw).decode()[4 if before else 0 :].rstrip("=")
            if len(part) >= SHORTEST_WHOLE:
                yield part


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _any_of(pieces: Iterable[str]) -> str:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for piece in pieces:
        groups[piece[0]].append(re.escape(piece[1:]))
    return "|".join(f"{re.escape(h)}(?:{'|'.join(rest)})" for h, rest in groups.items())
