"""Does a classifier rely on the background? Swap it under the object and see: intervention first, pictures second.

Each class is usually seen on one kind of background (wolves on snow, huskies on grass). Every image is cut out by its
mask and put on an object-free plate of its own kind (placebo) and on one of another kind (intervention); the difference
is what the kind of background does, because both composites share the cutting and pasting. Sources: Xiao et al. 2020
(mixed-same and mixed-random, background gap), Ribeiro et al. 2016, section 6.4.

The artefact control is the placebo's composite with a mask one pixel wider and one narrower. Pasting an object back on
its own background would be no control: with M f + (1 - M) f nothing changes, whatever the mask. A wider mask brings a
seam of the old background along, a narrower one cuts the object's outline off, so a classifier that reacts to the
cutting shows it here, with the kind of background held fixed.

Ledger columns, one row an image: image (content hash), label, background (its own kind), background_other (the kind it
is moved to), pair (index of the plates; images of one index form a cluster), plate_same, plate_other, partner (content
hashes), partner_label, partner_background (the kind usual for that label); prediction_X and margin_X (z_label - max z_j
over the other classes asked about, logits) for X in own, same, other, wider, narrower, dose_0 ... dose_1 (the plate of
the other kind blended into the image's own background), object (the partner's object on the placebo's plate), none (the
object on a plain grey), removed (the image with its object painted over), noise_object and noise_background (Gaussian
noise of the same norm there or elsewhere).
Ledger of plates: image, background, prediction (among all classes), choice (among those asked about), takes (the usual
background of the choice).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainers.bias.composites import Parts, composites
from explainers.bias.verdict import BackgroundProbe, ProbeSettings, Question, judge
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
    partner: Positions
    """Images of another class whose objects take the place of the image's own (positions among the foregrounds)."""


def background_probe(
    classifier: Classifier,
    foregrounds: ImageSet,
    backgrounds: ImageSet,
    *,
    classes: tuple[int, ...],
    usual_background: Mapping[int, str],
    seed: int,
    batch_size: int = 64,
    progress: Progress = silent,
    settings: ProbeSettings = ProbeSettings(),  # noqa: B008 (frozen)
) -> BackgroundProbe:
    """Return whether predictions between the given classes use the background, with every number behind it.

    Args:
        classifier: left exactly as found.
        foregrounds: held-out images with object masks, and the kind of background of each as its group. Images of other
            classes or on other kinds, and repetitions of an image, are left out and counted.
        backgrounds: object-free plates of the same size, with their kind as group; at least 8 of each kind. The more
            plates, the less the result hangs on one of them. Where a plate was made from a picture, its origin is that
            picture's content hash, and the picture is never put on it.
        classes: two or more labels.
        usual_background: label -> the kind of background that the class is confounded with; at least two kinds.
        seed: of the pairing with plates and of every resampling.
        batch_size: images at a time; the result does not depend on it beyond rounding.

    Raises:
        DataError: no masks or groups, too few images or plates, other sizes, empty masks, an image that is a plate too.
        ValueError: classes that do not exist, or one background for all.
    """
    question = ask_about(classifier, classes, usual_background)
    design = plan_swaps(foregrounds, backgrounds, question=question, seed=seed)
    names = composites(settings, seed=seed)
    plates = np.sort(np.concatenate([_of_kind(backgrounds, kind) for kind in question.kinds]))
    steps = len(design.foregrounds) * len(names) + len(plates)
    with (
        progress(f"background probe of {classifier.name}", steps) as advance,
        torch.no_grad(),
        frozen(classifier.module),
    ):
        ask = Asker(classifier, question, among_classes=settings.among_classes, advance=advance)
        ledger = _image_ledger(ask, foregrounds, backgrounds, design, settings, seed=seed, batch_size=batch_size)
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


def ask_about(classifier: Classifier, classes: tuple[int, ...], usual: Mapping[int, str]) -> Question:
    """Return the question of those classes and their usual backgrounds.

    Raises:
        ValueError: fewer than two classes, classes that do not exist, or one background for all.
    """
    known = len(classifier.class_names)
    if len(set(classes)) != len(classes) or len(classes) < 2 or not all(0 <= label < known for label in classes):
        raise ValueError(f"expected two different classes or more in [0, {known}), got {classes}")
    missing = [label for label in classes if label not in usual]
    if missing or len({usual[label] for label in classes}) < 2:
        raise ValueError(
            f"expected a usual background of its own for each class of {classes}, and at least two kinds, "
            f"got {dict(usual)}"
        )
    names = tuple(classifier.class_names[label] for label in classes)
    return Question(tuple(classes), names, tuple(usual[label] for label in classes))


