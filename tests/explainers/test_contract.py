"""What every explainer must keep: no trace in the network, equal maps for any batch size, honest errors."""

import copy

import pytest
import torch

from explainers.base import Targets, explain_in_batches
from explainers.pixels.attributions import Neurons
from explainers.pixels.neurons import neuron_attributions, strongest_neurons
from explainers.registry import EXPLAINERS, explainer
from tests.explainers.networks import pooled_classifier, random_pixels
from wolfhound.errors import ModelError

SUBTRACTING = {"lime", "occlusion", "rise"}
"""Methods that compare the scores of perturbed images."""

LAYERLESS = SUBTRACTING | {"saliency", "smoothgrad", "integrated-gradients", "guided-backpropagation", "deconvnet"}
"""Methods that explain the pixels themselves and refuse a layer."""

ALL = pytest.mark.parametrize("name", EXPLAINERS)


def fingerprint(module):
    """Everything an explainer could leave behind: hooks, modes, flags, gradients and values."""
    hooks = {
        name: [dict(getattr(part, table)) for table in vars(part) if table.endswith("_hooks")]
        for name, part in module.named_modules()
    }
    modes = {name: part.training for name, part in module.named_modules()}
    flags = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    return hooks, modes, flags, gradients


def unusual_network():
    """A network in a state that is easily lost: mixed modes and flags, a gradient that belongs to someone, a hook."""
    classifier = pooled_classifier()
    module = classifier.module
    module.train()
    module.norm.eval()
    module.first.weight.requires_grad_(False)
    module.head.weight.grad = torch.ones_like(module.head.weight)
    module.second.register_forward_hook(lambda *_: None)
    return classifier


class Broken(torch.nn.Module):
    """A head that fails after the layer has run."""

    def forward(self, _features):
        raise RuntimeError("the device went away")


def break_network(classifier):
    classifier.module.head = Broken()


CASES = {
    "normal": (None, {}, None),
    "class outside": ((ValueError, "target classes"), {"targets": Targets.of([0, 9])}, None),
    "too few classes": ((ValueError, "expected 2 target classes"), {"targets": Targets.of([0])}, None),
    "class against itself": ((ValueError, "two different classes"), {"targets": Targets.of([0, 1], against=1)}, None),
    "bad layer": ((ModelError, "close: .*features"), {"layer": "feature"}, None),
    "failing forward": ((RuntimeError, "went away"), {}, break_network),
    "failing above the layer": ((RuntimeError, "went away"), {"layer": "features"}, break_network),
}


@ALL
@pytest.mark.parametrize("case", CASES)
def test_the_network_and_the_pixels_are_as_before(name, case):
    error, arguments, prepare = CASES[case]
    classifier, pixels = unusual_network(), random_pixels(2)
    if prepare:
        prepare(classifier)
    before, state = fingerprint(classifier.module), copy.deepcopy(classifier.module.state_dict())
    pixels_before = pixels.clone().requires_grad_()
    pixels.requires_grad_()
    arguments = {"targets": Targets.of([0, 1]), **arguments}
    if "layer" in arguments and name in LAYERLESS:
        error = (ModelError, "takes no layer")
    if error is None:
        explainer(name).explain(classifier, pixels, **arguments)
    else:
        with pytest.raises(error[0], match=error[1]):
            explainer(name).explain(classifier, pixels, **arguments)
    assert fingerprint(classifier.module) == before
    assert pixels.grad is None
    assert torch.equal(pixels, pixels_before)
    for key, value in classifier.module.state_dict().items():
        assert torch.equal(value, state[key])


UNITS = {
    "gradient": lambda classifier, pixels, layer, channel: neuron_attributions(
        classifier, pixels, Neurons.of(layer, channel, count=2)
    ),
    "strongest": lambda classifier, pixels, layer, channel: strongest_neurons(
        classifier, pixels, layer=layer, channels=torch.full((2,), channel)
    ),
}
UNIT_CASES = {
    "normal": ("second", 3, None, None),
    "bad channel": ("second", 99, (ValueError, "channels of layer 'second'"), None),
    "bad layer": ("seconds", 3, (ModelError, "close: second"), None),
    "failing forward": ("second", 3, (RuntimeError, "went away"), break_network),
}


