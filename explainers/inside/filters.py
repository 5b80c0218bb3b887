"""What layers hold and give: the first one's filters as images, deeper weights as slices, activations as grids."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from explainers.cams.cam import feature_map
from explainers.hooks import find_layer, tapped
from explainers.inside.tiles import Tiles, around_grey
from explainers.layers import Call, trace
from wolfhound.checks import check_pixel_layout
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import ModelError


@dataclass(frozen=True, eq=False)
class FirstLayerFilters:
    """The filters of a first convolution as images.

    Attributes:
        layer: its dotted name.
        weight: `[N,3,h,w]`, float32 on the CPU, in the order red, green, blue.
        strength: `[N]`, the largest magnitude in each filter. A filter far below the others contributes little, however
            clear its picture is when each is scaled by itself.
        per_filter: each filter scaled by its own largest magnitude; zero is middle grey.
        per_layer: all filters scaled by the layer's largest magnitude; zero is middle grey.
        reordered: whether the network reads the colours in another order than red, green, blue.
    """

    layer: str
    weight: Tensor = field(repr=False)
    strength: Tensor = field(repr=False)
    per_filter: Tiles
    per_layer: Tiles
    reordered: bool


def first_layer_filters(classifier: Classifier) -> FirstLayerFilters:
    """Return the filters of the first layer with weights, in execution order, as images.

    Weights are shown as they stand in the network (a network that flips its input learns flipped filters). Which input
    channel is red is found by what reaches the layer from red, green and blue images, not assumed.

    Raises:
        ModelError: the first layer with weights is no convolution over the three colours.
    """
    call = _first_weighted(classifier)
    layer, part = call.name, call.module
    if not isinstance(part, nn.Conv2d):
        raise ModelError(
            f"expected the first layer with weights of {classifier.name} to be a convolution, got {layer!r}, "
            f"{_article(type(part).__name__)} (its weights are no images; look at activations instead)"
        )
    if part.groups > 1:
        raise ModelError(
            f"expected the filters of {layer!r} of {classifier.name} to read all three colours, got {part.groups} "
            "groups (each filter sees some of them alone, so it is no colour image)"
        )
    order = _colour_order(classifier, call)
    weight = part.weight.detach().float().cpu()[:, order]
    strength = weight.abs().amax(dim=(1, 2, 3))
    labels = tuple(str(index) for index in range(len(weight)))
    largest = float(strength.max())
    return FirstLayerFilters(
        layer=layer,
        weight=weight,
        strength=strength,
        per_filter=Tiles(
            around_grey(weight, largest=strength), labels, "grey 0; each filter by its own largest weight"
        ),
        per_layer=Tiles(around_grey(weight, largest=largest), labels, f"grey 0; black and full -/+ {largest:.3g}"),
        reordered=order != [0, 1, 2],
    )


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


def _first_weighted(classifier: Classifier) -> Call:
    for call in trace(classifier):
        if next(call.module.parameters(recurse=False), None) is not None:
            return call
    raise ModelError(f"{classifier.name}: no layer with weights runs in a forward pass")


def _colour_order(classifier: Classifier, call: Call) -> list[int]:
    """Return which input channel of the layer holds red, green and blue."""
    height, width = classifier.preprocessing.input_size
    colours = torch.cat([torch.zeros(1, 3), torch.eye(3)]).to(classifier.device, classifier.dtype)
    seen: list[Tensor] = []
    with torch.no_grad(), frozen(classifier.module), _inputs_of(call.module, seen):
        classifier.logits(colours[:, :, None, None].expand(-1, -1, height, width))
    if not seen or seen[0].ndim != 4 or seen[0].shape[1] != 3 or len(seen[0]) != 4:
        found = list(seen[0].shape[1:]) if seen else "nothing"
        raise ModelError(
            f"expected the first convolution of {classifier.name} ({call.name!r}) to read the three colours, got "
            f"{found} (what is put before it rearranges the pixels, so its filters are no colour images)"
        )
    # The middle of the image, which no border reaches.
    middle = seen[0][:, :, seen[0].shape[2] // 2, seen[0].shape[3] // 2].double()
    response = (middle[1:] - middle[:1]).abs().T  # [channel, colour]
    shares = response / response.sum(dim=1, keepdim=True).clamp(min=1e-30)
    order = shares.argmax(dim=0).tolist()
    if float(shares.max(dim=1).values.min()) < 0.99 or sorted(order) != [0, 1, 2]:
        raise ModelError(
            f"expected each input channel of {call.name!r} of {classifier.name} to hold one colour, got mixtures "
            "(the network changes the colour space first, so its filters are no colour images)"
        )
    return [int(channel) for channel in order]


@contextmanager
def _inputs_of(part: nn.Module, seen: list[Tensor]) -> Iterator[None]:
    handle = part.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach().clone()))
    try:
        yield
    finally:
        handle.remove()


def weight_slices(classifier: Classifier, layer: str, *, filters: int = 8, slices: int = 8) -> Tiles:
    """Return grey slices of a convolution's weights, one row a filter, `[filters*slices,1,h,w]`.

    The rule, as the labels say: the filters of the largest L2 norm, in that order; of each the input channels whose
    slice has the largest L2 norm, in that order (ties: the lower number). All share one scale, zero is middle grey.

    Raises:
        ModelError: no such layer, or one that is no convolution.
        ValueError: not at least one filter and slice.
    """
    part = find_layer(classifier.module, layer)
    if not isinstance(part, nn.Conv2d):
        raise ModelError(f"expected layer {layer!r} to be a convolution, got {_article(type(part).__name__)}")
    if filters < 1 or slices < 1:
        raise ValueError(f"expected at least 1 filter and 1 slice, got {filters} and {slices}")
    weight = part.weight.detach().float().cpu()
    energy = weight.square().sum(dim=(2, 3))
    chosen = _largest(energy.sum(dim=1), filters)
    pictures, labels = [], []
    inputs = weight.shape[1]
    for index in chosen:
        # With groups, a filter reads its own group's channels alone; they are counted over the whole input.
        first = index // (len(weight) // part.groups) * inputs
        for channel in _largest(energy[index], slices):
            share = float(energy[index, channel] / energy[index].sum()) if float(energy[index].sum()) else 0.0
            pictures.append(weight[index, channel][None])
            labels.append(f"filter {index} over channel {first + channel} ({share:.0%} of its energy)")
    stacked = torch.stack(pictures)
    largest = float(stacked.abs().max())
    scale = f"grey 0; black and white -/+ {largest:.3g}; filters and slices of the largest norm"
    return Tiles(around_grey(stacked, largest=largest), tuple(labels), scale, columns=min(slices, inputs))


def _largest(values: Tensor, count: int) -> list[int]:
    """Positions of the `count` largest values, in falling order, the lower number first in a tie."""
    return [int(i) for i in values.sort(descending=True, stable=True).indices[:count]]


def activation_tiles(
    classifier: Classifier,
    pixels: Tensor,
    *,
    layer: str,
    channels: Sequence[int] | None = None,
    most: int = 64,
    share: float = 0.999,
) -> Tiles:
    """Return a layer's activation for one image as grey pictures, one a channel, `[N,1,h,w]`.

    Args:
        pixels: one image `[1,3,H,W]` in [0, 1].
        channels: which; None takes the `most` with the largest mean magnitude, in that order.
        share: of the layer's magnitudes that the scale spans, in (0, 1]; a few outliers would leave the rest black.

    The scale is shared by all of the layer's channels, shown or not, and the tiles state it: black is 0 and white the
    `share` quantile and more, or, where a value is negative, middle grey is 0.

    Raises:
        ModelError: no such layer, or one that gives no feature map.
        ValueError: not one image, a channel that the layer lacks, or values that are not finite.
    """
    check_pixel_layout(pixels)
    if len(pixels) != 1 or not 0 < share <= 1:
        raise ValueError(f"expected one image and a share in (0, 1], got {len(pixels)} and {share:g}")
    activation = layer_output(classifier, pixels, layer=layer)[0].float().cpu()
    if not bool(torch.isfinite(activation).all()):
        raise ValueError(f"expected finite activations of layer {layer!r}, got NaN or infinity")
    strength = activation.abs().mean(dim=(1, 2))
    chosen = _largest(strength, most) if channels is None else checked_channels(channels, len(activation), layer=layer)
    largest, limit = float(activation.abs().max()), _quantile(activation.abs(), share)
    signed, shown = bool((activation < 0).any()), activation[chosen][:, None]
    pictures = around_grey(shown, largest=limit) if signed else (shown / (limit or 1.0)).clamp(max=1)
    ends = f"grey 0; black and white -/+ {limit:.3g}" if signed else f"black 0; white {limit:.3g}"
    scale = f"{ends} and beyond (largest {largest:.3g})" if limit < largest else ends
    return Tiles(pictures, tuple(f"channel {channel}" for channel in chosen), scale)


def _quantile(magnitudes: Tensor, share: float) -> float:
    """The value that a share of the magnitudes does not exceed; where that is 0, the largest one."""
    flat = magnitudes.flatten()
    found = float(flat.kthvalue(min(flat.numel(), max(1, round(share * flat.numel())))).values)
    return found or float(flat.max())


def layer_output(classifier: Classifier, pixels: Tensor, *, layer: str) -> Tensor:
    """Return a layer's feature map, `[B,C,h,w]`, as it was before anything changed it in place. Without a graph.

    Raises:
        ModelError: no such layer, one that does not run once, or one that gives no feature map (see layouts.py).
    """
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        frozen(classifier.module),
        tapped(classifier.module, (layer,)) as taps,
    ):
        classifier.logits(pixels.detach())
    if layer not in taps:
        raise ModelError(f"layer {layer!r} did not run in the forward pass (name another layer)")
    return feature_map(classifier, taps[layer].detach(), layer=layer)


def checked_channels(channels: Sequence[int], count: int, *, layer: str) -> list[int]:
    """Return the channels as a list.

    Raises:
        ValueError: none, one twice, or one outside [0, count).
    """
    chosen = [int(channel) for channel in channels]
    bad = [channel for channel in chosen if not 0 <= channel < count]
    if bad or not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(f"expected different channels of layer {layer!r} in [0, {count}), got {chosen[:20]}")
    return chosen