def plan_swaps(foregrounds: ImageSet, backgrounds: ImageSet, *, question: Question, seed: int) -> Design:
    """Return the seeded design: the k-th plates of every kind belong together, and each image meets two of one k.

    An image meets one plate of its own kind and one of another: the kind usual for its class where it is not on that,
    otherwise the other kinds in turn. Every k is used equally often, and images of one k form a cluster for the
    statistics.

    Raises:
        DataError: as `background_probe`; every fault is named.
    """
    _check_sets(foregrounds, backgrounds, question)
    rng = np.random.default_rng([seed, 2])
    of_kind = {kind: rng.permutation(_of_kind(backgrounds, kind)) for kind in question.kinds}
    count = min(len(plates) for plates in of_kind.values())
    chosen = np.concatenate([rng.permutation(_of_class(foregrounds, label, question)) for label in question.classes])
    pair, turn = np.arange(len(chosen)) % count, np.arange(len(chosen)) + np.arange(len(chosen)) // count
    order = np.argsort(chosen)
    chosen, pair, turn = chosen[order], pair[order], turn[order]
    own, labels = [(foregrounds.groups or ())[i] for i in chosen], foregrounds.labels[chosen]
    other = [_moved_to(k, int(y), int(t), question) for k, y, t in zip(own, labels, turn, strict=True)]
    pair = _never_its_own(foregrounds, backgrounds, chosen, pair, own, of_kind, count)
    same = np.array([of_kind[kind][k] for kind, k in zip(own, pair, strict=True)], dtype=np.int64)
    return Design(
        chosen,
        same=same,
        other=np.array([of_kind[kind][k] for kind, k in zip(other, pair, strict=True)], dtype=np.int64),
        pair=pair.astype(np.int64),
        partner=_partners(foregrounds, backgrounds, chosen, same, rng),
    )


def _moved_to(own: str, label: int, turn: int, question: Question) -> str:
    usual = question.usual[label]
    if own != usual:
        return usual
    others = [kind for kind in question.kinds if kind != own]
    return others[turn % len(others)]


def _never_its_own(
    foregrounds: ImageSet,
    backgrounds: ImageSet,
    chosen: Positions,
    pair: Positions,
    own: list[str],
    of_kind: Mapping[str, Positions],
    count: int,
) -> Positions:
    """Return the pairs with every image that met a plate made from itself moved on by one: that would be no placebo."""
    origins = backgrounds.origins or ("",) * len(backgrounds)
    met = [origins[of_kind[kind][k]] == foregrounds.hashes[i] for i, kind, k in zip(chosen, own, pair, strict=True)]
    return np.where(met, (pair + 1) % count, pair)


def _partners(
    foregrounds: ImageSet, backgrounds: ImageSet, chosen: Positions, same: Positions, rng: np.random.Generator
) -> Positions:
    """Return for each image a random one of another class that its plate was not made from."""
    labels, origins = foregrounds.labels[chosen], backgrounds.origins or ("",) * len(backgrounds)
    contents = np.array([foregrounds.hashes[i] for i in chosen])
    return np.array(
        [
            rng.choice(chosen[(labels != label) & (contents != origins[plate])])
            for label, plate in zip(labels, same, strict=True)
        ],
        dtype=np.int64,
    )


def _of_kind(images: ImageSet, kind: str) -> Positions:
    """Positions of the images on that kind of background; equal content counts once."""
    return _first_of_each(images, [i for i, group in enumerate(images.groups or ()) if group == kind])


def _of_class(images: ImageSet, label: int, question: Question) -> Positions:
    """Positions of the images of that class on a kind that is asked about; equal content counts once."""
    groups = images.groups or ()
    chosen = [i for i in np.flatnonzero(images.labels == label).tolist() if groups[i] in question.kinds]
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
            for kind in question.kinds
            if len(_of_kind(backgrounds, kind)) < LEAST_PLATES
        ]
    if faults:
        raise DataError(fault_list(f"{foregrounds.name}: backgrounds cannot be swapped:", faults))
    check_disjoint(images=foregrounds, plates=backgrounds)


@dataclass(frozen=True, eq=False)
class Answers:
    """What the classifier says of a batch: predictions, the choice among the classes asked about, and their logits."""

    predictions: Positions
    choices: Positions
    logits: NDArray[np.float64]
    """`[B,K]`, of the classes asked about, in the question's order."""

    def margins(self, labels: Positions, question: Question) -> NDArray[np.float64]:
        """Return z_label - max z_j over the other classes asked about, `[B]`."""
        place = np.array([question.classes.index(label) for label in labels.tolist()], dtype=np.int64)
        rows = np.arange(len(place))
        rivals = self.logits.copy()
        rivals[rows, place] = -np.inf
        found: NDArray[np.float64] = self.logits[rows, place] - rivals.max(axis=1)
        return found


