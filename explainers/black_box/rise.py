"""RISE (Petsiuk, Das & Saenko 2018): how much a score owes to each pixel, from randomly masked copies of the image."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from explainers.base import Maps, Targets, make_maps, refuse_layer, targets_or_predicted
from explainers.black_box.occlusion import GREY
from explainers.black_box.perturbed import asking, measure, plain_copy, probability_of, repeated
from wolfhound.checks import check_pixels
from wolfhound.classifier import Classifier
from wolfhound.progress import Progress, silent

_DRAWN_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class RiseEstimate:
    """An estimate with what chance has in it.

    Attributes:
        importance: float64 `[B,H,W]`, the estimate.
        standard_error: float64 `[B,H,W]`, of each value, over masks.
        mean: float64 `[B]`, mean score over masks.
        masks: how many.
        targets: the scores explained.
    """

    importance: Tensor = field(repr=False)
    standard_error: Tensor = field(repr=False)
    mean: Tensor
    masks: int
    targets: Targets


@dataclass(frozen=True)
class Rise:
    """RISE; needs no gradient. f is the probability of the class, or its lead over the contrasted class's.

    The paper's estimate (eq. 6) is S = sum_i f_i M_i / (N p). Ours, by default, is
    sum_i (f_i - mean f) M_i / ((N - 1) p): it estimates S less the mean score, without bias too, and is free of the
    noise that the uneven coverage of a finite set of masks multiplies by the mean score. `centred=False` gives the
    paper's. A further departure: what is masked fades to a stated colour in pixels; the paper's code fades to 0 behind
    the normalisation.

    Attributes:
        masks: N.
        cells: cells of the coarse grid along each side (the paper's code has 8, its text 7).
        keep: p, the chance of a cell to stay.
        colour: what masked pixels fade to, RGB in [0, 1].
        centred: see above.
        seed: of the masks; every image gets the same ones.
        batch_size: masked images a forward pass.
    """

    masks: int = 4000
    cells: int = 7
    keep: float = 0.5
    colour: tuple[float, float, float] = GREY
    centred: bool = True
    seed: int = 0
    batch_size: int = 64
    name: str = "rise"

    def __post_init__(self) -> None:
        if self.masks < 2 or self.cells < 1 or not 0 < self.keep < 1 or self.batch_size < 1:
            raise ValueError(
                "expected at least 2 masks, 1 cell, a share kept in (0, 1) and a batch size of at least 1, got "
                f"{self.masks}, {self.cells}, {self.keep:g} and {self.batch_size}"
            )
        if len(self.colour) != 3 or not all(0 <= level <= 1 for level in self.colour):
            raise ValueError(f"expected the colour of what is masked as 3 levels in [0, 1], got {self.colour}")

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the estimates as maps `[B,H,W]`; see `Explainer`."""
        refuse_layer(self.name, layer)
        found = self.estimate(classifier, pixels, targets)
        dtype = torch.float64 if pixels.dtype == torch.float64 else torch.float32
        raw = found.importance.to(pixels.device, dtype)
        return make_maps(
            raw, size=(pixels.shape[2], pixels.shape[3]), layer="", method=self.name, targets=found.targets
        )

    def estimate(
        self,
        classifier: Classifier,
        pixels: Tensor,
        targets: Targets | None = None,
        *,
        progress: Progress = silent,
    ) -> RiseEstimate:
        """Return the estimate for each image `[B,3,H,W]` in [0, 1], with its standard error.

        The masks are drawn twice from the same seed, so only the scores are kept in memory.

        Raises:
            TypeError, ValueError: as `Explainer.explain`.
        """
        check_pixels(pixels)
        with asking(classifier), progress(f"{self.name} of {classifier.name}", self.masks) as advance:
            images = plain_copy(pixels)
            logits = classifier.logits(images)
            targets = targets_or_predicted(targets, logits)
            targets.scores(logits)  # checks them
            parts = []
            for masks in self.draw(images.shape[-2:]):
                parts.append(self._scores(classifier, images, masks, targets))
                advance(len(masks))
            return self._estimated(torch.cat(parts, dim=1), images.shape[-2:], targets)

    def draw(self, size: torch.Size | tuple[int, int]) -> Iterator[Tensor]:
        """Yield the masks `[n,1,H,W]` in [0, 1], float32 on the CPU, some at a time; their expectation is `keep`.

        A grid of `cells` x `cells` fair draws is enlarged bilinearly to one cell more each way and cut out at a random
        offset within that cell (section 3.2).
        """
        generator = torch.Generator().manual_seed(self.seed)
        cell = tuple(-(-side // self.cells) for side in size)
        large = ((self.cells + 1) * cell[0], (self.cells + 1) * cell[1])
        # Always so many at a time, so that the masks do not depend on the batch size.
        for start in range(0, self.masks, _DRAWN_TOGETHER):
            count = min(_DRAWN_TOGETHER, self.masks - start)
            grids = (torch.rand(count, 1, self.cells, self.cells, generator=generator) < self.keep).float()
            tops, lefts = (torch.randint(side, (count,), generator=generator).tolist() for side in cell)
            grown = functional.interpolate(grids, size=large, mode="bilinear", align_corners=False)
            corners = zip(grown, tops, lefts, strict=True)
            yield torch.stack([mask[:, top : top + size[0], left : left + size[1]] for mask, top, left in corners])

    def _scores(self, classifier: Classifier, images: Tensor, masks: Tensor, targets: Targets) -> Tensor:
        """Return f of every image under every mask, float64 `[B,n]`."""
        colour = torch.tensor(self.colour, dtype=images.dtype, device=images.device)[:, None, None]
        shown = masks.to(images.device, images.dtype)
        found = []
        for index, image in enumerate(images):

            def made(rows: slice, image: Tensor = image) -> Tensor:
                return shown[rows] * image + (1 - shown[rows]) * colour

            def score(logits: Tensor, index: int = index) -> Tensor:
                return probability_of(repeated(targets, index, len(logits)))(logits)

            found.append(measure(classifier, made, score, total=len(masks), batch=self.batch_size))
        return torch.stack(found)

    def _estimated(self, scores: Tensor, size: torch.Size, targets: Targets) -> RiseEstimate:
        """Return the estimate from scores `[B,N]` and the masks, drawn again."""
        mean = scores.mean(dim=1)
        offset = mean[:, None] if self.centred else torch.zeros_like(mean)[:, None]
        values = (scores - offset) / self.keep
        total, squares = (torch.zeros(len(scores), size.numel(), dtype=torch.float64) for _ in range(2))
        start = 0
        for masks in self.draw(size):
            # Around its expectation for the centred estimate: the same sum, and the right spread.
            shown = masks.flatten(1).double() - (self.keep if self.centred else 0.0)
            some = values[:, start : start + len(masks)]
            total += some @ shown
            squares += some**2 @ shown**2
            start += len(masks)
        divisor = self.masks - 1 if self.centred else self.masks
        spread = (squares / self.masks - (total / self.masks) ** 2).clamp(min=0) / divisor
        shape = (len(scores), size[0], size[1])
        return RiseEstimate((total / divisor).view(shape), spread.sqrt().view(shape), mean, self.masks, targets)
