"""Layers are found by name, recorded once, and misuse is refused with a way out."""

import pytest
import torch
from torch import nn

from explainers.hooks import find_layer, record, tapped
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels, torchvision_classifier
from wolfhound.errors import ModelError


def test_a_layer_is_found_by_its_dotted_name():
    module = torchvision_classifier("resnet18").module
    assert find_layer(module, "layer4.1.conv2") is module.layer4[1].conv2


@pytest.mark.parametrize(
    ("wrong", "close"), [("layer5", "layer4"), ("layer4.2.conv1", r"layer4\.\d\.conv1"), ("fx", "fc")]
)
def test_a_wrong_name_is_answered_with_close_ones(wrong, close):
    with pytest.raises(ModelError, match=f"got '{wrong}' .*{close}"):
        find_layer(torchvision_classifier("resnet18").module, wrong)


def test_a_name_like_no_other_is_answered_with_the_children_of_what_exists():
    with pytest.raises(ModelError, match=r"close: layer4\.0, layer4\.1"):
        find_layer(torchvision_classifier("resnet18").module, "layer4.zzzzzzzzzzzzzzz")


def test_the_network_itself_is_no_layer():
    with pytest.raises(ModelError, match="got ''"):
        find_layer(nn.Linear(1, 1), "")


def test_hooks_are_gone_when_the_block_ends_in_an_error():
    module = nn.Sequential(nn.Conv2d(3, 2, 1))
    with pytest.raises(RuntimeError, match="channels"), tapped(module, ["0"]):
        module(torch.zeros(1, 5, 2, 2))
    assert not module[0]._forward_hooks


class Twice(nn.Module):
    """Runs its activation twice, never runs `unused`, gives a tuple from `pair`, and drops `side`'s output."""

    def __init__(self):
        super().__init__()
        self.conv, self.side, self.unused = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.relu, self.pair = nn.ReLU(), nn.MaxPool2d(2, return_indices=True)
        self.head = nn.Linear(4, 2)

    def forward(self, pixels):
        self.side(pixels)
        features, _ = self.pair(self.relu(self.relu(self.conv(pixels))))
        return self.head(features.mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [("relu", "runs more than once"), ("unused", "did not run"), ("pair", "one tensor, got tuple")],
)
def test_a_layer_that_cannot_be_recorded_is_refused(layer, reason):
    with pytest.raises(ModelError, match=reason):
        record(classifier_of(Twice(), classes=2, size=8), random_pixels(1, size=8), layers=(layer,))


def test_a_layer_that_the_logits_do_not_depend_on_has_no_gradient():
    recording = record(classifier_of(Twice(), classes=2, size=8), random_pixels(1, size=8), layers=("side", "conv"))
    with pytest.raises(ModelError, match=r"do not depend on layer\(s\) side"):
        recording.gradients(lambda logits: logits[:, 0])


def test_recording_changes_no_logit_and_builds_no_graph_below_the_layer():
    classifier, pixels = pooled_classifier(), random_pixels(2)
    below = []
    handle = classifier.module.second.register_forward_hook(lambda *run: below.append(run[2].requires_grad))
    recording = record(classifier, pixels, layers=("features",))
    handle.remove()
    assert below == [False]
    with torch.no_grad():
        assert torch.equal(recording.logits.detach(), classifier.logits(pixels))


def test_two_scores_can_be_explained_from_one_recording():
    recording = record(pooled_classifier(), random_pixels(2), layers=("features",))
    both = recording.gradients(lambda logits: logits[:, 0] + logits[:, 1])["features"]
    one, other = (recording.gradients(lambda logits, k=k: logits[:, k])["features"] for k in (0, 1))
    torch.testing.assert_close(both, one + other)
