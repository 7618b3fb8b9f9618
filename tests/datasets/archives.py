"""Small archives in the official layouts."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from scipy.io import savemat

from pipeline import paths


def jpeg(height: int = 40, width: int = 60, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def zip_bytes(members: dict[str, bytes], compression=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def data(source: str, on_bad_image: str = "fail", demo=None):
    """What the pipeline reads of params.data."""
    return SimpleNamespace(source=str(source), on_bad_image=on_bad_image, demo=demo)


# MPII ------------------------------------------------------------------------------------------------------


def struct_array(rows: list[dict], names: tuple[str, ...]) -> np.ndarray:
    """A MATLAB struct array (1, N); a row without a field gets an empty one."""
    array = np.empty((1, len(rows)), [(name, object) for name in names])
    for i, row in enumerate(rows):
        for name in names:
            array[name][0, i] = row.get(name, np.empty((0, 0)))
    return array


def mpii_points(joints: dict[int, tuple], with_visible: bool = True) -> dict:
    """joints: id -> (x, y, is_visible)."""
    names = ("x", "y", "id", "is_visible")[: 4 if with_visible else 3]
    rows = [
        dict(zip(names, (x, y, joint, visible), strict=False)) for joint, (x, y, visible) in joints.items()
    ]
    return {"point": struct_array(rows, names)}


def mpii_person(joints: dict[int, tuple] | None, scale=1.0, position=(30, 20), head=(10, 10, 40, 50)) -> dict:
    person = {}
    if joints is not None:
        person["annopoints"] = struct_array([mpii_points(joints)], ("point",))
    if scale is not None:
        person |= {
            "scale": scale,
            "objpos": struct_array([dict(zip("xy", position, strict=True))], ("x", "y")),
        }
    if head is not None:
        person |= dict(zip(("x1", "y1", "x2", "y2"), head, strict=True))
    return person


PERSON_FIELDS = ("x1", "y1", "x2", "y2", "annopoints", "scale", "objpos")


def mpii_release(images: list[tuple[str, int, list[dict]]]) -> bytes:
    """images: (file name, img_train, people)."""
    rows = [
        {
            "image": struct_array([{"name": name}], ("name",)),
            "annorect": struct_array(people, PERSON_FIELDS) if people else np.empty((0, 0)),
        }
        for name, _, people in images
    ]
    release = struct_array(
        [{
            "annolist": struct_array(rows, ("image", "annorect")),
            "img_train": np.array([[train for _, train, _ in images]], np.uint8),
        }],
        ("annolist", "img_train"),
    )  # fmt: skip
    return mat(RELEASE=release)


def mat(**variables) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


def mpii_detections(pairs: list[tuple[int, int]]) -> bytes:
    image, person = zip(*pairs, strict=True)
    return mat(RELEASE_img_index=np.array([image]), RELEASE_person_index=np.array([person]))


RELEASE_PATH = "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"


def mpii_archives() -> dict[str, bytes]:
    """Three labelled images (one of validation) and a test image."""
    joints = {0: (11, 21, 1), 9: (31, 5, "0")}
    release = mpii_release([
        ("a.jpg", 1, [mpii_person(joints)]),
        ("b.jpg", 1, [mpii_person(joints), mpii_person(None)]),
        ("c.jpg", 1, [mpii_person(joints)]),
        ("t.jpg", 0, [{"scale": 1.0}]),
    ])  # fmt: skip
    return {
        "mpii_human_pose_v1_u12_2.zip": zip_bytes({RELEASE_PATH: release}),
        "detections.mat": mpii_detections([(2, 1)]),
        "mpii_human_pose_v1.tar.gz": tar_bytes(
            {f"images/{name}.jpg": jpeg(seed=i) for i, name in enumerate("abct")}
            | {"images/note.txt": b"note"}
        ),
    }


# COCO ------------------------------------------------------------------------------------------------------


def coco_annotation(number: int, image_id: int, box=(5, 5, 30, 20), joints=3, **changes) -> dict:
    keypoints = [[10 + j, 10 + j, 1 + j % 2] if j < joints else [0, 0, 0] for j in range(17)]
    return {
        "id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0, "num_keypoints": joints,
        "area": 300.5, "bbox": list(box), "keypoints": [n for k in keypoints for n in k],
        "segmentation": [[1, 2, 3, 4]],
    } | changes  # fmt: skip


def coco_labels(image_ids: list[int], annotations: list[dict], height=40, width=60) -> bytes:
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": height, "width": width} for i in image_ids]
    content = {"info": {"year": 2017, "n": [1]}, "images": images, "licenses": [], "annotations": annotations}
    return json.dumps(content).encode()


def coco_archives() -> dict[str, bytes]:
    """Two training images with three people, three validation images of which one is empty."""
    train = [coco_annotation(1, 1), coco_annotation(2, 1, iscrowd=1), coco_annotation(3, 2, joints=0),
             coco_annotation(4, 2), coco_annotation(5, 2)]  # fmt: skip
    val = [coco_annotation(11, 11), coco_annotation(12, 12), coco_annotation(13, 12, iscrowd=1)]
    return {
        "annotations_trainval2017.zip": zip_bytes(
            {
                "annotations/person_keypoints_train2017.json": coco_labels([1, 2], train),
                "annotations/person_keypoints_val2017.json": coco_labels([11, 12, 13], val),
            },
            zipfile.ZIP_DEFLATED,
        ),
        "train2017.zip": zip_bytes({f"train2017/{i:012d}.jpg": jpeg(seed=i) for i in (1, 2)}),
        "val2017.zip": zip_bytes({f"val2017/{i:012d}.jpg": jpeg(seed=i) for i in (11, 12, 13)}),
    }


# LSPET -----------------------------------------------------------------------------------------------------


def lspet_joints(people: int = 20) -> np.ndarray:
    joints = np.random.default_rng(0).uniform(5, 35, (14, 3, people))
    joints[:, 2] = 1
    return joints


def lspet_archives(joints: np.ndarray | None = None, top: str = "") -> dict[str, bytes]:
    joints = lspet_joints() if joints is None else joints
    images = {f"{top}images/im{i + 1:05d}.jpg": jpeg(seed=i) for i in range(joints.shape[2])}
    return {"lspet_dataset.zip": zip_bytes({f"{top}joints.mat": mat(joints=joints)} | images)}


def write_archives(folder: Path, archives: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    return folder


def unpack(folder: Path, archives: dict[str, bytes]) -> Path:
    """The archives as `unzip` and `tar x` leave them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in archives.items():
        if name.endswith(".zip"):
            zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
        elif name.endswith(".gz"):
            tarfile.open(fileobj=io.BytesIO(content)).extractall(folder, filter="data")
        else:
            (folder / name).write_bytes(content)
    return folder


# Of each dataset: how to make its archives, and an image and a file of labels in them.
MAKERS = {"mpii": mpii_archives, "coco": coco_archives, "lspet": lspet_archives}
AN_IMAGE = {"mpii": "b.jpg", "coco": "train2017/000000000002.jpg", "lspet": "im00020.jpg"}
A_LABEL = {
    "mpii": "detections.mat",
    "coco": "person_keypoints_val2017.json",
    "lspet": "joints.mat",
}


def record(dataset: str, manifest: dict) -> None:
    """As the stage `download` does."""
    path = paths.manifest(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest))


def spoil(archive: bytes, content: bytes) -> bytes:
    """An archive with one wrong byte in the middle of a member."""
    spoiled = bytearray(archive)
    spoiled[archive.index(content) + len(content) // 2] ^= 1
    return bytes(spoiled)
