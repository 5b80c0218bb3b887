"""Rows of pictures of a per-image attack: original, adversarial, difference, difference x10."""

import pandas as pd
from torch import Tensor

from flows.pictures import DIFFERENCE_NOTE, store_difference, store_image
from wolfhound.evidence import Gallery, Picture
from wolfhound.images import ImageSet
from wolfhound.store import EvidenceStore


def attack_gallery(
    store: EvidenceStore, images: ImageSet, adversarial: Tensor, ledger: pd.DataFrame, *, targeted: bool
) -> Gallery:
    """Return the gallery of the first `adversarial` `[K,3,H,W]` in [0, 1], as the `ledger` of `images` judges them."""
    rows = []
    for which, after in enumerate(adversarial):
        row = ledger.iloc[which]
        names = {key: images.class_names[int(row[key])] for key in ("clean", "target", "adversarial")}
        rows.append(_row(store, images.load([which])[0], after, names, targeted=targeted))
    return Gallery(
        "Original, adversarial, difference, difference x10",
        tuple(rows),
        f"the first {len(rows)} attacked images in the order of their hashes, successful or not",
        DIFFERENCE_NOTE,
    )


def _row(
    store: EvidenceStore, before: Tensor, after: Tensor, names: dict[str, str], *, targeted: bool
) -> tuple[Picture, ...]:
    seen, wanted, got = names["clean"], names["target"], names["adversarial"]
    if targeted:
        outcome = f"target {wanted} {'reached' if got == wanted else 'not reached'}"
        told = f"The adversarial image, predicted {got}; the target was {wanted}."
    else:
        outcome = f"labelled {wanted}, {'kept' if got == wanted else 'left'}"
        told = f"The adversarial image, predicted {got}; its label is {wanted}."
    return (
        store_image(store, before, caption=f"original: {seen}", alt=f"The original image, predicted {seen}."),
        store_image(store, after, caption=f"adversarial: {got} ({outcome})", alt=told),
        store_difference(store, after - before, factor=1, caption="difference", alt="Their difference, near grey."),
        store_difference(
            store,
            after - before,
            factor=10,
            caption="difference x10",
            alt="Their difference amplified ten times: where and how the pixels were changed.",
        ),
    )
