"""Parity with pytorch-grad-cam (PyPI grad-cam), the field's reference for these maps. Runs where it is installed."""

import numpy as np
import pytest
import torch

from explainers.base import Targets, fuse, normalise
from explainers.cams.cam import cam_family
from explainers.layers import default_layer
from tests.explainers.networks import random_pixels, torchvision_classifier
from wolfhound.torchvision_import import torchvision

pytestmark = pytest.mark.peers

PEERS = {
    "gradcam": "GradCAM",
    "hirescam": "HiResCAM",
    "gradcam++": "GradCAMPlusPlus",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
}
NETWORKS = ("resnet18", "densenet121", "vgg16", "alexnet", "mobilenet_v2", "googlenet")
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def peer():
    torchvision()  # first, because the peer imports it as if its compiled operators always matched
    return pytest.importorskip("pytorch_grad_cam", reason="the optional peer grad-cam is not installed")


def peer_map(peer, method, classifier, pixels, classes, *, layers):
    """The peer's normalised maps `[B,H,W]`. It works on the module, so it gets what the module gets."""
    parts = [classifier.module.get_submodule(layer) for layer in layers]
    with getattr(peer, PEERS[method])(classifier.module, parts) as cam:
        targets = [lambda logits, label=int(label): logits[label] for label in classes]
        return cam(input_tensor=classifier.preprocessing.apply(pixels), targets=targets)


def enlarge_head(classifier, pixels):
    """Random networks give scores near 0, whose maps drown in the peer's constants: scale the logits to about 1000."""
    head = [part for part in classifier.module.modules() if isinstance(part, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.bias.zero_()
        head.weight.mul_(1000 / classifier.logits(pixels).abs().max())


def comparable(maps, theirs):
    """Ours and theirs for the images whose raw map is not empty (its rounding would be compared, not the map)."""
    kept = (maps.raw.flatten(1).amax(dim=1) > 1e-4).numpy()
    return maps.normalised.numpy()[kept], theirs[kept]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", PEERS)
def test_normalised_maps_equal_pytorch_grad_cams(peer, network, method, record_property):
    classifier = torchvision_classifier(network, size=224)
    # DenseNet: before the in-place ReLU the peer's stored activation is overwritten, so a layer is compared that it
    # gets right; XGradCAM is only stable on activations that are not signed.
    layer = "features.denseblock4.denselayer16.relu2" if network == "densenet121" else default_layer(classifier)
    pixels = random_pixels(4, size=224)
    enlarge_head(classifier, pixels)
    classes = classifier.logits(pixels).topk(3, dim=1).indices[torch.arange(4), torch.tensor([0, 1, 2, 0])]
    maps = cam_family(classifier, pixels, Targets(classes), layers=(layer,), methods=(method,))[method, layer]
    theirs = peer_map(peer, method, classifier, pixels, classes, layers=(layer,))
    if method == "eigencam":  # the peer's sign is arbitrary
        flipped = normalise([-maps.raw], size=(224, 224)).numpy()
        difference = np.minimum(
            np.abs(maps.normalised.numpy() - theirs).max(axis=(1, 2)), np.abs(flipped - theirs).max(axis=(1, 2))
        ).max()
    else:
        ours, theirs = comparable(maps, theirs)
        assert len(ours), "every raw map was empty, so nothing would be compared"
        difference = float(np.abs(ours - theirs).max())
    print(f"\n{network} {method} {layer}: largest difference {difference:.2e}")
    record_property("largest difference", difference)
    assert difference <= TOLERANCE


def test_the_mean_over_layers_equals_pytorch_grad_cams(peer):
    classifier = torchvision_classifier("resnet18", size=224)
    pixels, classes = random_pixels(2, size=224), torch.tensor([7, 8])
    layers = ("layer3", "layer4")
    maps = cam_family(classifier, pixels, Targets(classes), layers=layers, methods=("gradcam",))
    ours = fuse([maps["gradcam", layer] for layer in layers]).numpy()
    theirs = peer_map(peer, "gradcam", classifier, pixels, classes, layers=layers)
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)