@pytest.mark.parametrize("function", UNITS)
@pytest.mark.parametrize("case", UNIT_CASES)
def test_looking_at_units_leaves_the_network_and_the_pixels_as_before(function, case):
    layer, channel, error, prepare = UNIT_CASES[case]
    classifier, pixels = unusual_network(), random_pixels(2).requires_grad_()
    if prepare:
        prepare(classifier)
    before, pixels_before = fingerprint(classifier.module), pixels.detach().clone()
    if error is None:
        UNITS[function](classifier, pixels, layer, channel)
    else:
        with pytest.raises(error[0], match=error[1]):
            UNITS[function](classifier, pixels, layer, channel)
    assert fingerprint(classifier.module) == before
    assert pixels.grad is None
    assert torch.equal(pixels.detach(), pixels_before)


@ALL
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_give_the_float32_maps_to_their_precision(name, dtype):
    single, other, pixels = pooled_classifier(), pooled_classifier(), random_pixels(2)
    other.module.to(dtype)
    expected = explainer(name).explain(single, pixels, Targets.of([1, 2])).raw
    found = explainer(name).explain(other, pixels.to(dtype), Targets.of([1, 2])).raw
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    # Differences of scores near 1 are known to the precision of the scores, not to that of their own size.
    scale = 1.0 if name in SUBTRACTING else float(expected.double().abs().mean())
    error = (found.double() - expected.double()).abs().mean() / scale
    assert float(error) < (1e-5 if dtype == torch.float64 else 0.1)


@ALL
def test_no_global_random_number_is_drawn(name):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    explainer(name).explain(pooled_classifier(), random_pixels(1), Targets.of([1]))
    assert torch.equal(torch.get_rng_state(), before)


@ALL
def test_maps_are_finite_in_shape_and_in_range(name):
    maps = explainer(name).explain(pooled_classifier(), random_pixels(3), Targets.of([0, 1, 2]))
    assert maps.method == name
    assert maps.raw.ndim == 3
    assert maps.normalised.shape == (3, 16, 16)
    assert float(maps.normalised.min()) >= 0
    assert float(maps.normalised.max()) <= 1
    assert not maps.raw.requires_grad


@ALL
def test_equal_calls_give_equal_maps(name):
    first, second = (
        explainer(name).explain(pooled_classifier(), random_pixels(3), Targets.of([0, 1, 2])) for _ in range(2)
    )
    assert torch.equal(first.raw, second.raw)


@ALL
@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_maps_do_not_depend_on_the_batch_size(name, batch_size):
    classifier, pixels, targets = pooled_classifier(), random_pixels(5), Targets.of([0, 1, 2, 3, 4])
    whole = explainer(name).explain(classifier, pixels, targets)
    parts = explain_in_batches(explainer(name), classifier, pixels, targets, batch_size=batch_size)
    torch.testing.assert_close(parts.raw, whole.raw, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(parts.normalised, whole.normalised, rtol=1e-3, atol=1e-4)
    assert torch.equal(parts.targets.classes, targets.classes)


@ALL
@pytest.mark.parametrize("ambient", [torch.no_grad, torch.inference_mode])
def test_frozen_networks_and_an_ambient_no_grad_give_the_same_maps(name, ambient):
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([0, 1], against=2)
    expected = explainer(name).explain(classifier, pixels, targets).raw
    for parameter in classifier.module.parameters():
        parameter.requires_grad_(False)
    with ambient():
        found = explainer(name).explain(classifier, pixels * 1, targets)
    assert torch.equal(found.raw, expected)
    assert not any(parameter.requires_grad for parameter in classifier.module.parameters())


def test_an_unknown_explainer_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'gradcam'"):
        explainer("grad-cam")


def test_batches_refuse_a_short_list_of_targets():
    with pytest.raises(ValueError, match="expected 3 target classes"):
        explain_in_batches(EXPLAINERS["gradcam"], pooled_classifier(), random_pixels(3), Targets.of([0, 1]))
