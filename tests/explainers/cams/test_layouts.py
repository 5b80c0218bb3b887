"""Feature maps out of channels, channels at the end, and tokens; and where a token network can be explained."""

import pytest
import torch
from torch import nn

from explainers.base import Targets
from explainers.cams.cam import ClassActivationMapping, cam_families, cam_family
from explainers.cams.layouts import Layout, layout_of, required_layout
from explainers.hooks import record
from explainers.layers import default_layer
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels
from wolfhound.errors import ModelError
from wolfhound.torchvision_import import torchvision


def small_vit():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torchvision().models.VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=16, num_classes=3
        )
        nn.init.normal_(module.heads.head.weight)  # torchvision begins with zeros, and zeros explain nothing
    return classifier_of(module.eval(), name="vit", classes=3, size=32)


def small_swin(version=1):
    models = torchvision().models.swin_transformer
    block = models.SwinTransformerBlock if version == 1 else models.SwinTransformerBlockV2
    merging = models.PatchMerging if version == 1 else models.PatchMergingV2
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = models.SwinTransformer(
            [2, 2], 8, [1, 2], [2, 2], [4, 4], num_classes=3, block=block, downsample_layer=merging
        )
    return classifier_of(module.eval(), name="swin", classes=3, size=32)


CONVOLUTION, DENSE = nn.Conv2d(3, 3, 1), nn.Sequential(nn.LayerNorm(7), nn.Linear(7, 7))


@pytest.mark.parametrize(
    ("shape", "size", "part", "expected"),
    [
        ((1, 512, 7, 7), (224, 224), CONVOLUTION, Layout("channels first", (7, 7))),
        ((1, 7, 7, 768), (224, 224), DENSE, Layout("channels last", (7, 7))),
        ((1, 7, 7, 7), (224, 224), DENSE, Layout("channels last", (7, 7))),
        ((1, 7, 7, 7), (224, 224), CONVOLUTION, Layout("channels first", (7, 7))),
        ((1, 16, 5, 8), (160, 256), CONVOLUTION, Layout("channels first", (5, 8))),
        ((1, 5, 8, 16), (160, 256), DENSE, Layout("channels last", (5, 8))),
        ((1, 197, 768), (224, 224), DENSE, Layout("tokens", (14, 14), 1)),
        ((1, 196, 768), (224, 224), DENSE, Layout("tokens", (14, 14), 0)),
        ((1, 201, 768), (224, 224), DENSE, Layout("tokens", (14, 14), 5)),
        ((1, 1370, 1280), (518, 518), DENSE, Layout("tokens", (37, 37), 1)),
        ((1, 41, 12), (40, 64), DENSE, Layout("tokens", (5, 8), 1)),
        ((1, 215, 768), (224, 224), DENSE, None),
        ((1, 768), (224, 224), DENSE, None),
    ],
)
def test_a_layout_follows_from_shape_and_proportions(shape, size, part, expected):
    assert layout_of(shape, size=size, part=part) == expected


def test_what_is_no_feature_map_is_refused():
    with pytest.raises(ModelError, match=r"feature map \[B, C, h, w\].*got shape \[1, 768\]"):
        required_layout((1, 768), size=(224, 224), layer="head", part=DENSE)


@pytest.mark.parametrize(
    "layout", [Layout("channels first", (2, 3)), Layout("channels last", (2, 3)), Layout("tokens", (2, 3), 2)]
)
def test_every_layout_gives_the_same_feature_map(layout):
    expected = torch.arange(24.0).view(1, 4, 2, 3)
    own = {
        "channels first": expected,
        "channels last": expected.permute(0, 2, 3, 1),
        "tokens": torch.cat([torch.full((1, 2, 4), -1.0), expected.flatten(2).transpose(1, 2)], dim=1),
    }[layout.kind]
    assert torch.equal(layout.feature_map(own), expected)
    assert own.shape[layout.channel_dim] == 4


