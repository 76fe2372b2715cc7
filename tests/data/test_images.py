"""What becomes of each kind of image file: taken exactly, said beside it, or refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from harness.data.images import find_images, pixels_sha256, read_image, to_file
from harness.errors import ImageError
from harness.interface import MAX_PIXELS, Image
from tests.support.images import make_image

SIDES = (24, 32)
RGB = make_image("photograph", SIDES, "rgb8")
GRAY = make_image("photograph", SIDES, "gray8")
DEEP = make_image("noise", SIDES, "gray16")
COLOUR = Pillow.fromarray(RGB)
GRAYS = Pillow.fromarray(GRAY[:, :, 0])
DEEPS = Pillow.fromarray(DEEP[:, :, 0])


def saved(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    """Return the file that Pillow writes of a picture."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def with_pixel(mode: str, pixel: tuple[int, ...]) -> Pillow.Image:
    """Return the photograph in a mode, its first pixel replaced."""
    picture = COLOUR.convert(mode)
    picture.putpixel((0, 0), pixel)
    return picture


def rotated_by_exif(orientation: int) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return exif


def png(width: int, height: int, depth: int, colour: int, samples: bytes) -> bytes:
    """Return a PNG by hand, in kinds that Pillow does not write (PNG standard, 11.2)."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(samples)) + chunk(b"IEND", b"")


def tiff(samples: NDArray[Any], photometric: int) -> bytes:
    """Return an uncompressed TIFF of (height, width, channels) samples by hand (TIFF 6.0, section 2)."""
    height, width, channels = samples.shape
    fields = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, 8 + 2 + 9 * 12 + 4),  # bits per sample: a list behind the fields
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4 + 2 * channels),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, samples.nbytes),
    ]
    directory = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *entry) for entry in fields)
    depths = struct.pack(f"<{channels}H", *[8 * samples.itemsize] * channels)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + depths + samples.tobytes()


def one_profile(red: tuple[float, float]) -> bytes:
    """Return an ICC profile (version 2, matrix and gamma 2.2) whose red primary is at CIE x, y `red`."""
    corners = np.array([[*red], [0.30, 0.60], [0.15, 0.06]])
    columns = np.stack([corners[:, 0], corners[:, 1], 1 - corners.sum(axis=1)])
    white = np.array([0.9642, 1.0, 0.8249])
    primaries = columns * np.linalg.solve(columns, white)

    def place(values: NDArray[np.float64]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"Wide gamut\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(2.2 * 256))
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78 + 12 - len(text) % 4),
        b"wtpt": place(white),
        **{name: place(primaries[:, index]) for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    body, table = b"", struct.pack(">I", len(tags))
    for name, value in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s12x4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    illuminant = b"".join(struct.pack(">i", round(value * 65536)) for value in white)
    return (header + bytes(28) + illuminant).ljust(128, b"\0") + table + body


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PALETTE = COLOUR.quantize(16)
ONE_BIT = GRAYS.convert("1")

TAKEN: dict[str, tuple[str, bytes, NDArray[Any], tuple[str, ...]]] = {
    "8-bit RGB": ("x.png", saved(COLOUR, "PNG"), RGB, ()),
    "8-bit gray": ("x.png", saved(GRAYS, "PNG"), GRAY, ()),
    "16-bit gray": ("x.png", saved(DEEPS, "PNG"), DEEP, ()),
    "16-bit gray in a TIFF": ("x.tif", saved(DEEPS, "TIFF"), DEEP, ()),
    "8-bit RGB in a BMP": ("x.bmp", saved(COLOUR, "BMP"), RGB, ()),
    "8-bit RGB in a PPM": ("x.ppm", saved(COLOUR, "PPM"), RGB, ()),
    "8-bit RGB in a TIFF": ("x.tif", tiff(RGB, 2), RGB, ()),
    "palette": ("x.png", saved(PALETTE, "PNG"), np.array(PALETTE.convert("RGB")), ("palette expanded to RGB",)),
    "opaque palette": (
        "x.png",
        saved(PALETTE, "PNG", transparency=b"\xff" * 16),
        np.array(PALETTE.convert("RGB")),
        ("opaque alpha dropped, palette expanded to RGB",),
    ),
    "1 bit": (
        "x.png",
        saved(ONE_BIT, "PNG"),
        np.array(ONE_BIT.convert("L"))[:, :, None],
        ("1 bit expanded to 8-bit gray",),
    ),
    "opaque RGBA": ("x.png", saved(COLOUR.convert("RGBA"), "PNG"), RGB, ("opaque alpha dropped",)),
    "opaque gray and alpha": ("x.png", saved(GRAYS.convert("LA"), "PNG"), GRAY, ("opaque alpha dropped",)),
    "a transparent colour that no pixel has": (
        "x.png",
        saved(COLOUR, "PNG", transparency=(1, 254, 3)),
        RGB,
        ("opaque alpha dropped",),
    ),
    "sRGB profile": ("x.png", saved(COLOUR, "PNG", icc_profile=SRGB), RGB, ()),
    "lossless WebP": ("x.webp", saved(COLOUR, "WEBP", lossless=True), RGB, ("perhaps already lossy",)),
    "orientation in a PNG": (
        "x.png",
        saved(DEEPS, "PNG", exif=rotated_by_exif(3)),
        DEEP[::-1, ::-1],
        ("EXIF orientation 3 applied",),
    ),
}

REFUSED: dict[str, tuple[str, bytes, str]] = {
    "empty": ("x.png", b"", "not an image that can be read"),
    "text": ("x.png", b"no image at all, but words\n", "not an image that can be read"),
    "RGBA": ("x.png", saved(with_pixel("RGBA", (1, 2, 3, 254)), "PNG"), "transparent pixels; flatten it"),
    "gray and alpha": ("x.png", saved(with_pixel("LA", (1, 0)), "PNG"), "transparent pixels"),
    "transparent palette": ("x.png", saved(PALETTE, "PNG", transparency=3), "transparent pixels"),
    "transparent 16-bit gray": (
        "x.png",
        saved(DEEPS, "PNG", transparency=int(DEEP[3, 3, 0])),
        "transparent pixels",
    ),
    "transparent WebP": (
        "x.webp",
        saved(with_pixel("RGBA", (1, 2, 3, 4)), "WEBP", lossless=True),
        "transparent pixels",
    ),
    "CMYK": ("x.jpg", saved(COLOUR.convert("CMYK"), "JPEG"), "has CMYK colours; convert it to RGB"),
    "Lab": ("x.tif", saved(COLOUR.convert("LAB"), "TIFF"), "has Lab colours; convert it to RGB"),
    "float": ("x.tif", saved(GRAYS.convert("F"), "TIFF"), "has 32-bit float samples; harness takes 8-bit RGB"),
    "32-bit": ("x.tif", saved(GRAYS.convert("I"), "TIFF"), "has 32-bit integer samples; harness takes 8-bit RGB"),
    "16-bit RGB PNG": ("x.png", png(2, 2, 16, 2, bytes(2 * 13)), "16-bit colour samples"),
    "16-bit gray and alpha": ("x.png", png(2, 2, 16, 4, b"\0" + b"\xff" * 8 + b"\0" + b"\xff" * 8), "16-bit colour"),
    "16-bit RGB TIFF": ("x.tif", tiff(np.zeros((2, 2, 3), np.uint16), 2), "16-bit samples"),
    "16-bit RGB PPM": ("x.ppm", b"P6\n2 2\n65535\n" + bytes(24), "samples from 0 to 65535"),
    "10-bit RGB PPM": ("x.ppm", b"P6\n2 2\n1023\n" + bytes(24), "samples from 0 to 1023"),
    "4-bit PGM": ("x.pgm", b"P5\n2 2\n15\n" + bytes(4), "samples from 0 to 15"),
    "APNG": ("x.png", saved(COLOUR, "PNG", save_all=True, append_images=[COLOUR.rotate(180)]), "has 2 frames"),
    "multi-page TIFF": ("x.tif", saved(COLOUR, "TIFF", save_all=True, append_images=[COLOUR] * 2), "has 3 frames"),
    "20000x20000 bomb": ("x.png", png(20_000, 20_000, 8, 0, bytes(1000)), f"the most is {MAX_PIXELS}"),
    "30000x30000 bomb": ("x.png", png(30_000, 30_000, 8, 0, bytes(1000)), f"more than {MAX_PIXELS} pixels"),
    "no ICC profile": ("x.png", saved(COLOUR, "PNG", icc_profile=b"no profile"), "damaged or not an image"),
}


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("name", "data", "expected", "notes"), TAKEN.values(), ids=TAKEN)
def test_the_file_is_taken_exactly_and_what_was_done_is_noted(
    name: str, data: bytes, expected: NDArray[Any], notes: tuple[str, ...], tmp_path: Path
) -> None:
    image = read_image(written(tmp_path, name, data))
    assert (image.pixels.dtype, image.notes) == (expected.dtype, notes)
    assert np.array_equal(image.pixels, expected)
    assert image.pixels.flags.c_contiguous
    assert (image.name, image.sample_bits) == (name, 8 * expected.dtype.itemsize)


@pytest.mark.parametrize(("name", "data", "words"), REFUSED.values(), ids=REFUSED)
def test_the_file_is_refused_by_name_and_with_the_reason(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, data)
    with pytest.raises(ImageError, match=words) as refusal:
        read_image(path)
    assert str(path) in str(refusal.value)
    assert " at 0x" not in str(refusal.value)


PNG_BYTES = saved(COLOUR, "PNG")


@pytest.mark.parametrize("kept", [1, 20, 40, len(PNG_BYTES) // 2, len(PNG_BYTES) - 30, len(PNG_BYTES) - 14])
def test_a_truncated_png_is_refused_wherever_it_ends(kept: int, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"damaged|not an image"):
        read_image(written(tmp_path, "x.png", PNG_BYTES[:kept]))


@pytest.mark.parametrize("place", range(8, len(PNG_BYTES), 97))
def test_a_png_with_one_flipped_bit_is_refused(place: int, tmp_path: Path) -> None:
    data = bytearray(PNG_BYTES)
    data[place] ^= 4
    with pytest.raises(ImageError, match=r"damaged|not an image"):
        read_image(written(tmp_path, "x.png", bytes(data)))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.jpg", saved(COLOUR, "JPEG", quality=95)),
        ("x.bmp", saved(COLOUR, "BMP")),
        ("x.ppm", saved(COLOUR, "PPM")),
        ("x.tif", saved(COLOUR, "TIFF", compression="tiff_lzw")),
        ("x.webp", saved(COLOUR, "WEBP")),
    ],
)
def test_half_a_file_is_refused_in_every_format(name: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"damaged|not an image"):
        read_image(written(tmp_path, name, data[: len(data) // 2]))


@pytest.mark.parametrize(
    ("name", "data"),
    [("x.jpg", saved(COLOUR, "JPEG")), ("x.tif", saved(COLOUR, "TIFF", compression="jpeg"))],
)
def test_a_jpeg_is_taken_and_called_already_lossy(name: str, data: bytes, tmp_path: Path) -> None:
    image = read_image(written(tmp_path, name, data))
    assert image.notes == ("already lossy",)
    assert image.pixels.shape == RGB.shape


TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image[::-1].swapaxes(0, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image[:, ::-1].swapaxes(0, 1),
}
"""EXIF 2.32, tag 274: what to do with the stored rows and columns."""


@pytest.mark.parametrize("orientation", TURNS)
def test_every_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    data = saved(COLOUR, "PNG", exif=rotated_by_exif(orientation))
    image = read_image(written(tmp_path, "x.png", data))
    assert np.array_equal(image.pixels, TURNS[orientation](RGB))
    assert image.notes == (f"EXIF orientation {orientation} applied",)


def test_a_wide_gamut_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    square = Pillow.new("RGB", (8, 8), (200, 60, 60))
    wide = one_profile((0.70, 0.29))
    image = read_image(written(tmp_path, "x.png", saved(square, "PNG", icc_profile=wide)))
    assert image.notes == ("converted from Wide gamut to sRGB",)
    red, green, blue = image.pixels[0, 0]
    assert red > 205
    assert green < 55
    assert abs(int(blue) - 60) < 12


def test_a_profile_with_srgb_primaries_changes_little(tmp_path: Path) -> None:
    profile = one_profile((0.64, 0.33))
    image = read_image(written(tmp_path, "x.png", saved(COLOUR, "PNG", icc_profile=profile)))
    assert image.notes == ("converted from Wide gamut to sRGB",)
    assert np.abs(image.pixels.astype(int) - RGB).mean() < 8


def test_a_folder_called_like_an_image_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        read_image(tmp_path / "folder.png")
    with pytest.raises(ImageError, match=r"holds no image; looked for files ending in \.png"):
        find_images(tmp_path)


def test_a_folder_is_searched_with_all_below_it_by_name(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    for name in ("b.PNG", "a.jpeg", "deeper/c.tif", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == [
        "a.jpeg",
        "b.PNG",
        "deeper/c.tif",
    ]


@pytest.mark.parametrize(
    ("bits", "words"), [(8, "more than sample_bits = 8 allows"), (15, "more than sample_bits = 15 allows")]
)
def test_samples_above_the_stated_bits_are_refused(bits: int, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, "x.png", saved(DEEPS, "PNG"))
    with pytest.raises(ImageError, match=words):
        read_image(path, sample_bits=bits)


def test_the_stated_bits_set_the_peak(tmp_path: Path) -> None:
    twelve = make_image("photograph", SIDES, "gray16", bits=12)
    path = written(tmp_path, "x.png", saved(Pillow.fromarray(twelve[:, :, 0]), "PNG"))
    assert read_image(path, sample_bits=12).peak == 4095
    assert read_image(path).peak == 65535


def test_an_8_bit_image_has_8_bits_whatever_is_stated(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="sample_bits = 7 is impossible"):
        read_image(written(tmp_path, "x.png", saved(GRAYS, "PNG")), sample_bits=7)


def test_the_fingerprint_tells_samples_shape_and_dtype_apart() -> None:
    flat = np.zeros((4, 6, 1), np.uint8)
    deep: Image = np.zeros((4, 3, 1), np.uint16)
    others = [np.ones_like(flat), flat.reshape(6, 4, 1), flat.reshape(4, 2, 3), deep]
    assert len({pixels_sha256(image) for image in [flat, *others]}) == 5
    assert pixels_sha256(flat) == pixels_sha256(flat.copy())


@pytest.mark.parametrize(
    ("kind", "ending"), [("rgb8", ".png"), ("gray8", ".tif"), ("gray16", ".png"), ("rgb8", ".bmp")]
)
def test_a_written_image_reads_back_the_same(kind: str, ending: str, tmp_path: Path) -> None:
    image = make_image("photograph", SIDES, kind)
    to_file(image, tmp_path / f"x{ending}")
    assert np.array_equal(read_image(tmp_path / f"x{ending}").pixels, image)


@pytest.mark.parametrize(("kind", "ending"), [("rgb8", ".jpg"), ("gray16", ".bmp"), ("gray8", ".webp"), ("rgb8", "")])
def test_an_image_is_not_written_where_something_would_be_lost(kind: str, ending: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="must end in one of"):
        to_file(make_image("photograph", SIDES, kind), tmp_path / f"x{ending}")
    assert not list(tmp_path.iterdir())
