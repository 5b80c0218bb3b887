"""Rectified gradients: every spelling of ReLU, both rules, by their formulas; and no trace of it afterwards."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from explainers.base import Targets
from explainers.pixels.rectifiers import backward_rule, check_rectified
from explainers.pixels.saliency import GuidedGradCam, RectifiedGradient, Saliency
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels
from wolfhound.errors import ModelError

SPELLINGS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "functional.relu": functional.relu,
    "functional.relu in place": lambda x: functional.relu(x, inplace=True),
    "functional.relu in place by position": lambda x: functional.relu(x, True),
    "functional.relu_": functional.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "x.relu()": lambda x: x.relu(),
    "x.relu_()": lambda x: x.relu_(),
    "torch.ops.aten.relu": torch.ops.aten.relu,
    "torch.ops.aten.relu.default": torch.ops.aten.relu.default,
    "nn.ReLU6": nn.ReLU6(),
    "functional.relu6": functional.relu6,
    "nn.Hardtanh(0, 6) in place": nn.Hardtanh(0, 6, inplace=True),
    "functional.hardtanh_": lambda x: functional.hardtanh_(x, 0, 6),
}
VALUES = [-2.0, -0.5, 0.0, 0.5, 3.0, 7.0]
GRADIENTS = [1.0, -1.0, 2.0, -3.0, 4.0, 5.0]


def expected_gradient(value, gradient, *, rule, ceiling):
    passed = 1.0 if 0 < value < ceiling else 0.0
    positive = 1.0 if gradient > 0 else 0.0
    return {"plain": gradient * passed, "guided": gradient * passed * positive, "deconvnet": gradient * positive}[rule]


@pytest.mark.parametrize("rule", ["plain", "guided", "deconvnet"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_passes_gradients_by_the_rule(spelling, rule):
    ceiling = 6.0 if "6" in spelling or "hardtanh" in spelling else float("inf")
    leaf = torch.tensor(VALUES, requires_grad=True)
    with backward_rule(rule) as met:
        working = leaf * 1
        result = SPELLINGS[spelling](working)
        (result * torch.tensor(GRADIENTS)).sum().backward()
    assert met() == (0 if rule == "plain" else 1)
    assert result.tolist() == [min(max(value, 0.0), ceiling) for value in VALUES]
    wanted = [expected_gradient(v, g, rule=rule, ceiling=ceiling) for v, g in zip(VALUES, GRADIENTS, strict=True)]
    assert leaf.grad.tolist() == wanted
    in_place = "in place" in spelling or spelling.endswith("_") or spelling.endswith("_()")
    assert (working.data_ptr() == result.data_ptr()) == in_place


def test_a_rectifier_whose_result_is_dropped_still_works_in_place():
    leaf = torch.tensor([-1.0, 2.0], requires_grad=True)
    with backward_rule("guided"):
        working = leaf * 1
        working.relu_()
        (working * torch.tensor([5.0, 5.0])).sum().backward()
    assert leaf.grad.tolist() == [0.0, 5.0]


def test_a_rectifier_in_place_on_a_view_changes_what_it_is_a_view_of():
    leaf = torch.tensor([[-1.0, 2.0], [3.0, -4.0]], requires_grad=True)
    with backward_rule("guided"):
        working = leaf * 1
        working[0].relu_()
        (working * torch.tensor([[5.0, -5.0], [7.0, -7.0]])).sum().backward()
    assert working.tolist() == [[0.0, 2.0], [3.0, -4.0]]
    assert leaf.grad.tolist() == [[0.0, 0.0], [7.0, -7.0]]


@pytest.mark.parametrize(
    "function", [nn.GELU(), nn.SiLU(), nn.Hardtanh(-1, 1), lambda x: x.clamp(min=0), nn.LeakyReLU(), nn.Hardswish()]
)
def test_what_is_no_rectifier_keeps_its_gradient(function):
    found = []
    for rule in ("plain", "guided", "deconvnet"):
        leaf = torch.tensor(VALUES, requires_grad=True)
        with backward_rule(rule) as met:
            (function(leaf) * torch.tensor(GRADIENTS)).sum().backward()
        assert met() == 0
        found.append(leaf.grad)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_after_the_block_gradients_are_plain_again_also_after_an_error():
    with pytest.raises(RuntimeError, match="went away"), backward_rule("guided"):
        raise RuntimeError("the device went away")
    leaf = torch.tensor([1.0], requires_grad=True)
    (-torch.relu(leaf)).sum().backward()
    assert leaf.grad.tolist() == [-1.0]


def by_hand(module, pixels, label, *, rule):
    """The rectified gradient of a `PooledNet`'s logit, layer by layer, each image alone."""
    norm, first, second = module.norm, module.first, module.second
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    one = first(pixels)
    one = (one - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    two = second(one.clamp(min=0))
    places = two.shape[2] * two.shape[3]
    gradient = (module.head.weight[label] / places)[None, :, None, None].expand_as(two)
    for values, convolution, below in ((two, second, one), (one, first, pixels)):
        if rule == "guided":
            gradient = gradient * (values > 0)
        gradient = gradient * (gradient > 0)
        if convolution is first:
            gradient = gradient * scale[:, None, None]
        gradient = torch.nn.grad.conv2d_input(
            below.shape, convolution.weight, gradient, convolution.stride, convolution.padding
        )
    return gradient


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_a_network_is_traced_back_as_by_hand(rule):
    classifier, pixels = pooled_classifier(), random_pixels(3)
    found = RectifiedGradient("tried", rule).attribute(classifier, pixels, Targets.of([0, 1, 4])).values
    with torch.no_grad():
        for image, label in enumerate([0, 1, 4]):
            one = pixels[image : image + 1]
            expected = by_hand(classifier.module, one, label, rule=rule)[0]
            assert float(expected.abs().max()) > 1e-4
            torch.testing.assert_close(found[image], expected, rtol=1e-4, atol=1e-7)


class Functional(nn.Module):
    """A `PooledNet` whose ReLUs are functions, one of them in place, as in DenseNet and GoogLeNet."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, pixels):
        one = functional.relu(self.net.norm(self.net.first(pixels)), inplace=True)
        return self.net.head(torch.relu(self.net.second(one)).mean(dim=(2, 3)))


@pytest.mark.parametrize("name", ["guided-backpropagation", "deconvnet"])
def test_functional_rectifiers_are_not_missed(name):
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([3, 1])
    method = RectifiedGradient(name, "guided" if name.startswith("guided") else "deconvnet")
    functions = classifier_of(Functional(classifier.module).eval(), classes=5, size=16)
    expected = method.attribute(classifier, pixels, targets).values
    assert torch.equal(method.attribute(functions, pixels, targets).values, expected)
    assert not torch.allclose(expected, Saliency().attribute(classifier, pixels, targets).values)


def smooth_classifier():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return classifier_of(module.eval(), classes=2, size=8)


@pytest.mark.parametrize("method", [RectifiedGradient(), RectifiedGradient("d", "deconvnet"), GuidedGradCam()])
def test_a_network_without_a_rectifier_is_refused_instead_of_shown_as_guided(method):
    with pytest.raises(ModelError, match="applied none that can be seen"):
        method.attribute(smooth_classifier(), random_pixels(1, size=8))


def test_plain_gradients_need_no_rectifier():
    check_rectified("network", 0, rule="plain")


def test_a_rule_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="use Saliency"):
        RectifiedGradient("wrong", "plain")


def test_what_is_known_to_mislead_says_so_with_its_source():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    for method, source in (
        (RectifiedGradient(), "Adebayo"),
        (GuidedGradCam(), "Adebayo"),
        (RectifiedGradient("deconvnet", "deconvnet"), "Nie et al. 2018"),
    ):
        assert source in method.attribute(classifier, pixels).caution
        assert source in method.explain(classifier, pixels).caution
    assert Saliency().explain(classifier, pixels).caution == ""
