"""Grad-CAM beside a background probe: pictures chosen by rule, and where the map's energy lies.

It illustrates, it decides nothing: a map can sit on the object while the prediction hangs on the background.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from explainers.base import Explainer, Maps, Targets, explain_in_batches
from explainers.bias.probe import Design, load_parts
from explainers.bias.verdict import BackgroundProbe, Question
from explainers.checks.localisation import localisation
from explainers.checks.randomisation import RandomisationCheck, randomisation_check
from explainers.composition import compose
from explainers.drawing.overlay import overlay, picture
from explainers.registry import explainer as named_explainer
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate


@dataclass(frozen=True)
class EnergyInMask:
    """Where the positive part of the raw maps lies.

    Attributes:
        share: mean share of an image's energy that lies on its object, in [0, 1]; None where every map was empty.
        area: mean share of the image that the object covers.
        enrichment: mean of share / area; 1 is what a flat map gives. None where every map was empty.
        p_value: chance of such an enrichment when each map meets the mask of a random image instead (one-sided).
        maps: maps that were not empty, which the numbers are over.
        empty: maps without any positive value.
    """

    share: float | None
    area: float
    enrichment: float | None
    p_value: float | None
    maps: int
    empty: int


@dataclass(frozen=True)
class MapOverlap:
    """Where the maps of the images as they are point.

    `pointing` counts maps whose highest place lies on the object; `overlap` is the mean intersection over union of the
    object and the map's region from half of its largest value on (0 for an empty map), in [0, 1]; `empty` counts maps
    without any positive value.
    """

    pointing: Rate
    overlap: float
    empty: Rate
    settings: str


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One image of the probe: as it is and on the other class's background, each with its map laid over it.

    Pictures are uint8 RGB `[H,W,3]`. `explained` and `explained_swapped` name the contrast shown ("wolf - husky").
    """

    image: str
    label: str
    predicted: str
    predicted_swapped: str
    explained: str
    explained_swapped: str
    picture: NDArray[np.uint8] = field(repr=False)
    overlay: NDArray[np.uint8] = field(repr=False)
    picture_swapped: NDArray[np.uint8] = field(repr=False)
    overlay_swapped: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, eq=False)
class BiasEvidence:
    """The exhibits, the rule they were chosen by, and the energy in the mask on the images as they are and swapped."""

    method: str
    layer: str
    selection: str
    exhibits: tuple[Exhibit, ...]
    energy: EnergyInMask
    energy_swapped: EnergyInMask
    overlap: MapOverlap
    check: RandomisationCheck | None


def sample_evidence(ledger: pd.DataFrame, *, per_class: int, most: int, seed: int) -> NDArray[np.int64]:
    """Return ledger rows: of each label `per_class` rows drawn uniformly without replacement (all, where fewer).

    Where these are more than `most`, so many of them, drawn likewise. Whether a prediction flipped plays no part.
    """
    rng = np.random.default_rng([seed, 3])
    labels = ledger["label"].to_numpy()
    drawn = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        drawn.append(np.sort(rng.permutation(members)[:per_class]))
    rows = np.concatenate(drawn).astype(np.int64)
    return np.sort(np.random.default_rng([seed, 13]).permutation(rows)[:most]) if len(rows) > most else rows


