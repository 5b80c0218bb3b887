"""Doubts about what a network is fed: colour order, range of the pixels, normalisation missing, doubled or another one.

Two kinds of evidence, neither of which needs to know the network. The first batch normalisation remembers the
statistics of its inputs in training. And on labelled images the right preprocessing is the one under which the network
is right.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.evidence import Doubt
from wolfhound.statistics import mcnemar_exact

VARIANCE_FACTOR = 5.0
"""How many times larger or smaller the variance at the first batch normalisation may be than in training."""

BETTER = 0.1
"""Share of the images by which another preprocessing has to be ahead to be a doubt."""

LEVEL = 0.05
"""Level of the test that it is ahead, divided by the number of preprocessings tried."""

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_IDENTITY = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_BYTES = ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
_CAFFE = ((104 / 255, 117 / 255, 123 / 255), (1 / 255, 1 / 255, 1 / 255))

_Moments = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class _Alternative:
    code: str
    words: str
    moments: _Moments
    swapped: bool = False


def input_statistics(classifier: Classifier, pixels: Tensor) -> Doubt | None:
    """Return a doubt where the first batch normalisation sees another variance than in training. Call it in `frozen`.

    Compares the variance over `pixels` of each channel of its input, away from the border (where padding of raw pixels
    makes an edge), with the running one: the median ratio over the channels must lie in [1/5, 5]. Measured: 0.7 to 0.8
    on the real networks that have one. ImageNet's normalisation left out divides it by 20, one done twice multiplies it
    by 20. A layer without statistics of its own (untrained, or folded into the layer before) is no evidence.
    """
    normalised = _first_input(classifier, pixels)
    if normalised is None or len(pixels) < 2:
        return None
    layer, inputs = normalised
    remembered = layer.running_var
    if layer.running_mean is None or remembered is None or float(layer.running_mean.std()) == 0:
        return None
    high, wide = (max(1, side // 8) for side in inputs.shape[-2:])
    inner = inputs[..., high:-high, wide:-wide].double()
    if not inner.numel():
        return None
    ratio = float((inner.var(dim=(0, 2, 3)) / remembered.double().clamp_min(1e-12)).median())
    if 1 / VARIANCE_FACTOR <= ratio <= VARIANCE_FACTOR:
        return None
    return Doubt(
        "input-statistics",
        f"the inputs of the first batch normalisation vary {ratio:.3g} times as much as in training: the images are "
        "probably not normalised as the network expects (not at all, twice, or on the scale 0 to 255). "
        "See docs/doubts.md#input-statistics.",
    )


def _first_input(classifier: Classifier, pixels: Tensor) -> tuple[nn.BatchNorm2d, Tensor] | None:
    """Return the batch normalisation that a pass reaches first, and its input."""
    seen: list[tuple[nn.BatchNorm2d, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not seen and isinstance(layer, nn.BatchNorm2d):
            seen.append((layer, inputs[0].detach()))

    layers = [part for part in classifier.module.modules() if isinstance(part, nn.BatchNorm2d)]
    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        if layers:
            with torch.no_grad():
                classifier.logits(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return seen[0] if seen else None


def preprocessing_doubt(classifier: Classifier, pixels: Tensor, labels: Tensor) -> Doubt | None:
    """Return a doubt where another preprocessing makes the network clearly more accurate. Call it in `frozen`.

    Tried: the other colour order, no normalisation, ImageNet's, mean and deviation 0.5, the scale 0 to 255, and Caffe's
    (0 to 255, BGR, less a mean). Clearly: see `clearly_better`. So a wrong preprocessing that costs little accuracy is
    not found, and a right one is never doubted by chance.
    """
    wanted = labels.to(pixels.device)
    right = _right(classifier, pixels, wanted, classifier.preprocessing, swapped=False)
    tried = _alternatives(classifier.preprocessing)
    outcomes = [_outcome(classifier, pixels, wanted, alternative) for alternative in tried]
    best = max(range(len(tried)), key=lambda i: int(outcomes[i].sum()))
    if not clearly_better(outcomes[best], right, labels=wanted, tried=len(tried)):
        return None
    return Doubt(
        tried[best].code,
        f"{tried[best].words} the network is right on {int(outcomes[best].sum())} of {len(right)} images, as the plan "
        f"has it on {int(right.sum())}: its preprocessing is probably not that of its training. "
        f"See docs/doubts.md#{tried[best].code}.",
    )


def clearly_better(other: Tensor, own: Tensor, *, labels: Tensor, tried: int) -> bool:
    """Whether `other` is right on clearly more images than `own`, both bool `[B]`, as the best of `tried` alternatives.

    By 10 points at least, with an exact McNemar p below 0.05 over the number tried; and by as much than always naming
    the commonest of the `labels` int64 `[B]`, as a network whose classes are mixed up is less right than a guess.
    """
    guessed = int(torch.bincount(labels).max()) if len(labels) else 0
    if int(other.sum()) - guessed < BETTER * len(own):
        return False
    gained, lost = int((other & ~own).sum()), int((own & ~other).sum())
    return gained - lost >= BETTER * len(own) and mcnemar_exact(gained, lost) < LEVEL / tried


def _outcome(classifier: Classifier, pixels: Tensor, labels: Tensor, alternative: _Alternative) -> Tensor:
    mean, std = alternative.moments
    preprocessing = Preprocessing(mean, std, classifier.preprocessing.input_size)
    return _right(classifier, pixels, labels, preprocessing, swapped=alternative.swapped)


def _right(
    classifier: Classifier, pixels: Tensor, labels: Tensor, preprocessing: Preprocessing, *, swapped: bool
) -> Tensor:
    shown = pixels.flip(1) if swapped else pixels
    with torch.no_grad():
        right: Tensor = classifier.module(preprocessing.apply(shown)).argmax(dim=1) == labels
    return right


def _alternatives(own: Preprocessing) -> list[_Alternative]:
    moments = (own.mean, own.std)
    plain = moments == _IDENTITY
    code = "missing-normalisation" if plain else "other-normalisation"
    every = [
        _Alternative("colour-order", "with red and blue exchanged", moments, swapped=True),
        _Alternative("pixel-range", "with pixels from 0 to 255", _BYTES),
        _Alternative("pixel-range", "with pixels from 0 to 255, blue first, less Caffe's mean,", _CAFFE, swapped=True),
        _Alternative("double-normalisation", "without the plan's normalisation", _IDENTITY),
        _Alternative(code, "with ImageNet's mean and deviation", _IMAGENET),
        _Alternative(code, "with mean and deviation 0.5", _HALF),
    ]
    return [each for each in every if each.swapped or each.moments != moments]
