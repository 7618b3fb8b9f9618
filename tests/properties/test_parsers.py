"""What is written in the official formats is what is read, whatever it is."""

import json
import struct
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import images, strict_yaml, tensors
from pipeline.datasets.formats import coco, lspet, mpii, mpii_predictions
from pipeline.datasets.store import MAX_LABELS, ZipPart
from tests.datasets.archives import (
    coco_annotation,
    coco_labels,
    lspet_joints,
    mat,
    mpii_detections,
    mpii_person,
    mpii_release,
    zip_bytes,
)

SIZE = (256, 192)
PIXEL = st.integers(-50, 2000) | st.floats(-50, 2000, width=32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Labels(dict):
    """Label files by their names."""

    def read(self, name):
        return self[name]


@given(
    st.dictionaries(st.sampled_from("abcd") | st.text(), st.lists(JSON, max_size=4) | JSON, max_size=6),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_entries_of_a_large_file_are_those_of_the_whole(content, indent, ascii_only):
    data = json.dumps(content, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    wanted = ("a", "b")
    entries = list(coco.items(data, "file.json", wanted))
    expected = [(k, e) for k, v in content.items() if k in wanted and isinstance(v, list) for e in v]
    assert entries == expected


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_yaml_that_was_written_is_read(values):
    text = yaml.safe_dump(values)
    # Two names for one object are an alias, which a person may not write.
    if "*id0" not in text:
        assert strict_yaml.read(text, "file.yaml") == values


@st.composite
def coco_people(draw):
    joints = st.tuples(PIXEL, PIXEL, st.integers(0, 2)) | st.just((0, 0, 0))
    people = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        keypoints = draw(st.lists(joints, min_size=17, max_size=17))
        box = [
            draw(st.integers(0, 20)),
            draw(st.integers(0, 20)),
            draw(st.integers(3, 30)),
            draw(st.integers(3, 15)),
        ]
        people.append(
            coco_annotation(
                number, draw(st.integers(1, 3)), box, keypoints=[value for joint in keypoints for value in joint],
                num_keypoints=sum(joint[2] > 0 for joint in keypoints), iscrowd=draw(st.integers(0, 1)),
                category_id=draw(st.sampled_from([1, 1, 1, 2])),
            )
        )  # fmt: skip
    return people


@given(coco_people(), st.randoms(use_true_random=False))
def test_cocos_people_are_the_labelled_ones_whatever_their_order(drawn, random):
    counted = [
        person for person in drawn
        if person["category_id"] == 1 and not person["iscrowd"] and person["num_keypoints"]
    ]  # fmt: skip
    train = coco_labels([1, 2, 3], [coco_annotation(1, 1)])
    shuffled = random.sample(drawn, len(drawn))
    labels = Labels(
        {
            coco.LABELS["train"]: train,
            coco.LABELS["val"]: coco_labels([1, 2, 3], [coco_annotation(99, 3), *shuffled]),
        }
    )
    split = coco.people(labels, SIZE)["val"]
    people = split.people.select(np.argsort(split.people.person_id))
    assert people.person_id.tolist() == [person["id"] for person in counted] + [99]
    for row, person in enumerate(counted):
        x, y, mark = np.array(person["keypoints"], float).reshape(17, 3).T
        np.testing.assert_array_equal(people.labelled[row], mark > 0)
        np.testing.assert_array_equal(people.visible[row], mark > 1)
        np.testing.assert_array_equal(people.joints[row], np.stack([x, y], 1) * (mark > 0)[:, None])
        assert people.image_id[row] == person["image_id"] and people.area[row] == person["area"]
    assert sum(split.dropped.values()) == len(drawn) - len(counted)


@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 15), st.tuples(PIXEL, PIXEL, st.integers(0, 1)), min_size=1, max_size=16
        ),
        min_size=1,
        max_size=3,
    ),
    st.floats(0.25, 20),
)
def test_mpiis_people_are_the_labelled_ones_counted_from_0(drawn, scale):
    release = mpii_release(
        [
            ("a.jpg", 1, [mpii_person(joints, scale) for joints in drawn]),
            ("b.jpg", 1, [mpii_person({0: (1, 1, 1)})]),
        ]
    )
    labels = Labels({mpii.RELEASE: release, mpii.VALIDATION: mpii_detections([(2, 1)])})
    people = mpii.people(labels, SIZE)["train"].people
    assert people.person_id.tolist() == [1001 + row for row in range(len(drawn))]
    for row, joints in enumerate(drawn):
        assert set(np.flatnonzero(people.labelled[row])) == set(joints)
        for joint, (x, y, visible) in joints.items():
            assert people.joints[row, joint].tolist() == [x - 1, y - 1]
            assert people.visible[row, joint] == visible
        np.testing.assert_allclose(people.box[row, 2:], 200 * scale)


