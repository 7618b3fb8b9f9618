"""How long `prepare` and one radius' maps take at full size, and how much memory: generated labels, one core.

    python -m benchmarks.prepare_scale [--folder build/scale]

COCO: 118,287 + 5,000 images, 262,465 + 11,004 annotations, of them 149,813 + 6,352 people with joints, outlines of
40 numbers on average; MPII: 24,987 images, 28,883 people with joints in RELEASE. The images are grey JPEGs of the
labelled size, so reading 10 GB of real ones is not in these times: `--images N` reads N of 160 kB. With
`data.source: build/scale` the pipeline's own stages run on these archives.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch

from benchmarks import tables

ROOT = Path(__file__).resolve().parent.parent
COCO_SIZES = {"train": (118_287, 262_465, 149_813), "val": (5_000, 11_004, 6_352)}
SIZE = (256, 192)
COLUMNS = {
    "dataset": "{:>7}",
    "people": "{:8,}",
    "seconds": "{:8.1f}",
    "cpu_seconds": "{:11.1f}",
    "peak_mb": "{:8.0f}",
    "load_table_seconds": "{:18.2f}",
    "maps_seconds": "{:12.1f}",
    "bytes_a_map": "{:11d}",
}


def jpeg(height: int, width: int) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), 128, np.uint8))[1].tobytes()


def coco(folder: Path) -> None:
    random = np.random.default_rng(0)
    labels = {}
    content = jpeg(480, 640)
    for split, (images, annotations, people) in COCO_SIZES.items():
        ids = random.choice(600_000, images, replace=False) + 1
        with zipfile.ZipFile(folder / f"{split}2017.zip", "w") as archive:
            for i in ids:
                archive.writestr(zipfile.ZipInfo(f"{split}2017/{i:012d}.jpg"), content)
        # Half of the images hold people, as in COCO.
        of = random.choice(ids[: images * 54 // 100], annotations)
        rows = [
            annotation(random, number + 1, int(of[number]), number < people) for number in range(annotations)
        ]
        about = {
            "license": 1,
            "coco_url": "x" * 56,
            "flickr_url": "x" * 61,
            "date_captured": "2013-11-14 17:02:52",
        }
        listed = [
            {"id": int(i), "file_name": f"{i:012d}.jpg", "height": 480, "width": 640, **about} for i in ids
        ]
        labels[split] = json.dumps({"info": {}, "licenses": [], "images": listed, "annotations": rows})
    with zipfile.ZipFile(
        folder / "annotations_trainval2017.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as out:
        for split, text in labels.items():
            out.writestr(f"annotations/person_keypoints_{split}2017.json", text)
            print(f"person_keypoints_{split}2017.json: {len(text) / 1e6:.0f} MB")


def annotation(random, number: int, image_id: int, person: bool) -> dict:
    joints = random.integers(0, 480, (17, 3))
    joints[:, 2] = joints[:, 2] % 3 if person else 0
    joints[joints[:, 2] == 0] = 0
    if person:
        joints[0] = 100, 100, 2
    x, y, width, height = (random.random(4) * (300, 200, 300, 250) + 10).round(2).tolist()
    return {
        "segmentation": [(random.random(40) * 480).round(2).tolist()],
        "num_keypoints": int((joints[:, 2] > 0).sum()), "area": width * height * 0.6, "iscrowd": 0,
        "keypoints": joints.ravel().tolist(), "image_id": image_id, "bbox": [x, y, width, height],
        "category_id": 1, "id": number,
    }  # fmt: skip


def mpii(folder: Path) -> None:
    """RELEASE of full size; its test images have no joints, every second joint's `is_visible` is a text."""
    from scipy.io import savemat

    random = np.random.default_rng(0)
    train = 18_079
    people = np.ones(24_987, int)
    people[random.choice(train, 28_883 - train, replace=False)] += 1
    point = [("x", "O"), ("y", "O"), ("id", "O"), ("is_visible", "O")]
    person_fields = [(n, "O") for n in ("x1", "y1", "x2", "y2", "annopoints", "scale", "objpos")]
    annolist = np.empty((1, len(people)), [("image", "O"), ("annorect", "O")])
    for index, count in enumerate(people):
        annolist["image"][0, index] = {"name": f"{index + 1:09d}.jpg"}
        rects = np.empty((1, count), person_fields if index < train else person_fields[5:])
        for person in range(count):
            if index < train:
                points = np.empty((1, 16), point)
                for joint, (x, y) in enumerate(random.integers(1, 700, (16, 2))):
                    points[0, joint] = (x, y, joint, "1" if joint % 2 else int(joint % 4 == 0))
                rects["annopoints"][0, person] = {"point": points}
                for corner, value in zip(("x1", "y1", "x2", "y2"), (10, 20, 60, 90), strict=True):
                    rects[corner][0, person] = value
            rects["scale"][0, person] = 2.5
            rects["objpos"][0, person] = {"x": 400, "y": 300}
        annolist["annorect"][0, index] = rects
    img_train = (np.arange(len(people)) < train).astype(np.uint8)[None]
    buffer = io.BytesIO()
    savemat(buffer, {"RELEASE": {"annolist": annolist, "img_train": img_train}}, do_compression=True)
    with zipfile.ZipFile(folder / "mpii_human_pose_v1_u12_2.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat", buffer.getvalue())
    # 2,958 people of validation: the first of 2,729 images, and the second of some of them.
    image = np.arange(train - 2_729, train) + 1
    second = image[people[image - 1] == 2][: 2_958 - len(image)]
    person = np.repeat([1, 2], [len(image), len(second)])
    image = np.concatenate([image, second])
    keys = {"RELEASE_img_index": image[None], "RELEASE_person_index": person[None]}
    savemat(folder / "detections.mat", keys)
    # Unpacked: the benchmark is of labels, not of gzip.
    (folder / "images").mkdir()
    content = jpeg(720, 1280)
    for index in range(train):
        (folder / "images" / f"{index + 1:09d}.jpg").write_bytes(content)


