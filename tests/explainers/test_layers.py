"""The default layer is the last convolutional feature map before pooling, for every family of torchvision."""

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from explainers.layers import default_layer, trace
from tests.explainers.networks import classifier_of, torchvision_classifier
from wolfhound.errors import ModelError
from wolfhound.torchvision_import import torchvision

EXPECTED = {
    "alexnet": "features.11",
    "vgg11": "features.19",
    "vgg16": "features.29",
    "vgg16_bn": "features.42",
    "vgg19": "features.35",
    "resnet18": "layer4",
    "resnet152": "layer4",
    "resnext50_32x4d": "layer4",
    "wide_resnet50_2": "layer4",
    "densenet121": "features",
    "googlenet": "inception5b",
    "inception_v3": "Mixed_7c",
    "squeezenet1_0": "features",
    "squeezenet1_1": "features",
    "mobilenet_v2": "features",
    "mobilenet_v3_small": "features",
    "mnasnet1_0": "layers",
    "shufflenet_v2_x1_0": "conv5",
    "efficientnet_b0": "features",
    "efficientnet_v2_s": "features",
    "convnext_tiny": "features",
    "maxvit_t": "blocks.3",
    "regnet_y_400mf": "trunk_output",
}


TOKENS = {
    "vit_b_16": "encoder.layers.encoder_layer_11.ln_1",
    "vit_b_32": "encoder.layers.encoder_layer_11.ln_1",
    "vit_l_16": "encoder.layers.encoder_layer_23.ln_1",
    "vit_l_32": "encoder.layers.encoder_layer_23.ln_1",
    "vit_h_14": "encoder.layers.encoder_layer_31.ln_1",
    "swin_t": "permute",
    "swin_s": "permute",
    "swin_b": "permute",
    "swin_v2_t": "permute",
    "swin_v2_s": "permute",
    "swin_v2_b": "permute",
}
FAMILIES = (
    ("vgg", None), ("resn", "layer4"), ("wide_resnet", "layer4"), ("densenet", "features"), ("squeezenet", "features"),
    ("mobilenet", "features"), ("mnasnet", "layers"), ("shufflenet", "conv5"), ("efficientnet", "features"),
    ("convnext", "features"), ("regnet", "trunk_output"),
)  # fmt: skip
EVERY = torchvision().models.list_models(module=torchvision().models)
LARGE = ("_h_", "_l_", "128gf", "32gf", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_l")


class WithoutWeights(TorchFunctionMode):
    """Constructors get their large tensors on the meta device, where they cost nothing, and compute with the rest."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.empty, torch.zeros, torch.ones):
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def shapes_only(name, *, size=None):
    """The network without weights: its layers and their shapes are all that is needed."""
    usual = {"inception_v3": 299, "swin_v2_t": 256, "swin_v2_s": 256, "swin_v2_b": 256}.get(name, 224)
    with WithoutWeights():
        return torchvision_classifier(name, size=size or usual).to("meta")


def expected_layer(name):
    known = {**EXPECTED, **TOKENS}
    if name in known:
        return known[name]
    layer = next(layer for start, layer in FAMILIES if name.startswith(start))
    return layer or LAST_RELU_OF_VGG[name]


LAST_RELU_OF_VGG = {
    "vgg11_bn": "features.27", "vgg13": "features.23", "vgg13_bn": "features.33", "vgg19_bn": "features.51",
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * any(part in name for part in LARGE)) for name in EVERY],
)
def test_the_last_feature_map_of_every_torchvision_classifier_is_found(name):
    assert default_layer(shapes_only(name)) == expected_layer(name)


def test_tokens_without_an_attention_module_are_refused_and_not_explained_at_their_patch_embedding():
    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.mixing, self.head = nn.Conv2d(3, 4, 2, 2), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, pixels):
            return self.head(self.mixing(self.patches(pixels).flatten(2).transpose(1, 2)).mean(dim=1))

    with pytest.raises(ModelError, match="no attention module among them"):
        default_layer(classifier_of(Mixer(), classes=2, size=8))


def test_a_network_without_convolutions_is_refused():
    dense = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    with pytest.raises(ModelError, match="no convolution with a feature map"):
        default_layer(classifier_of(dense, classes=2, size=4))


def test_class_scores_of_a_fully_convolutional_head_are_no_feature_map():
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert default_layer(classifier_of(network, classes=2, size=8)) == "1"


def test_as_many_channels_as_classes_with_a_head_behind_stay_a_feature_map():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    assert default_layer(classifier_of(network, classes=2, size=8)) == "1"


def test_a_shared_activation_that_runs_twice_is_passed_over():
    relu = nn.ReLU()
    network = nn.Sequential()
    network.add_module("one", nn.Sequential(nn.Conv2d(3, 4, 3), relu))
    network.add_module("two", nn.Sequential(nn.Conv2d(4, 4, 3), relu))
    network.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    assert default_layer(classifier_of(network, classes=2, size=8)) == "two"


def test_tracing_leaves_no_hook():
    classifier = torchvision_classifier("squeezenet1_1", device="meta")
    assert len(trace(classifier)) > 50
    assert not any(part._forward_hooks for part in classifier.module.modules())


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("vgg16", 64, "features.22"),
        ("resnet18", 64, "layer2"),
        ("resnet50", 64, "layer2"),
        ("googlenet", 64, "inception3b"),
        ("mobilenet_v2", 64, "features.6"),
        ("densenet121", 64, "features.transition2.conv"),
    ],
)
def test_small_images_get_the_last_map_of_at_least_seven_places_a_side(name, size, layer):
    assert default_layer(torchvision_classifier(name, size=size, device="meta")) == layer
