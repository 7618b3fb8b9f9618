"""Networks by name, how they start, and what they refuse."""

import re

import pytest
import torch

from pipeline.networks import NETWORKS

# Of real networks that differ in width or depth alone, one: shapes take their time for each layer.
ALIKE = (
    "hrnet_w48",
    "sg_hrnet_w48",
    "pose_resnet101",
    "pose_resnet152",
    "hourglass",
    "cpn_ohkm",
    "cpn_ohkm_small",
)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ALIKE])
def test_every_network_gives_heatmaps_at_a_quarter(name, shape):
    joints = 14
    net = shape(name, joints).eval()
    # Its real size, and sides that are odd multiples of 32.
    sizes = [(256, 192), (256, 256), (96, 32), (160, 96)] if name.endswith("_small") else [(256, 192)]
    for height, width in sizes:
        with torch.no_grad():
            output = net(torch.empty(2, 3, height, width, device="meta"))
        size = (height // 4, width // 4)
        # DLCM's, with LSP's bones and limbs behind the joints.
        parts = (0, 9, 5)
        levels = output.levels or [0] * len(output.earlier)
        assert output.heatmaps.shape == (2, joints, *size)
        for heatmaps, level in zip(output.earlier, levels, strict=True):
            assert heatmaps.shape == (2, joints + parts[level], *size)
        if NETWORKS[name].backbone is not None:
            assert output.map_logits.shape == (2, 4, *size)
        else:
            assert output.map_logits is None
        assert (output.quality is not None) == name.startswith("empose")


@pytest.mark.parametrize(
    "name, earlier",
    [("hrnet_small", 0), ("hourglass", 7), ("hourglass_2", 1), ("pyranet_small", 1), ("dlcm", 4), ("cpn", 4)],
)
def test_each_stage_of_a_network_predicts(name, earlier, shape):
    assert len(shape(name).eval()(torch.empty(1, 3, 64, 64, device="meta")).earlier) == earlier


def test_small_network_has_the_sizes_of_its_parameters(make):
    net = make("hrnet_small")
    assert net.conv1.out_channels == 8 and len(net.layer1) == 1
    assert [len(stage) for _, stage in net.stages()] == [1, 2, 2]
    assert [branch[0].conv1.out_channels for branch in net.stage4[0].branches] == [8, 16, 32, 64]


@pytest.mark.parametrize("name", ["sg_hrnet_small", "pose_resnet50"])
def test_weights_start_as_in_hrnets_code(name, make):
    net = make(name)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            count = module.weight.numel()
            if count > 10_000:
                assert module.weight.std().item() == pytest.approx(1e-3, rel=5 / (2 * count) ** 0.5)
            assert 0 < module.weight.abs().max() < 7e-3
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert module.momentum == 0.1 and module.eps == 1e-5
            assert (module.weight == 1).all() and not module.bias.any()
            assert (module.running_var == 1).all() and not module.running_mean.any()


def test_a_seed_gives_the_same_start_and_global_state_stays(make):
    before = torch.get_rng_state()
    one, two, other = (make("sg_hrnet_small", seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["final_layer.weight"], other["final_layer.weight"])


def test_guided_network_and_its_backbone_start_alike(make):
    guided = make("sg_hrnet_small", seed=5).state_dict()
    backbone = make("hrnet_small", seed=5).state_dict()
    assert all(torch.equal(value, guided[name]) for name, value in backbone.items())
    assert {name.split(".")[0] for name in set(guided) - set(backbone)} == {"guidance"}


def test_unknown_model_names_the_known_ones(make):
    with pytest.raises(ValueError, match=r"model 'hrnet_w33' is unknown; it must be one of hrnet_w32, .*152"):
        make("hrnet_w33")


@pytest.mark.parametrize(
    "name, ablation", [("sg_hrnet_small", "no_guidance"), ("hrnet_small", "no_attention")]
)
def test_impossible_ablation_is_refused(name, ablation, make):
    with pytest.raises(ValueError, match=f"ablation '{ablation}' of {name}: it must be one of no_seg_loss"):
        make(name, ablation=ablation)


def test_impossible_parameters_are_named(make):
    with pytest.raises(ValueError, match="fuse_upsample: 'cubic' must be nearest or bilinear"):
        make("hrnet_small", fuse_upsample="cubic")
    with pytest.raises(
        ValueError, match=r"guidance\.apply: 'first' must be one of last_module, every_module"
    ):
        make("sg_hrnet_small", apply="first")


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.endswith("_small")])
@pytest.mark.parametrize("size", [(1, 3, 256, 190), (1, 3, 250, 192), (1, 4, 64, 64), (3, 64, 64)])
def test_image_of_a_wrong_shape_is_refused(name, size, shape):
    message = (
        f"images are {size}, and must be (batch, 3, height, width) with height and width multiples of 32"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        shape(name)(torch.empty(size, device="meta"))
