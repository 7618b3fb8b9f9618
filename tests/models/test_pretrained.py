"""Weights from files: what loads, what is reported, what is refused."""

import contextlib
import hashlib
import random
import re
from collections import OrderedDict

import pytest
import torch
from safetensors import torch as safetensors

from pipeline import tensors
from pipeline.models.pretrained import load_backbone, load_checkpoint
from pipeline.weights import CheckpointError


@pytest.fixture
def source(make, ruled):
    return ruled(make("hrnet_small"))


def same(net, weights, names=None):
    state = net.state_dict()
    return all(torch.equal(state[name], weights[name]) for name in names or weights)


def with_hash(path, promise):
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(path.with_name(promise.format(digits)))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"epoch": 210, "state_dict": weights},
        lambda weights: {"state_dict": OrderedDict((f"module.{name}", v) for name, v in weights.items())},
        lambda weights: {
            "meta": {"epoch": 210},
            "state_dict": {
                f"{'keypoint_head' if 'final' in name else 'backbone'}.{name}": v
                for name, v in weights.items()
            },
        },
    ],
    ids=["plain", "in a checkpoint", "DataParallel", "mmpose"],
)
def test_pose_checkpoint_loads_whole(wrap, source, make, tmp_path):
    torch.save(wrap(source.state_dict()), tmp_path / "pose.pth")
    net = make("hrnet_small")
    load_checkpoint(net, tmp_path / "pose.pth")
    assert same(net, source.state_dict())


def test_checkpoint_of_the_guided_network_loads_whole(make, ruled, tmp_path):
    weights = ruled(make("sg_hrnet_small")).state_dict()
    torch.save(weights, tmp_path / "pose.pth")
    net = make("sg_hrnet_small")
    load_checkpoint(net, tmp_path / "pose.pth")
    assert same(net, weights)


def test_file_without_counters_of_batches_loads(source, make, tmp_path):
    # As written before PyTorch 0.4.1, SimpleBaseline's among them.
    weights = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(weights, tmp_path / "pose.pth")
    net = make("hrnet_small")
    load_checkpoint(net, tmp_path / "pose.pth")
    assert same(net, weights)
    assert not load_backbone(make("hrnet_small"), tmp_path / "pose.pth").fresh[2:]


def imagenet(source):
    """A file as HRNet's classification code writes it: another head, and stage 4 fused into every branch."""
    weights = {k: v for k, v in source.state_dict().items() if not k.startswith("final_layer")}
    weights |= {
        "stage4.1.fuse_layers.1.0.0.0.weight": torch.zeros(16, 8, 3, 3),
        "head.0.0.0.conv1.weight": torch.zeros(8, 8, 1, 1),
        "final_layer.0.weight": torch.zeros(2048, 1024, 1, 1),
        "classifier.weight": torch.zeros(1000, 2048),
        "classifier.bias": torch.zeros(1000),
    }
    return weights


@pytest.mark.parametrize("name", ["hrnet_small", "sg_hrnet_small"])
def test_imagenet_gives_all_but_the_head_and_says_so(name, source, make, tmp_path):
    torch.save(imagenet(source), tmp_path / "net.pth")
    path = with_hash(tmp_path / "net.pth", "hrnet_w32-{}.pth")
    net, untouched = make(name), make(name)
    report = load_backbone(net, path)
    backbone = [k for k in source.state_dict() if not k.startswith("final_layer")]
    assert set(report.loaded) == set(backbone)
    assert same(net, source.state_dict(), backbone)
    fresh = [k for k in net.state_dict() if k not in backbone]
    assert list(report.fresh) == fresh and len(fresh) == (2 if name == "hrnet_small" else 18)
    assert same(net, untouched.state_dict(), fresh)
    line = str(report)
    total = len(net.state_dict())
    assert line.startswith(
        f"{len(backbone)} of {total} tensors from {path}; started anew: final_layer.weight"
    )
    assert line.endswith("unused in the file: 5 (stage4 1, head 1, final_layer 1, classifier 2)")


