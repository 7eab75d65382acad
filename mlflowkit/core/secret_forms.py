"""The ways in which a secret is written by programs that print, send or store it.

One level of each encoding that libraries apply by themselves, and two where that is usual
(JSON in JSON, an address in an address). Pure: hides nothing, and stores nothing.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from html import escape
from typing import Final
from urllib.parse import quote, quote_plus

#: A shorter value is no secret: hiding it would hide half of every log.
SHORTEST: Final = 5
#: What different libraries leave as it is in a part of an address.
_LEFT_IN_URIS: Final = ("", "/", " +", "!*'()", "!$&'()*+,;=", "!#$%&'()*+,/:;=?@[]~")
#: What is written as `\\u002f` in JSON inside of a page, by one library or another.
_HIDDEN_IN_JSON: Final = ("<>&", "<>&'", "<>/")
#: How quotation marks, `"` and `'`, are written in markup.
_QUOTES: Final = (
    ("&quot;", "'"),
    ("&quot;", "&#x27;"),
    ("&quot;", "&#39;"),
    ("&quot;", "&apos;"),
    ("&#34;", "&#39;"),
)
#: A line of a secret of several lines (a key file) is one by itself, if it is no text of words.
_LINE: Final = re.compile(r"\S{16,}")
#: The end of a line of base64 that goes on in the next one.
_LINE_END: Final = 48
_BASE64: Final = re.compile(rb"[\w+/-]+")
#: Longer data are no JSON, in which the end of a line is written as `\\n`.
_IN_JSON: Final = 1024 * 1024
#: `reprlib` cuts the middle out of a longer text.
_REPRLIB: Final = 28


def forms(value: str) -> set[str]:
    """The ways in which a secret is written: itself, in a URI, in JSON, in a repr, in HTML, in
    hex, and in base64, alone or with something before and after it (`user:password`).

    Blanks around it (the line's end of a file) are not part of it: who uses it leaves them out.
    """
    value = value.strip()
    found = {value, value.replace("\n", "\r\n")}
    for ways in (_in_uris, _in_json, _in_code, _in_markup, _in_hex, _lines):
        found.update(ways(value))
    found |= _in_base64(value.encode(errors="replace"))
    if len(value) > _REPRLIB:
        found.add(f"{value[:12]}...{value[-13:]}")
    return {form for form in found if len(form) >= SHORTEST}


def stored_forms(value: str) -> set[bytes]:
    """The ways in which a secret stands in stored bytes: as `forms`, and wide (numpy's texts)."""
    found = {form.encode() for form in forms(value) if encodable(form)}
    value = value.strip()
    for encoding in ("utf-16-le", "utf-32-le"):
        wide = value.encode(encoding, errors="surrogatepass")
        found |= {wide, *(part.encode() for part in _in_base64(wide))}
    return found


def unwrapped(data: bytes) -> bytes:
    """What in `data` is base64 in lines, without the ends of its lines; most often nothing."""
    if len(data) <= _IN_JSON:
        data = data.replace(b"\\r", b"").replace(b"\\n", b"\n")
    found: list[bytes] = []
    together: list[bytes] = []
    for line in map(bytes.strip, data.split(b"\n")):
        goes_on = len(line) >= _LINE_END and _BASE64.fullmatch(line[-_LINE_END:])
        if together or goes_on:
            together.append(line)
        if together and not goes_on:
            found.append(b"".join(together))
            together = []
    return b" ".join([*found, b"".join(together)])


def encodable(form: str) -> bool:
    """Whether it can stand in a stream of bytes."""
    try:
        form.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _in_uris(value: str) -> Iterator[str]:
    raw = _raw(value)
    whole = [quote(raw, safe=left) for left in _LEFT_IN_URIS]
    whole += [quote(one, safe=left) for one in whole[:2] for left in ("", "/")]
    whole.append(quote_plus(raw))
    for uri in whole:
        yield uri
        yield re.sub("%..", lambda found: found[0].lower(), uri)


def _in_json(value: str) -> Iterator[str]:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield text
        yield text.replace("/", "\\/")
        yield json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (escape(text), escape(text, quote=False))
        for hidden in _HIDDEN_IN_JSON:
            codes = {ord(one): f"\\u{ord(one):04x}" for one in hidden}
            yield text.translate(codes)


def _in_code(value: str) -> Iterator[str]:
    """As Python shows it: alone, and in a text that has other quotation marks in it."""
    raw = _raw(value)
    yield from (repr(value)[1:-1], repr('"' + value)[2:-1])
    yield from (ascii(value)[1:-1], ascii('"' + value)[2:-1])
    yield from (repr(raw)[2:-1], repr(b'"' + raw)[3:-1])


def _in_markup(value: str) -> Iterator[str]:
    plain = escape(value, quote=False)
    texts = [plain, *(plain.replace('"', q).replace("'", a) for q, a in _QUOTES)]
    for text in texts:
        yield text
        yield text.encode("ascii", "xmlcharrefreplace").decode()
        yield text.replace("\\", "\\\\")  # in a repr, as of a widget


def _in_hex(value: str) -> Iterator[str]:
    digits = _raw(value).hex()
    yield from (digits, digits.upper())
    yield from ("".join(f"%{b:{case}}" for b in _raw(value)) for case in ("02x", "02X"))


def _lines(value: str) -> Iterator[str]:
    if "\n" in value:
        yield from filter(_LINE.fullmatch, map(str.strip, value.splitlines()))


def _raw(value: str) -> bytes:
    """Its bytes, also where half a character is in it."""
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


#: Of a base64 text, by the bytes before the secret in a group of three: characters that those
#: bytes take part in.
_TAKEN: Final = (0, 2, 3)
#: A shorter part of a base64 text could stand anywhere.
_SHORTEST_BASE64: Final = 8


def _in_base64(value: bytes) -> set[str]:
    found = {b64encode(value).decode(), urlsafe_b64encode(value).decode()}
    for before, taken in enumerate(_TAKEN):
        whole = (
            (before + len(value)) * 8 // 6
        )  # characters that nothing after it takes part in
        for encode in (b64encode, urlsafe_b64encode):
            part = encode(b"\0" * before + value).decode()[taken:whole]
            if len(part) >= _SHORTEST_BASE64:
                found.add(part)
    return found | {quote(part, safe="") for part in found}
