"""Images as bytes: how large they say they are, before anything is decoded."""

import struct

import cv2
import numpy as np

MAX_PIXELS = 200_000_000


def image_size(data: bytes) -> tuple[int, int]:
    """Height and width of a whole image; raises ValueError that says what is wrong.

    JPEG: markers up to the scan and the end marker after it are walked, without decoding. That finds what is cut short
    or is no image, at a hundredth of a decoder's cost; bytes spoiled inside an archive, its CRC finds. Anything else
    is decoded, if its size allows.
    """
    size = claimed_size(data)
    if data[:2] == b"\xff\xd8":
        # Inside a scan FF is always followed by 0 or a restart marker: FF D9 is the end.
        if data.find(b"\xff\xd9", _jpeg_header(data)[1]) < 0:
            raise ValueError("is a JPEG cut short")
        return size
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("does not decode as an image")
    return image.shape[0], image.shape[1]


def claimed_size(data: bytes) -> tuple[int, int]:
    """Height and width by an image's header; raises ValueError where there is none, or where it says more than
    MAX_PIXELS: a thousand bytes may decode to gigabytes."""
    try:
        size = _header_size(data)
    except struct.error:
        size = None
    if size is None:
        raise ValueError("does not decode as a JPEG, PNG, WebP or BMP")
    height, width = size
    if height <= 0 or width <= 0 or height * width > MAX_PIXELS:
        raise ValueError(f"says it is {width}x{height} pixels")
    return size


def _header_size(data: bytes) -> tuple[int, int] | None:
    if data[:2] == b"\xff\xd8":
        return _jpeg_header(data)[0]
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        width, height = struct.unpack_from(">II", data, 16)
        position, kind = 8, b""
        # OpenCV takes memory for as many bytes as a chunk claims to have.
        while position < len(data) and kind != b"IEND":
            length, kind = struct.unpack_from(">I4s", data, position)
            position += length + 12
        if position > len(data):
            return None
    elif data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    elif data[:2] == b"BM" and data[14:18] == b"\x0c\0\0\0":
        width, height = struct.unpack_from("<HH", data, 18)
    elif data[:2] == b"BM":
        width, height = struct.unpack_from("<ii", data, 18)
        # A negative height counts the rows from the top.
        height = abs(height)
    else:
        return None
    return height, width


def _jpeg_header(data: bytes) -> tuple[tuple[int, int] | None, int]:
    """(height, width) of a JPEG and where its first scan begins; None and 0 where they are not found."""
    size, position = None, 2
    # Between segments anything may stand up to the next marker, as libjpeg has it.
    while 0 <= (position := data.find(b"\xff", position)) < len(data) - 3:
        marker = data[position + 1]
        if marker in (0, 0xFF):
            position += 1
            continue
        if marker == 0xDA and size is not None:
            return size, position
        # SOF0 to SOF15 without the tables DHT, JPG and DAC that share their range.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if size is not None or position + 9 > len(data):
                break
            size = struct.unpack_from(">HH", data, position + 5)
        # Restart, start, end and TEM have no length.
        alone = 0xD0 <= marker <= 0xD9 or marker == 1
        position += 2 + (0 if alone else int.from_bytes(data[position + 2 : position + 4], "big"))
    return None, 0
