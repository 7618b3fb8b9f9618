"""Images as bytes: how large they say they are."""

import struct

import numpy as np

MAX_PIXELS = 200_000_000


def image_size(data: bytes) -> tuple[int, int]:
    """Height and width of a whole image; raises ValueError that says what is wrong.

    JPEG: markers up to the scan and the end marker after it are walked, without decoding. That finds what
    is cut short or is no image, at a hundredth of a decoder's cost; bytes spoiled inside an archive, its
    CRC finds. Anything else is decoded.
    """
    size, scan = _jpeg_header(data)
    # Inside a scan FF is always followed by 0 or a restart marker: FF D9 is the end.
    if scan and data.find(b"\xff\xd9", scan) < 0:
        raise ValueError("is a JPEG cut short")
    if not scan or size is None:
        import cv2

        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if image is None:
            raise ValueError("does not decode as an image")
        size = image.shape[:2]
    if size[0] * size[1] > MAX_PIXELS or 0 in size:
        raise ValueError(f"says it is {size[1]}x{size[0]} pixels")
    return size


def _jpeg_header(data: bytes) -> tuple[tuple[int, int] | None, int]:
    """(height, width) of a JPEG and where its first scan begins; None and 0 where they are not found."""
    size, position = None, 2
    if data[:2] != b"\xff\xd8":
        return None, 0
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xDA:
            return size, position
        # SOF0 to SOF15 without the tables DHT, JPG and DAC that share their range.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and position + 9 <= len(data):
            size = struct.unpack_from(">HH", data, position + 5)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None, 0