def grad_cam_evidence(
    classifier: Classifier,
    foregrounds: ImageSet,
    backgrounds: ImageSet,
    probe: BackgroundProbe,
    *,
    shown: int = 6,
    measured_per_class: int = 50,
    measured: int = 400,
    checked: int = 8,
    seed: int,
    explainer: Explainer | None = None,
    layer: str | None = None,
    size: tuple[int, int] | None = None,
    batch_size: int = 32,
    progress: Progress = silent,
) -> BiasEvidence:
    """Return maps of probed images, as they are and on the other kind of background, and their energy in the mask.

    Each image is explained by the contrast that the classifier decides by: the logit of the class that it prefers there
    among those asked about, minus that of the next (z_wolf - z_husky, never z_wolf alone).

    Args:
        classifier: left exactly as found.
        foregrounds, backgrounds: the sets that the probe was run on.
        probe: whose ledger is drawn from and whose composites are made again.
        shown: exhibits at most, drawn from the measured ones, as many of each class as of every other.
        measured_per_class: images of each class whose energy is measured, `measured` of all classes together at most:
            their composites and maps are in memory at once.
        checked: measured images whose maps are held against those of the network with shuffled weights; 0 for none.
        seed: of the draws, the permutation null and the shuffling.
        explainer: Grad-CAM unless another is given; layer: the explainer's default unless named.
        size: height and width of the pictures; None keeps the images'.

    Raises:
        DataError: sets that do not hold the probe's images; ModelError: no layer to explain.
    """
    rows = sample_evidence(probe.ledger, per_class=measured_per_class, most=measured, seed=seed)
    chosen = probe.ledger.iloc[rows]
    parts = load_parts(foregrounds, backgrounds, _design_of(foregrounds, backgrounds, chosen), slice(None))
    masks, swapped_images = parts.masks, compose(parts.images, parts.masks, parts.other)
    method, maps = explainer or named_explainer("gradcam"), []
    explained = partial(explain_in_batches, method, classifier, layer=layer, batch_size=batch_size, progress=progress)
    for pixels in (parts.images, swapped_images):
        placed = pixels.to(classifier.device, classifier.dtype)
        targets = _contrasts(classifier, placed, probe.question, batch_size=batch_size)
        maps.append((pixels, explained(placed, targets)))
    exhibited = _exhibited(chosen, shown, seed=seed)
    own, swapped = (energy_in_mask(found, masks, seed=seed) for _, found in maps)
    return BiasEvidence(
        method=method.name,
        layer=maps[0][1].layer,
        selection=_selection(len(exhibited), len(chosen), len(probe.ledger), seed),
        exhibits=tuple(_exhibit(classifier, chosen, int(row), maps, size=size) for row in exhibited),
        energy=own,
        energy_swapped=swapped,
        overlap=_overlap(maps[0][1], masks, seed=seed),
        check=_checked(classifier, parts.images, maps[0][1], method, checked=checked, seed=seed),
    )


