"""The local cache of images: files named by content, each looked at once.

A file's name is a hash of ETag and size, so that no key, however odd, can name a
place outside the folder. A file counts only when it has its full size; a cut-off one
is never used. What was found to be no image leaves a short note with the reason
in `bad/` instead, so that it is not asked for again.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from mlflowkit import settings
from mlflowkit.errors import MissingExtra

if TYPE_CHECKING:
    from PIL import Image

#: Goes up when images are looked at in another way, and old verdicts no longer count.
_RULES: Final = "v1"
_WHOLE: Final = ""
_CONTENT_ETAG: Final = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


def default_cache() -> Path:
    """The cache that all projects of this home share."""
    return settings.home() / "cache" / "images"


class ImageCache:
    """A folder of images. Threads and processes may use one folder at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _RULES
        self._numbers = count()
        #: Folders with nothing in them when we came: what is not there is not looked for.
        self._empty: set[str] = set()
        for digit in "0123456789abcdef":
            part = self._folder / digit
            part.mkdir(parents=True, exist_ok=True)
            if next(part.iterdir(), None) is None:
                self._empty.add(digit)
        self._bad = self._folder / "bad"
        self._bad.mkdir(exist_ok=True)
        self._known_bad = set(os.listdir(self._bad))

    @staticmethod
    def name(etag: str, size: int, key: str) -> str:
        """The name under which an object is kept, in hex.

        Equal contents share a file where the ETag is a hash of the content; servers
        that make up their ETags in another way get one file per key.
        """
        facts = (
            [etag, str(size)] if _CONTENT_ETAG.fullmatch(etag) else [etag, str(size), key]
        )
        text = "\0".join(facts)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]

    def path(self, name: str) -> Path:
        """Where the image of this name is, or would be."""
        return self._folder / name[0] / name

    def verdict(self, name: str, size: int) -> str | None:
        """What was found: nothing wrong (empty), a reason, or None for one never seen."""
        if name in self._known_bad:
            return (self._bad / name).read_text("utf-8")
        if name[0] in self._empty:
            return None
        try:
            whole = os.stat(self._place(name)).st_size == size
        except FileNotFoundError:
            return None
        return _WHOLE if whole else None

    def add(self, name: str, body: bytes) -> str:
        """Look at an image in memory and keep it; gives the verdict."""
        reason = why_no_image(BytesIO(body))
        if reason:
            self._add_bad(name, reason)
            return reason
        try:
            _write_new(self._place(name), body)
        except FileExistsError:
            self._replace(self._place(name), body)
        return reason

    def add_file(self, name: str, file: Path) -> str:
        """Look at an image in a file of `scratch` and move it in; gives the verdict."""
        with file.open("rb") as body:
            reason = why_no_image(body)
        if reason:
            file.unlink()
            self._add_bad(name, reason)
        else:
            file.replace(self.path(name))
        return reason

    def scratch(self) -> Path:
        """A new file name on the cache's file system, for a body that comes in parts."""
        number = f"{os.getpid()}-{threading.get_ident():x}-{next(self._numbers)}"
        return self._folder / f"{number}.part"

    def _add_bad(self, name: str, reason: str) -> None:
        self._replace(str(self._bad / name), reason.encode())
        self._known_bad.add(name)

    def _replace(self, path: str, body: bytes) -> None:
        temporary = self.scratch()
        try:
            _write_new(str(temporary), body)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _place(self, name: str) -> str:
        return f"{self._folder}/{name[0]}/{name}"


def why_no_image(body: BinaryIO) -> str:
    """Why this is no whole image, or an empty text if it is one. Reads all of it."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as exc:
        raise MissingExtra("pillow", "vision", "reading images") from exc
    try:
        with Image.open(body) as image:
            checks_itself = image.format != "JPEG"
            if checks_itself:
                image.verify()
            else:
                _decode(image)
        if checks_itself:
            body.seek(0)
            with Image.open(body) as image:
                _decode(image)
    except UnidentifiedImageError:
        return "not an image in a format that Pillow knows"
    except Image.DecompressionBombError:
        return "far too many pixels for its size (a decompression bomb)"
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as exc:
        return f"a broken or truncated image ({str(exc) or type(exc).__name__})"
    return _WHOLE


def _decode(image: Image.Image) -> None:
    """Decode to the last byte; a JPEG at an eighth of its size: the same faults show."""
    image.draft(None, (1, 1))
    image.load()


def _write_new(path: str, body: bytes) -> None:
    """Write a file that must not exist yet, in one go.

    Bare system calls, and no rename: for small files these are most of the time that
    a download takes. A file that was cut off is seen by its size.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(body)
        while view:
            view = view[os.write(handle, view) :]
    finally:
        os.close(handle)
