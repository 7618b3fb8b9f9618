"""A trained run on any image: the same joints as in evaluation, and a picture of them."""

import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from pipeline import loader, params, predict
from pipeline.codec import crop
from pipeline.evaluation import inference
from pipeline.networks import NETWORKS
from pipeline.people import crop_of_box, table
from tests.conftest import ROOT, Pictures, write_run

CPU = torch.device("cpu")
BOX = np.array([60.0, 30.0, 80.0, 170.0])


def run_of(folder, model="sg_hrnet_small"):
    radius = 5 if model.startswith("sg_") else None
    return write_run(folder, "coco", model, radius, params.load(ROOT / "params.yaml"))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (240, 200, 3), np.uint8)


def test_prediction_in_a_box_equals_that_of_evaluation(tmp_path, image):
    folder = run_of(tmp_path / "runs" / "coco" / "a")
    record, network = inference.load(folder)
    given = record.settings.input
    center, scale = crop_of_box(BOX[None], given.size)
    zeros = np.zeros((1, 17))
    people = table(
        "coco", "val", ["a.png"], image_id=[1], person_id=[1], box=BOX[None], center=center, scale=scale,
        joints=np.zeros((1, 17, 2)), labelled=zeros, visible=zeros, head_size=[np.nan], area=[1],
    )  # fmt: skip

    store = Pictures(image.shape[:2])
    store.draw("a.png", image[..., ::-1])
    expected = inference.Inference(network, given, CPU).predict(people, store)
    prediction = predict.predict(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), BOX, folder, CPU)
    np.testing.assert_allclose(prediction["image_xy"], expected.image_xy[0], atol=1e-9)
    np.testing.assert_allclose(prediction["score"], expected.score[0], rtol=1e-6)
    # Random weights may drive a sigmoid to its float32 ends, but not past them.
    assert (
        prediction["maps"].shape == (4, 32, 24)
        and 0 <= prediction["maps"].min() < prediction["maps"].max() <= 1
    )


@pytest.mark.parametrize("model", ["hrnet_small", "sg_hrnet_small"])
def test_the_command_writes_a_picture_and_lists_the_joints(tmp_path, image, model, monkeypatch, capsys):
    run_of(tmp_path / "runs" / "coco" / "a", model)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("street.png", image)
    predict.main(["street.png", "--run", "coco/a", "--box", "60,30,80,170"])
    picture = crop.decode_image((tmp_path / "street-pose.png").read_bytes(), "picture")
    assert min(picture.shape[:2]) > 300 and picture.std() > 20
    printed = capsys.readouterr().out
    assert "left_ankle" in printed and "street-pose.png" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "coco/b"], r"runs/coco/b/run\.json is not there"),
        (["--run", "elsewhere"], "must be dataset/run"),
        (["--run", "coco/a", "--box", "1,2,3"], "x,y,width,height"),
        (["--run", "coco/a", "--box", "1,2,-3,4"], "x,y,width,height"),
        (["--run", "coco/a", "--box", "5000,2,30,40"], "lies outside the image"),
        (["--run", "coco/a", "--box=-50,2,30,40"], "lies outside the image"),
        (["--run", "coco/a", "--box=0,0,1e308,10"], "^predict: --box 0,0,1e308,10 must be x,y,width,height"),
        (
            ["--run", "coco/a", "--box=0,0,1e30,1e30"],
            "^predict: --box 0,0,1e30,1e30 must be x,y,width,height",
        ),
        (["--run", "coco/a", "--box=9,9,1e-300,1e-300"], "^predict: --box 9,9,1e-300,1e-300 must be"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, image, monkeypatch, arguments, message):
    run_of(tmp_path / "runs" / "coco" / "a")
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("street.png", image)
    with pytest.raises(SystemExit, match=message):
        predict.main(["street.png", *arguments])


def test_a_file_that_is_no_image_is_named(tmp_path, monkeypatch):
    run_of(tmp_path / "runs" / "coco" / "a")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(SystemExit, match=r"notes\.txt does not decode"):
        predict.main(["notes.txt", "--run", "coco/a"])


def test_a_picture_under_another_format_s_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"--output pose\.jpg must end with \.png"):
        predict.main(["street.png", "--run", "coco/a", "--output", "pose.jpg"])


