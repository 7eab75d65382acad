"""PIL images as PNG, in the modes that PNG keeps exactly.

Only `PIL.Image.Image` itself: an image that was opened from a file is an object of its
format's class, and other modes would change; both are left to cloudpickle.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from mlflowkit.artifacts.serializers.leaves import Leaf, Source
from mlflowkit.errors import CannotRead, MissingExtra

if TYPE_CHECKING:
    from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer

_LOSSLESS: Final = frozenset({"1", "L", "LA", "RGB", "RGBA", "I;16"})
#: Level 1 of zlib: pixels between tasks are read soon and not kept for ever.
_FAST: Final = 1


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as exc:
        raise MissingExtra("PIL", "vision", "reading an image") from exc
    return Image


def pack(value: Any, writer: Writer) -> Node | None:
    pillow = _pillow()
    if type(value) is not pillow.Image or value.mode not in _LOSSLESS or 0 in value.size:
        return None
    info = writer.attempt(dict(value.info), "info")  # resolution, colour profile …
    if info is None:
        return None
    bare = value.copy()
    bare.info, bare.encoderinfo = {}, {}
    file = io.BytesIO()
    _save(bare, file)
    return writer.leaf(Leaf("png", file.getvalue(), facts={"info": info} if info else {}))


def _save(image: Any, file: BinaryIO) -> None:
    image.save(file, format="PNG", compress_level=_FAST)


def read(node: dict[str, Node], reader: Reader) -> object:
    pillow = _pillow()
    data = Source.of_node(node, reader.artifacts).bytes()
    try:
        with pillow.open(io.BytesIO(data), formats=("PNG",)) as opened:
            image = opened.copy()
    except OSError as exc:
        raise CannotRead("an image", str(exc)) from exc
    image.info = reader.value(node["info"]) if "info" in node else {}
    return image
