"""LSPET's joints: labelled ones only, boxes around them, its split and unit of PCKh."""

import numpy as np
import pytest

from pipeline.datasets import sources
from pipeline.datasets.formats import lspet
from pipeline.people import LabelError
from tests.datasets.archives import data, lspet_joints, mat


class Labels:
    def __init__(self, joints):
        self.content = mat(joints=joints) if isinstance(joints, np.ndarray) else joints

    def read(self, name: str) -> bytes:
        assert name == "joints.mat"
        return self.content


def test_the_tenth_of_each_ten_is_of_validation():
    splits = lspet.people(Labels(lspet_joints(30)), (256, 192))
    assert splits["val"].people.image_id.tolist() == [9, 19, 29]
    assert splits["val"].people.images.tolist() == ["im00010.jpg", "im00020.jpg", "im00030.jpg"]
    assert len(splits["train"].people) == 27


def test_unlabelled_joints_neither_count_nor_stretch_the_box():
    joints = lspet_joints(10)
    joints[:, :2, 0] = -3000
    joints[:, 2, 0] = 0
    joints[[2, 5], :, 0] = [[10, 20, 1], [40, 80, 1]]
    person = lspet.people(Labels(joints), (256, 192))["train"].people.select(np.array([0]))
    assert person.labelled[0].nonzero()[0].tolist() == [2, 5]
    np.testing.assert_array_equal(person.box[0], [10, 20, 30, 60])
    np.testing.assert_allclose(person.center[0], [25, 50])
    np.testing.assert_allclose(person.scale[0] * 200, [45 * 1.25, 60 * 1.25])
    assert (person.joints[0][~person.labelled[0]] == 0).all()


def test_the_unit_of_pckh_is_neck_to_head_top_and_nan_without_them():
    joints = lspet_joints(10)
    joints[12, :2, 0], joints[13, :2, 0] = (0, 0), (3, 4)
    joints[13, 2, 1] = 0
    joints[12, :2, 2] = joints[13, :2, 2]
    people = lspet.people(Labels(joints), (256, 192))["train"].people
    assert people.head_size[0] == 5
    assert np.isnan(people.head_size[[1, 2]]).all() and not np.isnan(people.head_size[3:]).any()


def test_people_without_a_box_are_counted():
    joints = lspet_joints(10)
    joints[:, 2, 0] = 0
    joints[1:, 2, 1] = 0
    splits = lspet.people(Labels(joints), (256, 192))
    assert splits["train"].people.image_id.tolist() == list(range(2, 9))
    assert splits["train"].dropped == {"fewer than two labelled joints": 2}


def test_a_joint_list_of_another_length_is_named():
    with pytest.raises(LabelError, match=r"shape \(16, 3, 10\), not \(14, 3, people\)"):
        lspet.people(Labels(np.zeros((16, 3, 10))), (256, 192))
    with pytest.raises(LabelError, match=r"joints\.mat holds no joints: it is not LSPET's file"):
        lspet.people(Labels(mat(other=np.zeros(3))), (256, 192))


def test_the_real_labels(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits = lspet.people(sources.open_labels("lspet", data(shared / "mirror"), tmp_path), (256, 192))
    assert (len(splits["train"].people), len(splits["val"].people)) == (5400, 600)
    assert np.isnan(splits["val"].people.head_size).sum() == 112
