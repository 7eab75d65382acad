"""One picture in any format becomes one square of RGB bytes.

Training and serving both decode through this file, so that a model sees the same pixels
in both. It opens what it is given and nothing else: it fetches nothing and keeps nothing.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from mlflowkit.errors import BrokenImage, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

#: Modes that hold more than 8 bits a pixel, in one channel.
_DEEP = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N", "F"})
_WHITE = (255, 255, 255, 255)


def decode_square(source: Path | bytes, size: int, *, name: str) -> NDArray[np.uint8]:
    """Decode a picture, turn it upright, and cut the middle square out of it.

    The shorter side is scaled to `size` (bilinear, with antialiasing) and the longer one
    cropped around the centre. Palettes and CMYK become RGB, transparent parts lie on
    white, 16-bit and float greys are scaled to 8 bits, and EXIF's rotation is applied.
    Of an animation the first frame is taken.

    Args:
        source: A file, or the bytes of one.
        size: Width and height of the result, in pixels.
        name: How an error calls the picture: its key, or its file name.

    Returns:
        A (size, size, 3) uint8 array.

    Raises:
        BrokenImage: It is no picture, is cut off, or is too large to be one.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as exc:
        raise MissingExtra("pillow", "vision", "decoding images") from exc
    import numpy as np

    try:
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source
        ) as picture:
            # A large JPEG is decoded at an eighth to a half of its size if that is enough.
            picture.draft(None, (size * 2, size * 2))
            upright = ImageOps.exif_transpose(picture)
            rgb = to_rgb(upright)
            square = ImageOps.fit(rgb, (size, size), method=Image.Resampling.BILINEAR)
            return np.asarray(square, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        # Pillow's plugins raise any of these four on damaged bytes.
        raise BrokenImage(name, str(exc)) from exc


def to_rgb(picture: Image) -> Image:
    """The same picture in mode RGB, as a viewer would show it on a white page."""
    from PIL import Image

    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode in _DEEP:
        return _to_8_bits(picture).convert("RGB")
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        page = Image.new("RGBA", over.size, _WHITE)
        return Image.alpha_composite(page, over).convert("RGB")
    return picture.convert("RGB")


def _to_8_bits(picture: Image) -> Image:
    """Greys of 16 or 32 bits, or floats, scaled to 0…255.

    Integers are taken as 16-bit unless all of them fit into 8; floats as 0…1 unless one
    of them is larger, and then as 0…255.
    """
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    largest = float(values.max(initial=0.0))
    if picture.mode == "F":
        scale = 255.0 if largest <= 1.0 else 1.0
    else:
        scale = 1.0 if picture.mode == "I" and largest <= 255.0 else 255.0 / 65535.0
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))
