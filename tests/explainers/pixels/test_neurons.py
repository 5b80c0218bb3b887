"""Gradients of a unit inside the network: against filters, finite differences and the receptive field."""

import pytest
import torch

from explainers.hooks import record
from explainers.pixels.attributions import Neurons
from explainers.pixels.neurons import neuron_attributions, strongest_neurons
from tests.explainers.networks import pooled_classifier, random_pixels, torchvision_classifier
from wolfhound.errors import ModelError


@pytest.mark.parametrize("rule", ["plain", "guided", "deconvnet"])
def test_a_unit_of_the_first_convolution_shows_its_filter(rule):
    """Below it is nothing but the normalisation: the gradient is the filter itself, where the unit looks."""
    classifier = pooled_classifier()
    found = neuron_attributions(classifier, random_pixels(2), Neurons.of("first", 4, (3, 2), count=2), rule=rule)
    expected = torch.zeros(3, 16, 16)
    expected[:, 5:8, 3:6] = classifier.module.first.weight.detach()[4]  # stride 2, padding 1
    for image in range(2):
        torch.testing.assert_close(found.values[image], expected)


def unit(classifier, pixels, neurons):
    activation = record(classifier, pixels, layers=(neurons.layer,)).activation(neurons.layer)
    rows, columns = neurons.places.unbind(dim=1)
    return activation[torch.arange(len(pixels)), neurons.channels, rows, columns]


def test_the_plain_gradient_is_the_slope_of_the_unit():
    classifier, pixels = pooled_classifier(), random_pixels(2).double()
    classifier.module.double()
    neurons = Neurons("second", torch.tensor([5, 2]), torch.tensor([[3, 4], [0, 7]]))
    gradient = neuron_attributions(classifier, pixels, neurons, rule="plain").values
    step = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1e-7
    moved = unit(classifier, pixels + step, neurons) - unit(classifier, pixels - step, neurons)
    torch.testing.assert_close(moved, 2 * (gradient * step).sum(dim=(1, 2, 3)), rtol=1e-5, atol=1e-14)


@pytest.mark.parametrize("rule", ["plain", "guided", "deconvnet"])
def test_outside_the_receptive_field_there_is_nothing(rule):
    """Place (4, 4) of the second convolution sees rows 3..5 of the first's, which see pixels 5..11."""
    found = neuron_attributions(pooled_classifier(), random_pixels(1), Neurons.of("second", 1, (4, 4)), rule=rule)
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[5:12, 5:12] = False
    assert float(found.values[0, :, outside].abs().max()) == 0
    assert float(found.values[0, :, ~outside].abs().max()) > 0


def test_a_whole_channel_is_the_sum_of_its_units():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    whole = neuron_attributions(classifier, pixels, Neurons.of("features", 3), rule="plain").values
    units = sum(
        neuron_attributions(classifier, pixels, Neurons.of("features", 3, (row, column)), rule="plain").values
        for row in range(8)
        for column in range(8)
    )
    torch.testing.assert_close(whole, units, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_strongest_place_is_the_one_that_a_search_finds(sign):
    classifier, pixels, channels = pooled_classifier(), random_pixels(3), torch.tensor([0, 5, 7])
    neurons, found = strongest_neurons(classifier, pixels, layer="second", channels=channels, sign=sign)
    activation = record(classifier, pixels, layers=("second",)).activation("second")
    for image, channel in enumerate(channels.tolist()):
        places = [(r, c) for r in range(8) for c in range(8)]
        best = max(places, key=lambda place: sign * float(activation[image, channel, place[0], place[1]]))
        assert tuple(neurons.places[image].tolist()) == best
        assert float(found[image]) == float(activation[image, channel, best[0], best[1]])


@pytest.mark.parametrize("layer", ["features.0", "features.6", "features.10"])
def test_first_middle_and_deep_units_of_a_large_network_have_guided_gradients(layer):
    classifier, pixels = torchvision_classifier("alexnet", size=96), random_pixels(1, size=96)
    neurons, _ = strongest_neurons(classifier, pixels, layer=layer, channels=torch.tensor([9]))
    guided = neuron_attributions(classifier, pixels, neurons)
    plain = neuron_attributions(classifier, pixels, neurons, rule="plain")
    assert float(guided.values.abs().max()) > 0
    assert torch.equal(guided.values, plain.values) == (layer == "features.0")  # no rectifier below the first
    assert (guided.layer, guided.method, plain.caution) == (layer, "neuron-guided-backpropagation", "")
    assert "Adebayo" in guided.caution


@pytest.mark.parametrize(
    ("neurons", "error", "reason"),
    [
        (Neurons.of("second", 8, (0, 0)), ValueError, r"channels of layer 'second' in \[0, 8\)"),
        (Neurons.of("second", 0, (8, 0)), ValueError, r"rows of layer 'second' in \[0, 8\)"),
        (Neurons.of("second", 0, (0, -1)), ValueError, "columns of layer 'second'"),
        (Neurons.of("second", 0, (0, 0), count=2), ValueError, "expected 1 channels"),
        (Neurons("second", torch.tensor([0]), torch.zeros(1, 3, dtype=torch.int64)), ValueError, "row, column"),
        (Neurons("second", torch.tensor([0.0])), TypeError, "int64"),
        (Neurons.of("secnd", 0), ModelError, "close: second"),
        (Neurons.of("head", 0), ModelError, "feature map"),
    ],
)
def test_a_unit_that_is_not_there_is_refused(neurons, error, reason):
    with pytest.raises(error, match=reason):
        neuron_attributions(pooled_classifier(), random_pixels(1), neurons)
