"""Small images made for tests, whole and broken."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image


def picture(number: int = 0, *, kind: str = "PNG", side: int = 8) -> bytes:
    """An image file of noise; another number, another content."""
    noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(noise).save(out, kind)
    return out.getvalue()
