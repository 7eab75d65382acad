"""Hiding secret values in text: which names look secret, and a replacer for whole and cut texts.

A `Masker` knows values and the forms in which they are written (see `secret_forms`). A
`StreamMasker` gives, for any cutting of a text into chunks, what the masker gives for the
whole. Pure: nothing here knows where a text comes from or goes to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from mlflowkit.core.masking_parts import Parts
from mlflowkit.core.secret_forms import SHORTEST, encodable, forms

MASK: Final = "***"
SECRET_WORDS: Final = (
    "access_key_id",
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "credential",
    "keyfile",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "service_account",
    "token",
)


def looks_secret(name: str) -> bool:
    """Whether a value of this name is one that should not be shown."""
    name = name.lower().replace("-", "_")
    return any(word in name for word in SECRET_WORDS)


def masked_by_name(value: Any, name: str = "") -> Any:
    """`value` with everything hidden in it that stands under a name that looks secret."""
    if name and looks_secret(name):
        return MASK
    if isinstance(value, Mapping):
        inside = cast("Mapping[str, Any]", value)
        return {key: masked_by_name(inner, str(key)) for key, inner in inside.items()}
    if isinstance(value, list | tuple):
        return [masked_by_name(inner) for inner in cast("list[Any]", value)]
    return value


def secrets_by_name(value: Any, name: str = "") -> Iterator[str]:
    """The texts in `value` that stand under a name that looks secret, at any depth.

    A text that is a JSON object (a key file) is a secret as a whole, and so are its own
    secret parts, which a log may show without the rest.
    """
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            yield from secrets_by_name(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in cast("list[Any]", value):
            yield from secrets_by_name(inner, name)
    elif isinstance(value, str):
        if name and looks_secret(name):
            yield value
        if value.lstrip().startswith("{"):
            yield from secrets_by_name(_object(value))


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def can_be_hidden(value: str) -> bool:
    """Whether it is long enough for a secret, the blanks around it not counted."""
    return len(value.strip()) >= SHORTEST


class Masker:
    """Replaces secrets by `***`. Of two that begin at the same place, the longer one counts."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._values: set[str] = set()
        self._text: re.Pattern[str] | None = None
        self._bytes: re.Pattern[bytes] | None = None
        #: The longest first: bytes, as a stream has them.
        self.patterns: tuple[bytes, ...] = ()
        #: Matches a byte that begins one of them.
        self.heads: re.Pattern[bytes] = re.compile(b"(?!)")
        #: Of long ones: what is left where only a part of one is written.
        self.parts = Parts()
        self.add(values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, values: Iterable[str]) -> list[str]:
        """Hide these from now on. Returns those that are new and long enough."""
        new = [v for v in values if can_be_hidden(v) and v not in self._values]
        if not new:
            return []
        self._values.update(new)
        for value in new:
            self._forms |= forms(value)
        longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
        self._text = re.compile(_any_of(longest_first))
        written = [form for form in longest_first if encodable(form)]
        raw = {form.encode(errors="surrogateescape") for form in written}
        self.patterns = tuple(sorted(raw, key=lambda form: (-len(form), form)))
        self._bytes = re.compile(_any_of(written).encode(errors="surrogateescape"))
        heads = sorted({pattern[:1] for pattern in self.patterns})
        self.heads = re.compile(b"|".join(map(re.escape, heads)))
        self.parts = Parts(self._values)
        return list(dict.fromkeys(new))

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        if self._text is None:
            return text
        return self.parts.hidden(self._text.sub(MASK, text), MASK)

    def data(self, data: bytes) -> bytes:
        """UTF-8 `data` without the secrets."""
        if not self.parts:
            return self.wholes(data)
        text = self.wholes(data).decode("latin-1")
        return self.parts.hidden(text, MASK).encode("latin-1")

    def wholes(self, data: bytes) -> bytes:
        """The same, but parts of secrets may be left."""
        return data if self._bytes is None else self._bytes.sub(MASK.encode(), data)

    def value(self, value: Any) -> Any:
        """Plain data, every text in it without the secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            inside = cast("Mapping[str, object]", value)
            return {self.value(key): self.value(inner) for key, inner in inside.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in cast("list[object]", value)]
        return value

    def json_line(self, line: bytes) -> bytes:
        """A line of JSON, the texts in it without the secrets; still JSON."""
        if not self or self.data(line) == line:
            return line
        try:
            return json.dumps(self.value(json.loads(line))).encode()
        except ValueError:
            return self.data(line)

    def is_in(self, data: bytes) -> bool:
        """Whether one of the secrets stands in `data`, which may be long."""
        return any(pattern in data for pattern in self.patterns)

    def first(self, data: bytes, start: int) -> re.Match[bytes] | None:
        """The first secret in `data` from `start` on."""
        return None if self._bytes is None else self._bytes.search(data, start)


def _any_of(longest_first: Iterable[str]) -> str:
    """A pattern for all of these; those that begin alike go together, so that few are tried."""
    groups: dict[str, list[str]] = {}
    for form in longest_first:
        groups.setdefault(form[0], []).append(re.escape(form[1:]))
    return "|".join(f"{re.escape(h)}(?:{'|'.join(rest)})" for h, rest in groups.items())


class StreamMasker:
    """Replaces secrets in a stream of bytes, whatever the chunks.

    What it keeps back is only what may be the beginning of a secret: a line that ends in
    none is given out at once. Nothing is given out early because the stream is quiet; a
    secret that is written in two parts, an hour apart, is hidden too.
    """

    def __init__(self, masker: Masker) -> None:
        self.masker = masker
        self._kept = b""
        #: Without whole secrets; a part of one may begin here.
        self._open = b""

    def feed(self, data: bytes) -> bytes:
        """Take a chunk; give what is certain."""
        if not self.masker and not self._kept:
            return data
        return self._without_parts(self._without_wholes(data))

    def _without_wholes(self, data: bytes) -> bytes:
        buffer, out, at = self._kept + data, bytearray(), 0
        while True:
            found = self.masker.first(buffer, at)
            opening = self._opening(buffer, at)
            if found is None or opening <= found.start():
                break
            out += buffer[at : found.start()] + MASK.encode()
            at = found.end()
        out += buffer[at:opening]
        self._kept = buffer[opening:]
        return bytes(out)

    def flush(self) -> bytes:
        """The rest: the stream has ended."""
        rest, self._kept = self._kept, b""
        rest = self._open + self.masker.wholes(rest)
        self._open = b""
        return self.masker.parts.hidden(rest.decode("latin-1"), MASK).encode("latin-1")

    def _without_parts(self, data: bytes) -> bytes:
        if not self.masker.parts:
            return data
        text = (self._open + data).decode("latin-1")
        sure, rest = self.masker.parts.certain(text, MASK)
        self._open = rest.encode("latin-1")
        return sure.encode("latin-1")

    def _opening(self, buffer: bytes, at: int) -> int:
        """Where the text from which a secret may still grow begins; the end, if nowhere."""
        patterns = self.masker.patterns
        if not patterns:
            return len(buffer)
        first = max(at, len(buffer) - len(patterns[0]) + 1)
        for head in self.masker.heads.finditer(buffer, first):
            rest = buffer[head.start() :]
            if any(len(p) > len(rest) and p.startswith(rest) for p in patterns):
                return head.start()
        return len(buffer)


class TextStreamMasker:
    """The same for a stream of text."""

    def __init__(self, masker: Masker) -> None:
        self._bytes = StreamMasker(masker)

    def feed(self, text: str) -> str:
        """Take a chunk; give what is certain."""
        given = self._bytes.feed(text.encode(errors="surrogatepass"))
        return given.decode(errors="surrogatepass")

    def flush(self) -> str:
        """The rest: the stream has ended."""
        return self._bytes.flush().decode(errors="surrogatepass")
