"""Occlusion maps (Zeiler & Fergus 2014, section 4.2): how far a score falls when a patch of the image is covered."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from explainers.base import Maps, Targets, make_maps, refuse_layer, targets_or_predicted
from explainers.black_box.perturbed import asking, measure, plain_copy, repeated
from wolfhound.checks import check_pixels
from wolfhound.classifier import Classifier

GREY = (0.5, 0.5, 0.5)


@dataclass(frozen=True, eq=False)
class OcclusionDrops:
    """The fall of each image's score at each position of the patch.

    Attributes:
        drops: float64 `[B,n,m]`: score of the image minus score with the patch there; below 0 where covering helps.
        scores: float64 `[B]`, of the images as they are.
        tops, lefts: the first row and column covered, `n` and `m` of them.
        patch: side of the patch, in pixels.
        targets: the scores explained.
    """

    drops: Tensor = field(repr=False)
    scores: Tensor
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    patch: int
    targets: Targets

    def per_pixel(self, size: tuple[int, int]) -> Tensor:
        """Return the mean drop over the patches that cover each pixel, float64 `[B,H,W]`."""
        total = torch.zeros(len(self.drops), *size, dtype=torch.float64)
        covered = torch.zeros(size, dtype=torch.float64)
        for i, top in enumerate(self.tops):
            for j, left in enumerate(self.lefts):
                place = (slice(top, top + self.patch), slice(left, left + self.patch))
                total[(slice(None), *place)] += self.drops[:, i, j, None, None]
                covered[place] += 1
        return total / covered


@dataclass(frozen=True)
class Occlusion:
    """Sliding occlusion; needs no gradient. Patches lie inside the image and together cover all of it.

    Attributes:
        patch: side in pixels; None takes a seventh of the shorter side (32 at 224 pixels).
        stride: pixels between positions; None takes half a patch. The last position ends at the image's edge.
        colour: of the patch, RGB in [0, 1]. It is part of the question: a grey patch says little of grey objects.
        batch_size: covered images a forward pass.
    """

    patch: int | None = None
    stride: int | None = None
    colour: tuple[float, float, float] = GREY
    batch_size: int = 64
    name: str = "occlusion"

    def __post_init__(self) -> None:
        if len(self.colour) != 3 or not all(0 <= level <= 1 for level in self.colour):
            raise ValueError(f"expected the patch's colour as 3 levels in [0, 1], got {self.colour}")
        if min(self.patch or 1, self.stride or 1, self.batch_size) < 1 or 0 in (self.patch, self.stride):
            raise ValueError(
                "expected a patch, a stride and a batch size of at least 1, got "
                f"{self.patch}, {self.stride} and {self.batch_size}"
            )

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the mean drop of the score at each pixel as maps `[B,H,W]`; see `Explainer`."""
        refuse_layer(self.name, layer)
        found = self.drops(classifier, pixels, targets)
        size = (pixels.shape[2], pixels.shape[3])
        raw = found.per_pixel(size).to(torch.float64 if pixels.dtype == torch.float64 else torch.float32)
        return make_maps(raw.to(pixels.device), size=size, layer="", method=self.name, targets=found.targets)

    def drops(self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None) -> OcclusionDrops:
        """Return the drop of the score (a logit or a contrast of two) at every position of the patch.

        Raises:
            TypeError, ValueError: as `Explainer.explain`, or a patch larger than the image or smaller than the stride
                (pixels would be left out).
        """
        check_pixels(pixels)
        patch, stride = self._sides(min(pixels.shape[2:]))
        tops, lefts = (positions(side, patch=patch, stride=stride) for side in pixels.shape[2:])
        with asking(classifier):
            images = plain_copy(pixels)
            logits = classifier.logits(images)
            targets = targets_or_predicted(targets, logits)
            scores = targets.scores(logits.double()).cpu()
            drops = [
                scores[i] - self._covered(classifier, images[i], targets, i, tops=tops, lefts=lefts, patch=patch)
                for i in range(len(images))
            ]
        stacked = torch.stack(drops).view(len(images), len(tops), len(lefts))
        return OcclusionDrops(stacked, scores, tops, lefts, patch, targets)

    def _sides(self, shorter: int) -> tuple[int, int]:
        patch = max(1, round(shorter / 7)) if self.patch is None else self.patch
        stride = max(1, patch // 2) if self.stride is None else self.stride
        if not stride <= patch <= shorter:
            raise ValueError(
                f"expected a stride of at most the patch and a patch of at most {shorter} pixels, got a patch of "
                f"{patch} and a stride of {stride}"
            )
        return patch, stride

    def _covered(
        self,
        classifier: Classifier,
        image: Tensor,
        targets: Targets,
        index: int,
        *,
        tops: tuple[int, ...],
        lefts: tuple[int, ...],
        patch: int,
    ) -> Tensor:
        """Return the score at every position, row by row."""
        places = [(top, left) for top in tops for left in lefts]
        colour = torch.tensor(self.colour, dtype=image.dtype, device=image.device)[:, None, None]

        def made(rows: slice) -> Tensor:
            copies = image.repeat(rows.stop - rows.start, 1, 1, 1)
            for copy, (top, left) in zip(copies, places[rows], strict=True):
                copy[:, top : top + patch, left : left + patch] = colour
            return copies

        def score(logits: Tensor) -> Tensor:
            return repeated(targets, index, len(logits)).scores(logits)

        return measure(classifier, made, score, total=len(places), batch=self.batch_size)


def positions(side: int, *, patch: int, stride: int) -> tuple[int, ...]:
    """Return where patches start along a side, the last one flush with its end.

    >>> positions(10, patch=4, stride=4)
    (0, 4, 6)
    """
    starts = list(range(0, side - patch + 1, stride))
    return (*starts, side - patch) if starts[-1] != side - patch else tuple(starts)
