"""Gradients in the pixels against finite differences, closed forms and literal replicas."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from explainers.base import Targets
from explainers.cams.cam import SinglePassCam
from explainers.pixels.attributions import Attributions, Neurons, attribute_in_batches
from explainers.pixels.integrated_gradients import IntegratedGradients
from explainers.pixels.saliency import GuidedGradCam, RectifiedGradient, Saliency, SmoothGrad
from explainers.registry import EXPLAINERS
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels

PIXEL_METHODS = {name: method for name, method in EXPLAINERS.items() if hasattr(method, "attribute")}


def double_classifier():
    classifier = pooled_classifier()
    classifier.module.double()
    return classifier


def test_saliency_is_the_slope_of_the_score():
    """A small step in the pixels moves the score by the step times the gradient, in float64."""
    classifier, pixels = double_classifier(), random_pixels(2).double()
    targets = Targets.of([2, 4], against=1)
    gradient = Saliency().attribute(classifier, pixels, targets).values
    step = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 1e-7
    with torch.no_grad():
        moved = targets.scores(classifier.logits(pixels + step)) - targets.scores(classifier.logits(pixels - step))
    np.testing.assert_allclose(moved.numpy(), 2 * (gradient * step).sum(dim=(1, 2, 3)).numpy(), rtol=1e-5)


def test_the_saliency_of_a_linear_network_is_its_weight(linear_classifier):
    pixels = random_pixels(2, size=8).double()
    found = Saliency().attribute(linear_classifier, pixels, Targets.of([3, 0])).values
    weight = linear_classifier.module[1].weight.detach().view(4, 3, 8, 8)
    torch.testing.assert_close(found, weight[[3, 0]])


def test_smoothgrad_is_the_mean_gradient_over_the_stated_noise():
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([1, 3])
    pixels[1] *= 0.25
    found = SmoothGrad(samples=4, noise=0.3, seed=5).attribute(classifier, pixels, targets).values
    generator, total = torch.Generator().manual_seed(5), torch.zeros_like(pixels)
    for _ in range(4):
        draw = torch.randn(3, 16, 16, generator=generator)
        for image in range(2):
            spread = 0.3 * (pixels[image].max() - pixels[image].min())
            noisy = (pixels[image] + spread * draw)[None]
            total[image] += Saliency().attribute(classifier, noisy, targets.rows(slice(image, image + 1))).values[0]
    torch.testing.assert_close(found, total / 4, rtol=1e-4, atol=1e-7)


def test_smoothgrad_without_noise_is_the_gradient_and_another_seed_is_another_result():
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([1, 3])
    plain = Saliency().attribute(classifier, pixels, targets).values
    torch.testing.assert_close(SmoothGrad(samples=3, noise=0).attribute(classifier, pixels, targets).values, plain)
    first, second = (SmoothGrad(samples=3, seed=seed).attribute(classifier, pixels, targets).values for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("options", [{"samples": 0}, {"noise": -0.1}, {"noise": float("nan")}])
def test_smoothgrad_refuses_settings_that_mean_nothing(options):
    with pytest.raises(ValueError, match="samples of at least 1"):
        SmoothGrad(**options)


class Square(nn.Module):
    """Two scores, the sum of squares of the pixels and its negative: the integral is known."""

    def forward(self, pixels):
        total = pixels.square().sum(dim=(1, 2, 3))
        return torch.stack([total, -total], dim=1)


@pytest.mark.parametrize("baseline", [0.0, 0.5])
def test_integrated_gradients_of_a_sum_of_squares_are_its_terms(baseline):
    """The way from b to x under x^2 gives (x - b)(x + b) = x^2 - b^2; one Gauss node is exact for a linear gradient."""
    classifier, pixels = classifier_of(Square(), classes=2, size=6), random_pixels(2, size=6).double()
    for steps in (1, 7):
        found = IntegratedGradients(steps=steps, baseline=baseline).attribute(classifier, pixels, Targets.of([0, 1]))
        expected = (pixels**2 - baseline**2) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        torch.testing.assert_close(found.values, expected)
        torch.testing.assert_close(found.residual, torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)


def test_integrated_gradients_are_complete_and_state_what_they_miss():
    classifier, pixels, targets = double_classifier(), random_pixels(3).double(), Targets.of([0, 1, 4], against=2)
    black = torch.zeros_like(pixels)
    with torch.no_grad():
        needed = targets.scores(classifier.logits(pixels)) - targets.scores(classifier.logits(black))
    sizes = []
    for steps in (2, 200):
        found = IntegratedGradients(steps=steps).attribute(classifier, pixels, targets)
        torch.testing.assert_close(found.values.sum(dim=(1, 2, 3)) - needed, found.residual)
        sizes.append(float((found.residual / needed).abs().max()))
    assert sizes[1] < 2e-3 < sizes[0]


@pytest.mark.parametrize("options", [{"steps": 0}, {"baseline": 1.5}])
def test_integrated_gradients_refuse_settings_that_mean_nothing(options):
    with pytest.raises(ValueError, match="baseline in"):
        IntegratedGradients(**options)


def test_guided_gradcam_is_the_product_of_both():
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([3, 1])
    found = GuidedGradCam().attribute(classifier, pixels, targets, layer="second")
    guided = RectifiedGradient().attribute(classifier, pixels, targets).values
    raw = SinglePassCam("gradcam").explain(classifier, pixels, targets, layer="second").raw
    heat = functional.interpolate(raw.clamp(min=0)[:, None], size=(16, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.values, guided * heat)
    assert found.layer == "second"
    assert float(found.values.abs().max()) > 0


@pytest.mark.parametrize("name", PIXEL_METHODS)
def test_attributions_do_not_depend_on_the_batch_size(name):
    classifier, pixels, targets = pooled_classifier(), random_pixels(5), Targets.of([0, 1, 2, 3, 4])
    whole = PIXEL_METHODS[name].attribute(classifier, pixels, targets)
    for batch_size in (1, 2, 100):
        parts = attribute_in_batches(PIXEL_METHODS[name], classifier, pixels, targets, batch_size=batch_size)
        torch.testing.assert_close(parts.values, whole.values, rtol=1e-4, atol=1e-6)
        assert torch.equal(parts.explained.classes, targets.classes)
        assert (parts.residual is None) == (whole.residual is None)
    with pytest.raises(ValueError, match="expected 5 target classes"):
        attribute_in_batches(PIXEL_METHODS[name], classifier, pixels, Targets.of([0]))


@pytest.mark.parametrize("name", PIXEL_METHODS)
def test_attributions_have_the_pixels_shape_and_no_graph(name):
    found = PIXEL_METHODS[name].attribute(pooled_classifier(), random_pixels(2), Targets.of([0, 3]))
    assert found.values.shape == (2, 3, 16, 16)
    assert found.method == name
    assert not found.values.requires_grad


def attributions_of(values):
    return Attributions(values, "tried", Targets.of(0, count=len(values)))


def test_heat_is_the_largest_magnitude_or_the_signed_sum_of_the_colours():
    values = torch.tensor([1.0, -3.0, 2.0]).view(1, 3, 1, 1)
    assert attributions_of(values).heat("largest").tolist() == [[[3.0]]]
    assert attributions_of(values).heat("sum").tolist() == [[[0.0]]]
    assert torch.equal(attributions_of(values).maps("largest").raw, torch.full((1, 1, 1), 3.0))


def test_pictures_put_zero_at_grey_and_scale_each_image_alone():
    values = torch.zeros(2, 3, 10, 10)
    values[0, 0, :5] = torch.linspace(-1, 1, 50).view(5, 10)
    values[0, 1, 0, 0] = 1000.0
    values[1] = values[0] / 7
    pictures = attributions_of(values).pictures(share=0.99)
    torch.testing.assert_close(pictures[0], pictures[1])
    assert float(pictures[0, 2, 0, 0]) == 0.5
    assert float(pictures[0, 1, 0, 0]) == 1.0
    assert float(pictures[0, 0, 0, 0]) < 0.1
    assert torch.equal(attributions_of(torch.zeros(1, 3, 4, 4)).pictures(), torch.full((1, 3, 4, 4), 0.5))


def test_values_that_are_not_finite_are_an_error():
    with pytest.raises(ValueError, match=r"expected finite tried attributions.*\[1\]"):
        attributions_of(torch.tensor([0.0, float("nan")]).view(2, 1, 1, 1).expand(2, 3, 2, 2))


def test_attributions_of_neurons_make_no_maps_of_scores():
    with pytest.raises(TypeError, match="attributions of neurons"):
        Attributions(torch.zeros(1, 3, 2, 2), "tried", Neurons.of("layer", 0)).maps("sum")
