"""Images as bytes: their size without decoding, and what is none."""

import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest

from pipeline import images
from pipeline.codec import crop
from pipeline.images import MAX_PIXELS, image_size
from tests.datasets.archives import jpeg


def test_image_size_of_whole_images():
    assert image_size(jpeg(40, 60)) == (40, 60)
    progressive = cv2.imencode(".jpg", np.zeros((33, 21, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    assert image_size(progressive.tobytes()) == (33, 21)
    # Photographs carry thumbnails, with sizes and end markers of their own, in a segment before theirs.
    thumbnail = jpeg(8, 8)
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert image_size(b"\xff\xd8" + segment + jpeg(40, 60)[2:]) == (40, 60)
    assert image_size(cv2.imencode(".png", np.zeros((5, 7, 3), np.uint8))[1].tobytes()) == (5, 7)


def test_image_size_of_every_mirror_image_is_the_decoders(shared):
    with zipfile.ZipFile(shared / "mirror/coco/val2017.zip") as archive:
        contents = [archive.read(name) for name in archive.namelist() if name.endswith(".jpg")]
    for content in contents:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        assert image_size(content) == cv2.imdecode(np.frombuffer(content, np.uint8), flags).shape[:2]


def test_what_does_not_decode_is_found():
    whole = jpeg(200, 200)
    with pytest.raises(ValueError, match="is a JPEG cut short"):
        image_size(whole[: len(whole) // 2])
    for broken in (b"", b"\xff\xd8", whole[:30], b"<html>404</html>" * 20, b"\xff\xd8" + bytes(1000)):
        with pytest.raises(ValueError, match="does not decode"):
            image_size(broken)
    huge = bytearray(whole)
    at = huge.index(b"\xff\xc0") + 5
    huge[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(ValueError, match="says it is 65535x65535 pixels"):
        image_size(bytes(huge))
    assert MAX_PIXELS < 65535**2


def png(height: int, width: int, pixels: bool = False) -> bytes:
    """A PNG of black pixels, one bit each; without them its header alone, 74 bytes with its end."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer, rows = zlib.compressobj(9), b""
    if pixels:
        rows = b"".join(packer.compress(bytes(width // 8 + 1)) for _ in range(height))
    content = rows + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def bmp(height: int, width: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, width, height, 1, 24, 0) + bytes(20)


def webp(height: int, width: int) -> bytes:
    extended = (
        b"VP8X"
        + struct.pack("<II", 10, 0)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", 22) + b"WEBP" + extended


@pytest.mark.parametrize(
    "content",
    [
        png(100_000, 100_000),
        png(2**31 - 1, 1),
        bmp(-100_000, 100_000),
        webp(16_000, 16_000),
        png(0, 5),
        bmp(5, -5),
    ],
    ids=["png", "long", "bmp", "webp", "none", "negative"],
)
@pytest.mark.parametrize("reduce", [1, 8])
def test_a_size_that_no_image_has_is_refused_before_decoding(content, reduce, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError, match=r"says it is -?\d+x-?\d+ pixels"):
        image_size(content)
    with pytest.raises(crop.BadImage, match=r"the image somebody\.png says it is -?\d+x-?\d+ pixels"):
        crop.decode_image(content, "somebody.png", reduce)


def test_a_small_png_that_takes_gigabytes_is_refused():
    bomb = png(44_000, 44_000, pixels=True)
    assert len(bomb) < 1_000_000
    with pytest.raises(crop.BadImage, match="says it is 44000x44000 pixels"):
        crop.decode_image(bomb, "bomb.png")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp"])
def test_every_format_tells_the_size_that_is_decoded(ending):
    image = np.random.default_rng(0).integers(0, 255, (33, 47, 3), np.uint8)
    content = cv2.imencode(ending, image)[1].tobytes()
    assert image_size(content) == (33, 47) == image_size(content + b"what a camera adds")
    assert crop.decode_image(content, "a").shape == (33, 47, 4)


@pytest.mark.parametrize(
    "content", [b"GIF89a" + bytes(50), b"II*\0" + bytes(90), b"", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF"]
)
def test_other_files_are_no_images(content):
    with pytest.raises(crop.BadImage, match="the image a does not decode as a JPEG, PNG, WebP or BMP"):
        crop.decode_image(content, "a")
    with pytest.raises(ValueError, match="does not decode as a JPEG, PNG, WebP or BMP"):
        image_size(content)


def test_spoiled_images_are_bad_images_and_nothing_else(monkeypatch):
    # What claims more takes longer, and no other turn.
    monkeypatch.setattr(images, "MAX_PIXELS", 1_000_000)
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (20, 30, 3), np.uint8)
    for ending in (".png", ".jpg", ".webp", ".bmp"):
        whole = cv2.imencode(ending, image)[1]
        for _ in range(60):
            spoiled = whole.copy()
            spoiled[random.integers(0, min(len(whole), 120), 3)] = random.integers(0, 255, 3)
            for call in (image_size, lambda data: crop.decode_image(data, "a")):
                try:
                    call(spoiled.tobytes())
                except ValueError:
                    pass


def test_a_chunk_longer_than_its_png_is_refused_before_decoding(monkeypatch):
    whole = bytearray(cv2.imencode(".png", np.zeros((5, 7, 3), np.uint8))[1].tobytes())
    whole[33:37] = b"\xcf\0\0\0"
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(crop.BadImage, match="does not decode"):
        crop.decode_image(bytes(whole), "a")


def test_what_libjpeg_skips_between_segments_is_skipped():
    whole = jpeg(40, 60)
    assert image_size(whole[:2] + b"\0\0\0" + whole[2:]) == (40, 60)
