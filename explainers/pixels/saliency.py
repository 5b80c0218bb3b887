"""Gradients of a score in the pixels: plain, averaged over noise, and through rectifiers with rules of their own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from explainers.base import Maps, Targets, refuse_layer, targets_or_predicted
from explainers.cams.cam import SinglePassCam, at_least_single
from explainers.pixels.attributions import Attributions, Reduction
from explainers.pixels.pixel_gradients import pixel_pass, plain_logits
from explainers.pixels.rectifiers import CAUTIONS, Rule
from wolfhound.classifier import Classifier


class PixelMethod(ABC):
    """What pixel-level explainers share: their maps are their attributions, reduced as stated."""

    reduction: ClassVar[Reduction] = "largest"

    @abstractmethod
    def attribute(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Attributions:
        """Return the attributions; every method has its own."""

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the attributions as maps `[B,H,W]`; see `Explainer` and `Attributions.maps`."""
        return self.attribute(classifier, pixels, targets, layer=layer).maps(self.reduction)


@dataclass(frozen=True)
class Saliency(PixelMethod):
    """The gradient of the score in the pixels (Simonyan, Vedaldi & Zisserman 2014, section 3), signed."""

    name: str = "saliency"

    def attribute(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Attributions:
        """Return d(score)/d(pixels) `[B,3,H,W]`; see `Explainer`."""
        refuse_layer(self.name, layer)
        gradient, targets = score_gradient(classifier, pixels, targets)
        return Attributions(gradient, self.name, targets)


@dataclass(frozen=True)
class SmoothGrad(PixelMethod):
    """The mean gradient over noisy copies of the image (Smilkov et al. 2017, section 3): signed.

    Noise is normal with deviation `noise` times the image's own range, as in the paper; noisy pixels may leave [0, 1]
    and are not clipped there, as that would shift their mean. Every image meets the same `samples` draws from a
    generator of its own, so a result depends neither on the batch nor on its order. Targets are those of the clean
    image.
    """

    samples: int = 50
    noise: float = 0.15
    seed: int = 0
    name: str = "smoothgrad"

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 <= self.noise < float("inf"):
            raise ValueError(f"expected samples of at least 1 and noise >= 0, got {self.samples} and {self.noise}")

    def attribute(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Attributions:
        """Return the mean of d(score)/d(pixels) over the noisy copies, `[B,3,H,W]`; see `Explainer`."""
        refuse_layer(self.name, layer)
        targets = targets_or_predicted(targets, plain_logits(classifier, pixels))
        pixels = pixels.detach()
        deviation = self.noise * (pixels.amax(dim=(1, 2, 3)) - pixels.amin(dim=(1, 2, 3)))[:, None, None, None]
        generator, total = torch.Generator().manual_seed(self.seed), torch.zeros_like(at_least_single(pixels))
        for _ in range(self.samples):
            draw = torch.randn(pixels.shape[1:], generator=generator).to(pixels)
            total += score_gradient(classifier, pixels + deviation * draw, targets)[0]
        return Attributions(total / self.samples, self.name, targets)


@dataclass(frozen=True)
class RectifiedGradient(PixelMethod):
    """Gradients whose negative parts stop at every ReLU, by the rule of its name (see `backward_rule`).

    Guided backpropagation is Springenberg et al. 2015, section 3.4; the deconvnet is Zeiler & Fergus 2014, section 2.1,
    with the switches of max pooling, which its gradient has. Softmax is not explained: the score is a logit or a
    contrast.

    Raises:
        ValueError: a rule that changes nothing ("plain" is `Saliency`).
    """

    name: str = "guided-backpropagation"
    rule: Rule = "guided"

    def __post_init__(self) -> None:
        if self.rule not in ("guided", "deconvnet"):
            raise ValueError(f"expected rule 'guided' or 'deconvnet', got {self.rule!r} (use Saliency for gradients)")

    def attribute(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Attributions:
        """Return the rectified gradient `[B,3,H,W]`; see `Explainer`.

        Raises:
            ModelError: the network applies no ReLU.
        """
        refuse_layer(self.name, layer)
        gradient, targets = score_gradient(classifier, pixels, targets, rule=self.rule)
        return Attributions(gradient, self.name, targets, caution=CAUTIONS[self.rule])


@dataclass(frozen=True)
class GuidedGradCam(PixelMethod):
    """Guided backpropagation times the rectified Grad-CAM, grown bilinearly (Selvaraju et al. 2017, section 3).

    Grad-CAM itself takes plain gradients. Its raw map is used, so strength between images is kept.
    """

    name: str = "guided-gradcam"

    def attribute(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Attributions:
        """Return the product `[B,3,H,W]`; `layer` is Grad-CAM's. See `Explainer`.

        Raises:
            ModelError: the network applies no ReLU; and as `SinglePassCam`.
        """
        maps = SinglePassCam("gradcam").explain(classifier, pixels, targets, layer=layer)
        guided, targets = score_gradient(classifier, pixels, maps.targets, rule="guided")
        size = (pixels.shape[-2], pixels.shape[-1])
        heat = functional.interpolate(maps.raw.clamp(min=0)[:, None], size=size, mode="bilinear", align_corners=False)
        return Attributions(guided * heat, self.name, targets, layer=maps.layer, caution=CAUTIONS["guided"])


def score_gradient(
    classifier: Classifier, pixels: Tensor, targets: Targets | None, *, rule: Rule = "plain"
) -> tuple[Tensor, Targets]:
    """Return d(score)/d(pixels) `[B,3,H,W]`, in single precision or better, and the targets that were explained."""
    run = pixel_pass(classifier, pixels, rule=rule)
    found = targets_or_predicted(targets, run.logits)
    return at_least_single(run.gradient(lambda: found.scores(run.logits))), found
