"""Ablation-CAM against full passes with a channel removed, and the replay of a network's tail against the network."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from explainers.base import Targets
from explainers.cams.ablation import AblationCam, channel_drops, replayed_drops
from explainers.cams.cam import layer_layout
from explainers.cams.layouts import Layout
from explainers.cams.tail import record_tail
from explainers.hooks import record
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels
from wolfhound.errors import ModelError
from wolfhound.torchvision_import import torchvision

FIRST = Layout("channels first", (8, 8))


class Residual(nn.Module):
    """Two blocks with shortcuts, changes in place, a constant, a slice that is written to, a tuple and dense layers."""

    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 1, 1), nn.Conv2d(6, 6, 3, 1, 1)
        self.relu, self.dropout = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.hidden, self.head = nn.Linear(6 * 16, 7), nn.Linear(7, 4)

    def forward(self, pixels):
        out = self.relu(self.stem(pixels))
        shortcut = out
        out = self.one(out)
        out += shortcut
        out = functional.relu(out, inplace=True)
        weight = torch.linspace(0.5, 1.5, out.shape[-1])
        out = self.two(out * weight) + shortcut.mean(dim=(2, 3), keepdim=True)
        out[:, 0] *= 0.5
        left, right = out.chunk(2, dim=1)
        out = torch.cat((right, torch.max(left, dim=1, keepdim=True).values.expand_as(left)), dim=1)
        out = functional.max_pool2d(self.relu(out), 2)
        hidden = torch.relu(self.hidden(out.reshape(out.size(0), -1)))
        return self.head(self.dropout(hidden))


def residual_classifier():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = Residual()
    with torch.no_grad():
        module.head.weight.mul_(10)
    return classifier_of(module.eval(), name="residual", classes=4, size=16)


def without(classifier, pixels, channel, *, layer, dim=1):
    """Logits of a full pass in which a hook sets one channel of the layer to 0."""

    def hook(_module, _inputs, output):
        output = output.clone()
        output.select(dim, channel).zero_()
        return output

    handle = classifier.module.get_submodule(layer).register_forward_hook(hook)
    with torch.no_grad():
        logits = classifier.logits(pixels)
    handle.remove()
    return logits


def slow_map(classifier, pixels, targets, *, layer, relative=False):
    """The map from one full pass a channel."""
    activation = record(classifier, pixels, layers=(layer,)).activation(layer)
    with torch.no_grad():
        whole = targets.scores(classifier.logits(pixels))
    raw = torch.zeros(len(pixels), *activation.shape[2:])
    for channel in range(activation.shape[1]):
        weight = whole - targets.scores(without(classifier, pixels, channel, layer=layer))
        raw += (weight / whole if relative else weight)[:, None, None] * activation[:, channel]
    return raw


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("layer", ["stem", "one", "two"])
def test_the_map_is_that_of_full_passes_through_any_network(layer, relative):
    classifier, pixels, targets = residual_classifier(), random_pixels(3), Targets.of([0, 1, 3], against=2)
    found = AblationCam(relative=relative).explain(classifier, pixels, targets, layer=layer)
    expected = slow_map(classifier, pixels, targets, layer=layer, relative=relative)
    assert float(expected.abs().max()) > 1e-2
    torch.testing.assert_close(found.raw, expected, rtol=1e-4, atol=1e-5)
    assert found.method == ("ablationcam-relative" if relative else "ablationcam")


@pytest.mark.parametrize("layer", ["first", "second", "features"])
def test_the_closed_form_and_the_replay_agree_with_full_passes(layer):
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([4, 1])
    found = AblationCam().explain(classifier, pixels, targets, layer=layer)
    torch.testing.assert_close(found.raw, slow_map(classifier, pixels, targets, layer=layer), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("against", [None, 2])
def test_with_pooling_and_one_linear_a_channels_drop_is_its_weight_times_its_mean(against):
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([4, 1], against=against)
    tail = record_tail(classifier, pixels, layer="features")
    weight = classifier.module.head.weight.detach()
    rows = weight[[4, 1]] - (0 if against is None else weight[against])
    expected = rows * tail.activation.mean(dim=(2, 3))
    torch.testing.assert_close(channel_drops(classifier, tail, targets, layout=FIRST), expected)
    torch.testing.assert_close(replayed_drops(tail, targets.scores, layout=FIRST), expected, rtol=1e-4, atol=1e-6)


class Floored(nn.Module):
    """Pooling and a Linear, and a bonus as soon as the means sum to less than they do for the images at hand."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()), nn.Linear(8, 3)
        self.floor = 0.0

    def forward(self, pixels):
        means = self.features(pixels).mean(dim=(2, 3))
        return self.head(means) + torch.relu(self.floor - means.sum(dim=1, keepdim=True)) * torch.tensor([1.0, -2, 3])