def test_weights_of_another_network_are_refused(tmp_path):
    folder = run_of(tmp_path / "runs" / "coco" / "a", "hrnet_small")
    record = json.loads((folder / "run.json").read_text())
    record["settings"]["model"]["small"]["width"] = 8
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"weights of another network than its run\.json"):
        inference.load(folder)


def test_damaged_weights_are_refused_and_the_stage_to_run_again_is_named(tmp_path):
    folder = run_of(tmp_path / "runs" / "coco" / "a", "hrnet_small")
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1000] ^= 1
    (folder / "weights.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"weights\.safetensors is damaged: .*run its stage `train` again"):
        inference.load(folder)


def test_every_small_network_can_be_built_from_its_record(tmp_path):
    p = params.load(ROOT / "params.yaml")
    for model, network in NETWORKS.items():
        if model.endswith("small"):
            folder = write_run(tmp_path / model, "mpii", model, 5 if network.backbone else None, p)
            record, built = inference.load(folder)
            assert record.run.model == model and sum(w.numel() for w in built.parameters()) > 5e4


def test_a_folder_with_several_people_gives_cocos_results(tmp_path, image, monkeypatch):
    run_of(tmp_path / "runs" / "coco" / "a", "hrnet_small")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("b.png", "a.png"):
        cv2.imwrite(f"photos/{name}", image)
    boxes = [{"image_id": 7, "bbox": [60, 30, 80, 170]}, {"image_id": 7, "bbox": [10, 10, 50, 90]}]
    images = [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}]
    (tmp_path / "boxes.json").write_text(json.dumps({"images": images, "annotations": boxes}))
    predict.main(["photos", "--run", "coco/a", "--boxes", "boxes.json", "--results", "out.json"])
    results = json.loads((tmp_path / "out.json").read_text())
    assert [(each["image_id"], each["bbox"]) for each in results] == [(7, box["bbox"]) for box in boxes]
    alone = predict.predict(predict.photograph(tmp_path / "photos/a.png"), BOX, tmp_path / "runs/coco/a", CPU)
    given = np.reshape(results[0]["keypoints"], (17, 3))
    np.testing.assert_allclose(given[:, :2], alone["image_xy"], atol=1e-3)
    assert {file.name for file in tmp_path.glob("*.png")} == {"a-pose.png", "a-pose-2.png"}
    # An image of which the boxes know nothing ends it before anybody's picture is there.
    for file in (*tmp_path.glob("*.png"), tmp_path / "out.json"):
        file.unlink()
    cv2.imwrite("photos/c.png", image)
    with pytest.raises(SystemExit, match=r"names no image c\.png"):
        predict.main(["photos", "--run", "coco/a", "--boxes", "boxes.json", "--results", "out.json"])
    assert not list(tmp_path.glob("*.png"))


def boxes_file(bbox, images='{"id": 1, "file_name": "street.png"}', image_id="1"):
    people = f'{{"image_id": {image_id}, "bbox": [0, 0, {bbox}, 9]}}'
    return f'{{"images": [{images}], "annotations": [{people}]}}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (boxes_file("9" * 400), "must hold COCO's `images`"),
        (boxes_file("9", '{"id": Infinity, "file_name": "street.png"}'), "must hold COCO's `images`"),
        ("[" * 100_000, "must hold COCO's `images`"),
        (boxes_file("9", image_id="9" * 400), "must hold COCO's `images`"),
        (boxes_file("1e30"), "must be x,y,width,height"),
    ],
    ids=["400 digits", "an infinite id", "brackets", "an unknown id of 400 digits", "a box of 1e30"],
)
def test_boxes_that_are_none_are_said_in_a_sentence_that_names_the_file(
    tmp_path, image, monkeypatch, content, message
):
    run_of(tmp_path / "runs" / "coco" / "a", "hrnet_small")
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("street.png", image)
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(SystemExit) as said:
        predict.main(["street.png", "--run", "coco/a", "--boxes", "boxes.json"])
    assert (
        re.match(rf"predict: --boxes boxes\.json.*{message}", str(said.value)) and len(str(said.value)) < 300
    )


