"""Does a classifier rely on the background? Swap it under the object and see: intervention first, pictures second.

Two classes a and b are each usually seen on one kind of background (wolves on snow, huskies on grass). Every image of
theirs is cut out by its mask and put on an object-free plate of its own kind (placebo) and on one of the other kind
(intervention); the difference is what the kind of background does, because both composites share the cutting and
pasting. Sources: Xiao et al. 2020 (mixed-same and mixed-random, background gap), Ribeiro et al. 2016, section 6.4.

The artefact control is the placebo's composite with a mask one pixel wider and one narrower. Pasting an object back on
its own background would be no control: with M f + (1 - M) f nothing changes, whatever the mask. A wider mask brings a
seam of the old background along, a narrower one cuts the object's outline off, so a classifier that reacts to the
cutting shows it here, with the kind of background held fixed.

Ledger columns, one row an image: image (content hash), label, background (its own kind), pair (index of the pair of
plates), plate_same, plate_other (content hashes); prediction_X and margin_X (z_a - z_b, logits) for X in own, same,
other, wider, narrower and dose_0 ... dose_1 (the plate of the other kind blended into the image's own background).
Ledger of plates: image, background, prediction, margin.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainers.bias.verdict import BackgroundProbe, ProbeSettings, Question, judge
from explainers.composition import compose, dilated, eroded
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError, fault_list
from wolfhound.images import ImageSet, check_disjoint
from wolfhound.progress import Advance, Progress, silent

Positions = NDArray[np.int64]

LEAST_PLATES = 8
"""Plates of each kind: below, the spread over backgrounds cannot be estimated and an interval would be too narrow."""
LEAST_IMAGES = 2


@dataclass(frozen=True, eq=False)
class Design:
    """Which images are probed, in ledger order, and which plates each is put on (positions within their sets)."""

    foregrounds: Positions
    same: Positions
    other: Positions
    pair: Positions


def background_probe(
    classifier: Classifier,
    foregrounds: ImageSet,
    backgrounds: ImageSet,
    *,
    class_pair: tuple[int, int],
    usual_background: Mapping[int, str],
    seed: int,
    batch_size: int = 64,
    progress: Progress = silent,
    settings: ProbeSettings = ProbeSettings(),  # noqa: B008 (frozen)
) -> BackgroundProbe:
    """Return whether predictions between two classes use the background, with every number behind it.

    Args:
        classifier: left exactly as found.
        foregrounds: held-out images with object masks, and the kind of background of each as its group. Images of other
            classes or on other kinds, and repetitions of an image, are left out and counted.
        backgrounds: object-free plates of the same size, with their kind as group; at least 8 of each of the two kinds.
            The more plates, the less the result hangs on one of them.
        class_pair: labels (a, b).
        usual_background: label -> the kind of background that the class is confounded with.
        seed: of the pairing with plates and of every resampling.
        batch_size: images at a time; the result does not depend on it beyond rounding.

    Raises:
        DataError: no masks or groups, too few images or plates, other sizes, empty masks, an image that is a plate too.
        ValueError: classes that do not exist, or one background for both.
    """
    question = _question(classifier, class_pair, usual_background)
    design = plan_swaps(foregrounds, backgrounds, question=question, seed=seed)
    names = _conditions(settings.doses)
    plates = np.sort(np.concatenate([_of_kind(backgrounds, kind) for kind in question.backgrounds]))
    steps = len(design.foregrounds) * len(names) + len(plates)
    with (
        progress(f"background probe of {classifier.name}", steps) as advance,
        torch.no_grad(),
        frozen(classifier.module),
    ):
        ask = _asker(classifier, question, between_pair=settings.between_pair, advance=advance)
        ledger = _image_ledger(ask, foregrounds, backgrounds, design, names, batch_size=batch_size)
        plate_ledger = _plate_ledger(ask, backgrounds, plates, batch_size=batch_size)
    return judge(
        ledger,
        plate_ledger,
        classifier=classifier.name,
        question=question,
        settings=settings,
        seed=seed,
        left_out=len(foregrounds) - len(design.foregrounds),
    )


def _question(classifier: Classifier, pair: tuple[int, int], usual: Mapping[int, str]) -> Question:
    classes = len(classifier.class_names)
    if pair[0] == pair[1] or not all(0 <= label < classes for label in pair):
        raise ValueError(f"expected two different classes in [0, {classes}), got {pair}")
    missing = [label for label in pair if label not in usual]
    if missing or usual[pair[0]] == usual[pair[1]]:
        raise ValueError(f"expected a usual background of its own for each class of {pair}, got {dict(usual)}")
    names = (classifier.class_names[pair[0]], classifier.class_names[pair[1]])
    return Question(pair, names, (usual[pair[0]], usual[pair[1]]))


def plan_swaps(foregrounds: ImageSet, backgrounds: ImageSet, *, question: Question, seed: int) -> Design:
    """Return the seeded design: plates of the two kinds form pairs, and each image meets both plates of one pair.

    An image meets one plate of each kind, pairs are used equally often, and images of one pair form a cluster for the
    statistics.

    Raises:
        DataError: as `background_probe`; every fault is named.
    """
    _check_sets(foregrounds, backgrounds, question)
    rng = np.random.default_rng([seed, 2])
    of_kind = {kind: rng.permutation(_of_kind(backgrounds, kind)) for kind in question.backgrounds}
    pairs = min(len(plates) for plates in of_kind.values())
    chosen = np.concatenate([rng.permutation(_of_class(foregrounds, label, question)) for label in question.classes])
    pair = np.arange(len(chosen)) % pairs
    order = np.argsort(chosen)
    chosen, pair = chosen[order], pair[order]
    groups = foregrounds.groups or ()
    first, second = question.backgrounds
    opposite = {first: second, second: first}
    same = np.array([of_kind[groups[i]][k] for i, k in zip(chosen, pair, strict=True)], dtype=np.int64)
    other = np.array([of_kind[opposite[groups[i]]][k] for i, k in zip(chosen, pair, strict=True)], dtype=np.int64)
    return Design(chosen, same, other, pair.astype(np.int64))


def _of_kind(images: ImageSet, kind: str) -> Positions:
    """Positions of the images on that kind of background; equal content counts once."""
    return _first_of_each(images, [i for i, group in enumerate(images.groups or ()) if group == kind])


def _of_class(images: ImageSet, label: int, question: Question) -> Positions:
    """Positions of the images of that class on either kind of background; equal content counts once."""
    groups = images.groups or ()
    chosen = [i for i in np.flatnonzero(images.labels == label).tolist() if groups[i] in question.backgrounds]
    return _first_of_each(images, chosen)


def _first_of_each(images: ImageSet, positions: list[int]) -> Positions:
    first = {images.hashes[i]: i for i in reversed(positions)}
    return np.array(sorted(first.values()), dtype=np.int64)


def _check_sets(foregrounds: ImageSet, backgrounds: ImageSet, question: Question) -> None:
    faults = []
    if foregrounds.masks is None:
        faults.append(f"{foregrounds.name} has no object masks (the object could not be cut out)")
    faults += [
        f"{s.name} has no groups (the kind of each background)" for s in (foregrounds, backgrounds) if not s.groups
    ]
    if foregrounds.size != backgrounds.size:
        faults.append(f"images are {foregrounds.size}, plates {backgrounds.size} (give plates of the images' size)")
    if foregrounds.groups and backgrounds.groups:
        faults += [
            f"{len(_of_class(foregrounds, label, question))} images of {name!r}, at least {LEAST_IMAGES} are needed"
            for label, name in zip(question.classes, question.names, strict=True)
            if len(_of_class(foregrounds, label, question)) < LEAST_IMAGES
        ]
        faults += [
            f"{len(_of_kind(backgrounds, kind))} plates of {kind!r}, at least {LEAST_PLATES} are needed"
            for kind in question.backgrounds
            if len(_of_kind(backgrounds, kind)) < LEAST_PLATES
        ]
    if faults:
        raise DataError(fault_list(f"{foregrounds.name}: backgrounds cannot be swapped:", faults))
    check_disjoint(images=foregrounds, plates=backgrounds)


Condition = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _conditions(doses: tuple[float, ...]) -> dict[str, Condition]:
    """Name -> composite of (images, masks, plates of the same kind, plates of the other kind)."""
    found: dict[str, Condition] = {
        "own": lambda images, _masks, _same, _other: images,
        "same": lambda images, masks, same, _other: compose(images, masks, same),
        "other": lambda images, masks, _same, other: compose(images, masks, other),
        "wider": lambda images, masks, same, _other: compose(images, dilated(masks), same),
        "narrower": lambda images, masks, same, _other: compose(images, eroded(masks), same),
    }
    for dose in doses:
        found[f"dose_{dose:g}"] = _blend(dose)
    return found


def _blend(dose: float) -> Condition:
    def condition(images: Tensor, masks: Tensor, _same: Tensor, other: Tensor) -> Tensor:
        return compose(images, masks, (1 - dose) * images + dose * other)

    return condition


Answers = tuple[Positions, NDArray[np.float64]]
Ask = Callable[[Tensor], Answers]


def _asker(classifier: Classifier, question: Question, *, between_pair: bool, advance: Advance) -> Ask:
    """Return a function from pixels to (predictions, margins z_a - z_b)."""
    first, second = question.classes

    def ask(pixels: Tensor) -> Answers:
        # A blend of two values in [0, 1] can leave it by a rounding.
        logits = classifier.logits(pixels.clamp(0, 1).to(classifier.device, classifier.dtype)).double().cpu()
        margins = (logits[:, first] - logits[:, second]).numpy()
        between = np.where(margins > 0, first, second)
        predictions = between if between_pair else logits.argmax(dim=1).numpy()
        advance(len(pixels))
        return predictions.astype(np.int64), margins

    return ask


def _image_ledger(
    ask: Ask,
    foregrounds: ImageSet,
    backgrounds: ImageSet,
    design: Design,
    conditions: Mapping[str, Condition],
    *,
    batch_size: int,
) -> pd.DataFrame:
    answers: dict[str, list[Answers]] = {name: [] for name in conditions}
    for start in range(0, len(design.foregrounds), batch_size):
        chosen = slice(start, start + batch_size)
        parts = load_parts(foregrounds, backgrounds, design, chosen)
        for name, condition in conditions.items():
            answers[name].append(ask(condition(*parts)))
    ledger = _design_columns(foregrounds, backgrounds, design)
    for name, found in answers.items():
        ledger[f"prediction_{name}"] = np.concatenate([predictions for predictions, _ in found])
        ledger[f"margin_{name}"] = np.concatenate([margins for _, margins in found])
    return ledger


def load_parts(
    foregrounds: ImageSet, backgrounds: ImageSet, design: Design, chosen: slice | Positions
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images, masks, plates of the same and of the other kind, for rows of the design, float32 in [0, 1].

    Raises:
        DataError: a mask without any object.
    """
    positions = design.foregrounds[chosen]
    masks = foregrounds.load_masks(positions)
    empty = (masks.flatten(1).amax(dim=1) == 0).nonzero().flatten().tolist()
    if empty:
        hashes = ", ".join(foregrounds.hashes[positions[i]][:12] for i in empty)
        raise DataError(f"{foregrounds.name}: expected an object in every mask, got empty ones for image(s) {hashes}")
    return (
        foregrounds.load(positions),
        masks,
        backgrounds.load(design.same[chosen]),
        backgrounds.load(design.other[chosen]),
    )


def _design_columns(foregrounds: ImageSet, backgrounds: ImageSet, design: Design) -> pd.DataFrame:
    groups = foregrounds.groups or ()
    return pd.DataFrame(
        {
            "image": [foregrounds.hashes[i] for i in design.foregrounds],
            "label": foregrounds.labels[design.foregrounds],
            "background": [groups[i] for i in design.foregrounds],
            "pair": design.pair,
            "plate_same": [backgrounds.hashes[i] for i in design.same],
            "plate_other": [backgrounds.hashes[i] for i in design.other],
        }
    )


def _plate_ledger(ask: Ask, backgrounds: ImageSet, kept: Positions, *, batch_size: int) -> pd.DataFrame:
    groups = backgrounds.groups or ()
    found = [ask(backgrounds.load(kept[start : start + batch_size])) for start in range(0, len(kept), batch_size)]
    return pd.DataFrame(
        {
            "image": [backgrounds.hashes[i] for i in kept],
            "background": [groups[i] for i in kept],
            "prediction": np.concatenate([predictions for predictions, _ in found]),
            "margin": np.concatenate([margins for _, margins in found]),
        }
    )