def prepare(dataset: str, folder: Path, root: Path) -> None:
    """One dataset, in this process, on one core; prints what it took."""
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[0]])
    os.chdir(root)
    from pipeline.codec import segmentation
    from pipeline.datasets import sources
    from pipeline.datasets.prepare import prepare
    from pipeline.people import People

    data = SimpleNamespace(source=str(folder), on_bad_image="fail")
    # As after the stage `download`, which has hashed the archives.
    sources.fetch(dataset, data, root)
    begin, cpu = time.perf_counter(), time.process_time()
    summary = prepare(dataset, data, SIZE, root, root / "people")
    took = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu}
    took["peak_mb"] = peak_bytes() / 1e6
    begin = time.perf_counter()
    people = People.load(root / "people/train.npz")
    took["load_table_seconds"] = time.perf_counter() - begin
    torch.set_num_threads(1)
    begin = time.perf_counter()
    packed = segmentation.of_people(people, SIZE, radius=5)
    took["maps_seconds"] = time.perf_counter() - begin
    took |= {"people": summary["splits"]["train"]["people"], "bytes_a_map": packed.shape[1]}
    print(json.dumps(took))


def peak_bytes() -> int:
    """The most memory that this program held; getrusage would count its parent's before the exec too."""
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def check_images(count: int, folder: Path) -> dict:
    """The check of images of COCO's usual 160 kB, from the page cache."""
    from pipeline.datasets.prepare import check_images
    from pipeline.datasets.store import MAX_IMAGE, ImageStore, ZipPart

    pixels = np.random.default_rng(0).integers(0, 255, (320, 427, 3), np.uint8)
    content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for i in range(count):
            archive.writestr(f"{i:06d}.jpg", content)
    images = ImageStore([ZipPart(folder / "images.zip", lambda name: name, MAX_IMAGE)])
    begin = time.perf_counter()
    assert not check_images(images, {f"{i:06d}.jpg": (320, 427) for i in range(count)}, "images")
    seconds = time.perf_counter() - begin
    return {"checked_images": count, "bytes_each": len(content), "checked_a_second": round(count / seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build/scale")
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--out", type=Path, default=tables.FOLDER)
    parser.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        return prepare(options.only[0], Path(options.only[1]), Path(options.only[2]))
    rows = []
    for dataset, make in (("coco", coco), ("mpii", mpii)):
        source = options.folder.resolve() / dataset
        if not (source / "made").exists():
            shutil.rmtree(source, ignore_errors=True)
            source.mkdir(parents=True)
            make(source)
            (source / "made").touch()
        with tempfile.TemporaryDirectory() as root:
            command = [sys.executable, "-m", "benchmarks.prepare_scale", "--only", dataset, source, root]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        rows.append({"dataset": dataset} | json.loads(done.stdout.splitlines()[-1]))
    print(tables.table(rows, COLUMNS), end="")
    checked = check_images(options.images, options.folder)
    print(tables.write(options.out, "prepare_scale", torch.device("cpu"), checked, rows, COLUMNS))
    limits = {
        "prepare takes over 60 s": sum(row["seconds"] for row in rows) > 60,
        "prepare takes over 2 GB": max(row["peak_mb"] for row in rows) > 2000,
        "one radius' maps take over 30 s": max(row["maps_seconds"] for row in rows) > 30,
        "a map takes over 400 bytes": max(row["bytes_a_map"] for row in rows) > 400,
        "the table takes over 1 s to load": max(row["load_table_seconds"] for row in rows) > 1,
    }
    sys.exit("\n".join(broken for broken, true in limits.items() if true))


if __name__ == "__main__":
    main()