def test_a_head_that_is_linear_at_the_images_alone_gets_no_closed_form():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Floored().eval()
    classifier, pixels, targets = classifier_of(module, classes=3, size=16), random_pixels(2), Targets.of([0, 1])
    with torch.no_grad():
        means = module.features(pixels).mean(dim=(2, 3))
        module.floor = float(means.sum(dim=1).min()) * 0.999
    found = AblationCam().explain(classifier, pixels, targets, layer="features")
    torch.testing.assert_close(found.raw, slow_map(classifier, pixels, targets, layer="features"), rtol=1e-4, atol=1e-6)
    tail = record_tail(classifier, pixels, layer="features")
    closed = module.head.weight.detach()[[0, 1]] * means
    assert not torch.allclose(channel_drops(classifier, tail, targets, layout=FIRST), closed, atol=1e-3)


def test_a_relative_drop_of_a_score_of_zero_is_an_error():
    classifier = pooled_classifier()
    with torch.no_grad():
        classifier.module.head.weight.zero_()
        classifier.module.head.bias.zero_()
    with pytest.raises(ValueError, match="scores other than 0"):
        AblationCam(relative=True).explain(classifier, random_pixels(1))


@pytest.mark.parametrize("layer", ["stem", "one", "two", "relu6"])
def test_replays_equal_full_passes_with_other_activations(layer):
    classifier, pixels = residual_classifier(), random_pixels(3)
    if layer == "relu6":
        classifier, layer = pooled_classifier(), "norm"
    tail = record_tail(classifier, pixels, layer=layer)
    assert torch.equal(tail.logits, classifier.logits(pixels).detach())
    generator = torch.Generator().manual_seed(0)
    others = torch.randn(4, *tail.activation.shape, generator=generator)
    before = others.clone()
    found = tail.rerun(others)
    assert torch.equal(others, before)
    for index, other in enumerate(others):
        handle = classifier.module.get_submodule(layer).register_forward_hook(lambda *_, other=other: other.clone())
        with torch.no_grad():
            torch.testing.assert_close(found[index], classifier.logits(pixels), rtol=1e-4, atol=1e-5)
        handle.remove()


class Deciding(nn.Module):
    """What runs above the layer is chosen by `kind`; each is something that a replay would get wrong."""

    def __init__(self, kind):
        super().__init__()
        self.features, self.head, self.kind = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4, 2), kind
        self.scripted = torch.jit.script(squashed) if kind == "compiled" else None

    def forward(self, pixels):
        below = pixels.mean(dim=(2, 3))[:, :1].expand(-1, 4).clone()
        means = self.features(pixels).mean(dim=(2, 3))
        if self.kind == "if" and means.sum() > 0:
            means = means * 2
        if self.kind == "item":
            means = means * float(means[0, 0])
        if self.kind == "in place":
            below += means
            means = below
        if self.kind == "random":
            means = functional.dropout(means, 0.5, training=True)
        if self.kind == "compiled":
            means = self.scripted(means)
        return self.head(means)


def squashed(values):
    return values * values.abs() + 1


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("if", "decides from values"),
        ("item", "decides from values"),
        ("in place", "changes a tensor from below"),
        ("random", "cannot be replayed faithfully"),
        ("compiled", "not in a way that can be followed"),
    ],
)
def test_a_network_that_cannot_be_replayed_faithfully_is_refused(kind, reason):
    classifier = classifier_of(Deciding(kind).eval(), classes=2, size=16)
    with pytest.raises(ModelError, match=reason):
        AblationCam().explain(classifier, random_pixels(2), layer="features")


def test_a_channel_of_tokens_is_removed_from_every_token():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = (
            torchvision()
            .models.VisionTransformer(
                image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=16, num_classes=3
            )
            .eval()
        )
        nn.init.normal_(module.heads.head.weight)
    classifier, pixels = classifier_of(module, classes=3, size=32), random_pixels(2, size=32)
    targets, layer = Targets.of([2, 0]), "encoder.layers.encoder_layer_1.ln_1"
    found = AblationCam().explain(classifier, pixels, targets)
    activation = record(classifier, pixels, layers=(layer,)).activation(layer)
    assert layer_layout(classifier, activation, layer=layer) == Layout("tokens", (4, 4), 1)
    with torch.no_grad():
        whole = targets.scores(classifier.logits(pixels))
    expected = torch.zeros(2, 4, 4)
    for channel in range(12):
        drop = whole - targets.scores(without(classifier, pixels, channel, layer=layer, dim=2))
        expected += drop[:, None, None] * activation[:, 1:, channel].reshape(2, 4, 4)
    assert float(expected.abs().max()) > 1e-2
    torch.testing.assert_close(found.raw, expected, rtol=1e-3, atol=1e-5)
    assert found.layer == layer