@dataclass(frozen=True, eq=False)
class Asker:
    """From pixels to answers; counts the images that it was asked about."""

    classifier: Classifier
    question: Question
    among_classes: bool
    advance: Advance

    def __call__(self, pixels: Tensor) -> Answers:
        """Return the answers of pixels `[B,3,H,W]`; a blend that left [0, 1] by a rounding is clipped."""
        placed = pixels.clamp(0, 1).to(self.classifier.device, self.classifier.dtype)
        logits = self.classifier.logits(placed).double().cpu()
        asked = logits[:, list(self.question.classes)]
        choices = np.array(self.question.classes, dtype=np.int64)[asked.argmax(dim=1).numpy()]
        predictions = choices if self.among_classes else logits.argmax(dim=1).numpy().astype(np.int64)
        self.advance(len(pixels))
        return Answers(predictions, choices, asked.numpy())


def _image_ledger(
    ask: Asker,
    foregrounds: ImageSet,
    backgrounds: ImageSet,
    design: Design,
    settings: ProbeSettings,
    *,
    seed: int,
    batch_size: int,
) -> pd.DataFrame:
    made = composites(settings, seed=seed)
    predictions: dict[str, list[Positions]] = {name: [] for name in made}
    margins: dict[str, list[NDArray[np.float64]]] = {name: [] for name in made}
    for start in range(0, len(design.foregrounds), batch_size):
        chosen = slice(start, start + batch_size)
        parts = load_parts(foregrounds, backgrounds, design, chosen)
        labels = foregrounds.labels[design.foregrounds[chosen]]
        for name, composite in made.items():
            found = ask(composite(parts))
            predictions[name].append(found.predictions)
            margins[name].append(found.margins(labels, ask.question))
    columns = {f"prediction_{name}": np.concatenate(predictions[name]) for name in made}
    columns |= {f"margin_{name}": np.concatenate(margins[name]) for name in made}
    ordered = {f"{what}_{name}": columns[f"{what}_{name}"] for name in made for what in ("prediction", "margin")}
    return pd.concat(
        [_design_columns(foregrounds, backgrounds, design, ask.question), pd.DataFrame(ordered)], axis="columns"
    )


def load_parts(foregrounds: ImageSet, backgrounds: ImageSet, design: Design, chosen: slice | Positions) -> Parts:
    """Return what the composites of those rows of the design are made of, float32 in [0, 1].

    Raises:
        DataError: a mask without any object.
    """
    positions, partners = design.foregrounds[chosen], design.partner[chosen]
    return Parts(
        images=foregrounds.load(positions),
        masks=load_objects(foregrounds, positions),
        same=backgrounds.load(design.same[chosen]),
        other=backgrounds.load(design.other[chosen]),
        partners=foregrounds.load(partners),
        partner_masks=load_objects(foregrounds, partners),
        hashes=tuple(foregrounds.hashes[i] for i in positions),
    )


def load_objects(foregrounds: ImageSet, positions: Positions) -> Tensor:
    """Return the masks `[B,1,H,W]`.

    Raises:
        DataError: a mask without any object.
    """
    masks = foregrounds.load_masks(positions)
    empty = (masks.flatten(1).amax(dim=1) == 0).nonzero().flatten().tolist()
    if empty:
        hashes = ", ".join(foregrounds.hashes[positions[i]][:12] for i in empty)
        raise DataError(f"{foregrounds.name}: expected an object in every mask, got empty ones for image(s) {hashes}")
    return masks


def _design_columns(foregrounds: ImageSet, backgrounds: ImageSet, design: Design, question: Question) -> pd.DataFrame:
    groups, kinds = foregrounds.groups or (), backgrounds.groups or ()
    return pd.DataFrame(
        {
            "image": [foregrounds.hashes[i] for i in design.foregrounds],
            "label": foregrounds.labels[design.foregrounds],
            "background": [groups[i] for i in design.foregrounds],
            "background_other": [kinds[i] for i in design.other],
            "pair": design.pair,
            "plate_same": [backgrounds.hashes[i] for i in design.same],
            "plate_other": [backgrounds.hashes[i] for i in design.other],
            "partner": [foregrounds.hashes[i] for i in design.partner],
            "partner_label": foregrounds.labels[design.partner],
            "partner_background": [question.usual[int(label)] for label in foregrounds.labels[design.partner]],
        }
    )


def _plate_ledger(ask: Asker, backgrounds: ImageSet, kept: Positions, *, batch_size: int) -> pd.DataFrame:
    groups = backgrounds.groups or ()
    found = [ask(backgrounds.load(kept[start : start + batch_size])) for start in range(0, len(kept), batch_size)]
    choices = np.concatenate([answers.choices for answers in found])
    return pd.DataFrame(
        {
            "image": [backgrounds.hashes[i] for i in kept],
            "background": [groups[i] for i in kept],
            "prediction": np.concatenate([answers.predictions for answers in found]),
            "choice": choices,
            "takes": [ask.question.usual[choice] for choice in choices.tolist()],
        }
    )
