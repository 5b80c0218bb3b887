"""Pixels to stored PNG pictures: images, perturbations and differences, each said to be what it is."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wolfhound.evidence import Picture
from wolfhound.store import EvidenceStore

DIFFERENCE_NOTE = "Differences are drawn around mid-grey: grey is unchanged, lighter was raised, darker lowered."


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Return `[H,W,3]` uint8 RGB as PNG; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode="RGB").save(buffer, format="PNG", optimize=False, compress_level=9)
    return buffer.getvalue()


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """Return one image `[3,H,W]`, floating in [0, 1], as uint8 `[H,W,3]`."""
    levels = (image.detach().cpu().clamp(0, 1) * 255).round()
    return levels.permute(1, 2, 0).numpy().astype(np.uint8)


def store_picture(store: EvidenceStore, pixels: NDArray[np.uint8], *, caption: str, alt: str) -> Picture:
    """Store `[H,W,3]` uint8 RGB as a PNG artefact with its caption and alternative text."""
    return Picture(store.put(png_bytes(np.ascontiguousarray(pixels)), ".png"), caption, alt)


def store_image(store: EvidenceStore, image: Tensor, *, caption: str, alt: str) -> Picture:
    """Store one image `[3,H,W]`, floating in [0, 1]."""
    return store_picture(store, to_uint8(image), caption=caption, alt=alt)


def store_difference(store: EvidenceStore, delta: Tensor, *, factor: float, caption: str, alt: str) -> Picture:
    """Store a perturbation `[3,H,W]` drawn around mid-grey and amplified by `factor` (values beyond white are cut)."""
    return store_image(store, 0.5 + factor * delta, caption=caption, alt=alt)
