"""LIME for images (Ribeiro, Singh & Guestrin 2016): which segments of an image speak for a class, and which against it.

Segments are switched off at random, and a linear model of "which segments are on" is fitted to the probabilities that
the classifier gives. It needs no gradient.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from explainers.base import Maps, Targets, make_maps, refuse_layer, targets_or_predicted
from explainers.black_box.perturbed import asking, measure, plain_copy
from explainers.black_box.segments import Grid, Segmenter
from wolfhound.checks import check_pixels
from wolfhound.classifier import Classifier
from wolfhound.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A weighted ridge regression of T responses on S switches.

    Attributes:
        coefficients: float64 `[T,S]`, how much each segment adds when it is on.
        standard_error: float64 `[T,S]`, of the coefficients, from the sampling of the masks alone (sandwich estimator).
        intercept: float64 `[T]`.
        score: float64 `[T]`, weighted R^2; NaN (not measured) where a response never changed.
    """

    coefficients: Tensor = field(repr=False)
    standard_error: Tensor = field(repr=False)
    intercept: Tensor
    score: Tensor


@dataclass(frozen=True, eq=False)
class LimeExplanation:
    """What LIME says about one image.

    Attributes:
        segments: int64 `[H,W]`, numbers 0 to S - 1.
        classes: int64 `[T]`, the classes explained, most probable first unless they were named.
        class_names: their names.
        probabilities: float64 `[T]`, of the image itself.
        fit: the linear models, one a class.
        local_predictions: float64 `[T]`, what each linear model gives for the image itself.
        segmenter: the name of the segmenter.
        samples: how many perturbed images were asked about, the image itself included.
    """

    segments: Tensor = field(repr=False)
    classes: Tensor
    class_names: tuple[str, ...]
    probabilities: Tensor
    fit: LinearFit
    local_predictions: Tensor
    segmenter: str
    samples: int

    def map(self, row: int) -> Tensor:
        """Return the coefficients of a class (a row of `classes`) painted on their segments, float64 `[H,W]`."""
        return self.fit.coefficients[row][self.segments]

    def strongest(self, row: int, *, most: int = 5, sure: float = 2.0) -> list[int]:
        """Return the segments that speak most for a class, largest coefficient first, at most `most`.

        Only coefficients above `sure` standard errors count (and above 0): where the masks were too few to tell, fewer
        segments are named, or none.
        """
        coefficients, errors = self.fit.coefficients[row], self.fit.standard_error[row]
        order = coefficients.sort(descending=True, stable=True).indices[:most]
        return [int(i) for i in order if float(coefficients[i]) > max(0.0, sure * float(errors[i]))]

    def cut_out(self, image: Tensor, row: int, *, most: int = 5, sure: float = 2.0, around: float = 0.5) -> Tensor:
        """Return the image `[3,H,W]` with its `strongest` segments for a class alone, on grey of level `around`."""
        kept = torch.isin(self.segments, torch.tensor(self.strongest(row, most=most, sure=sure), dtype=torch.int64))
        return torch.where(kept.to(image.device), image, torch.full_like(image, around))


