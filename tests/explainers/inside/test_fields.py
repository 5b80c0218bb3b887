"""Receptive fields against published sizes, against the support of gradients, and by changing pixels."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from explainers.hooks import tapped
from explainers.inside.fields import Box, receptive_fields
from tests.explainers.networks import classifier_of, pooled_classifier, torchvision_classifier
from wolfhound.architectures.response_norm import ResponseNorm
from wolfhound.errors import ModelError


class Unusual(nn.Module):
    """Operations that move or widen places: branches, slices, flips, one-sided padding, dilation, resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2)
        self.wide = nn.Conv2d(8, 8, 3, dilation=2, padding=2, groups=4)
        self.flat = nn.Conv2d(8, 8, (1, 3), padding=(0, 1))
        self.turned = nn.Linear(8, 8)
        self.sampled = nn.Identity()
        self.mixed = nn.Identity()
        self.head = nn.Linear(16, 2)

    def forward(self, pixels):
        narrow = functional.relu_(self.first(functional.pad(pixels, (0, 1, 0, 1))))
        narrow = functional.pad(narrow, (1, 1, 0, 0), mode="reflect")[:, :, 1:, ::2].flip(3)
        wide = self.wide(narrow) + functional.avg_pool2d(self.flat(narrow), 3, stride=1, padding=1)
        turned = self.turned(wide.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        shuffled = turned.view(len(pixels), 2, 4, *turned.shape[2:]).transpose(1, 2).flatten(1, 2)
        larger = functional.interpolate(shuffled, scale_factor=1.5, mode="bilinear", align_corners=False)
        sampled = self.sampled(functional.layer_norm(larger.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2))
        small = functional.adaptive_avg_pool2d(sampled, (5, 7))
        both = torch.cat([small, functional.adaptive_max_pool2d(sampled, (5, 7))], dim=1)
        both.mul_(2.0)
        return self.head(self.mixed(both).mean((2, 3)))


class GatedNet(nn.Module):
    """Squeeze and excitation: each place is scaled by something of the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)
        self.gated = nn.Identity()
        self.head = nn.Linear(4, 2)

    def forward(self, pixels):
        features = self.first(pixels)
        gated = features * self.gate(functional.adaptive_avg_pool2d(features, 1)).sigmoid()
        return self.head(self.gated(gated).mean((2, 3)))


def unusual_classifier(size=24):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return classifier_of(Unusual().eval().double(), classes=2, size=size)


def activation(classifier, pixels, layer):
    with torch.no_grad(), tapped(classifier.module, (layer,)) as taps:
        classifier.logits(pixels)
    return taps[layer]


def positive_copy(classifier):
    """The same graph with positive weights and averages for maxima, so that every path shows in the gradient."""
    module = copy.deepcopy(classifier.module).double()
    for part in module.modules():
        for name, child in part.named_children():
            if isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, ceil_mode=child.ceil_mode)
                setattr(part, name, pool)
            elif isinstance(child, nn.BatchNorm2d):
                setattr(part, name, nn.Identity())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_().div_(parameter.abs().mean()).clamp_(min=0.1)
    names = len(classifier.class_names)
    return classifier_of(module, classes=names, size=classifier.preprocessing.input_size[0])


def gradient_box(classifier, layer, place, *, size):
    """The smallest rectangle that holds every pixel with a gradient from one place of the layer."""
    pixels = torch.rand(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pixels.requires_grad_()
    kept = []
    handle = classifier.module.get_submodule(layer).register_forward_hook(lambda *run: kept.append(run[2].clone()))
    classifier.logits(pixels)
    handle.remove()
    (gradient,) = torch.autograd.grad(kept[0][0, :, place[0], place[1]].sum(), pixels)
    reached = gradient[0].abs().amax(dim=0) > 0
    rows, columns = (reached.any(dim=dim).nonzero().flatten() for dim in (1, 0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


@pytest.mark.parametrize(
    ("network", "layer", "side", "step"),
    [
        ("alexnet", "features.0", 11, 4),
        ("alexnet", "features.12", 195, 32),
        ("vgg16", "features.30", 212, 32),
        ("resnet18", "layer4", 435, 32),
        ("mobilenet_v2", "features.18", 491, 32),
    ],
)
def test_sizes_are_the_published_ones(network, layer, side, step):
    """Araujo, Norris & Sim 2019 give 195 for AlexNet and 212 for VGG-16; the others follow from their recurrence."""
    fields = receptive_fields(torchvision_classifier(network, device="meta"), layer)
    assert fields.size == (side, side)
    assert (fields.rows.step, fields.columns.step) == (step, step)


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        ("resnet18", "layer2"),
        ("googlenet", "inception3b"),
        ("densenet121", "features.transition2"),
        ("squeezenet1_1", "features.9"),
        ("shufflenet_v2_x0_5", "stage2"),
    ],
)
def test_fields_are_the_support_of_gradients(network, layer):
    size = 96
    classifier = torchvision_classifier(network, size=size)
    fields = receptive_fields(classifier, layer)
    rows, columns = fields.grid
    positive = positive_copy(classifier)
    for place in {(0, 0), (rows // 2, columns // 2), (rows - 1, 1)}:
        assert gradient_box(positive, layer, place, size=size) == fields.visible(*place)


@pytest.mark.parametrize("layer", ["first", "wide", "turned", "sampled", "mixed"])
@pytest.mark.parametrize("size", [24, 31])
def test_pixels_outside_the_field_change_nothing_and_its_edges_do(layer, size):
    """For every place of a network of unusual operations; images of 31 pixels are resized to 24 on their way in."""
    classifier = unusual_classifier()
    if layer == "turned":
        with pytest.raises(ModelError, match="dimensions"):
            receptive_fields(classifier, layer)
        return
    fields = receptive_fields(classifier, layer, size=(size, size))
    pixels = torch.rand(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    before = activation(classifier, pixels, layer)
    assert before.shape[2:] == fields.grid
    for row in range(fields.grid[0]):
        box = fields.visible(row, row % fields.grid[1])
        outside = torch.rand(4, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(row))
        outside[:, :, box.top : box.bottom, box.left : box.right] = pixels[
            :, :, box.top : box.bottom, box.left : box.right
        ]
        after = activation(classifier, outside, layer)[:, :, row, row % fields.grid[1]]
        same = before[:, :, row, row % fields.grid[1]].expand_as(after)
        torch.testing.assert_close(after, same, rtol=0, atol=1e-12)
        for line in edges(box):
            inside = pixels.repeat(4, 1, 1, 1)
            noise = torch.rand(inside[line].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(row))
            inside[line] = 4 * noise - 2
            moved = activation(classifier, inside, layer)[:, :, row, row % fields.grid[1]]
            assert float((moved - same).detach().abs().max()) > 1e-9, (row, line)


def edges(box):
    """The first and last row and column of a rectangle, as indices into `[B,3,H,W]`."""
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    every = (slice(None), slice(None))
    return [
        (*every, slice(box.top, box.top + 1), columns),
        (*every, slice(box.bottom - 1, box.bottom), columns),
        (*every, rows, slice(box.left, box.left + 1)),
        (*every, rows, slice(box.right - 1, box.right)),
    ]


def test_a_field_at_the_border_reaches_beyond_the_image_by_its_padding():
    fields = receptive_fields(torchvision_classifier("resnet18", size=64), "layer1")
    assert fields.box(0, 0) == (-21, -21, 22, 22)
    assert fields.visible(0, 0) == (0, 0, 22, 22)
    assert fields.box(15, 15) == (39, 39, 82, 82)
    assert fields.visible(15, 15) == (39, 39, 64, 64)


def test_a_gate_over_the_whole_image_makes_the_whole_image_the_field():
    classifier = classifier_of(GatedNet().eval(), classes=2, size=12)
    assert receptive_fields(classifier, "first").size == (3, 3)
    fields = receptive_fields(classifier, "gated")
    assert fields.is_whole_image
    assert "all places are mixed by" in fields.text
    assert "pool" in fields.text or "mean" in fields.text


@pytest.mark.parametrize(("network", "layer"), [("mobilenet_v3_small", "features.2"), ("vit_b_16", "conv_proj")])
def test_attention_and_gates_widen_only_what_comes_behind_them(network, layer):
    fields = receptive_fields(torchvision_classifier(network, device="meta"), layer)
    assert fields.is_whole_image == (network == "mobilenet_v3_small")


@pytest.mark.parametrize(
    ("layer", "grid", "size"),
    [("features.0", (56, 56), (4, 4)), ("features.1.0.norm1", (56, 56), (4, 4)), ("features.1", (56, 56), (224, 224))],
)
def test_channels_that_come_last_are_followed_until_windows_mix_them(layer, grid, size):
    fields = receptive_fields(torchvision_classifier("swin_t", device="meta"), layer)
    assert (fields.grid, fields.size) == (grid, size)


def test_tokens_behind_attention_see_the_whole_image():
    fields = receptive_fields(torchvision_classifier("vit_b_16", device="meta"), "encoder.layers.encoder_layer_1")
    assert fields.grid == (14, 14)
    assert fields.is_whole_image


def test_response_normalisation_over_channels_keeps_places_apart():
    norms = (ResponseNorm(4, alpha=1e-4, k=1.0), nn.LocalResponseNorm(3))
    module = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), *norms, nn.Flatten(), nn.LazyLinear(2))
    module(torch.zeros(1, 3, 16, 16))
    classifier = classifier_of(module.eval(), classes=2, size=16)
    assert receptive_fields(classifier, "2").size == (5, 5)


class ValueReader(nn.Module):
    def forward(self, features):
        return features / float(features.max().abs() + 1)


class PartWriter(nn.Module):
    def forward(self, features):
        made = torch.zeros(len(features), 8, *features.shape[2:])
        made[:, :6] = features
        return made


class PartChanger(nn.Module):
    def forward(self, features):
        features = features.clone()
        features[:, :, 0].add_(features[:, :, -1])
        return features


@pytest.mark.parametrize("part", [ValueReader, PartWriter, PartChanger])
def test_a_graph_that_cannot_be_followed_gives_the_whole_image_and_says_so(part):
    classifier = pooled_classifier()
    classifier.module.features = nn.Sequential(classifier.module.first, part(), nn.LazyConv2d(8, 3))
    with torch.no_grad():
        classifier.module.features(torch.zeros(1, 3, 16, 16))
    fields = receptive_fields(classifier, "features.1")
    assert fields.is_whole_image
    assert "could not be followed" in fields.text
    assert receptive_fields(classifier, "features.0").untraceable is not None


def test_instance_statistics_mix_all_places():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    module(torch.zeros(1, 3, 16, 16))
    assert receptive_fields(classifier_of(module.eval(), classes=2, size=16), "2").is_whole_image


def test_scripted_networks_are_followed_too():
    classifier = pooled_classifier()
    expected = receptive_fields(classifier, "features")
    classifier.module.features = nn.Sequential(torch.jit.trace(classifier.module.features, torch.zeros(1, 3, 16, 16)))
    found = receptive_fields(classifier, "features")
    assert found.size == expected.size == (7, 7)
    assert found.box(3, 5) == expected.box(3, 5)


def test_an_ambient_inference_mode_changes_nothing():
    classifier = pooled_classifier()
    expected = receptive_fields(classifier, "features")
    with torch.inference_mode():
        found = receptive_fields(classifier, "features")
    assert found.box(2, 3) == expected.box(2, 3)
    assert found.size == (7, 7)


def test_errors_name_the_layer_and_leave_no_hook():
    classifier = pooled_classifier()
    with pytest.raises(ModelError, match=r"close: .*features"):
        receptive_fields(classifier, "feature")
    with pytest.raises(ModelError, match="expected layer 'head' to give a feature map"):
        receptive_fields(classifier, "head")
    classifier.module.unused = nn.Conv2d(3, 3, 1)
    with pytest.raises(ModelError, match="it ran 0 times"):
        receptive_fields(classifier, "unused")
    assert not any(part._forward_hooks for part in classifier.module.modules())