def test_a_picture_is_drawn_of_a_smaller_copy_where_a_photo_is_large(tmp_path, image, monkeypatch):
    folder = run_of(tmp_path / "a")
    monkeypatch.setattr(predict, "DRAWN_SIDE", 240)
    rgba = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    prediction = predict.predict(rgba, BOX, folder, CPU)
    twice = prediction | {"image_xy": prediction["image_xy"] * 2}
    large = predict.picture(rgba.repeat(2, 0).repeat(2, 1), BOX * 2, twice, "coco")
    assert large == predict.picture(rgba, BOX, prediction, "coco")


@pytest.mark.parametrize("shape", [(8, 40_000), (40_000, 8)])
def test_a_panorama_s_picture_is_no_longer_than_four_times_its_height(tmp_path, monkeypatch, shape):
    run_of(tmp_path / "runs" / "coco" / "a", "hrnet_small")
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("street.png", np.zeros(shape, np.uint8))
    predict.main(["street.png", "--run", "coco/a"])
    height, width = crop.decode_image((tmp_path / "street-pose.png").read_bytes(), "picture").shape[:2]
    assert 300 < height < 2000 and 300 < width < 5000


@pytest.mark.slow
def test_a_thousand_bytes_a_megapixel_do_not_take_the_machine_s_memory(tmp_path, monkeypatch):
    run_of(tmp_path / "runs" / "coco" / "a")
    cv2.imwrite(str(tmp_path / "vast.png"), np.zeros((14_000, 14_000), np.uint8))
    code = (
        "import resource; from pipeline import predict; predict.main(['vast.png', '--run', 'coco/a']);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # Its pixels are 0.8 GB, and as much again while they are made.
    assert int(done.stdout.split()[-1]) < 3 << 20


def test_a_photo_is_turned_as_its_tag_says(tmp_path, image):
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    tag = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tag
    turned = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    (tmp_path / "turned.jpg").write_bytes(turned)
    seen = predict.photograph(tmp_path / "turned.jpg")
    np.testing.assert_array_equal(seen, np.rot90(crop.decode_image(turned, "turned.jpg"), -1))


def test_published_weights_predict_where_no_run_is_named(tmp_path, image, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("street.png", image)
    with pytest.raises(SystemExit, match="no published weights; name a run by --run"):
        predict.main(["street.png"])
    run_of(tmp_path / "studies" / "lspet-small" / "runs" / "coco" / "sg_hrnet_small-r5-s0")
    predict.main(["street.png"])
    assert "left_ankle" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("model", ["hrnet_small", "sg_hrnet_small"])
def test_the_exported_network_gives_the_same_without_torch(tmp_path, image, model, monkeypatch, capsys):
    import onnxruntime

    folder = run_of(tmp_path / "runs" / "coco" / "a", model)
    monkeypatch.chdir(tmp_path)
    predict.main(["--export", "net.onnx", "--run", "coco/a"])
    assert "written: net.onnx" in capsys.readouterr().out
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["joints"])[0] == "nose" and "1.25 times the box" in told["crop"]
    record, network = inference.load(folder)
    size = record.settings.input.size
    # Three people, where it was exported with two.
    crops = np.random.default_rng(1).integers(0, 256, (3, *size, 3), np.uint8)
    with torch.inference_mode():
        output = network.eval()(loader.normalise(torch.from_numpy(crops)))
    heatmaps, *maps = session.run(None, {"crops": crops})
    assert np.abs(heatmaps - output.heatmaps.numpy()).max() < 1e-4 * np.abs(heatmaps).max()
    if model == "sg_hrnet_small":
        assert np.abs(maps[0] - output.map_logits.sigmoid().numpy()).max() < 1e-4
    assert len(maps) == (model == "sg_hrnet_small")


@pytest.mark.parametrize("arguments", [[], ["street.png", "--export", "net.onnx"]])
def test_either_images_or_an_export(arguments, capsys):
    with pytest.raises(SystemExit):
        predict.main(arguments)
    assert "name images, or a file to --export" in capsys.readouterr().err


def test_an_export_is_an_onnx(tmp_path, monkeypatch):
    run_of(tmp_path / "runs" / "coco" / "a")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"--export net\.pt must end with \.onnx"):
        predict.main(["--export", "net.pt", "--run", "coco/a"])
