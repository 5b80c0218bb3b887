"""One forward pass that scores, or a layer's units, can be traced back through to the pixels; no trace is left."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from explainers.hooks import tapped
from explainers.pixels.rectifiers import Rule, backward_rule, check_rectified
from wolfhound.checks import check_pixel_layout
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import ModelError


@dataclass(frozen=True, eq=False)
class PixelPass:
    """Logits `[B,K]` and tapped layers, joined by a graph to a copy of the pixels `[B,3,H,W]`."""

    pixels: Tensor
    logits: Tensor
    taps: Mapping[str, Tensor]

    def gradient(self, score: Callable[[], Tensor]) -> Tensor:
        """Return d(sum of the scores)/d(pixels) `[B,3,H,W]`; images do not mix. The graph is kept.

        Args:
            score: one number an image `[B]`, made of `logits` or `taps`.

        Raises:
            ModelError: the scores do not depend on the pixels.
        """
        with torch.inference_mode(False), torch.enable_grad():
            total = score().sum()
            if not total.requires_grad:
                raise ModelError("what is explained does not depend on the pixels: there is no gradient")
            (gradient,) = torch.autograd.grad(total, [self.pixels], retain_graph=True)
        return gradient


def pixel_pass(
    classifier: Classifier, pixels: Tensor, *, layers: tuple[str, ...] = (), rule: Rule = "plain"
) -> PixelPass:
    """Run `pixels` `[B,3,H,W]` in [0, 1] once, keeping the graph down to them; gradients pass rectifiers by `rule`.

    Works on frozen networks and under an ambient `no_grad` or `inference_mode`. Hooks, modes, `requires_grad` and
    `.grad` are as before, also after an error; the caller's pixels are not changed.

    Raises:
        ModelError: no such layer, one that did not run or ran twice, or a rule and no rectifier in the network.
    """
    check_pixel_layout(pixels)
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        frozen(classifier.module),
        tapped(classifier.module, layers) as taps,
        backward_rule(rule) as met,
    ):
        copied = pixels.clone() if pixels.is_inference() else pixels.detach().clone()
        logits = classifier.logits(copied.requires_grad_())
    silent = [name for name in layers if name not in taps]
    if silent:
        raise ModelError(f"layer(s) {', '.join(silent)} did not run in the forward pass (name another layer)")
    check_rectified(classifier.name, met(), rule=rule)
    return PixelPass(copied, logits, taps)


def plain_logits(classifier: Classifier, pixels: Tensor) -> Tensor:
    """Return the logits `[B,K]` in evaluation mode, without a graph; modes and flags are as before."""
    with torch.no_grad(), frozen(classifier.module):
        return classifier.logits(pixels.detach())