def test_pose_checkpoint_of_other_joints_gives_its_backbone(source, make, tmp_path):
    torch.save(source.state_dict(), tmp_path / "pose.pth")
    net = make("hrnet_small", joints=14)
    report = load_backbone(net, tmp_path / "pose.pth")
    assert report.fresh == report.unused == ("final_layer.weight", "final_layer.bias")


def test_resnet_from_torchvision_gives_its_backbone(make, ruled, tmp_path):
    weights = ruled(make("pose_resnet50")).state_dict()
    trunk = {k: v for k, v in weights.items() if not k.startswith(("deconv_layers", "final_layer"))}
    torch.save(trunk | {"fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet50.pth")
    net = make("pose_resnet50")
    report = load_backbone(net, tmp_path / "resnet50.pth")
    assert same(net, trunk) and report.unused == ("fc.weight",)
    assert {name.split(".")[0] for name in report.fresh} == {"deconv_layers", "final_layer"}


def test_checkpoint_of_other_joints_is_refused_with_both_shapes(source, make, tmp_path):
    torch.save(source.state_dict(), tmp_path / "pose.pth")
    net = make("hrnet_small", joints=16)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(net, tmp_path / "pose.pth")
    assert str(error.value) == (
        f"{tmp_path / 'pose.pth'} is of another network or another number of joints: "
        "final_layer.weight is (17, 8, 1, 1) there and (16, 8, 1, 1) here, and 1 more differ"
    )
    assert same(net, before)


@pytest.mark.parametrize("load", [load_checkpoint, load_backbone])
@pytest.mark.parametrize(
    "name, there, here",
    [
        ("hrnet_w32", r"conv1\.weight is \(8, 3, 3, 3\) there", r"\(64, 3, 3, 3\) here"),
        ("pose_resnet50", r"conv1\.weight is \(8, 3, 3, 3\) there", r"\(64, 3, 7, 7\) here"),
    ],
)
def test_file_of_another_network_is_refused_with_both_shapes(load, name, there, here, source, make, tmp_path):
    torch.save(source.state_dict(), tmp_path / "pose.pth")
    with pytest.raises(CheckpointError, match=f"{there} and {here}, and .* more differ"):
        load(make(name), tmp_path / "pose.pth")


def test_plain_checkpoint_is_no_guided_one(source, make, tmp_path):
    torch.save(source.state_dict(), tmp_path / "pose.pth")
    with pytest.raises(
        CheckpointError, match=r"guidance\.0\.conv\.weight is absent there and \(8, 8, 3, 3\)"
    ):
        load_checkpoint(make("sg_hrnet_small"), tmp_path / "pose.pth")


def test_half_a_backbone_is_refused(source, make, tmp_path):
    weights = {k: v for k, v in source.state_dict().items() if not k.startswith("stage4")}
    torch.save(weights, tmp_path / "half.pth")
    with pytest.raises(CheckpointError, match=r"stage4\.0\.branches\.0\.0\.conv1\.weight is absent there"):
        load_backbone(make("hrnet_small"), tmp_path / "half.pth")


class Harmful:
    """Does something when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code from a file of weights ran",))


@pytest.mark.parametrize("content", ["code", "list", "text", "cut"])
def test_file_that_is_no_state_dict_is_refused(content, source, make, tmp_path):
    path = tmp_path / "pose.pth"
    torch.save({"code": Harmful(), "list": [torch.zeros(1)]}.get(content, source.state_dict()), path)
    if content == "text":
        path.write_text("<html>404</html>")
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(
        CheckpointError, match=r"pose\.pth (is damaged, or holds something else|holds no state dict)"
    ):
        load_checkpoint(make("hrnet_small"), path)


@pytest.mark.parametrize("load", [load_checkpoint, load_backbone])
@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("conv1.weight", lambda v: v.index_fill(0, torch.tensor(1), torch.nan), "are no finite numbers"),
        ("conv1.weight", lambda v: v / 0, "are no finite numbers"),
        ("conv1.weight", torch.Tensor.half, "as torch.float16, and the network has torch.float32"),
        ("conv1.weight", torch.Tensor.int, "as torch.int32, and the network has torch.float32"),
        ("conv1.weight", lambda v: v.to(torch.complex64), "as torch.complex64, and"),
        ("conv1.weight", torch.Tensor.to_sparse, r"as a sparse tensor \(torch.sparse_coo\)"),
        ("conv1.weight", lambda v: torch.nested.nested_tensor(list(v)), "is a nested tensor there"),
        ("conv1.weight", lambda v: torch.nested.nested_tensor(list(v), layout=torch.jagged), "there"),
        ("conv1.weight", lambda v: v.to("meta"), "without its numbers, as a meta tensor"),
        ("conv1.weight", lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8), "as torch.qint8, and"),
        ("bn1.running_var", lambda v: -1e-9 - v, "with a negative variance"),
        ("bn1.num_batches_tracked", torch.Tensor.float, "as torch.float32, and the network has torch.int64"),
        # A few bytes that stand for a terabyte.
        ("conv1.weight", lambda v: torch.zeros(1).expand(10**6, 10**6), r"is \(1000000, 1000000\) there"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_tensor_that_no_network_can_have_is_refused(load, name, change, fault, source, make, tmp_path):
    weights = source.state_dict()
    torch.save(weights | {name: change(weights[name])}, tmp_path / "pose.pth")
    with pytest.raises(CheckpointError, match=rf"pose\.pth .*{re.escape(name)} .*{fault}"):
        load(make("hrnet_small"), tmp_path / "pose.pth")


def test_one_tensor_under_two_prefixes_is_refused(source, make, tmp_path):
    weights = source.state_dict()
    torch.save(weights | {"module.conv1.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "pose.pth")
    with pytest.raises(
        CheckpointError, match=r"pose\.pth holds conv1\.weight and module\.conv1\.weight, two values"
    ):
        load_checkpoint(make("hrnet_small"), tmp_path / "pose.pth")


@pytest.mark.parametrize("write", [tensors.pack, safetensors.save], ids=["ours", "another's"])
def test_safetensors_load_and_a_cut_file_is_refused(write, source, make, tmp_path):
    path = tmp_path / "pose.safetensors"
    path.write_bytes(write(source.state_dict()))
    net = make("hrnet_small")
    load_checkpoint(net, path)
    assert same(net, source.state_dict())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"pose\.safetensors is damaged, or holds something else"):
        load_checkpoint(net, path)


@pytest.mark.parametrize("number", range(60))
def test_a_spoiled_file_is_one_sentence_or_loads(number, source, make, tmp_path):
    path = tmp_path / "pose.pth"
    torch.save(source.state_dict(), path, _use_new_zipfile_serialization=number % 2 == 0)
    random_place, data = random.Random(number), bytearray(path.read_bytes())
    # Names, shapes and opcodes lie in the first part of either form.
    for _ in range(1 + number % 5):
        data[random_place.randrange(min(20_000, len(data)))] = random_place.randrange(256)
    path.write_bytes(data)
    with contextlib.suppress(CheckpointError):
        load_checkpoint(make("hrnet_small"), path)


def test_file_must_have_the_hash_in_its_name(tmp_path):
    (tmp_path / "hrnet_w32-36af842e.pth").write_bytes(b"weights")
    with pytest.raises(CheckpointError, match="is damaged: its name promises a sha256 of 36af842e"):
        load_checkpoint(None, tmp_path / "hrnet_w32-36af842e.pth")


def test_missing_file_is_named(make, tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pth is missing"):
        load_checkpoint(make("hrnet_small"), tmp_path / "none.pth")