def _exhibited(measured: pd.DataFrame, most: int, *, seed: int) -> NDArray[np.int64]:
    """Draw which rows are shown: as many of each class as of every other, `most` at most."""
    return sample_evidence(measured, per_class=max(1, most // measured["label"].nunique()), most=most, seed=seed)


def _selection(shown: int, measured: int, probed: int, seed: int) -> str:
    return (
        f"{shown} image{'' if shown == 1 else 's'}, as many of each class as there was room for, drawn uniformly at "
        f"random from the {measured} whose maps were measured, which were drawn likewise from the {probed} probed "
        f"(seed {seed}); what the classifier predicts plays no part in it"
    )


def _design_of(foregrounds: ImageSet, backgrounds: ImageSet, ledger: pd.DataFrame) -> Design:
    """Return the positions of the ledger's images and plates within their sets, by content hash."""

    def positions(images: ImageSet, hashes: pd.Series) -> NDArray[np.int64]:
        where = {content: position for position, content in reversed(list(enumerate(images.hashes)))}
        missing = [content for content in hashes if content not in where]
        if missing:
            raise DataError(
                f"{images.name}: {len(missing)} image(s) of the probe are not in it, for example {missing[0][:12]} "
                "(give the sets that the probe was run on)"
            )
        return np.array([where[content] for content in hashes], dtype=np.int64)

    return Design(
        positions(foregrounds, ledger["image"]),
        positions(backgrounds, ledger["plate_same"]),
        positions(backgrounds, ledger["plate_other"]),
        ledger["pair"].to_numpy(dtype=np.int64),
        positions(foregrounds, ledger["partner"]),
    )


def _contrasts(classifier: Classifier, pixels: Tensor, question: Question, *, batch_size: int) -> Targets:
    """Return for each image the class with the highest score among those asked about, against the next."""
    with torch.no_grad(), frozen(classifier.module):
        scores = [classifier.logits(part)[:, list(question.classes)].cpu() for part in torch.split(pixels, batch_size)]
    first, second = torch.cat(scores).topk(2, dim=1).indices.T
    classes = torch.tensor(question.classes)
    return Targets(classes[first], classes[second])


def energy_in_mask(maps: Maps, masks: Tensor, *, seed: int, permutations: int = 999) -> EnergyInMask:
    """Return how much of the maps' positive energy lies on the objects, against masks dealt out at random.

    Args:
        maps: of B images; the raw maps are used, their positive part grown bilinearly to the masks' size.
        masks: objects `[B,1,H,W]` in [0, 1].

    Raises:
        ValueError: another number of masks than of maps.
    """
    if len(maps) != len(masks):
        raise ValueError(f"expected a mask a map, got {len(maps)} maps and {len(masks)} masks")
    positive = maps.raw.detach().double().cpu().clamp(min=0)
    size = (masks.shape[-2], masks.shape[-1])
    grown = functional.interpolate(positive[:, None], size=size, mode="bilinear", align_corners=False).flatten(1)
    objects = masks.detach().double().cpu().flatten(1)
    area, total = objects.mean(dim=1), grown.sum(dim=1)
    full = total > 0
    count = int(full.sum())
    if not count:
        return EnergyInMask(None, float(area.mean()), None, None, maps=0, empty=len(maps))
    shares = ((grown[full] @ objects[full].T) / total[full, None]).numpy()
    ratios = shares / area[full].numpy()
    observed = float(ratios.diagonal().mean())
    return EnergyInMask(
        share=float(shares.diagonal().mean()),
        area=float(area.mean()),
        enrichment=observed,
        p_value=_permutation_p(ratios, observed, seed=seed, permutations=permutations),
        maps=count,
        empty=len(maps) - count,
    )


def _overlap(maps: Maps, masks: Tensor, *, seed: int) -> MapOverlap:
    found, count = localisation(maps.raw, masks, seed=seed), len(masks)
    return MapOverlap(
        pointing=Rate(int(found.hits.sum()), count, "measured maps"),
        overlap=float(found.overlap.mean()),
        empty=Rate(found.empty, count, "measured maps"),
        settings=found.settings,
    )


def _checked(
    classifier: Classifier, images: Tensor, maps: Maps, method: Explainer, *, checked: int, seed: int
) -> RandomisationCheck | None:
    """Return the randomisation check on images drawn among those with a map that is not flat; None below two."""
    varied = np.flatnonzero((maps.raw.flatten(1).amax(dim=1) - maps.raw.flatten(1).amin(dim=1)).cpu().numpy() > 0)
    drawn = np.sort(np.random.default_rng([seed, 5]).permutation(varied)[:checked])
    if len(drawn) < 2:
        return None
    rows = torch.from_numpy(drawn)
    rival = maps.targets.against
    targets = Targets(maps.targets.classes[rows], None if rival is None else rival[rows])
    placed = images[rows].to(classifier.device, classifier.dtype)
    return randomisation_check(classifier, placed, targets, explainer=method, layer=maps.layer or None, seed=seed)


def _permutation_p(ratios: NDArray[np.float64], observed: float, *, seed: int, permutations: int) -> float:
    rng = np.random.default_rng([seed, 4])
    every = np.arange(len(ratios))
    null = np.array([ratios[every, rng.permutation(len(ratios))].mean() for _ in range(permutations)])
    return float((int((null >= observed - 1e-12).sum()) + 1) / (permutations + 1))


def _exhibit(
    classifier: Classifier,
    ledger: pd.DataFrame,
    row: int,
    maps: list[tuple[Tensor, Maps]],
    *,
    size: tuple[int, int] | None,
) -> Exhibit:
    entry, names = ledger.iloc[row], classifier.class_names
    (pixels, own), (swapped_pixels, swapped) = maps
    return Exhibit(
        image=str(entry["image"]),
        label=names[int(entry["label"])],
        predicted=names[int(entry["prediction_own"])],
        predicted_swapped=names[int(entry["prediction_other"])],
        explained=_contrast_name(own, row, names),
        explained_swapped=_contrast_name(swapped, row, names),
        picture=picture(pixels[row], size=size),
        overlay=overlay(pixels[row], own.normalised[row], size=size),
        picture_swapped=picture(swapped_pixels[row], size=size),
        overlay_swapped=overlay(swapped_pixels[row], swapped.normalised[row], size=size),
    )


def _contrast_name(maps: Maps, row: int, names: tuple[str, ...]) -> str:
    rival = maps.targets.against
    own = names[int(maps.targets.classes[row])]
    return own if rival is None else f"{own} - {names[int(rival[row])]}"
