"""Integrated gradients: what each pixel adds on the way from a baseline to the image, complete by axiom."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from explainers.base import Targets, refuse_layer, targets_or_predicted
from explainers.cams.cam import at_least_single
from explainers.pixels.attributions import Attributions, Reduction
from explainers.pixels.pixel_gradients import plain_logits
from explainers.pixels.saliency import PixelMethod, score_gradient
from wolfhound.checks import check_pixel_layout
from wolfhound.classifier import Classifier


@dataclass(frozen=True)
class IntegratedGradients(PixelMethod):
    """(pixels - baseline) times the mean gradient on the straight way between them (Sundararajan et al. 2017, eq. 1).

    The integral is a Gauss-Legendre sum of `steps` gradients. By the axiom of completeness (section 3) the values sum
    to S(pixels) - S(baseline); what the sum misses is returned as `Attributions.residual` in units of the score, and
    tells whether `steps` was enough. The result hangs on the baseline: pixels equal to it get 0, whatever the network
    does.

    Attributes:
        steps: gradients along the way.
        baseline: the grey value, in [0, 1], of the image where the way begins; 0 is black. (Libraries whose input is
            normalised begin at the data's mean colour instead.)
    """

    steps: int = 50
    baseline: float = 0.0
    name: str = "integrated-gradients"

    reduction: ClassVar[Reduction] = "sum"

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.baseline <= 1:
            raise ValueError(
                f"expected steps of at least 1 and a baseline in [0, 1], got {self.steps}, {self.baseline}"
            )

    def attribute(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Attributions:
        """Return the integrated gradients `[B,3,H,W]` with their residuals; see `Explainer`."""
        refuse_layer(self.name, layer)
        check_pixel_layout(pixels)
        pixels = pixels.detach()
        start = torch.full_like(pixels, self.baseline)
        logits = plain_logits(classifier, pixels)
        targets = targets_or_predicted(targets, logits)
        needed = targets.scores(logits) - targets.scores(plain_logits(classifier, start))
        mean = torch.zeros_like(at_least_single(pixels))
        for place, weight in zip(*_unit_quadrature(self.steps), strict=True):
            mean += weight * score_gradient(classifier, start + place * (pixels - start), targets)[0]
        values = at_least_single(pixels - start) * mean
        residual = values.sum(dim=(1, 2, 3)) - at_least_single(needed)
        return Attributions(values, self.name, targets, residual=residual)


def _unit_quadrature(steps: int) -> tuple[list[float], list[float]]:
    """Return places and weights of the Gauss-Legendre rule on [0, 1]."""
    roots, weights = np.polynomial.legendre.leggauss(steps)
    return ((1 + roots) / 2).tolist(), (weights / 2).tolist()
