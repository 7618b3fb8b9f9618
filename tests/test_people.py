"""The table of people: columns, bytes, rows, and the crop that belongs to a box."""

import time

import numpy as np
import pytest

from pipeline.people import People, crop_of_box, table


def some_people(count: int = 4, joints: int = 17) -> People:
    random = np.random.default_rng(0)
    labelled = random.random((count, joints)) < 0.7
    return table(
        "coco", "train", [f"train2017/{i * 7 % 5:012d}.jpg" for i in range(count)],
        image_id=np.arange(count), person_id=np.arange(count) + 100, box=random.random((count, 4)),
        center=random.random((count, 2)), scale=random.random((count, 2)),
        joints=random.random((count, joints, 2)) * labelled[..., None], labelled=labelled, visible=labelled,
        head_size=np.full(count, np.nan), area=random.random(count),
    )  # fmt: skip


def test_saved_tables_load_equal_and_equal_tables_have_equal_bytes(tmp_path):
    people = some_people()
    people.save(tmp_path / "a.npz")
    time.sleep(0.01)
    people.save(tmp_path / "b.npz")
    loaded = People.load(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert loaded.dataset == "coco" and loaded.split == "train"
    for name in ("images", "image", "image_id", "box", "joints", "labelled", "head_size"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(people, name))
        assert getattr(loaded, name).dtype == getattr(people, name).dtype


def test_saving_leaves_hard_links_to_the_old_table_alone(tmp_path):
    some_people(4).save(tmp_path / "a.npz")
    (tmp_path / "cache").hardlink_to(tmp_path / "a.npz")
    before = (tmp_path / "cache").read_bytes()
    some_people(9).save(tmp_path / "a.npz")
    assert (tmp_path / "cache").read_bytes() == before and len(People.load(tmp_path / "a.npz")) == 9


def test_rows_keep_their_images():
    people = some_people()
    assert people.images[people.image].tolist() == [f"train2017/{i * 7 % 5:012d}.jpg" for i in range(4)]
    chosen = people.select(np.array([3, 1]))
    assert chosen.person_id.tolist() == [103, 101]
    assert chosen.images[chosen.image].tolist() == [people.images[people.image[i]] for i in (3, 1)]


def test_without_images_removes_their_people_and_renumbers():
    people = some_people(10)
    gone = {"train2017/000000000000.jpg", "train2017/000000000003.jpg"}
    left = people.without_images(gone)
    assert not gone & set(left.images.tolist()) and len(left.images) == 3
    names = people.images[people.image]
    keep = np.array([name not in gone for name in names])
    assert left.person_id.tolist() == people.person_id[keep].tolist()
    assert left.images[left.image].tolist() == names[keep].tolist()


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        table("mpii", "val", ["a"], **{
            name: np.zeros((2, 2)) for name in (
                "image_id", "person_id", "box", "center", "scale", "joints", "labelled", "visible", "head_size",
                "area",
            )
        })  # fmt: skip


@pytest.mark.parametrize("content", [b"PK nothing", b"", "half"])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    if content == "half":
        some_people(9).save(tmp_path / "a.npz")
        content = (tmp_path / "a.npz").read_bytes()[:1500]
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is not a table of people .*prepare"):
        People.load(tmp_path / "a.npz")


def test_boxes_are_widened_to_the_inputs_shape_and_padded():
    # A tall box gains width, a wide one height, at 192:256; both 1.25 times.
    center, scale = crop_of_box(np.array([[10, 20, 30, 100], [0, 0, 200, 100]]), (256, 192))
    np.testing.assert_allclose(center, [[25, 70], [100, 50]])
    np.testing.assert_allclose(scale * 200, [[93.75, 125], [250, 1000 / 3]])


def test_crops_of_boxes_are_hrnets(shared):
    golden = np.load(shared / "golden/hrnet_pipeline.npz")
    # HRNet's scales were made from boxes: the shape is the input's, so the box gives them back.
    scale, center = golden["crop_scale"], golden["crop_center"]
    side = scale * 200 / 1.25
    box = np.hstack([center - side / 2, side])
    mine = crop_of_box(box, (256, 192))
    np.testing.assert_allclose(mine[0], center, atol=1e-4)
    np.testing.assert_allclose(mine[1], scale, rtol=1e-5)
