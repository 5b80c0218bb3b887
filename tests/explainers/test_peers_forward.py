"""Parity of the maps that need many passes, and of networks of tokens, with pytorch-grad-cam, where it is installed."""

import numpy as np
import pytest
import torch
from torch import nn

from explainers.base import Targets, normalise
from explainers.cams.ablation import AblationCam
from explainers.cams.cam import RULES, cam_family
from explainers.cams.scorecam import ScoreCam
from explainers.layers import default_layer
from tests.explainers.cams.test_layouts import small_swin, small_vit
from tests.explainers.networks import random_pixels, torchvision_classifier
from tests.explainers.test_peers import PEERS, TOLERANCE, comparable, enlarge_head
from wolfhound.torchvision_import import torchvision

pytestmark = pytest.mark.peers

# Layers behind a ReLU: elsewhere the peer's ablation sets channels far below 0 instead of to 0. And layers whose
# channels matter: the peer rounds scores to float32 before it takes differences of them.
CASES = {
    "resnet18": ("layer3", 64),
    "alexnet": ("features.1", 64),
    "vgg16": ("features.29", 32),
    "densenet121": ("features.relu0", 64),
    "googlenet": ("inception4a", 64),
    "mobilenet_v2": ("features.4.conv.0", 64),
}


@pytest.fixture(scope="module")
def peer():
    torchvision()
    return pytest.importorskip("pytorch_grad_cam", reason="the optional peer grad-cam is not installed")


def peer_map(peer, method, classifier, pixels, classes, *, layer, reshape=None):
    part = classifier.module.get_submodule(layer)
    with getattr(peer, method)(classifier.module, [part], reshape_transform=reshape) as cam:
        targets = [lambda logits, label=int(label): logits[label] for label in classes]
        return cam(input_tensor=classifier.preprocessing.apply(pixels), targets=targets)


def calibrate(module, pixels):
    """Give batch norms the statistics of some images: at random weights deep activations all but vanish without."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.random.fork_rng(), torch.no_grad():
        module.train()(pixels)
    module.eval()


def prepared(network):
    layer, size = CASES[network]
    classifier, pixels = torchvision_classifier(network, size=size), random_pixels(2, size=size)
    calibrate(classifier.module, random_pixels(8, size=size, seed=3))
    enlarge_head(classifier, pixels)
    return classifier, pixels, layer, classifier.logits(pixels).topk(2, dim=1).indices[:, 1]


def check(maps, theirs, *, name, record_property):
    ours, theirs = comparable(maps, theirs)
    assert len(ours), "every raw map was empty, so nothing would be compared"
    difference = float(np.abs(ours - theirs).max())
    print(f"\n{name}: largest difference {difference:.2e}")
    record_property("largest difference", difference)
    assert difference <= TOLERANCE


@pytest.mark.parametrize("network", CASES)
def test_ablation_maps_equal_pytorch_grad_cams(peer, network, record_property):
    classifier, pixels, layer, classes = prepared(network)
    maps = AblationCam(relative=True).explain(classifier, pixels, Targets(classes), layer=layer)
    theirs = peer_map(peer, "AblationCAM", classifier, pixels, classes, layer=layer)
    check(maps, theirs, name=f"{network} ablationcam {layer}", record_property=record_property)


@pytest.mark.parametrize("network", CASES)
def test_score_maps_equal_pytorch_grad_cams(peer, network, record_property):
    classifier, pixels, layer, classes = prepared(network)
    with torch.no_grad():  # a softmax over scores of 1000 is a choice of one channel, and hides all others
        [part for part in classifier.module.modules() if isinstance(part, nn.Linear)][-1].weight.mul_(0.02)
    # Scores of 20 in a softmax make 1e-4 out of the rounding of float32, the peer's as ours: only the rule is compared.
    classifier.module.double()
    pixels = pixels.double()
    maps = ScoreCam().explain(classifier, pixels, Targets(classes), layer=layer)
    theirs = peer_map(peer, "ScoreCAM", classifier, pixels, classes, layer=layer)
    check(maps, theirs, name=f"{network} scorecam {layer}", record_property=record_property)


def tokens_to_grid(tokens):
    side = int((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)


def large_vit():
    classifier = torchvision_classifier("vit_b_32")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nn.init.normal_(classifier.module.heads.head.weight)
    return classifier


def in_double(classifier, pixels, *, largest):
    """Tokens are signed and their sums cancel: in float64 the rules are compared, not the order of additions."""
    enlarge_head(classifier, pixels)
    with torch.no_grad():
        [part for part in classifier.module.modules() if isinstance(part, nn.Linear)][-1].weight.mul_(largest / 1000)
    classifier.module.double()
    return classifier, pixels.double()


NETWORKS = {
    "small vit": (small_vit, 32, None, tokens_to_grid),
    "vit_b_32": (large_vit, 224, None, tokens_to_grid),
    "small swin": (small_swin, 32, "norm", lambda places: places.permute(0, 3, 1, 2)),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", RULES)
def test_maps_of_tokens_equal_pytorch_grad_cams(peer, network, method, record_property):
    build, size, layer, reshape = NETWORKS[network]
    if method == "xgradcam":
        pytest.skip("XGradCAM is unstable on signed activations, which layers of tokens have")
    classifier, pixels = in_double(build(), random_pixels(2, size=size), largest=1000)
    layer, classes = layer or default_layer(classifier), torch.tensor([2, 0])
    maps = cam_family(classifier, pixels, Targets(classes), layers=(layer,), methods=(method,))[method, layer]
    theirs = peer_map(peer, PEERS[method], classifier, pixels, classes, layer=layer, reshape=reshape)
    if method == "eigencam":  # the peer's sign is arbitrary
        flipped = normalise([-maps.raw], size=(size, size)).numpy()
        ours = maps.normalised.numpy()
        gaps = [np.abs(one - theirs).max(axis=(1, 2)) for one in (ours, flipped)]
        assert float(np.minimum(*gaps).max()) <= TOLERANCE
    else:
        check(maps, theirs, name=f"{network} {method} {layer}", record_property=record_property)


@pytest.mark.parametrize("network", ["small vit", "small swin"])
def test_score_maps_of_tokens_equal_pytorch_grad_cams(peer, network, record_property):
    build, size, layer, reshape = NETWORKS[network]
    classifier, pixels = in_double(build(), random_pixels(2, size=size), largest=10)
    layer, classes = layer or default_layer(classifier), torch.tensor([2, 0])
    maps = ScoreCam().explain(classifier, pixels, Targets(classes), layer=layer)
    theirs = peer_map(peer, "ScoreCAM", classifier, pixels, classes, layer=layer, reshape=reshape)
    check(maps, theirs, name=f"{network} scorecam {layer}", record_property=record_property)
