"""A probe of a plug-in: a function that changes images without attacking anybody, judged as everything is."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from attacks.judge import predictions, uint8_batches
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError, PlanError, WolfhoundError
from wolfhound.images import ImageSet
from wolfhound.plugins import plugged
from wolfhound.progress import Progress, silent

Probe = Callable[..., Any]


def plugged_probe(name: str, options: Mapping[str, Any]) -> Probe:
    """Return the probe of that name, which is called as `probe(pixels, generator=..., **options)`.

    Raises:
        PlanError: there is no such plug-in, or it does not take these options.
    """
    probe: Probe = plugged("wolfhound.probes", name)
    try:
        inspect.signature(probe).bind(None, generator=None, **options)
    except (TypeError, ValueError) as error:
        raise PlanError(f"the probe {name} does not take these options: {error}") from error
    return probe


def probed(images: Tensor, probe: Probe, options: Mapping[str, Any], *, seeds: list[int], name: str) -> Tensor:
    """Return `images`, uint8 `[B,3,H,W]`, as the probe changes them, clipped to [0, 1] and rounded to 8 bit.

    It is given one image at a time with a generator of its own, so that nothing depends on the batch.

    Raises:
        DataError: the probe fails, or returns anything but finite pixels of the same shape.
    """
    return torch.cat([_one(images[i : i + 1], probe, options, seed, name) for i, seed in enumerate(seeds)])


def _one(image: Tensor, probe: Probe, options: Mapping[str, Any], seed: int, name: str) -> Tensor:
    try:
        changed = probe(image.float().div(255), generator=torch.Generator().manual_seed(seed), **options)
    except WolfhoundError:
        raise
    except Exception as error:  # foreign code may raise anything
        raise DataError(f"the probe {name} fails: {type(error).__name__}: {error}") from error
    if not isinstance(changed, Tensor) or changed.shape != image.shape or not bool(torch.isfinite(changed).all()):
        found = list(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise DataError(f"expected the probe {name} to return finite pixels of shape {list(image.shape)}, got {found}")
    return (changed.detach().clamp(0, 1) * 255).round().to(torch.uint8)


def probe_seed(seed: int, name: str, image: str) -> int:
    """Return the seed of one image: it depends on the run's seed, the probe and the image's content alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{name}|{image}".encode()).digest()[:8], "big") >> 1


def probe_ledger(
    classifier: Classifier,
    images: ImageSet,
    probe: Probe,
    options: Mapping[str, Any],
    *,
    name: str,
    seed: int,
    batch_size: int = 64,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return a row an image: image (content hash), label, clean and probed, the predictions before and after.

    Raises:
        DataError: the probe fails or returns something else than pixels.
    """
    clean, after = (np.empty(len(images), dtype=np.int64) for _ in range(2))
    with frozen(classifier.module), progress(f"{classifier.name}: probe {name}", len(images)) as advance:
        for positions, batch in uint8_batches(images, batch_size):
            seeds = [probe_seed(seed, name, images.hashes[i]) for i in positions]
            clean[positions] = predictions(classifier, batch)
            after[positions] = predictions(classifier, probed(batch, probe, options, seeds=seeds, name=name))
            advance(len(batch))
    return pd.DataFrame({"image": list(images.hashes), "label": images.labels, "clean": clean, "probed": after})
