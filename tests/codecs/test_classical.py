"""What single codecs promise beyond the conformance tests: chroma, tuning, limits of the format, hostile headers."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable

import imagecodecs
import numpy as np
import PIL.Image
import pytest
from PIL import JpegImagePlugin

from harness.config.registry import build, get_codec
from harness.errors import BadStreamError, ConfigError, MissingDependencyError, UnsupportedImageError
from harness.interface import MAX_PIXELS
from tests.support.codec_cases import specs
from tests.support.images import make_image, psnr

PHOTOGRAPH = make_image("photograph", (128, 160), "rgb8")


def by_pillow(format_name: str, quality: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(PHOTOGRAPH).save(file, format_name, quality=quality)
    return file.getvalue()


EXTRAS = {
    "jpegli-420": ("pyjpegli", "jpegli"),
    "heic-444": ("pillow_heif", "heif"),
    "vvc-420": ("imageio_ffmpeg", "ffmpeg"),
}


@pytest.mark.parametrize("codec_id", EXTRAS)
def test_a_codec_without_its_extra_says_what_to_install(codec_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, extra = EXTRAS[codec_id]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install -e '\.\[{extra}\]'"):
        codec = build(specs()[codec_id])
        codec.encode(PHOTOGRAPH, codec.ladder[0])


@pytest.mark.parametrize(("codec_id", "format_name"), [("jpeg-420-pillow", "JPEG"), ("webp", "WEBP")])
def test_the_published_variants_are_what_pillow_writes_by_default(codec_id: str, format_name: str) -> None:
    assert build(specs()[codec_id]).encode(PHOTOGRAPH, 75) == by_pillow(format_name, 75)


@pytest.mark.parametrize("codec_id", [name for name in specs() if name.startswith("jpeg-4")])
def test_a_jpeg_has_the_chroma_format_of_its_id(codec_id: str) -> None:
    codec = build(specs()[codec_id])
    data = codec.encode(PHOTOGRAPH, codec.ladder[50])
    with PIL.Image.open(io.BytesIO(data)) as picture:
        sampling = JpegImagePlugin.get_sampling(picture)
    assert sampling == {"444": 0, "420": 2}[codec_id.split("-")[1]]


@pytest.mark.parametrize("codec_id", [name for name in specs() if name.startswith("avif-4")])
def test_an_avif_has_the_chroma_format_of_its_id(codec_id: str) -> None:
    data = build(specs()[codec_id]).encode(PHOTOGRAPH, 50)
    configuration = data[data.index(b"av1C") + 6]
    assert configuration >> 2 & 0b111 == {"444": 0b000, "420": 0b011}[codec_id.split("-")[1]]


@pytest.mark.parametrize("tune", [None, "psnr", "ssim"])
def test_every_rung_of_avif_gives_another_file(tune: str | None) -> None:
    codec = get_codec("avif", speed=10, tune=tune)
    image = make_image("photograph", (64, 64), "rgb8")
    every_quality = {codec.encode(image, quality) for quality in range(101)}
    assert len({codec.encode(image, setting) for setting in codec.ladder}) == len(codec.ladder) == len(every_quality)


def test_flat_tables_quantise_all_frequencies_alike() -> None:
    data = get_codec("jpeg", tables="flat").encode(PHOTOGRAPH, 7.5)
    with PIL.Image.open(io.BytesIO(data)) as picture:
        assert isinstance(picture, JpegImagePlugin.JpegImageFile)
        table = next(iter(picture.quantization.values()))
    assert sorted(table) == [7] * 32 + [8] * 32
    assert table[0] == 7
    assert table[-1] == 8


@pytest.mark.parametrize(("tuned", "plain"), [("jpeg-444-flat", "jpeg-444"), ("avif-444-psnr", "avif-444")])
def test_a_psnr_tuned_variant_has_the_higher_psnr_at_equal_size(tuned: str, plain: str) -> None:
    def psnr_at(codec_id: str, size_bytes: int) -> float:
        codec = build(specs()[codec_id])
        files = [codec.encode(PHOTOGRAPH, setting) for setting in codec.ladder[8 :: len(codec.ladder) // 8]]
        qualities = [psnr(PHOTOGRAPH, codec.decode(data)) for data in files]
        return float(np.interp(np.log(size_bytes), np.log([len(data) for data in files]), qualities))

    assert psnr_at(tuned, PHOTOGRAPH.nbytes // 8) > psnr_at(plain, PHOTOGRAPH.nbytes // 8)


def test_threads_do_not_change_a_jpeg_xl_file() -> None:
    files = {get_codec("jxl", threads=threads).encode(PHOTOGRAPH, 1.0) for threads in (1, 4)}
    assert len(files) == 1


def test_threads_do_not_change_what_an_avif_decodes_to() -> None:
    data = get_codec("avif").encode(PHOTOGRAPH, 60)
    assert np.array_equal(get_codec("avif").decode(data), get_codec("avif", threads=4).decode(data))


def test_htj2k_needs_openjpeg_to_decode() -> None:
    codec = get_codec("htj2k")
    glaring = np.where(make_image("noise", (64, 64), "rgb8") > 128, 255, 0).astype(np.uint8)
    data = codec.encode(glaring, 0.01)
    by_its_own_library = psnr(glaring, imagecodecs.htj2k_decode(data))
    assert psnr(glaring, codec.decode(data)) > by_its_own_library + 10


def test_a_narrow_gray16_image_gets_the_bits_that_it_needs_in_jpeg_xl() -> None:
    codec = get_codec("jxl")
    ten_bits, sixteen_bits = (make_image("photograph", (96, 96), "gray16", bits) for bits in (10, 16))
    sizes = [len(codec.encode(image, 1.0)) for image in (ten_bits, sixteen_bits)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_jpeg2000_goes_on_to_lossless_where_the_irreversible_transform_ends() -> None:
    codec = get_codec("jpeg2000")
    qualities = [psnr(PHOTOGRAPH, codec.decode(codec.encode(PHOTOGRAPH, ratio))) for ratio in (6, 4, 3, 2, 1)]
    assert qualities == sorted(qualities)
    assert qualities[-1] == float("inf")


@pytest.mark.parametrize("kind", ["rgb8", "gray8", "gray16"])
def test_the_top_of_jpeg_xr_is_lossless(kind: str) -> None:
    codec = get_codec("jpegxr")
    image = make_image("noise", (40, 56), kind)
    assert np.array_equal(codec.decode(codec.encode(image, codec.ladder[-1])), image)


@pytest.mark.parametrize(
    ("name", "too_long"),
    [("jpeg", 65501), ("webp", 16384), ("avif", 32769), ("jpegls", 65536)],
)
def test_a_side_that_the_format_cannot_say_is_unsupported(name: str, too_long: int) -> None:
    codec = get_codec(name)
    with pytest.raises(UnsupportedImageError, match=f"{too_long}x1"):
        codec.encode(np.zeros((1, too_long, 3), np.uint8), codec.ladder[0])


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("jpeg", {"subsampling": "4:1:1"}),
        ("jpeg", {"tables": "round"}),
        ("webp", {"method": 7}),
        ("avif", {"speed": 11}),
        ("avif", {"tune": "vmaf"}),
        ("jxl", {"effort": 0}),
        ("jxl-lossless", {"threads": 0}),
    ],
)
def test_a_keyword_out_of_range_is_a_configuration_error(name: str, keywords: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(keywords))):
        get_codec(name, **keywords)


def at(place: Callable[[bytes], int], layout: str, *values: int) -> Callable[[bytes], bytes]:
    """Return a function that overwrites part of a file."""

    def patch(data: bytes) -> bytes:
        start, new = place(data), struct.pack(layout, *values)
        return data[:start] + new + data[start + len(new) :]

    return patch


HUGE = {
    "jpeg": at(lambda data: data.index(b"\xff\xc2") + 5, ">HH", 65500, 65500),
    "png": at(lambda data: 16, ">II", 2**30, 2**30),
    "webp": at(lambda data: data.index(b"\x9d\x01\x2a") + 3, "<HH", 0x3FFF, 0x3FFF),
    "avif": at(lambda data: data.index(b"ispe") + 8, ">II", 30000, 30000),
    "jpeg2000": at(lambda data: 8, ">II", 2**30, 2**30),
    "htj2k": at(lambda data: 8, ">II", 2**30, 2**30),
    "jxl": at(lambda data: 2, "<Q", 0xFFFFFFFFFFFFFFFE),
    "jpegls": at(lambda data: data.index(b"\xff\xf7") + 5, ">HH", 65535, 65535),
    "qoi": at(lambda data: 4, ">II", 16000, 16000),
}
"""Codec name -> a change to a small file of it that makes it claim a huge image."""


@pytest.mark.parametrize("name", HUGE)
def test_a_header_that_claims_a_huge_image_is_refused_before_anything_is_allocated(name: str) -> None:
    codec = get_codec(name)
    data = codec.encode(make_image("photograph", (40, 56), "rgb8"), codec.ladder[-1])
    hostile = HUGE[name](data)
    assert hostile != data
    assert codec.decode(data).nbytes < MAX_PIXELS
    with pytest.raises(BadStreamError):
        codec.decode(hostile)
