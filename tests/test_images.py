"""Images as bytes: their size without decoding, and what is none."""

import zipfile

import cv2
import numpy as np
import pytest

from pipeline.images import MAX_PIXELS, image_size
from tests.datasets.conftest import jpeg


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
