"""Parity of pixel-level attributions with Captum and pytorch-grad-cam. Runs where they are installed."""

import copy

import pytest
import torch
from torch import nn

from explainers.base import Targets
from explainers.pixels.attributions import Neurons
from explainers.pixels.integrated_gradients import IntegratedGradients
from explainers.pixels.neurons import neuron_attributions
from explainers.pixels.saliency import GuidedGradCam, RectifiedGradient, Saliency
from tests.explainers.networks import random_pixels, torchvision_classifier
from wolfhound.torchvision_import import torchvision

pytestmark = pytest.mark.peers

RELATIVE = 1e-6
NETWORKS = ("alexnet", "vgg16", "resnet18", "densenet121", "googlenet")


@pytest.fixture(scope="module")
def captum():
    torchvision()
    return pytest.importorskip("captum.attr", reason="the optional peer captum is not installed")


@pytest.fixture(scope="module")
def peer():
    torchvision()
    return pytest.importorskip("pytorch_grad_cam", reason="the optional peer grad-cam is not installed")


def double_classifier(network, *, size=96):
    """In float64, so that only the rule is compared and not the order of additions."""
    classifier = torchvision_classifier(network, size=size)
    classifier.module.double()
    return classifier


class Cloned(nn.Module):
    """Keeps the functional ReLU behind it, which works in place, off what the peer has saved."""

    def forward(self, values):
        return values.clone()


def with_modules(module, network):
    """A copy of equal scores whose ReLUs are all modules, none in place: what the peers can see."""
    module = copy.deepcopy(module)
    if network == "densenet121":
        module.features.add_module("relu5", nn.Sequential(nn.ReLU(), Cloned()))
    for part in list(module.modules()):
        if network == "googlenet" and type(part).__name__ == "BasicConv2d":
            part.bn = nn.Sequential(part.bn, nn.ReLU(), Cloned())
        if isinstance(part, nn.ReLU):
            part.inplace = False
    return module


def check(ours, theirs, *, name):
    scale = float(theirs.abs().max())
    difference = float((ours - theirs).abs().max()) / scale
    print(f"\n{name}: largest difference {difference:.2e} of the largest value")
    assert scale > 0
    assert difference <= RELATIVE


@pytest.mark.parametrize("network", NETWORKS)
def test_guided_backpropagation_equals_pytorch_grad_cams_where_that_sees_every_relu(peer, network):
    classifier, pixels = double_classifier(network), random_pixels(2, size=96).double()
    ours = RectifiedGradient().attribute(classifier, pixels, Targets.of([7, 3])).values
    theirs = []
    for image, label in zip(pixels, (7, 3), strict=True):
        model = peer.GuidedBackpropReLUModel(with_modules(classifier.module, network), "cpu")
        theirs.append(torch.from_numpy(model(image[None].clone(), target_category=label)).permute(2, 0, 1))
    check(ours, torch.stack(theirs), name=f"{network} guided backpropagation")


@pytest.mark.parametrize("network", ["densenet121", "googlenet"])
def test_the_peer_misses_functional_relus_without_a_word(peer, network):
    """If this fails the peer has learned to see them, and the comparison above needs no rebuilt network."""
    classifier, pixels = double_classifier(network), random_pixels(1, size=96).double()
    ours = RectifiedGradient().attribute(classifier, pixels, Targets.of([7])).values[0]
    model = peer.GuidedBackpropReLUModel(copy.deepcopy(classifier.module), "cpu")
    theirs = torch.from_numpy(model(pixels.clone(), target_category=7)).permute(2, 0, 1)
    missed = float((ours - theirs).norm() / ours.norm())
    print(f"\n{network}: the peer's guided backpropagation is off by {missed:.0%}")
    assert missed > 0.05


@pytest.mark.parametrize("network", ["alexnet", "vgg16"])
@pytest.mark.parametrize("method", ["Saliency", "GuidedBackprop", "Deconvolution", "IntegratedGradients"])
def test_attributions_equal_captums(captum, network, method):
    classifier, pixels = double_classifier(network, size=64), random_pixels(2, size=64).double()
    ours, options = {
        "Saliency": (Saliency(), {"abs": False}),
        "GuidedBackprop": (RectifiedGradient(), {}),
        "Deconvolution": (RectifiedGradient("deconvnet", "deconvnet"), {}),
        "IntegratedGradients": (IntegratedGradients(steps=20), {"n_steps": 20}),
    }[method]
    found = ours.attribute(classifier, pixels, Targets.of([7, 3])).values
    theirs = getattr(captum, method)(with_modules(classifier.module, network)).attribute(
        pixels.clone().requires_grad_(), target=torch.tensor([7, 3]), **options
    )
    check(found, theirs.detach(), name=f"{network} {method}")


def test_the_residual_of_integrated_gradients_equals_captums(captum):
    classifier, pixels = double_classifier("alexnet", size=64), random_pixels(2, size=64).double()
    ours = IntegratedGradients(steps=20).attribute(classifier, pixels, Targets.of([7, 3])).residual
    _, theirs = captum.IntegratedGradients(classifier.module).attribute(
        pixels, target=torch.tensor([7, 3]), n_steps=20, return_convergence_delta=True
    )
    torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize(("network", "layer"), [("alexnet", "features.11"), ("vgg16", "features.29")])
def test_guided_gradcam_equals_captums(captum, network, layer):
    classifier, pixels = double_classifier(network), random_pixels(2, size=96).double()
    with torch.no_grad():
        classifier.module.classifier[-1].weight.mul_(1000)
    ours = GuidedGradCam().attribute(classifier, pixels, Targets.of([7, 3]), layer=layer).values
    module = with_modules(classifier.module, network)
    theirs = captum.GuidedGradCam(module, module.get_submodule(layer)).attribute(
        pixels.clone().requires_grad_(), target=torch.tensor([7, 3]), interpolate_mode="bilinear"
    )
    check(ours, theirs.detach(), name=f"{network} guided Grad-CAM {layer}")


@pytest.mark.parametrize("rule", ["plain", "guided", "deconvnet"])
@pytest.mark.parametrize("layer", ["features.0", "features.6", "features.10"])
def test_gradients_of_first_middle_and_deep_units_equal_captums(captum, rule, layer):
    classifier, pixels = double_classifier("alexnet"), random_pixels(2, size=96).double()
    ours = neuron_attributions(classifier, pixels, Neurons.of(layer, 5, (2, 3), count=2), rule=rule).values
    module = with_modules(classifier.module, "alexnet")
    kind = {"plain": "NeuronGradient", "guided": "NeuronGuidedBackprop", "deconvnet": "NeuronDeconvolution"}[rule]
    theirs = getattr(captum, kind)(module, module.get_submodule(layer)).attribute(
        pixels.clone().requires_grad_(), neuron_selector=(5, 2, 3)
    )
    check(ours, theirs.detach(), name=f"alexnet {layer} {rule}")
