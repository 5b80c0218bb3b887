"""Ablation-CAM: weigh each channel by what the score loses without it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from explainers.base import Maps, Targets, make_maps, targets_or_predicted
from explainers.cams.cam import at_least_single, class_weights, head_weight, layer_layout
from explainers.cams.layouts import Layout
from explainers.cams.tail import Tail, record_tail
from explainers.layers import default_layer
from wolfhound.checks import check_pixel_layout
from wolfhound.classifier import Classifier

ROWS = 64
"""Images that one replay of the tail takes at most (at least one channel of the batch)."""


@dataclass(frozen=True)
class AblationCam:
    """Ablation-CAM (Desai & Ramaswamy 2020, section 3): w_k = S - S(channel k set to 0), R = sum_k w_k A_k.

    Only the part above the layer runs again, once a channel; where that part is global average pooling and one Linear,
    which is measured, the drop is W_k mean(A_k) and nothing runs again. A channel of tokens is set to 0 in every token.

    Attributes:
        relative: divide by S, as in the paper's eq. 1 and in pytorch-grad-cam. A negative S then turns the map over, so
            it is off by default and meant for comparison alone. (On layers with negative values pytorch-grad-cam sets
            channels to -1e7 and lower instead of 0, which is not followed.)
    """

    relative: bool = False

    @property
    def name(self) -> str:
        """The registry name; the relative form has its own."""
        return "ablationcam-relative" if self.relative else "ablationcam"

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Targets | None = None, *, layer: str | None = None
    ) -> Maps:
        """Return the maps of `pixels` `[B,3,H,W]`; see `Explainer`.

        Raises:
            ModelError: what runs above the layer cannot be replayed (see `record_tail`).
            ValueError: a score of 0 to divide by, in the relative form.
        """
        check_pixel_layout(pixels)
        layer = layer or default_layer(classifier)
        tail = record_tail(classifier, pixels, layer=layer)
        layout = layer_layout(classifier, tail.activation, layer=layer)
        with torch.inference_mode(False), torch.no_grad():
            targets = targets_or_predicted(targets, tail.logits)
            scores = at_least_single(targets.scores(tail.logits))
            drops = channel_drops(classifier, tail, targets, layout=layout)
            weights = drops / self._divisor(scores)[:, None] if self.relative else drops
            activation = at_least_single(layout.feature_map(tail.activation))
            raw = torch.einsum("bk,bkij->bij", weights, activation)
        size = (pixels.shape[-2], pixels.shape[-1])
        return make_maps(raw, size=size, layer=layer, method=self.name, targets=targets)

    def _divisor(self, scores: Tensor) -> Tensor:
        if bool((scores == 0).any()):
            raise ValueError("expected scores other than 0 to take relative drops of, got 0 (use the plain drop)")
        return scores


def channel_drops(classifier: Classifier, tail: Tail, targets: Targets, *, layout: Layout) -> Tensor:
    """Return S - S(without channel k), `[B,C]`, by the closed form where it holds and by replays elsewhere."""
    activation = at_least_single(layout.feature_map(tail.activation))
    weight = head_weight(classifier, activation, tail.logits)
    if weight is not None and _is_linear_in_means(tail, weight, layout):
        return class_weights(weight, targets) * activation.mean(dim=(2, 3))
    return replayed_drops(tail, targets.scores, layout=layout)


def _is_linear_in_means(tail: Tail, weight: Tensor, layout: Layout) -> bool:
    """Whether the head keeps to its closed form when every other channel is set to 0."""
    altered = tail.activation.clone()
    altered.movedim(layout.channel_dim, 0)[::2] = 0
    lost = at_least_single(layout.feature_map(tail.activation - altered)).mean(dim=(2, 3)) @ weight.T
    found = at_least_single(tail.logits) - at_least_single(tail.rerun(altered[None])[0])
    tolerance = 2e-2 if tail.logits.dtype in (torch.float16, torch.bfloat16) else 1e-4
    return float((lost - found).abs().max()) <= tolerance * max(1.0, float(tail.logits.abs().max()))


def replayed_drops(tail: Tail, score: Callable[[Tensor], Tensor], *, layout: Layout) -> Tensor:
    """Return S - S(without channel k), `[B,C]`, by running the tail once a channel."""
    count = tail.activation.shape[layout.channel_dim]
    whole, step = at_least_single(score(tail.logits)), max(1, ROWS // len(tail.activation))
    drops = []
    for start in range(0, count, step):
        channels = range(start, min(start + step, count))
        altered = tail.activation.expand(len(channels), *tail.activation.shape).clone()
        for copy, channel in zip(altered, channels, strict=True):
            copy.select(layout.channel_dim, channel).zero_()
        drops += [whole - at_least_single(score(logits)) for logits in tail.rerun(altered)]
    return torch.stack(drops, dim=1)
