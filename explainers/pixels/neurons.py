"""What drives one unit inside a network: its gradient in the pixels, plain, guided or as a deconvnet."""

from typing import Literal

import torch
from torch import Tensor

from explainers.cams.cam import at_least_single, feature_map
from explainers.hooks import record
from explainers.pixels.attributions import Attributions, Neurons
from explainers.pixels.pixel_gradients import pixel_pass
from explainers.pixels.rectifiers import CAUTIONS, Rule
from wolfhound.checks import check_labels
from wolfhound.classifier import Classifier

METHODS: dict[Rule, str] = {
    "plain": "neuron-gradient",
    "guided": "neuron-guided-backpropagation",
    "deconvnet": "neuron-deconvnet",
}


def neuron_attributions(
    classifier: Classifier, pixels: Tensor, neurons: Neurons, *, rule: Rule = "guided"
) -> Attributions:
    """Return d(activation)/d(pixels) `[B,3,H,W]` of one unit, or of the sum of one channel, in each image.

    One unit with rule "deconvnet" is Zeiler & Fergus 2014, section 2.1 (all other activations of the layer set to 0,
    then back through switches and rectifiers); with rule "guided" Springenberg et al. 2015, section 3.4. In contrast to
    both, what travels back is 1 and not the unit's activation, so values are per unit of activation. The rule also
    holds for rectifiers inside the layer. Outside the unit's receptive field the values are 0.

    Args:
        classifier: left exactly as found.
        pixels: `[B,3,H,W]`, floating, [0, 1].
        neurons: the unit of each image; `strongest_neurons` finds the places.
        rule: how gradients pass rectifiers, see `backward_rule`.

    Raises:
        TypeError, ValueError: channels or places that are not one an image or not in the layer.
        ModelError: no such layer, one that is no feature map, or a rule and a network without a ReLU.
    """
    run = pixel_pass(classifier, pixels, layers=(neurons.layer,), rule=rule)

    def activations() -> Tensor:
        return _selected(feature_map(classifier, run.taps[neurons.layer], layer=neurons.layer), neurons)

    values = at_least_single(run.gradient(activations))
    return Attributions(values, METHODS[rule], neurons, layer=neurons.layer, caution=CAUTIONS[rule])


def strongest_neurons(
    classifier: Classifier, pixels: Tensor, *, layer: str, channels: Tensor, sign: Literal[1, -1] = 1
) -> tuple[Neurons, Tensor]:
    """Return the place where each image's channel is strongest, and its activation `[B]`.

    Args:
        classifier: left exactly as found.
        pixels: `[B,3,H,W]`, floating, [0, 1].
        layer: dotted name.
        channels: int64 `[B]`.
        sign: 1 for the largest activation, -1 for the smallest. The first of equal ones is taken.

    Raises:
        As `neuron_attributions`.
    """
    maps = feature_map(classifier, record(classifier, pixels, layers=(layer,)).activation(layer), layer=layer)
    chosen = _channels(maps, Neurons(layer, channels))
    best = (sign * chosen.flatten(1)).argmax(dim=1)
    places = torch.stack([best // chosen.shape[2], best % chosen.shape[2]], dim=1).cpu()
    neurons = Neurons(layer, channels, places)
    return neurons, _selected(maps, neurons)


def _channels(maps: Tensor, neurons: Neurons) -> Tensor:
    """Return each image's channel, `[B,h,w]`, of maps `[B,C,h,w]`."""
    count, channels = maps.shape[:2]
    check_labels(neurons.channels, count=count, classes=channels, name=f"channels of layer {neurons.layer!r}")
    return maps[torch.arange(count, device=maps.device), neurons.channels.to(maps.device)]


def _selected(maps: Tensor, neurons: Neurons) -> Tensor:
    """Return the activation `[B]` of each image's unit, or the sum over its channel."""
    chosen = _channels(maps, neurons)
    if neurons.places is None:
        return chosen.sum(dim=(1, 2))
    if neurons.places.shape != (len(maps), 2):
        raise ValueError(f"expected {len(maps)} places (row, column), got shape {list(neurons.places.shape)}")
    for axis, name in enumerate(("rows", "columns")):
        check_labels(
            neurons.places[:, axis],
            count=len(maps),
            classes=chosen.shape[1 + axis],
            name=f"{name} of layer {neurons.layer!r}",
        )
    rows, columns = neurons.places.to(maps.device).unbind(dim=1)
    return chosen[torch.arange(len(maps), device=maps.device), rows, columns]