@dataclass(frozen=True)
class Lime:
    """LIME with the lime package's settings; as an `Explainer` it explains one class an image.

    Attributes:
        segmenter: how images are divided.
        samples: perturbed images, the first of which is the image itself.
        kernel_width: of the weights sqrt(exp(-d^2 / width^2)), d the cosine distance of a mask to all ones.
        alpha: of the ridge.
        seed: of the masks when it is used as an `Explainer`; every image gets the same draws.
        batch_size: perturbed images a forward pass.
    """

    segmenter: Segmenter = field(default=Grid())
    samples: int = 1000
    kernel_width: float = 0.25
    alpha: float = 1.0
    seed: int = 0
    batch_size: int = 64
    name: str = "lime"

    def __post_init__(self) -> None:
        if self.samples < 2 or self.kernel_width <= 0 or self.alpha <= 0 or self.batch_size < 1:
            raise ValueError(
                "expected at least 2 samples, a kernel width and an alpha above 0 and a batch size of at least 1, got "
                f"{self.samples}, {self.kernel_width:g}, {self.alpha:g} and {self.batch_size}"
            )

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the coefficients painted on the segments as maps `[B,H,W]`; see `Explainer`.

        A contrast is the difference of two classes' coefficients: the linear model of the difference of their
        probabilities.
        """
        refuse_layer(self.name, layer)
        check_pixels(pixels)
        with asking(classifier):
            images = plain_copy(pixels)
            logits = classifier.logits(images)
            targets = targets_or_predicted(targets, logits)
            targets.scores(logits)  # checks them
        maps = []
        for index in range(len(images)):
            rival = None if targets.against is None else int(targets.against[index])
            classes = [int(targets.classes[index]), *([] if rival is None else [rival])]
            generator = torch.Generator().manual_seed(self.seed)
            found = self.explain_image(classifier, images[index], classes=classes, generator=generator)
            maps.append(found.map(0) if rival is None else found.map(0) - found.map(1))
        raw = torch.stack(maps).to(images.device, torch.float64 if images.dtype == torch.float64 else torch.float32)
        return make_maps(raw, size=(pixels.shape[2], pixels.shape[3]), layer="", method=self.name, targets=targets)

    def explain_image(
        self,
        classifier: Classifier,
        image: Tensor,
        *,
        generator: torch.Generator,
        top: int = 3,
        classes: Sequence[int] | None = None,
        segments: Tensor | None = None,
        progress: Progress = silent,
    ) -> LimeExplanation:
        """Return the explanation of one image `[3,H,W]` in [0, 1], for its `top` classes or the `classes` named.

        One set of perturbed images serves all classes.

        Args:
            generator: draws the masks, on the CPU; it alone decides which.
            segments: int64 `[H,W]`, numbers 0 to S - 1; None asks the segmenter.

        Raises:
            TypeError: pixels of a wrong dtype.
            ValueError: pixels of a wrong shape or range, a class that there is not, unusable segments, or scores that
                are not finite.
        """
        check_pixels(image[None] if image.ndim == 3 else image)
        if image.ndim != 3:
            raise ValueError(f"expected one image [3, H, W], got {list(image.shape)}")
        chosen = self.segmenter.segments(image) if segments is None else segments
        count = _checked_segments(chosen, image)
        masks = draw_masks(self.samples, count, generator=generator)
        probabilities = self._probabilities(classifier, plain_copy(image), chosen, masks, progress=progress)
        explained = _classes(probabilities[0], top=top, classes=classes)
        fit = fit_lime(masks, probabilities[:, explained], kernel_width=self.kernel_width, alpha=self.alpha)
        return LimeExplanation(
            segments=chosen.cpu(),
            classes=explained,
            class_names=tuple(classifier.class_names[int(index)] for index in explained),
            probabilities=probabilities[0, explained],
            fit=fit,
            local_predictions=fit.intercept + fit.coefficients.sum(dim=1),
            segmenter=self.segmenter.name if segments is None else "given",
            samples=self.samples,
        )

    def _probabilities(
        self, classifier: Classifier, image: Tensor, segments: Tensor, masks: Tensor, *, progress: Progress
    ) -> Tensor:
        """Return the probabilities `[N,K]` of the perturbed images, composed a batch at a time."""
        average = mean_colours(image, segments)
        places = segments.to(image.device)
        with asking(classifier), progress(f"{self.name} of {classifier.name}", len(masks)) as advance:

            def made(rows: slice) -> Tensor:
                advance(rows.stop - rows.start)
                kept = masks[rows].to(image.device)[:, places]
                return torch.where(kept[:, None], image, average)

            return measure(
                classifier, made, lambda logits: logits.softmax(dim=1), total=len(masks), batch=self.batch_size
            )


def _checked_segments(segments: Tensor, image: Tensor) -> int:
    """Return how many segments there are.

    Raises:
        ValueError: segments of another size, or numbers that are not 0 to S - 1.
    """
    if segments.dtype != torch.int64 or segments.shape != image.shape[1:]:
        raise ValueError(
            f"expected segments as int64 {list(image.shape[1:])}, got {segments.dtype} {list(segments.shape)}"
        )
    numbers = sorted(set(segments.flatten().tolist()))
    if numbers != list(range(len(numbers))):
        raise ValueError(f"expected segments numbered 0 to {len(numbers) - 1}, got {numbers[:10]}")
    return len(numbers)


def _classes(probabilities: Tensor, *, top: int, classes: Sequence[int] | None) -> Tensor:
    total = len(probabilities)
    if classes is None:
        if not 1 <= top <= total:
            raise ValueError(f"expected 1 to {total} classes to explain, got {top}")
        return probabilities.sort(descending=True, stable=True).indices[:top]
    if not classes or not all(0 <= index < total for index in classes):
        raise ValueError(f"expected classes in [0, {total}), got {list(classes)}")
    return torch.tensor(list(classes), dtype=torch.int64)


def mean_colours(image: Tensor, segments: Tensor) -> Tensor:
    """Return the image `[3,H,W]` with every segment filled with its mean colour."""
    numbers = segments.to(image.device).flatten()
    counts = torch.bincount(numbers).double()
    sums = torch.zeros(3, len(counts), dtype=torch.float64, device=image.device)
    sums.index_add_(1, numbers, image.flatten(1).double())
    return (sums / counts)[:, numbers].view_as(image).to(image.dtype)


def draw_masks(samples: int, segments: int, *, generator: torch.Generator) -> Tensor:
    """Return which segments are on, bool `[samples,segments]`: each by a fair coin, all of them in the first row."""
    masks = torch.rand(samples, segments, generator=generator) < 0.5
    masks[0] = True
    return masks


def mask_weights(masks: Tensor, *, kernel_width: float) -> Tensor:
    """Return the weight of each mask, float64 `[N]`: sqrt(exp(-d^2 / width^2)), d its cosine distance to all ones.

    d = 1 - sqrt(share of segments that are on), and 1 where none is.

    >>> mask_weights(torch.tensor([[True, True], [False, False]]), kernel_width=1.0).tolist()
    [1.0, 0.6065306597126334]
    """
    distance = 1 - masks.double().mean(dim=1).sqrt()
    return (-(distance**2) / kernel_width**2).exp().sqrt()


def fit_lime(masks: Tensor, responses: Tensor, *, kernel_width: float = 0.25, alpha: float = 1.0) -> LinearFit:
    """Fit responses float64 `[N,T]` linearly to masks bool `[N,S]`, all of them in one closed form.

    With weights w, centred (by weighted means) X and y: coefficients = (X' W X + alpha I)^-1 X' W y; the intercept is
    not penalised. Standard errors: A X' diag(w^2 e^2) X A with A the inverse above and e the residuals (White 1980),
    which does not take the linear model to be true.
    """
    weights = mask_weights(masks, kernel_width=kernel_width)[:, None]
    total = weights.sum()
    switches, values = masks.double(), responses.double()
    means = (weights * switches).sum(dim=0) / total, (weights * values).sum(dim=0) / total
    inputs, outputs = switches - means[0], values - means[1]
    normal = inputs.T @ (weights * inputs) + alpha * torch.eye(inputs.shape[1], dtype=torch.float64)
    solved = torch.linalg.solve(normal, (weights * inputs).T)  # A X' W, [S,N]
    coefficients = solved @ outputs
    residuals = outputs - inputs @ coefficients
    unexplained, varied = (weights * residuals**2).sum(dim=0), (weights * outputs**2).sum(dim=0)
    # What rounding alone leaves of a constant response is no variation.
    measured = varied > 1e-24 * total * (1 + means[1] ** 2)
    score = torch.where(measured, 1 - unexplained / varied, torch.full_like(varied, math.nan))
    return LinearFit(
        coefficients=coefficients.T.contiguous(),
        standard_error=(solved**2 @ residuals**2).sqrt().T.contiguous(),
        intercept=means[1] - means[0] @ coefficients,
        score=score,
    )
