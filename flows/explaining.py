"""Explain photographs outside an audit: maps of every method, layer and class, and their sanity check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from explainers.base import Maps, Targets, explain_in_batches
from explainers.cams.cam import RULES, cam_family
from explainers.checks.randomisation import RandomisationCheck, randomisation_checks, varied
from explainers.layers import default_layer
from explainers.registry import explainer
from flows.explain_choice import slot_targets
from wolfhound.classifier import Classifier, frozen
from wolfhound.progress import Progress

CHECKED_AT_MOST = 8
"""Photographs that the randomisation check looks at: its intervals are over networks, not over photographs."""
STAGES, DRAWS = 5, 8
"""Groups of layers that are randomised in turn, and networks without any learned weight."""

Key = tuple[str, str]
"""A method and the layer that was asked of it; "" where the method chooses, or knows none."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything that was found about N photographs.

    Attributes:
        classes: the classes explained of each photograph, in order.
        maps: by slot (the n-th class of every photograph), then by (method, layer as asked).
        checks: by (method, layer as asked); None where every map was constant, so that nothing could be compared.
        checked: what the check looked at, in words; "" where it was not run.
    """

    classifier: Classifier
    files: tuple[Path, ...]
    pixels: Tensor = field(repr=False)
    logits: Tensor = field(repr=False)
    classes: tuple[tuple[int, ...], ...]
    against: int | None
    maps: tuple[Mapping[Key, Maps], ...] = field(repr=False)
    checks: Mapping[Key, RandomisationCheck | None] = field(repr=False)
    checked: str
    seed: int

    @property
    def probabilities(self) -> Tensor:
        """Softmax of the logits, `[N,K]`."""
        return self.logits.double().softmax(dim=1)


def scores(classifier: Classifier, pixels: Tensor, *, batch_size: int = 16) -> Tensor:
    """Return the logits `[N,K]` of the photographs, on the CPU."""
    with torch.no_grad(), frozen(classifier.module):
        starts = range(0, len(pixels), batch_size)
        batches = (pixels[start : start + batch_size].to(classifier.device, classifier.dtype) for start in starts)
        parts = [classifier.logits(batch) for batch in batches]
    return torch.cat(parts).float().cpu()


def explain_photographs(
    classifier: Classifier,
    files: Sequence[Path],
    pixels: Tensor,
    logits: Tensor,
    classes: Sequence[Sequence[int]],
    *,
    methods: Sequence[str],
    layers: Sequence[str] = (),
    against: int | None = None,
    check: bool = True,
    seed: int = 0,
    progress: Progress,
) -> Explanation:
    """Return maps and checks of every method and layer; without layers each method takes its default.

    Raises:
        ModelError: no such layer, or a network that a method cannot explain.
        PlanError: a class contrasted with itself.
    """
    placed = pixels.to(classifier.device, classifier.dtype)
    keys = [(method, layer) for method in methods for layer in (layers or [""])]
    slots = [slot_targets(classes, slot, against=against) for slot in range(max(len(row) for row in classes))]
    maps = []
    with progress(f"maps of {classifier.name}", len(slots)) as advance:
        for targets in slots:
            maps.append(maps_of(classifier, placed, targets, keys))
            advance(1)
    checks, checked = {}, ""
    if check:
        subjects, targets, checked = _check_subjects(placed, slots[0])
        checks = check_maps(classifier, subjects, targets, keys, seed=seed, progress=progress)
    return Explanation(
        classifier,
        tuple(files),
        pixels,
        logits,
        tuple(tuple(row) for row in classes),
        against,
        tuple(maps),
        checks,
        checked,
        seed,
    )


def maps_of(
    classifier: Classifier, pixels: Tensor, targets: Targets, keys: Sequence[Key], *, batch_size: int = 8
) -> dict[Key, Maps]:
    """Return the maps by key; the methods that need one pass share it."""
    shared = [key for key in keys if key[0] in RULES]
    found = _shared_pass(classifier, pixels, targets, shared, batch_size=batch_size) if shared else {}
    for method, layer in keys:
        if method not in RULES:
            found[method, layer] = explain_in_batches(
                explainer(method), classifier, pixels, targets, layer=layer or None, batch_size=batch_size
            )
    return {key: found[key] for key in keys}


def _shared_pass(
    classifier: Classifier, pixels: Tensor, targets: Targets, keys: Sequence[Key], *, batch_size: int
) -> dict[Key, Maps]:
    usual = default_layer(classifier) if any(not layer for _, layer in keys) else ""
    methods = tuple(dict.fromkeys(method for method, _ in keys))
    layers = tuple(dict.fromkeys(layer or usual for _, layer in keys))
    parts = []
    for start in range(0, len(pixels), batch_size):
        rows = slice(start, start + batch_size)
        parts.append(cam_family(classifier, pixels[rows], targets.rows(rows), layers=layers, methods=methods))
    return {key: _joined([part[key[0], key[1] or usual] for part in parts], targets) for key in keys}


def _joined(parts: Sequence[Maps], targets: Targets) -> Maps:
    first = parts[0]
    raw, normalised = (torch.cat([getattr(part, name) for part in parts]) for name in ("raw", "normalised"))
    return Maps(raw, normalised, first.layer, first.method, targets, first.caution)


def _check_subjects(pixels: Tensor, targets: Targets) -> tuple[Tensor, Targets, str]:
    """A single photograph is compared with its mirror images: the check needs other images to tell chance by."""
    if len(pixels) > 1:
        chosen = slice(CHECKED_AT_MOST)
        count = min(len(pixels), CHECKED_AT_MOST)
        return pixels[chosen], targets.rows(chosen), f"{count} of {len(pixels)} photographs"
    turned = torch.cat([pixels, pixels.flip(3), pixels.flip(2), pixels.flip(2, 3)])
    rival = None if targets.against is None else targets.against.repeat(4)
    return turned, Targets(targets.classes.repeat(4), rival), "the photograph and its three mirror images"


def check_maps(
    classifier: Classifier, pixels: Tensor, targets: Targets, keys: Sequence[Key], *, seed: int, progress: Progress
) -> dict[Key, RandomisationCheck | None]:
    """Return the randomisation check by key; None where fewer than 2 maps vary."""
    if not keys:
        return {}
    original = maps_of(classifier, pixels, targets, keys)
    able = [key for key in keys if len(varied(original[key])) >= 2]
    # The layers found in the trained network are kept: a shuffled one is the same network.
    layers = {key: (key[0], original[key].layer) for key in able}

    if not able:
        return dict.fromkeys(keys)
    named = {_name(key): original[key] for key in able}
    with progress(f"randomisation check of {classifier.name}", STAGES + DRAWS) as advance:

        def explained(copied: Classifier) -> dict[str, Maps]:
            found = maps_of(copied, pixels, targets, list(dict.fromkeys(layers.values())))
            advance(1)
            return {_name(key): found[layers[key]] for key in able}

        checks = randomisation_checks(classifier, named, explained, seed=seed, stages=STAGES, draws=DRAWS)
    return {key: checks.get(_name(key)) for key in keys}


def _name(key: Key) -> str:
    return "@".join(key)
