"""The maps against slow literal replicas of their formulas, and against identities that need no oracle."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from explainers.base import Targets
from explainers.cams.cam import RULES, ClassActivationMapping, cam_family
from explainers.hooks import record
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels, torchvision_classifier
from wolfhound.errors import ModelError


def literal_map(method, a, g):
    """The formula for one image, place by place in Python floats. a and g are nested lists [C][h][w]."""
    channels, height, width = len(a), len(a[0]), len(a[0][0])
    places = [(i, j) for i in range(height) for j in range(width)]
    raw = [[0.0] * width for _ in range(height)]
    for k in range(channels):
        total = sum(a[k][i][j] for i, j in places)
        weight = 0.0
        for i, j in places:
            if method == "gradcam":
                weight += g[k][i][j] / len(places)
            elif method == "xgradcam":
                weight += g[k][i][j] * a[k][i][j] / (total + 1e-7)
            elif method == "gradcam++" and g[k][i][j] != 0:
                alpha = g[k][i][j] ** 2 / (2 * g[k][i][j] ** 2 + total * g[k][i][j] ** 3 + 1e-6)
                weight += max(g[k][i][j], 0.0) * alpha
        for i, j in places:
            if method == "hirescam":
                raw[i][j] += g[k][i][j] * a[k][i][j]
            elif method == "layercam":
                raw[i][j] += max(g[k][i][j], 0.0) * a[k][i][j]
            else:
                raw[i][j] += weight * a[k][i][j]
    return raw


@pytest.mark.parametrize("method", [name for name in RULES if name != "eigencam"])
def test_a_raw_map_is_its_formula_place_by_place(method):
    generator = torch.Generator().manual_seed(3)
    activation = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    gradient = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    gradient[0, 1, 2] = 0.0  # where Grad-CAM++ must not divide
    found = RULES[method](activation, gradient)
    for image in range(2):
        expected = literal_map(method, activation[image].tolist(), gradient[image].tolist())
        np.testing.assert_allclose(found[image].numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 9, 3, 3), (4, 3, 5, 4)])
def test_eigencam_is_the_first_principal_component_with_the_stated_sign(shape):
    activation = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = RULES["eigencam"](activation, activation).numpy()
    for image in range(shape[0]):
        matrix = activation[image].flatten(1).numpy().T
        matrix = matrix - matrix.mean(axis=0)
        _, _, components = np.linalg.svd(matrix)
        expected = (matrix @ components[0]).reshape(shape[2:])
        brightness = activation[image].sum(dim=0).numpy()
        if (expected * (brightness - brightness.mean())).sum() < 0:
            expected = -expected
        np.testing.assert_allclose(found[image], expected, atol=1e-10)


def test_eigencam_of_a_constant_activation_is_zero():
    constant = torch.full((1, 4, 3, 3), 2.0)
    assert torch.equal(RULES["eigencam"](constant, constant), torch.zeros(1, 3, 3))


@pytest.mark.parametrize("against", [None, 2])
def test_with_pooling_and_one_linear_the_maps_of_the_family_agree(against):
    """Grad-CAM = HiResCAM = XGradCAM = CAM / (h w) behind a ReLU, for a logit and for a contrast of two."""
    classifier, pixels = pooled_classifier(), random_pixels(3)
    targets = Targets.of([0, 1, 4], against=against)
    methods = ("gradcam", "hirescam", "xgradcam")
    maps = cam_family(classifier, pixels, targets, layers=("features",), methods=methods)
    cam = ClassActivationMapping().explain(classifier, pixels, targets, layer="features").raw
    expected = cam / (cam.shape[1] * cam.shape[2])
    assert float(expected.abs().max()) > 1e-3
    for method in methods:
        torch.testing.assert_close(maps[method, "features"].raw, expected, rtol=2e-5, atol=1e-6)


def test_cam_is_the_head_applied_at_every_place():
    """Its mean over the places plus the bias is the logit, by linearity."""
    classifier, pixels = pooled_classifier(), random_pixels(3)
    maps = ClassActivationMapping().explain(classifier, pixels, Targets.of([0, 1, 4]))
    with torch.no_grad():
        logits = classifier.logits(pixels)
    bias = classifier.module.head.bias.detach()
    for image, label in enumerate([0, 1, 4]):
        assert float(maps.raw[image].mean() + bias[label]) == pytest.approx(float(logits[image, label]), abs=1e-5)


def test_cam_refuses_a_network_that_does_not_end_in_pooling_and_one_linear():
    classifier = torchvision_classifier("alexnet")
    with pytest.raises(ModelError, match="global average pooling and one Linear"):
        ClassActivationMapping().explain(classifier, random_pixels(1, size=224))


@pytest.mark.parametrize("method", [name for name in RULES if name != "eigencam"])
def test_a_contrast_is_the_map_of_the_difference_of_the_logits(method):
    """Appending a logit z_a - z_b to the network and explaining that must give the same map."""
    classifier, pixels = pooled_classifier(), random_pixels(2)
    contrast = cam_family(classifier, pixels, Targets.of([3, 3], against=1), methods=(method,))[method, "features"]
    head = classifier.module.head
    wider = nn.Linear(8, 6)
    with torch.no_grad():
        wider.weight.copy_(torch.cat([head.weight, (head.weight[3] - head.weight[1])[None]]))
        wider.bias.copy_(torch.cat([head.bias, (head.bias[3] - head.bias[1])[None]]))
    classifier.module.head = wider
    classifier = classifier_of(classifier.module, classes=6, size=16)
    appended = cam_family(classifier, pixels, Targets.of([5, 5]), methods=(method,))[method, "features"]
    torch.testing.assert_close(contrast.raw, appended.raw)


def test_several_layers_from_one_pass_equal_each_layer_alone():
    classifier, pixels = pooled_classifier(), random_pixels(2)
    targets = Targets.of([1, 2])
    together = cam_family(classifier, pixels, targets, layers=("first", "second", "features"))
    for layer in ("first", "second", "features"):
        alone = cam_family(classifier, pixels, targets, layers=(layer,))
        for method in RULES:
            torch.testing.assert_close(together[method, layer].raw, alone[method, layer].raw)


@pytest.mark.parametrize(("network", "layer"), [("resnet18", "layer4.1.bn1"), ("densenet121", "features")])
def test_an_in_place_relu_behind_the_layer_does_not_reach_the_recorded_activation(network, layer):
    """Both networks apply a ReLU in place right after that layer; what was stored must keep its negative values."""
    classifier, pixels = torchvision_classifier(network, size=64), random_pixels(2, size=64)
    seen = []
    handle = classifier.module.get_submodule(layer).register_forward_hook(lambda *run: seen.append(run[2].clone()))
    recording = record(classifier, pixels, layers=(layer,))
    handle.remove()
    assert float(seen[0].min()) < 0
    assert torch.equal(recording.activation(layer), seen[0])
    recording.gradients(Targets.of([1, 2]).scores)
    assert torch.equal(recording.activation(layer), seen[0])


def test_the_gradient_of_a_tapped_layer_equals_finite_differences_of_the_tail():
    """Adding a small step to the layer's output must move the score by gradient times step, in float64."""
    classifier, pixels = pooled_classifier(), random_pixels(1).double()
    classifier.module.double()
    recording = record(classifier, pixels, layers=("second",))
    gradient = recording.gradients(Targets.of([2]).scores)["second"]
    step = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 1e-7
    handle = classifier.module.second.register_forward_hook(lambda *run: run[2] + step)
    with torch.no_grad():
        moved = float(classifier.logits(pixels)[0, 2])
    handle.remove()
    assert moved - float(recording.logits.detach()[0, 2]) == pytest.approx(float((gradient * step).sum()), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_give_the_float32_maps_to_their_precision(dtype):
    single, other, pixels = pooled_classifier(), pooled_classifier(), random_pixels(2)
    other.module.to(dtype)
    targets = Targets.of([1, 2])
    expected, found = (
        cam_family(single, pixels, targets),
        cam_family(other, pixels.to(dtype), targets),
    )
    for key in expected:
        if dtype == torch.float64:
            assert found[key].raw.dtype == torch.float64
        scale = float(expected[key].raw.abs().max())
        limit = 1e-5 if dtype == torch.float64 else 0.15
        assert float((found[key].raw.double() - expected[key].raw.double()).abs().max()) <= limit * scale, key


def test_without_targets_the_highest_logit_is_explained():
    classifier, pixels = pooled_classifier(), random_pixels(4)
    with torch.no_grad():
        predicted = classifier.logits(pixels).argmax(dim=1)
    maps = cam_family(classifier, pixels, methods=("gradcam",))["gradcam", "features"]
    assert torch.equal(maps.targets.classes, predicted)
    named = cam_family(classifier, pixels, Targets(predicted), methods=("gradcam",))["gradcam", "features"]
    assert torch.equal(maps.raw, named.raw)


def test_a_map_that_is_not_finite_is_an_error_and_not_a_picture():
    classifier = pooled_classifier()
    with torch.no_grad():
        classifier.module.second.weight.fill_(math.inf)
    with pytest.raises(ValueError, match="expected finite gradcam maps"):
        cam_family(classifier, random_pixels(1), Targets.of([0]), methods=("gradcam",))


def test_an_unknown_method_or_no_layer_is_refused():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    with pytest.raises(ValueError, match="expected methods out of gradcam"):
        cam_family(classifier, pixels, methods=("gradcan",))
    with pytest.raises(ValueError, match="at least one layer"):
        cam_family(classifier, pixels, layers=())


def test_a_dense_layer_has_no_feature_map_to_explain():
    classifier = classifier_of(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.ReLU(), nn.Linear(4, 2)), classes=2, size=4
    )
    with pytest.raises(ModelError, match=r"feature map \[B, C, h, w\]"):
        cam_family(classifier, random_pixels(1, size=4), layers=("1",), methods=("gradcam",))
