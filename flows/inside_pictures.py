"""The galleries of what is inside a network: filters, images under their maps, strongest patches."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from explainers.base import Maps, Targets
from explainers.checks.ranking import grow
from explainers.drawing.overlay import fade, picture
from explainers.drawing.sheets import contact_sheet
from explainers.drawing.titles import method_title
from explainers.inside.filters import first_layer_filters
from explainers.inside.patches import Patches, StrongestPlaces, cut_patches, drive_patches, strongest_places
from flows.pictures import store_picture
from wolfhound.classifier import Classifier
from wolfhound.errors import ModelError
from wolfhound.evidence import Gallery, Picture
from wolfhound.images import ImageSet
from wolfhound.progress import Progress
from wolfhound.store import EvidenceStore

LEAST_SIDE = 192
"""Pictures are enlarged by a whole factor to at least this many pixels, by repeating pixels."""

PATCHES = 4
"""Patches of each channel, each from another image."""


def filters_gallery(store: EvidenceStore, classifier: Classifier) -> Gallery:
    """Return the first layer's filters, each scaled by itself and all scaled together; or why there are none."""
    try:
        found = first_layer_filters(classifier)
    except ModelError as error:
        return Gallery("First-layer filters", (), "not shown: " + str(error))
    count, _, height, width = found.weight.shape
    note = f"{count} filters of {height} x {width} in layer {found.layer}; grey is 0"
    row = tuple(
        store_picture(
            store,
            contact_sheet(tiles.pictures, least_side=36),
            caption=caption,
            alt=f"The {count} filters of layer {found.layer} as small colour pictures, {caption}.",
        )
        for tiles, caption in (
            (found.per_filter, "each filter scaled by its own largest weight: its shape"),
            (found.per_layer, "all filters scaled by the layer's largest weight: its strength"),
        )
    )
    return Gallery("First-layer filters", (row,), "all of the layer", note)


def maps_gallery(
    store: EvidenceStore,
    images: ImageSet,
    shown: int,
    targets: Targets,
    maps: Mapping[tuple[str, str], Maps],
    verdicts: Mapping[tuple[str, str], str],
) -> Gallery:
    """Return the first `shown` images, each beside itself under every kind of map."""
    pixels, size = images.load(slice(shown)), enlarged(images.size)
    rows = []
    for index, image in enumerate(pixels):
        label, seen = images.class_names[int(images.labels[index])], images.class_names[int(targets.classes[index])]
        original = store_picture(
            store,
            picture(image, size=size),
            caption=f"{label}, predicted {seen}",
            alt=f"An image of {label}, predicted {seen}.",
        )
        rows.append((original, *(_map_picture(store, image, found, index, seen, size) for found in maps.values())))
    titles = {key: method_title(found.method) for key, found in maps.items()}
    named = [f"{titles[key]}, layer {found.layer}" if found.layer else titles[key] for key, found in maps.items()]
    checked = "; ".join(f"{name}: {verdicts[key]}" for name, key in zip(named, maps, strict=True))
    note = (
        "Bright places speak for the predicted class, from 0 to each map's own largest value (in the caption); what "
        f"speaks against it is not drawn. Randomisation check: {checked}"
    )
    rule = f"the first {shown} measured images in the order of their hashes, whatever the classifier predicts"
    return Gallery("Images under their class activation maps", tuple(rows), rule, note)


def _map_picture(
    store: EvidenceStore, image: Tensor, maps: Maps, index: int, seen: str, size: tuple[int, int]
) -> Picture:
    raw = grow(maps.raw[index : index + 1], size=size)[0].float()
    top = float(raw.max())
    heat = (raw / top).clamp(0, 1) if top > 0 else torch.zeros_like(raw)
    method, worth = method_title(maps.method), f"max {top:.3g}" if top > 0 else "nothing speaks for it"
    return store_picture(
        store,
        fade(image, heat, size=size),
        caption=f"{method} for {seen}, {worth}",
        alt=f"The image in grey under its {method} map for {seen}: bright where the map is large. {worth}.",
    )


def patches_gallery(
    store: EvidenceStore,
    classifier: Classifier,
    images: ImageSet,
    layer: str,
    progress: Progress,
    *,
    channels: int,
    seed: int,
    batch_size: int,
) -> Gallery:
    """Return a row a channel: its strongest patches, and beside them what in each drives the channel.

    The channels are drawn uniformly by the seed from those that some image makes answer.
    """
    found = strongest_places(
        classifier, images, layer=layer, most=min(PATCHES, len(images)), batch_size=batch_size, progress=progress
    )
    able = [channel for channel in found.channels if channel not in found.silent]
    title = f"Strongest patches of layer {layer}"
    if not able:
        return Gallery(title, (), f"not shown: no image makes any channel of {layer} answer above 0")
    drawn = torch.randperm(len(able), generator=torch.Generator().manual_seed(seed))[:channels]
    chosen = sorted(able[int(index)] for index in drawn)
    patches = cut_patches(found, images, channels=chosen)
    guided, caution = _guided(classifier, images, found, chosen)
    rule = (
        f"{len(chosen)} of {len(able)} channels that answer, drawn at random (seed {seed}); of each the "
        f"{found.values.shape[1]} images of {found.searched} with the largest activation"
    )
    note = f"Receptive field: {found.fields.text}. Channels that answer to no image: {len(found.silent)}. {caution}"
    return Gallery(title, _patch_rows(store, found, patches, guided, chosen), rule, note)


def _guided(
    classifier: Classifier, images: ImageSet, found: StrongestPlaces, chosen: list[int]
) -> tuple[Tensor | None, str]:
    """Return guided backpropagation of each patch's unit, cut like the patch, and what must be said of it."""
    try:
        driven = drive_patches(classifier, found, images, channels=chosen)
    except ModelError as error:
        return None, f"No guided backpropagation: {error}"
    said = "Beside each patch stands its guided backpropagation around grey, each scaled by itself."
    return driven.tiles.pictures, f"{said} {driven.caution}"


def _patch_rows(
    store: EvidenceStore, found: StrongestPlaces, patches: Patches, guided: Tensor | None, chosen: list[int]
) -> tuple[tuple[Picture, ...], ...]:
    most, rows = found.values.shape[1], []
    size = enlarged((patches.tiles.pictures.shape[2], patches.tiles.pictures.shape[3]), least=96)
    for line, channel in enumerate(chosen):
        values = found.values[found.channels.index(channel)].tolist()
        row = []
        for rank in range(most):
            index = line * most + rank
            shown = f"channel {channel}, activation {values[rank]:.3g}"
            patch = picture(patches.tiles.pictures[index], size=size)
            row.append(store_picture(store, patch, caption=shown, alt=f"A patch of an image: {shown}."))
            if guided is not None:
                drives = picture(guided[index], size=size)
                alt = f"Which pixels of that patch raise channel {channel}, around grey."
                row.append(store_picture(store, drives, caption="guided", alt=alt))
        rows.append(tuple(row))
    return tuple(rows)


def enlarged(size: tuple[int, int], *, least: int = LEAST_SIDE) -> tuple[int, int]:
    """Return a size times the smallest whole factor that gives its shorter side at least `least` pixels.

    >>> enlarged((64, 80))
    (192, 240)
    """
    factor = max(1, math.ceil(least / min(size)))
    return size[0] * factor, size[1] * factor
