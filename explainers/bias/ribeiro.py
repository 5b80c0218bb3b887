"""The published wolf/husky experiment: a logistic regression on a network's features that learned snow, not wolves.

Source: Ribeiro, Singh & Guestrin 2016, section 6.4: features of the first max-pooling layer of Inception, logistic
regression, 20 training images chosen so that all wolves stand on snow and no husky does; then a balanced display of ten
predictions, of which eight are right (the wrong ones: a wolf without snow, a husky with snow). Departures: any network
and layer; the training images are drawn by a seed among the confounded ones instead of picked by hand; so are the ten.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explainers.hooks import find_layer
from explainers.logistic import LogisticFit, fit_logistic
from wolfhound.classifier import Classifier, frozen, state_digest
from wolfhound.errors import DataError, ModelError, fault_list
from wolfhound.images import ImageSet

Positions = NDArray[np.int64]
RIGHT, WRONG = 4, 1
"""Of each class in the display: right ones on the usual background, and wrong ones on the other (8 right of ten)."""


class _Reached(Exception):  # noqa: N818 (no error: it ends a forward pass early)
    """The layer has given its features; nothing behind it is needed."""


class FeatureHead(nn.Module):
    """A network cut after `layer`, with a linear head on the layer's flattened output: two logits, +m/2 and -m/2.

    What stands behind the layer never runs. The layer is called `network.LAYER` in this module.
    """

    def __init__(self, network: nn.Module, layer: str, fit: LogisticFit) -> None:
        super().__init__()
        self.network = network
        self.layer = layer
        self.head = nn.Linear(len(fit.weights), 2)
        dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
        with torch.no_grad():
            self.head.weight.copy_(torch.stack([fit.weights, -fit.weights]) / 2)
            self.head.bias.copy_(torch.tensor([fit.bias, -fit.bias], dtype=torch.float64) / 2)
        self.head.to(dtype)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits `[B,2]` of normalised `pixels`."""
        logits: Tensor = self.head(layer_output(self.network, self.layer, pixels).flatten(1))
        return logits


def layer_output(network: nn.Module, layer: str, pixels: Tensor) -> Tensor:
    """Return what `layer` gives for `pixels`, with its gradient, and run nothing behind it.

    Raises:
        ModelError: no such layer, one that does not run, or one that gives something but a tensor.
    """
    taken: list[Tensor] = []
    with _stopping(find_layer(network, layer), taken, layer):
        try:
            network(pixels)
        except _Reached:
            return taken[0]
    raise ModelError(f"layer {layer!r} did not run in the forward pass (name another layer)")


