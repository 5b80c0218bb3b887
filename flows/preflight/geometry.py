"""Images that are resized or cut otherwise than the network knows them."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from attacks.preprocessing_doubts import BETTER, clearly_better
from flows.plan_shapes import pair
from flows.preflight.notice import Notice
from flows.preflight.sample import Inspected, Sample
from wolfhound import loading
from wolfhound.plan import AuditPlan, FitSection, TorchvisionClassifier

SIDES = (28, 32, 64, 96, 128, 160, 192, 224)
"""Input sizes that networks are usually trained at; larger ones cost too much to try."""

CUTS = (0.875, 0.75)
"""Shares of the side that evaluations usually cut out of the centre."""


def resize_and_crop(inspected: Inspected) -> Iterator[Notice]:
    """Yield a notice where another size or cut makes a network more accurate, or is what its weights ask for."""
    yield from _sizes(inspected)
    for section in inspected.job.plan.classifiers:
        if isinstance(section, TorchvisionClassifier):
            yield from _published(inspected.job.plan, section)
    for sample in inspected.samples:
        yield from _other_resolution(sample)


def _sizes(inspected: Inspected) -> Iterator[Notice]:
    """Networks of different input sizes need a resampling; where all agree, the set can have their size."""
    wanted = {sample.classifier.preprocessing.input_size for sample in inspected.samples}
    found = inspected.images.whole.size
    if len(wanted) != 1 or found in wanted:
        return
    ((height, width),) = wanted
    yield Notice(
        "resampled-twice",
        "warning" if found[0] < height or found[1] < width else "note",
        "images",
        f"images are made {found[0]}x{found[1]} and then resampled to {height}x{width}, the input of every network",
        f"set images.size to {height if height == width else [height, width]}, unless the deployed system resamples "
        "twice too",
    )


def _published(plan: AuditPlan, section: TorchvisionClassifier) -> Iterator[Notice]:
    """Yield a warning where published weights were evaluated with another fit than the plan's."""
    fit = getattr(plan.images, "fit", None)
    size = getattr(plan.images, "size", None)
    if not isinstance(fit, FitSection) or size is None or section.weights == "random" or "." in section.weights:
        return
    theirs, (height, width) = loading.torchvision_fit(section.architecture, weights=section.weights)
    side = fit.shorter_side or round(min(pair(size)) * 256 / 224)
    if fit.method == "crop" and (side, pair(size)) == (theirs.shorter_side, (height, width)):
        return
    yours = "the whole image squashed" if fit.method == "squash" else f"the shorter side resized to {side} and cut"
    yield Notice(
        "other-crop",
        "warning",
        section.name,
        f"its weights {section.weights} were evaluated with the shorter side resized to {theirs.shorter_side} and "
        f"{height}x{width} cut out of the centre; the plan has {yours} to {'x'.join(map(str, pair(size)))}",
        f"set images.size: {height} and images.fit: {{method: crop, shorter_side: {theirs.shorter_side}}}, or keep it "
        "if the deployed system does as the plan says",
    )


def _other_resolution(sample: Sample) -> Iterator[Notice]:
    right = sample.right(sample.classifier.preprocessing)
    if int((~right).sum()) < BETTER * len(right):
        return  # too few are wrong for another way to be clearly better
    tried = [*_other_sides(sample), *_other_cuts(sample)]
    if not tried:
        return
    words, best = max(tried, key=lambda other: int(other[1].sum()))
    if clearly_better(best, right, labels=sample.labels, tried=len(tried)):
        yield Notice(
            "other-resolution",
            "error",
            sample.name,
            f"{words} it is right on {int(best.sum())} of {len(right)} images, as the plan has it on "
            f"{int(right.sum())}",
            "set images.size, images.fit and preprocessing.input_size to what the network was trained with",
        )


def _other_sides(sample: Sample) -> Iterator[tuple[str, Tensor]]:
    own = sample.classifier.preprocessing
    for side in SIDES:
        if side >= max(own.input_size):
            return
        try:
            yield f"shown images of {side}x{side}", sample.right(replace(own, input_size=(side, side)))
        except (RuntimeError, ValueError, AssertionError):
            continue  # a network that takes one size only is not mistaken in this way


def _other_cuts(sample: Sample) -> Iterator[tuple[str, Tensor]]:
    height, width = sample.pixels.shape[-2:]
    for share in CUTS:
        high, wide = (max(1, round(share * side)) for side in (height, width))
        top, left = (height - high) // 2, (width - wide) // 2
        cut = sample.pixels[..., top : top + high, left : left + wide]
        yield (
            f"with the middle {100 * share:g} % of each side",
            sample.right(sample.classifier.preprocessing, pixels=_as_large(cut, (height, width))),
        )


def _as_large(cut: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.nn.functional.interpolate(cut, size=size, mode="bilinear", align_corners=False, antialias=True)
