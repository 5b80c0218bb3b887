"""Filters, weight slices and activations as pictures: shapes of real architectures, scales, colour order, refusals."""

import pytest
import torch
from torch import nn

from explainers.inside.filters import activation_tiles, first_layer_filters, weight_slices
from explainers.inside.tiles import Tiles, around_grey
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels, torchvision_classifier
from wolfhound.errors import ModelError
from wolfhound.torchvision_import import torchvision


@pytest.mark.parametrize(
    ("network", "layer", "shape"),
    [
        ("alexnet", "features.0", (64, 3, 11, 11)),
        ("resnet18", "conv1", (64, 3, 7, 7)),
        ("resnet101", "conv1", (64, 3, 7, 7)),
        ("densenet121", "features.conv0", (64, 3, 7, 7)),
    ],
)
def test_first_layers_are_found_and_have_the_shapes_of_their_papers(network, layer, shape):
    classifier = torchvision_classifier(network)
    found = first_layer_filters(classifier)
    assert found.layer == layer
    assert torch.equal(found.weight, dict(classifier.module.named_modules())[layer].weight.detach())
    assert found.per_filter.pictures.shape == found.per_layer.pictures.shape == shape
    assert not found.reordered


def test_a_patch_embedding_is_a_first_convolution():
    vit = torchvision().models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8, num_classes=5
    )
    found = first_layer_filters(classifier_of(vit.eval(), classes=5, size=32))
    assert found.layer == "conv_proj"
    assert found.weight.shape == (8, 3, 16, 16)


def test_each_filter_is_scaled_by_itself_and_all_by_the_largest():
    classifier = pooled_classifier()
    with torch.no_grad():
        classifier.module.first.weight[2] *= 10
        classifier.module.first.weight[3] = 0
    found = first_layer_filters(classifier)
    weight = classifier.module.first.weight.detach()
    for index in (0, 1, 2):
        own, shared = found.per_filter.pictures[index], found.per_layer.pictures[index]
        torch.testing.assert_close(own, 0.5 + weight[index] / (2 * weight[index].abs().max()))
        torch.testing.assert_close(shared, 0.5 + weight[index] / (2 * weight.abs().max()))
        assert float((own - 0.5).abs().max()) == pytest.approx(0.5)
    assert torch.equal(found.per_filter.pictures[3], torch.full((3, 3, 3), 0.5))
    torch.testing.assert_close(found.strength, weight.abs().amax(dim=(1, 2, 3)))


class Swapped(nn.Module):
    """Reads blue, green, red, as networks converted from Caffe do, and normalises."""

    def __init__(self, inner, order=(2, 1, 0)) -> None:
        super().__init__()
        self.inner, self.order = inner, list(order)

    def forward(self, pixels):
        return self.inner((pixels[:, self.order] - 0.4) / 0.2)


class Greyish(nn.Module):
    def __init__(self, inner) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels):
        return self.inner(pixels + pixels.mean(dim=1, keepdim=True))


def test_a_network_that_reads_blue_first_is_shown_in_red_green_blue():
    inner = pooled_classifier().module
    found = first_layer_filters(classifier_of(Swapped(inner), classes=5, size=16))
    assert found.reordered
    assert torch.equal(found.weight, inner.first.weight.detach()[:, [2, 1, 0]])
    turned = first_layer_filters(classifier_of(Swapped(inner, (1, 2, 0)), classes=5, size=16))
    # Channel 0 holds green, 1 blue, 2 red: red's weights are channel 2's.
    assert torch.equal(turned.weight, inner.first.weight.detach()[:, [2, 0, 1]])


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5)), "to be a convolution, got '1', a Linear"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 16), nn.Flatten()), "to be a convolution, got '0'"),
        (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 5, 8), nn.Flatten()), "read the three colours"),
        (nn.Sequential(nn.Conv2d(3, 6, 16, groups=3), nn.Flatten(), nn.Linear(6, 5)), "got 3 groups"),
        (Greyish(pooled_classifier().module), "mixtures"),
        (nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.ConstantPad1d((0, 2), 0.0)), "no layer with weights"),
    ],
)
def test_networks_whose_first_weights_are_no_colour_images_are_refused(module, message):
    with pytest.raises(ModelError, match=message):
        first_layer_filters(classifier_of(module.eval(), classes=5, size=16))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_slices_are_those_of_the_largest_norm_on_one_scale():
    classifier = pooled_classifier()
    weight = classifier.module.second.weight.detach()
    tiles = weight_slices(classifier, "second", filters=3, slices=2)
    norms = {n: float(weight[n].norm()) for n in range(len(weight))}
    rows = sorted(norms, key=lambda n: (-norms[n], n))[:3]
    assert tiles.columns == 2
    assert tiles.pictures.shape == (6, 1, 3, 3)
    expected = []
    for n in rows:
        channels = sorted(range(weight.shape[1]), key=lambda c: (-float(weight[n, c].norm()), c))[:2]
        for c in channels:
            share = float(weight[n, c].square().sum() / weight[n].square().sum())
            assert tiles.labels[len(expected)] == f"filter {n} over channel {c} ({share:.0%} of its energy)"
            expected.append(weight[n, c][None])
    stacked = torch.stack(expected)
    torch.testing.assert_close(tiles.pictures, 0.5 + stacked / (2 * stacked.abs().max()))