def test_the_layer_of_a_vit_is_the_last_whose_every_place_has_a_gradient():
    classifier, pixels = small_vit(), random_pixels(2, size=32)
    layer, last = default_layer(classifier), "encoder.layers.encoder_layer_1"
    assert layer == "encoder.layers.encoder_layer_1.ln_1"
    recording = record(classifier, pixels, layers=(layer, last))
    gradients = recording.gradients(Targets.of([0, 2]).scores)
    assert bool((gradients[layer][:, 1:].abs().amax(dim=2) > 0).all())
    assert float(gradients[last][:, 1:].abs().max()) == 0


def test_the_maps_of_a_vit_are_those_of_its_tokens_put_on_the_grid():
    classifier, pixels, targets = small_vit(), random_pixels(2, size=32), Targets.of([0, 2])
    layer = default_layer(classifier)
    maps = cam_family(classifier, pixels, targets, methods=("gradcam", "hirescam"))
    recording = record(classifier, pixels, layers=(layer,))
    tokens, gradient = recording.activation(layer), recording.gradients(targets.scores)[layer]
    weight = gradient[:, 1:].mean(dim=1, keepdim=True)
    expected = (weight * tokens[:, 1:]).sum(dim=2).view(2, 4, 4)
    assert float(expected.abs().max()) > 1e-4
    torch.testing.assert_close(maps["gradcam", layer].raw, expected, rtol=1e-4, atol=1e-6)
    expected = (gradient * tokens)[:, 1:].sum(dim=2).view(2, 4, 4)
    torch.testing.assert_close(maps["hirescam", layer].raw, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("version", [1, 2])
def test_a_swin_ends_in_pooling_and_one_linear_so_its_maps_agree_with_cam(version):
    classifier, pixels, targets = small_swin(version), random_pixels(2, size=32), Targets.of([0, 2])
    layer = default_layer(classifier)
    assert layer == "permute"
    maps = cam_family(classifier, pixels, targets, methods=("gradcam", "hirescam", "xgradcam"))
    cam = ClassActivationMapping().explain(classifier, pixels, targets).raw
    assert cam.shape == (2, 8, 8)
    for method in ("gradcam", "hirescam"):
        torch.testing.assert_close(maps[method, layer].raw, cam / 64, rtol=1e-4, atol=1e-6)


def test_channels_at_the_end_give_the_maps_of_the_permuted_layer():
    """The last norm of a Swin is `permute` before permuting: an unread layout would give maps of 8 x 16 places."""
    classifier, pixels, targets = small_swin(), random_pixels(2, size=32), Targets.of([0, 2])
    maps = cam_family(classifier, pixels, targets, layers=("norm", "permute"), methods=("gradcam", "layercam"))
    for method in ("gradcam", "layercam"):
        assert torch.equal(maps[method, "norm"].raw, maps[method, "permute"].raw)


def test_several_classes_come_from_one_forward_pass():
    classifier, pixels = pooled_classifier(), random_pixels(3)
    passes = []
    handle = classifier.module.register_forward_hook(lambda *_: passes.append(1))
    layers = ("second", "features")
    found = cam_families(classifier, pixels, 3, layers=layers)
    handle.remove()
    assert len(passes) == 1
    with torch.no_grad():
        order = classifier.logits(pixels).argsort(dim=1, descending=True)
    for rank, family in enumerate(found):
        alone = cam_family(classifier, pixels, Targets(order[:, rank]), layers=layers)
        for key, maps in family.items():
            assert torch.equal(maps.targets.classes, order[:, rank])
            torch.testing.assert_close(maps.raw, alone[key].raw)


@pytest.mark.parametrize(("several", "reason"), [(0, "from 1 to 5 classes"), (6, "from 1 to 5"), ((), "got none")])
def test_no_class_or_more_than_there_are_is_refused(several, reason):
    with pytest.raises(ValueError, match=reason):
        cam_families(pooled_classifier(), random_pixels(1), several)
