"""Score-CAM: weigh each channel by the score of the image seen through it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from explainers.base import Maps, Targets, make_maps, targets_or_predicted
from explainers.black_box.perturbed import TRIED, for_many_passes
from explainers.cams.cam import at_least_single, feature_map
from explainers.hooks import record
from explainers.layers import default_layer
from wolfhound.checks import check_pixel_layout
from wolfhound.classifier import Classifier, frozen

PIXELS_AT_ONCE = 8 * 224 * 224
"""Pixels of a forward pass: ResNet-18 on the CPU takes 15 ms an image of 224 pixels by eights, 18 by thirty-twos."""


@dataclass(frozen=True)
class ScoreCam:
    """Score-CAM (Wang et al. 2020, section 3.2): w = softmax_k(S(image seen through channel k)), R = sum_k w_k A_k.

    The mask of channel k is A_k grown to the input (bilinear, align_corners=True), min-max scaled per channel with 1e-8
    in the divisor, as pytorch-grad-cam has it; it multiplies the normalised input, so what is masked turns to the
    data's mean colour. The paper subtracts the score of a baseline from every S, which the softmax takes no notice of.
    No gradient is used; a full pass costs one forward pass a channel and image.

    Attributes:
        channels: only that many channels of each image, those of the largest standard deviation over places (the first
            of equal ones), take part; None takes all. The softmax is then over them alone, and the name says so: it is
            an approximation, and its maps are other maps.
        rows: masked images in one forward pass; None takes as many as hold `PIXELS_AT_ONCE`.
    """

    channels: int | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        if any(given is not None and given < 1 for given in (self.channels, self.rows)):
            raise ValueError(f"expected channels and rows of at least 1, got {self.channels} and {self.rows}")

    @property
    def name(self) -> str:
        """The registry name; an approximation says that it is one."""
        return "scorecam" if self.channels is None else f"scorecam-approximate-top{self.channels}"

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the maps of `pixels` `[B,3,H,W]`; see `Explainer`."""
        check_pixel_layout(pixels)
        layer = layer or default_layer(classifier)
        recording = record(classifier, pixels, layers=(layer,))
        with torch.inference_mode(False), torch.no_grad(), frozen(classifier.module):
            targets = targets_or_predicted(targets, recording.logits)
            targets.scores(recording.logits)  # checks them
            inputs = classifier.preprocessing.apply(pixels.clone() if pixels.is_inference() else pixels.detach())
            activations = feature_map(classifier, recording.activation(layer), layer=layer)
            passes = len(activations) * (self.channels or activations.shape[1])
            asked = for_many_passes(classifier, pixels[:TRIED].detach(), passes=passes)
            raws = [
                self._raw(asked, image, activation, targets.rows(slice(index, index + 1)))
                for index, (image, activation) in enumerate(zip(inputs, activations, strict=True))
            ]
        size = (pixels.shape[-2], pixels.shape[-1])
        return make_maps(torch.stack(raws), size=size, layer=layer, method=self.name, targets=targets)

    def _raw(self, classifier: Classifier, image: Tensor, activation: Tensor, target: Targets) -> Tensor:
        """Return the raw map `[h,w]` of one normalised image `[3,H,W]` with activation `[C,h,w]`."""
        chosen = activation if self.channels is None else activation[most_varied(activation, self.channels)]

        def score(masked: Tensor) -> Tensor:
            logits = classifier.module(masked)
            same = Targets(
                target.classes.expand(len(masked)),
                None if target.against is None else target.against.expand(len(masked)),
            )
            return at_least_single(same.scores(logits))

        rows = self.rows or max(1, PIXELS_AT_ONCE // image[0].numel())
        scores = masked_scores(score, image, chosen, rows=rows)
        return torch.einsum("k,kij->ij", scores.softmax(dim=0), chosen)


def most_varied(activation: Tensor, count: int) -> Tensor:
    """Return the indices of the `count` channels of `[C,h,w]` with the largest deviation over places, in their order.

    Raises:
        ValueError: more channels than there are.
    """
    if count > len(activation):
        raise ValueError(
            f"expected at most the layer's {len(activation)} channels, got {count} (use the full Score-CAM)"
        )
    spread = activation.flatten(1).std(dim=1, unbiased=False)
    return spread.sort(descending=True, stable=True).indices[:count].sort().values


def masked_scores(score: Callable[[Tensor], Tensor], image: Tensor, activation: Tensor, *, rows: int) -> Tensor:
    """Return the score of `image` `[3,H,W]` seen through each channel of `activation` `[C,h,w]`, `[C]`.

    A channel without contrast hides everything, so all of those share one forward pass. Masked images are made `rows`
    at a time in the memory format that convolutions run fastest in, which changes no value.
    """
    lively = activation.flatten(1).amax(dim=1) > activation.flatten(1).amin(dim=1)
    scores = torch.empty(len(activation), dtype=activation.dtype, device=activation.device)
    if not bool(lively.all()):
        scores[~lively] = score(torch.zeros_like(image)[None])
    found = [score(_seen_through(image, some)) for some in torch.split(activation[lively], rows) if len(some)]
    if found:
        scores[lively] = torch.cat(found)
    return scores


def _seen_through(image: Tensor, activation: Tensor) -> Tensor:
    """Return `image` `[3,H,W]` times the mask of each channel of `activation` `[n,h,w]`, `[n,3,H,W]`."""
    size = (image.shape[-2], image.shape[-1])
    grown = functional.interpolate(activation[:, None], size=size, mode="bilinear", align_corners=True)
    low, high = (bound(grown, dim=(2, 3), keepdim=True) for bound in (torch.amin, torch.amax))
    masks = ((grown - low) / (high - low + 1e-8)).to(image.dtype)
    return (image * masks).contiguous(memory_format=torch.channels_last)