@contextmanager
def _stopping(part: nn.Module, taken: list[Tensor], layer: str) -> Iterator[None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise ModelError(f"expected layer {layer!r} to give one tensor, got {type(output).__name__}")
        taken.append(output)
        raise _Reached

    handle = part.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def features_of(classifier: Classifier, images: ImageSet, *, layer: str, batch_size: int = 32) -> Tensor:
    """Return the flattened output of a layer for every image, `[N,D]` on the CPU; the classifier is left as found."""
    parts = []
    with torch.no_grad(), frozen(classifier.module):
        for _, pixels in images.batches(batch_size):
            placed = classifier.preprocessing.apply(pixels.to(classifier.device, classifier.dtype))
            parts.append(layer_output(classifier.module, layer, placed).flatten(1).cpu())
    return torch.cat(parts)


@dataclass(frozen=True)
class Confounding:
    """Two classes (a, b) by label and the background that each is usually seen on.

    `stated` says that the images carry no background of their own, so that every image is taken to be on the usual one.
    """

    labels: tuple[int, int]
    usual: tuple[str, str]
    stated: bool = False

    def backgrounds(self, images: ImageSet) -> tuple[str, ...]:
        """Return the background of each image; "" where its label is neither class.

        Raises:
            DataError: the images carry no groups, and none is stated.
        """
        if self.stated:
            usual = dict(zip(self.labels, self.usual, strict=True))
            return tuple(usual.get(int(label), "") for label in images.labels)
        if images.groups is None:
            raise DataError(f"{images.name}: expected the background of each image as its group (or state it by class)")
        return images.groups

    def on_usual(self, images: ImageSet) -> NDArray[np.bool_]:
        """Return which images show one of the classes on the background that is usual for it."""
        usual = dict(zip(self.labels, self.usual, strict=True))
        pairs = zip(images.labels, self.backgrounds(images), strict=True)
        return np.array([usual.get(int(label)) == background for label, background in pairs], dtype=np.bool_)


def draw_training(images: ImageSet, confounding: Confounding, *, count: int, seed: int) -> Positions:
    """Return `count` positions, half of each class, drawn without replacement from the images on usual backgrounds.

    Equal content counts once. Positions are sorted.

    Raises:
        DataError: too few such images of a class; names each.
        ValueError: an odd count, or fewer than two.
    """
    if count < 2 or count % 2:
        raise ValueError(f"expected an even number of training images, at least 2, got {count}")
    rng, usual = np.random.default_rng([seed, 6]), confounding.on_usual(images)
    first = {content: position for position, content in reversed(list(enumerate(images.hashes)))}
    drawn, faults = [], []
    for label, name in zip(confounding.labels, confounding.usual, strict=True):
        fitting = [p for p in sorted(first.values()) if usual[p] and images.labels[p] == label]
        if len(fitting) < count // 2:
            faults.append(f"{len(fitting)} of {images.class_names[label]!r} on {name}, {count // 2} are needed")
        drawn.append(rng.permutation(np.array(fitting, dtype=np.int64))[: count // 2])
    if faults:
        raise DataError(fault_list(f"{images.name}: too few confounded images to train on:", faults))
    return np.sort(np.concatenate(drawn))


def shortcut_classifier(
    network: Classifier,
    training: ImageSet,
    confounding: Confounding,
    *,
    layer: str,
    strength: float = 1.0,
    batch_size: int = 32,
) -> tuple[Classifier, LogisticFit]:
    """Return the logistic regression on the network's features as a classifier of the two classes (a, b), and its fit.

    It shares the network's weights and preprocessing; gradients flow through it to the pixels.

    Args:
        network: left exactly as found.
        training: images of the two classes alone.
        layer: dotted name of the layer whose flattened output are the features.
        strength: see `fit_logistic`.

    Raises:
        ModelError: no such layer; ValueError: see `fit_logistic`; DataError: an image of another class.
    """
    labels = confounding.labels
    others = sorted(set(training.labels.tolist()) - set(labels))
    if others:
        raise DataError(f"{training.name}: expected images of the classes {labels} alone, got {others} too")
    features = features_of(network, training, layer=layer, batch_size=batch_size)
    fit = fit_logistic(features, torch.from_numpy(training.labels == labels[0]), strength=strength)
    module = FeatureHead(network.module, layer, fit).to(network.device)
    # Not module.eval(): the network's own mode is the caller's.
    module.training, module.head.training = False, False
    names = (training.class_names[labels[0]], training.class_names[labels[1]])
    return (
        Classifier(
            name=f"{names[0]}/{names[1]} on {network.name}",
            module=module,
            class_names=names,
            preprocessing=network.preprocessing,
            weights_digest=state_digest(module.state_dict()),
            architecture=f"logistic regression on layer {layer} of {network.architecture or network.name}",
            provenance=f"fitted by Wolfhound on {len(training)} images; the features' weights: {network.provenance}",
        ),
        fit,
    )


def judge_images(
    shortcut: Classifier, images: ImageSet, confounding: Confounding, *, batch_size: int = 32
) -> pd.DataFrame:
    """Return the ledger of test images: image (content hash), label, background, usual, prediction, margin.

    Labels and predictions are 0 (class a) and 1 (class b); `usual` is whether the background is usual for the label;
    the margin is z_a - z_b in logits.

    Raises:
        DataError: an image of another class.
    """
    code = {label: index for index, label in enumerate(confounding.labels)}
    others = sorted(set(images.labels.tolist()) - set(code))
    if others:
        raise DataError(f"{images.name}: expected images of the classes {tuple(code)} alone, got {others} too")
    parts = []
    with torch.no_grad(), frozen(shortcut.module):
        for _, pixels in images.batches(batch_size):
            logits = shortcut.logits(pixels.to(shortcut.device, shortcut.dtype)).double().cpu()
            parts.append((logits[:, 0] - logits[:, 1]).numpy())
    margins = np.concatenate(parts)
    return pd.DataFrame(
        {
            "image": list(images.hashes),
            "label": [code[int(label)] for label in images.labels],
            "background": list(confounding.backgrounds(images)),
            "usual": np.where(confounding.on_usual(images), "yes", "no"),
            "prediction": np.where(margins >= 0, 0, 1),  # a tie goes to the first, as argmax has it under swaps
            "margin": margins,
        }
    )


@dataclass(frozen=True, eq=False)
class Display:
    """Ten test images to be shown to people, and the rule that chose them.

    Attributes:
        rows: of the ledger, in the order of the display.
        balanced: whether it is the published design (8 right on usual, 2 wrong on unusual backgrounds).
        rule: in words.
        missing: what the design asks for and the images do not have; "" where it is balanced.
    """

    rows: Positions
    balanced: bool
    rule: str
    missing: str = ""
    strata: Mapping[str, int] = field(default_factory=dict)


def choose_display(ledger: pd.DataFrame, class_names: Sequence[str], *, seed: int) -> Display:
    """Return the ten images of the published display, drawn by `seed` within each of its four strata.

    Of each class four that are right on the usual background and one that is wrong on the other. Where a stratum has
    too few, all of it is shown and the class is filled up to five with images drawn whatever their prediction; that is
    then no longer the published design, and `missing` says why.
    """
    rng, drawn, strata, missing = np.random.default_rng([seed, 7]), [], {}, []
    right = (ledger["prediction"] == ledger["label"]).to_numpy()
    usual = (ledger["usual"] == "yes").to_numpy()
    for label, name in enumerate(class_names):
        own = (ledger["label"] == label).to_numpy()
        chosen: list[int] = []
        for what, flags, wanted in (
            (f"{name}, right on its usual background", own & right & usual, RIGHT),
            (f"{name}, wrong on the other background", own & ~right & ~usual, WRONG),
        ):
            there = np.flatnonzero(flags)
            strata[what] = len(there)
            chosen += rng.permutation(there)[:wanted].tolist()
            if len(there) < wanted:
                missing.append(f"{len(there)} of {what} ({wanted} asked for)")
        rest = np.setdiff1d(np.flatnonzero(own), chosen)
        chosen += rng.permutation(rest)[: RIGHT + WRONG - len(chosen)].tolist()
        drawn += chosen
    rule = f"drawn at random (seed {seed}) within each class: {RIGHT} right on the usual, {WRONG} wrong on the other"
    rule += " background, as in Ribeiro et al. 2016" if not missing else " where there are such, else any of the class"
    return Display(rng.permutation(np.array(drawn, dtype=np.int64)), not missing, rule, "; ".join(missing), strata)
