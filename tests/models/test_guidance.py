"""Eq. 4 and the places where the maps multiply; what supervision of the maps can and cannot move."""

import pytest
import torch

from pipeline.models.guidance import APPLY, SegmentationGuidedModule
from pipeline.training.losses import heatmap_loss, segmentation_loss

SIZE = (64, 96)


def images(people=2, height=SIZE[0], width=SIZE[1], seed=1):
    return torch.randn(people, 3, height, width, generator=torch.Generator().manual_seed(seed))


def force(net, logit):
    """Make every map the same everywhere: sigmoid(40) is one in float32."""
    with torch.no_grad():
        for guide in net.guidance:
            guide.score.weight.zero_()
            guide.score.bias.fill_(logit)
    return net


def test_guided_module_is_two_linear_convolutions():
    guide = SegmentationGuidedModule(5).double()
    x = torch.randn(1, 5, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    # Without batch norm or ReLU between them they are one 3x3 convolution to one channel.
    weight = torch.einsum("oc,cikl->oikl", guide.score.weight[:, :, 0, 0], guide.conv.weight)
    bias = guide.score.weight[:, :, 0, 0] @ guide.conv.bias + guide.score.bias
    assert torch.allclose(guide(x), torch.nn.functional.conv2d(x, weight, bias, padding=1))
    assert sum(parameter.numel() for parameter in SegmentationGuidedModule(32).parameters()) == 9_281


@pytest.mark.parametrize("apply", APPLY)
def test_with_maps_of_one_and_nearest_fusion_it_is_hrnet(apply, make, ruled):
    guided = force(ruled(make("sg_hrnet_small", apply=apply, guided_fuse_upsample="nearest")), 40.0)
    plain = ruled(make("hrnet_small"))
    with torch.no_grad():
        assert torch.equal(guided(images()).heatmaps, plain(images()).heatmaps)


def test_w32_with_maps_of_one_and_nearest_fusion_is_hrnet_w32(make, ruled, image):
    guided = force(ruled(make("sg_hrnet_w32", guided_fuse_upsample="nearest")), 40.0)
    with torch.no_grad():
        assert torch.equal(guided(image).heatmaps, ruled(make("hrnet_w32"))(image).heatmaps)


@pytest.mark.parametrize("apply", APPLY)
def test_with_maps_of_zero_the_head_sees_nothing(apply, make, ruled):
    net = force(ruled(make("sg_hrnet_small", apply=apply)), -200.0)
    with torch.no_grad():
        heatmaps = net(images()).heatmaps
    assert torch.equal(heatmaps, net.final_layer.bias[None, :, None, None].expand_as(heatmaps))


def test_bilinear_hrnet_is_the_guided_network_with_maps_of_one(make, ruled):
    ablation = ruled(make("sg_hrnet_small", ablation="bilinear_hrnet"))
    baseline = ruled(make("hrnet_small"))
    assert list(ablation.state_dict()) == list(baseline.state_dict())
    with torch.no_grad():
        output = ablation(images())
        assert torch.equal(output.heatmaps, force(ruled(make("sg_hrnet_small")), 40.0)(images()).heatmaps)
        assert not torch.allclose(output.heatmaps, baseline(images()).heatmaps)
    assert output.map_logits is None


def test_without_attention_maps_are_predicted_and_multiply_nothing(make, ruled):
    net = ruled(make("sg_hrnet_small", ablation="no_attention"))
    with torch.no_grad():
        heatmaps, logits, *_ = net(images())
        assert torch.equal(
            heatmaps, ruled(make("sg_hrnet_small", ablation="bilinear_hrnet"))(images()).heatmaps
        )
        assert logits.std() > 0
        assert torch.equal(force(net, -200.0)(images()).heatmaps, heatmaps)


@pytest.mark.parametrize("ablation", [None, "no_seg_loss", "fixed_weights", "summed_losses", *APPLY[1:]])
def test_ablations_change_where_maps_multiply(ablation, make, ruled):
    with torch.no_grad():
        heatmaps = ruled(make("sg_hrnet_small", ablation=ablation))(images()).heatmaps
        method = ruled(make("sg_hrnet_small"))(images()).heatmaps
        applied = ruled(make("sg_hrnet_small", apply=ablation if ablation in APPLY else "last_module"))
        assert torch.equal(heatmaps, applied(images()).heatmaps)
    assert torch.equal(heatmaps, method) == (ablation not in APPLY)


def test_eq4_each_stages_map_multiplies_where_it_should(make, ruled):
    """Follow each map: from the feature that enters a stage, to the product that its last module fuses."""
    net = ruled(make("sg_hrnet_small"))
    seen = {}

    def watch(name, module):
        module.register_forward_hook(lambda _, inputs, output: seen.update({name: (inputs, output)}))

    for number, (_, stage) in enumerate(net.stages()):
        watch(f"first{number}", stage[0].branches[0])
        watch(f"last{number}", stage[-1].branches[0])
        watch(f"down{number}", stage[-1].fuse_layers[0][0])
        for earlier, module in enumerate(stage[:-1]):
            watch(f"plain{number}{earlier}", module.branches[0])
            watch(f"fused{number}{earlier}", module.fuse_layers[0][0])
    for number, guide in enumerate(net.guidance):
        watch(f"guide{number}", guide)
    watch("final", net.final_layer)
    with torch.no_grad():
        logits = net(images()).map_logits
    for number in range(3):
        (entering,), map_logits = seen[f"guide{number}"]
        assert torch.equal(entering, seen[f"first{number}"][0][0])
        assert torch.equal(map_logits[:, 0], logits[:, number])
        product = seen[f"last{number}"][1] * map_logits.sigmoid()
        assert torch.equal(seen[f"down{number}"][0][0], product)
    # Stages 3 and 4 have an earlier module here, which no map touches.
    for number in (1, 2):
        assert torch.equal(seen[f"fused{number}0"][0][0], seen[f"plain{number}0"][1])
    (entering,), map_logits = seen["guide3"]
    assert torch.equal(seen["final"][0][0], entering * map_logits.sigmoid())
    assert torch.equal(logits[:, 3:], map_logits)


def test_section_3_2_a_map_is_made_from_the_stages_own_output_and_multiplies_it(make, ruled):
    net = ruled(make("sg_hrnet_small", apply="stage_output"))
    seen = {}

    def watch(name, module):
        module.register_forward_hook(lambda _, inputs, output: seen.update({name: (inputs, output)}))

    for number, (_, stage) in enumerate(net.stages()):
        watch(f"own{number}", stage[-1].branches[0])
        watch(f"down{number}", stage[-1].fuse_layers[0][0])
    for number, guide in enumerate(net.guidance):
        watch(f"guide{number}", guide)
    watch("final", net.final_layer)
    with torch.no_grad():
        logits = net(images()).map_logits
    for number in range(3):
        (x,), map_logits = seen[f"guide{number}"]
        assert torch.equal(x, seen[f"own{number}"][1])
        assert torch.equal(map_logits[:, 0], logits[:, number])
        assert torch.equal(seen[f"down{number}"][0][0], x * map_logits.sigmoid())
    # The fourth stays where it is.
    (x,), map_logits = seen["guide3"]
    assert torch.equal(seen["final"][0][0], x * map_logits.sigmoid())
    # Without attention its maps are made from the same features, and multiply nothing.
    seen.clear()
    net.applied = "nowhere"
    with torch.no_grad():
        net(images())
    for number in range(3):
        assert torch.equal(seen[f"guide{number}"][0][0], seen[f"own{number}"][1])
        assert torch.equal(seen[f"down{number}"][0][0], seen[f"own{number}"][1])


def test_gates_start_at_a_half_or_where_the_parameter_says(make):
    for bias in (0.0, 2.0):
        with torch.no_grad():
            logits = make("sg_hrnet_small", gate_bias=bias).eval()(images()).map_logits
        assert torch.allclose(logits.sigmoid(), torch.tensor(bias).sigmoid(), atol=1e-3)


def total_loss(output):
    target = torch.rand(output.heatmaps.shape, generator=torch.Generator().manual_seed(2))
    truth = torch.rand(output.map_logits[:, 0].shape, generator=torch.Generator().manual_seed(3)) > 0.5
    return (
        heatmap_loss(output.heatmaps, target, torch.ones(target.shape[:2])),
        segmentation_loss(output.map_logits, truth),
    )


@pytest.mark.parametrize("ablation", [None, "no_attention", *APPLY[1:]])
def test_gradients_reach_every_parameter(ablation, make, ruled):
    net = ruled(make("sg_hrnet_small", ablation=ablation)).train()
    key, segmentation = total_loss(net(images(4)))
    (key + 0.002 * segmentation).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize("name", ["hrnet_small", "pose_resnet50"])
def test_gradients_reach_every_parameter_without_guidance(name, make, ruled):
    net = ruled(make(name)).train()
    net(images(2)).heatmaps.square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_without_segmentation_loss_maps_learn_from_the_heatmaps(make, ruled):
    net = ruled(make("sg_hrnet_small", ablation="no_seg_loss")).train()
    key, segmentation = total_loss(net(images(4)))
    (key + 0.0 * segmentation).backward()
    assert all(parameter.grad.any() for parameter in net.guidance.parameters())


def moved(net):
    return {
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }


def test_segmentation_loss_alone_moves_only_what_lies_before_and_in_the_guided_modules(make, ruled):
    net = ruled(make("sg_hrnet_small")).train()
    total_loss(net(images(4)))[1].backward()
    # The head's 1x1 convolution is all that lies behind the fourth.
    assert {name for name, _ in net.named_parameters()} - moved(net) == {
        "final_layer.weight",
        "final_layer.bias",
    }


@pytest.mark.parametrize(
    "number, before",
    [
        (0, ("transition1.0.",)),
        (1, ("transition1.", "stage2.", "guidance.0.")),
        (2, ("transition1.", "stage2.", "guidance.0.", "stage3.", "transition2.", "guidance.1.")),
    ],
)
def test_each_map_moves_only_what_lies_before_it(number, before, make, ruled):
    net = ruled(make("sg_hrnet_small")).train()
    net(images(4)).map_logits[:, number].square().mean().backward()
    names = moved(net)
    stem = ("conv1.", "conv2.", "bn1.", "bn2.", "layer1.")
    assert {n for n in names if not n.startswith((*stem, *before))} == {
        f"guidance.{number}.{part}" for part in ("conv.weight", "conv.bias", "score.weight", "score.bias")
    }
    assert all(any(name.startswith(prefix) for name in names) for prefix in (*stem, *before))


@pytest.mark.parametrize("name", ["hrnet_small", "sg_hrnet_small", "sg_hrnet_w32", "pose_resnet50"])
def test_channels_last_gives_the_same_heatmaps(name, make, ruled):
    net = ruled(make(name))
    with torch.no_grad():
        plain = net(images())
        net.to(memory_format=torch.channels_last)
        other = net(images().to(memory_format=torch.channels_last))
    assert close(other.heatmaps, plain.heatmaps, 1e-4)


@pytest.mark.parametrize("name", ["hrnet_small", "sg_hrnet_small", "sg_hrnet_w32", "pose_resnet50"])
def test_bfloat16_autocast_gives_the_same_heatmaps(name, make, ruled):
    net = ruled(make(name))
    with torch.no_grad():
        plain = net(images())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = net(images())
    assert rounded.heatmaps.dtype == torch.bfloat16
    assert close(rounded.heatmaps.float(), plain.heatmaps, 2e-2)
    if plain.map_logits is not None:
        assert close(rounded.map_logits.float(), plain.map_logits, 2e-2)


def close(heatmaps, expected, tolerance):
    """Within a share of the scale: of the largest heatmap value."""
    return (heatmaps - expected).abs().max() < tolerance * expected.abs().max()