@given(st.integers(0, 2**32 - 1), st.integers(10, 25))
def test_lspets_people_are_the_labelled_ones(seed, count):
    joints, rng = lspet_joints(count), np.random.default_rng(seed)
    joints[:, 2] = rng.random((14, count)) < 0.7
    joints[:, :, 9] = joints[:, :, 0] = lspet_joints(1)[:, :, 0]
    splits = lspet.people(Labels({lspet.JOINTS: mat(joints=joints)}), SIZE)
    found = {
        int(row): people
        for s in splits.values()
        for row, people in zip(s.people.person_id, s.people.labelled, strict=True)
    }
    expected = {i: joints[:, 2, i] == 1 for i in range(count) if joints[:, 2, i].sum() >= 2}
    assert found.keys() == expected.keys()
    assert all((found[i] == expected[i]).all() for i in found)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_predictions_written_for_mpii_are_read_back_for_the_same_people(seed, count):
    rng = np.random.default_rng(seed)
    image_xy = rng.uniform(-100, 3000, (count, 16, 2))
    image_id = rng.integers(1, 25000, count)
    release = mpii_release(
        [("a.jpg", 1, [mpii_person({0: (1, 1, 1)})]), ("b.jpg", 1, [mpii_person({0: (1, 1, 1)})])]
    )
    labels = Labels({mpii.RELEASE: release, mpii.VALIDATION: mpii_detections([(2, 1)])})
    one = mpii.people(labels, SIZE)["val"].people
    people = one.select(np.zeros(count, int))
    people.image_id[:], people.person_id[:] = image_id, image_id * 1000 + rng.integers(1, 30, count)
    ((name, data),) = mpii.export(people, image_xy).items()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        read = mpii_predictions.read(Path(folder) / name)
    np.testing.assert_allclose(read.image_xy, image_xy, atol=1e-9)
    np.testing.assert_array_equal(read.person_id, people.person_id)


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([".jpg", ".png", ".webp", ".bmp"]),
    st.integers(0, 3),
)
def test_a_header_says_the_size_that_is_decoded(height, width, ending, channels):
    shape = (height, width) if channels < 3 else (height, width, 3)
    data = cv2.imencode(ending, np.zeros(shape, np.uint8))[1].tobytes()
    assert images.claimed_size(data) == images.image_size(data) == (height, width)


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_a_png_that_claims_more_than_any_photograph_is_not_decoded(width, height):
    data = bytearray(cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes())
    struct.pack_into(">II", data, 16, width, height)
    if 0 < width * height <= images.MAX_PIXELS:
        assert images.claimed_size(bytes(data)) == (height, width)
    else:
        with pytest.raises(ValueError, match="says it is"):
            images.claimed_size(bytes(data))


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0:."), min_size=1, max_size=20)


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=6), st.booleans())
def test_members_of_a_zip_are_read_in_any_order(files, deflated):
    kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.zip"
        path.write_bytes(zip_bytes({f"in/{name}": data for name, data in files.items()}, kind))
        part = ZipPart(path, lambda member: member.removeprefix("in/"), MAX_LABELS)
        assert {name: part.read(name) for name in reversed(list(files))} == files
        assert sorted(name for name, _, _ in part.contents()) == sorted(files)


DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii"), max_size=9),
        st.tuples(DTYPES, st.lists(st.integers(0, 4), max_size=3)),
    ),
    st.integers(0, 2**31),
    st.data(),
)
def test_tensors_come_back_and_one_spoiled_bit_is_noticed(shapes, seed, data):
    generator = torch.Generator().manual_seed(seed)
    shapes.pop("__metadata__", None)
    given_tensors = {
        name: (torch.randn(shape, generator=generator) * 9).to(dtype)
        for name, (dtype, shape) in shapes.items()
    }
    content = tensors.pack(given_tensors)
    assert tensors.pack(given_tensors) == content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        path.write_bytes(content)
        read = tensors.read(path)
        assert read.keys() == given_tensors.keys()
        assert all(
            torch.equal(read[name], value) and read[name].dtype == value.dtype
            for name, value in given_tensors.items()
        )
        spoiled = bytearray(content)
        spoiled[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(spoiled)
        with pytest.raises(tensors.DamagedError):
            tensors.read(path)