def test_slices_of_grouped_convolutions_name_the_input_channel():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.LazyLinear(2))
    module(torch.zeros(1, 3, 8, 8))
    with torch.no_grad():
        module[1].weight.zero_()
        module[1].weight[3, 1] = 1.0  # filter 3 is in the second group, whose channels are 2 and 3
    tiles = weight_slices(classifier_of(module, classes=2, size=8), "1", filters=1, slices=1)
    assert tiles.labels == ("filter 3 over channel 3 (100% of its energy)",)


@pytest.mark.parametrize(("layer", "signed"), [("first", True), ("features", False)])
def test_activations_share_the_layers_scale_and_keep_their_sign(layer, signed):
    classifier, pixels = pooled_classifier(), random_pixels(1)
    kept = []
    handle = classifier.module.get_submodule(layer).register_forward_hook(lambda *run: kept.append(run[2].clone()))
    with torch.no_grad():
        classifier.logits(pixels)
    handle.remove()
    activation = kept[0][0]
    tiles = activation_tiles(classifier, pixels, layer=layer, channels=[3, 1], share=1.0)
    shares = activation[[3, 1]][:, None] / activation.abs().max()
    torch.testing.assert_close(tiles.pictures, 0.5 + shares / 2 if signed else shares)
    assert tiles.labels == ("channel 3", "channel 1")
    assert tiles.scale.startswith("grey 0" if signed else "black 0")
    assert "beyond" not in tiles.scale
    cut = activation_tiles(classifier, pixels, layer=layer, channels=[3, 1], share=0.9)
    limit = float(activation.abs().flatten().sort().values[round(0.9 * activation.numel()) - 1])
    shares = (activation[[3, 1]][:, None] / limit).clamp(-1, 1)
    torch.testing.assert_close(cut.pictures, 0.5 + shares / 2 if signed else shares)
    assert f"{limit:.3g} and beyond (largest {float(activation.abs().max()):.3g})" in cut.scale
    ranked = activation_tiles(classifier, pixels, layer=layer, most=2)
    strength = activation.abs().mean(dim=(1, 2))
    assert ranked.labels == tuple(f"channel {int(c)}" for c in strength.topk(2).indices)


def test_refusals_of_slices_and_activations_name_what_is_wrong():
    classifier = pooled_classifier()
    with pytest.raises(ModelError, match="to be a convolution, got a BatchNorm2d"):
        weight_slices(classifier, "norm")
    with pytest.raises(ValueError, match="at least 1 filter"):
        weight_slices(classifier, "second", filters=0)
    with pytest.raises(ValueError, match=r"different channels .* in \[0, 8\)"):
        activation_tiles(classifier, random_pixels(1), layer="second", channels=[8])
    with pytest.raises(ValueError, match="expected one image and a share"):
        activation_tiles(classifier, random_pixels(2), layer="second")
    with pytest.raises(ModelError, match="got shape"):
        activation_tiles(classifier, random_pixels(1), layer="head")
    with pytest.raises(ValueError, match="expected 2 labels"):
        Tiles(torch.zeros(2, 1, 3, 3), ("one",), "grey")
    with pytest.raises(ValueError, match="expected pictures"):
        Tiles(torch.zeros(2, 2, 3, 3), ("one", "two"), "grey")


def test_the_largest_magnitude_becomes_black_or_full():
    values = torch.tensor([[-4.0, 2.0]]).view(1, 1, 1, 2)
    assert around_grey(values, largest=4.0).flatten().tolist() == [0.0, 0.75]
    assert around_grey(values, largest=0.0).flatten().tolist() == [0.5, 0.5]
