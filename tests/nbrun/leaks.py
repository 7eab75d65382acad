"""Where a secret stands in the files of a folder: in every byte, packed ones unpacked."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from html import escape
from json import dumps
from pathlib import Path
from urllib.parse import quote, quote_plus


def written_forms(secret: str) -> set[bytes]:
    """The ways in which it could be written, made without the code that hides it."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), quote_plus(secret).encode()}
    found |= {
        dumps(secret)[1:-1].encode(),
        dumps(secret, ensure_ascii=False)[1:-1].encode(),
    }
    found |= {
        escape(secret).encode(),
        escape(secret, quote=False).encode(),
        secret.encode("utf-16-le"),
        secret.encode("utf-32-le"),
    }
    for before in range(3):  # what every base64 text that it is part of has in the middle
        for encode in (b64encode, urlsafe_b64encode):
            found.add(encode(b"u" * before + raw)[4 : (before + len(raw)) // 3 * 4])
    return found


def leaks(folder: Path, *secrets: str) -> list[tuple[str, bytes]]:
    """Each file below `folder` with each form of a secret that stands in it."""
    forms = [form for secret in secrets for form in sorted(written_forms(secret))]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        (str(path.relative_to(folder)), form)
        for path in files
        for data in unpacked(path.read_bytes())
        for form in forms
        if form in data
    ]


def unpacked(data: bytes) -> Iterator[bytes]:
    """The bytes, and what is packed in them."""
    yield data
    yield from (text.encode(errors="replace") for text in _in_json(data))
    if data[:2] == b"\x1f\x8b":
        yield from unpacked(gzip.decompress(data))
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for name in packed.namelist():
                yield from unpacked(packed.read(name))


def _in_json(data: bytes) -> Iterator[str]:
    """Every text in JSON, or in lines of JSON, as it was before it was escaped."""
    for part in (data, *data.splitlines()):
        if part.lstrip()[:1] in (b"{", b"["):
            try:
                yield from _texts(json.loads(part))
            except ValueError:
                continue


def _texts(found: object) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from (key, *_texts(value))
    elif isinstance(found, list):
        if found and all(isinstance(one, str) for one in found):
            yield "".join(found)  # a text of a notebook, line by line
        for value in found:
            yield from _texts(value)
