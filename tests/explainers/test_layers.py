"""The default layer is the last convolutional feature map before pooling, for every family of torchvision."""

import pytest
from torch import nn

from explainers.layers import default_layer, trace
from tests.explainers.networks import classifier_of, torchvision_classifier
from wolfhound.errors import ModelError

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


def shapes_only(name):
    """The network without weights (on the meta device), except where its constructor computes with tensors."""
    size = 299 if name == "inception_v3" else 224
    return torchvision_classifier(name, size=size, device="cpu" if "regnet" in name or "swin" in name else "meta")


@pytest.mark.parametrize("name", EXPECTED)
def test_the_last_feature_map_of_each_torchvision_family_is_found(name):
    assert default_layer(shapes_only(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
def test_networks_of_tokens_are_refused_and_not_explained_at_their_patch_embedding(name):
    with pytest.raises(ModelError, match="followed by layers over tokens"):
        default_layer(shapes_only(name))


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
