"""Pictures in odd formats come out as a viewer shows them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlflowkit.errors import BrokenImage
from mlflowkit.ml.decode import decode_square

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def colour_of(body: bytes) -> tuple[int, ...]:
    square = decode_square(body, 4, name="it")
    assert square.shape == (4, 4, 3)
    assert square.dtype == np.uint8
    return tuple(int(value) for value in square[2, 2])


def test_a_palette_becomes_its_colours() -> None:
    image = Image.new("RGB", (8, 8), RED).convert("P", palette=Image.Palette.ADAPTIVE)
    assert colour_of(file_of(image)) == RED


def test_what_a_palette_calls_transparent_is_white() -> None:
    image = Image.new("P", (8, 8), 3)
    image.putpalette([0] * 9 + [10, 20, 30])
    assert colour_of(file_of(image, transparency=3)) == WHITE


def test_a_grey_of_16_bits_is_scaled_to_8() -> None:
    grey = Image.fromarray(np.full((8, 8), 0x8080, np.uint16))
    assert colour_of(file_of(grey)) == (128, 128, 128)
    assert colour_of(file_of(grey, "TIFF")) == (128, 128, 128)


def test_a_grey_of_floats_between_0_and_1_is_scaled_to_8_bits() -> None:
    grey = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    assert colour_of(file_of(grey, "TIFF")) == (128, 128, 128)


def test_cmyk_becomes_rgb() -> None:
    body = file_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = colour_of(body)
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize(("alpha", "shown"), [(0, WHITE), (255, RED)])
def test_transparent_parts_lie_on_white(alpha: int, shown: tuple[int, ...]) -> None:
    assert colour_of(file_of(Image.new("RGBA", (8, 8), (*RED, alpha)))) == shown


def test_one_bit_and_grey_with_alpha_are_taken() -> None:
    assert colour_of(file_of(Image.new("1", (8, 8), 1))) == WHITE
    assert colour_of(file_of(Image.new("LA", (8, 8), (7, 255)))) == (7, 7, 7)


def test_a_photo_that_lies_on_its_side_is_turned_upright() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = RED
    pixels[:, 4:] = BLUE
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its left side: to be turned a quarter clockwise
    square = decode_square(file_of(Image.fromarray(pixels), exif=exif), 8, name="it")
    assert tuple(square[1, 4]) == RED
    assert tuple(square[6, 4]) == BLUE


def test_a_long_picture_loses_its_ends_and_is_not_squeezed() -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, :10], pixels[:, 10:20], pixels[:, 20:] = RED, WHITE, BLUE
    square = decode_square(file_of(Image.fromarray(pixels)), 10, name="it")
    assert np.array_equal(square, np.full((10, 10, 3), 255, np.uint8))


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    body = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert colour_of(body) == RED


def test_a_large_jpeg_looks_the_same_as_a_small_one() -> None:
    slope = np.linspace(0, 255, 1024).astype(np.uint8)
    image = Image.fromarray(np.repeat(np.tile(slope, (1024, 1))[..., None], 3, axis=2))
    large = decode_square(file_of(image, "JPEG", quality=95), 32, name="it").astype(int)
    small = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert abs(large - small).max() <= 4


def test_bytes_and_a_file_give_the_same(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    body = file_of(Image.fromarray(noise))
    (tmp_path / "it.png").write_bytes(body)
    from_file = decode_square(tmp_path / "it.png", 32, name="it")
    assert np.array_equal(from_file, decode_square(body, 32, name="it"))


@pytest.mark.parametrize("damage", [b"", b"no picture at all", "cut"])
def test_a_broken_picture_is_named(damage: bytes | str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = file_of(Image.fromarray(noise))
    body = whole[: len(whole) // 2] if isinstance(damage, str) else damage
    with pytest.raises(BrokenImage, match=r"'cats/7.png' is not a readable image"):
        decode_square(body, 8, name="cats/7.png")
