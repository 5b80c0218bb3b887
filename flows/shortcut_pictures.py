"""The ten predictions of the published display, each with LIME and Grad-CAM."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from explainers.base import Targets, explain_in_batches
from explainers.bias.ribeiro import Display
from explainers.black_box.lime import Lime
from explainers.black_box.segments import Grid, Quickshift, Segmenter, Slic
from explainers.drawing.overlay import overlay, picture
from explainers.registry import explainer
from flows.pictures import store_picture
from wolfhound.classifier import Classifier
from wolfhound.evidence import Gallery, Picture
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.store import EvidenceStore

_SEGMENTERS: dict[str, Segmenter] = {"grid": Grid(), "slic": Slic(), "quickshift": Quickshift()}
NOTE = (
    "Left to right: the image with label and prediction; what LIME keeps, the segments that surely speak for the "
    "prediction, the rest grey; Grad-CAM of the predicted class minus the other. Both are correlates, not causes. The "
    "regression gives each place of the layer weights of its own, which Grad-CAM averages over all places."
)


def display_gallery(
    store: EvidenceStore,
    classifier: Classifier,
    images: ImageSet,
    ledger: pd.DataFrame,
    display: Display,
    *,
    layer: str,
    segmenter: str,
    seed: int,
    batch_size: int,
    progress: Progress = silent,
) -> Gallery:
    """Return the display as a gallery of one row an image.

    Args:
        ledger: of the images, in their order (`explainers.bias.ribeiro.judge_images`).
        layer: that Grad-CAM explains.
        segmenter: of LIME; seed: of its masks, the same for every image.
    """
    pixels = images.load(display.rows).to(classifier.device, classifier.dtype)
    shown = ledger.iloc[display.rows]
    predicted = torch.tensor(shown["prediction"].to_numpy())
    maps = explain_in_batches(
        explainer("gradcam"), classifier, pixels, Targets(predicted, 1 - predicted), layer=layer, batch_size=batch_size
    )
    lime, rows = Lime(segmenter=_SEGMENTERS[segmenter], batch_size=batch_size), []
    for index, entry in enumerate(shown.to_dict("records")):
        generator = torch.Generator().manual_seed(seed)
        found = lime.explain_image(
            classifier, pixels[index], generator=generator, classes=[int(predicted[index])], progress=progress
        )
        kept = found.cut_out(pixels[index].cpu(), 0)
        sure = len(found.strongest(0))
        tiles = (picture(pixels[index]), picture(kept), overlay(pixels[index], maps.normalised[index]))
        rows.append(_row(store, tiles, entry, classifier.class_names, sure, f"{segmenter}, {lime.samples} samples"))
    return Gallery("Ten predictions with LIME and Grad-CAM", tuple(rows), display.rule, NOTE)


def _row(
    store: EvidenceStore,
    tiles: Sequence[NDArray[np.uint8]],
    entry: Mapping[Hashable, Any],
    names: tuple[str, ...],
    sure: int,
    how: str,
) -> tuple[Picture, ...]:
    label, prediction = names[entry["label"]], names[entry["prediction"]]
    other = names[1 - entry["prediction"]]
    right = "right" if label == prediction else "WRONG"
    where = f" on {entry['background']}" if entry["background"] else ""
    captions = (
        f"{label}{where}: {prediction}, {right}",
        f"LIME, {prediction}: {sure} segment{'' if sure == 1 else 's'}",
        f"Grad-CAM, {prediction} - {other}",
    )
    texts = (
        f"A {label}{where}, predicted {prediction} ({right}).",
        f"The same image with all but the {sure} segments that LIME names for {prediction} in grey ({how}).",
        f"Grad-CAM of {prediction} minus {other} laid over the image.",
    )
    cells = zip(tiles, captions, texts, strict=True)
    return tuple(store_picture(store, pixels, caption=caption, alt=alt) for pixels, caption, alt in cells)
