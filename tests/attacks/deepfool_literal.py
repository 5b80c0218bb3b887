"""DeepFool and DeepFool-UAP as the papers write them: one image, one class, one gradient at a time. Slow on purpose."""

import torch
from torch import Tensor

from wolfhound.classifier import Classifier


def logit_gradient(classifier: Classifier, pixels: Tensor, category: int) -> Tensor:
    """Return the gradient of one logit for one image `[3,H,W]`."""
    at = pixels.clone().requires_grad_()
    logit = classifier.logits(at[None])[0, category]
    (gradient,) = torch.autograd.grad(logit, at)
    return gradient


def deepfool_one(
    classifier: Classifier, pixels: Tensor, *, candidates: int, overshoot: float, max_steps: int
) -> tuple[Tensor, bool, int]:
    """Return (perturbation, prediction changed, steps) for one image `[3,H,W]` (algorithm 2 of 2016)."""
    logits = classifier.logits(pixels[None])[0].detach()
    order = sorted(range(len(logits)), key=lambda k: -float(logits[k]))[:candidates]
    label = order[0]
    total = torch.zeros_like(pixels)
    steps = 0
    while steps < max_steps:
        current = pixels + (1 + overshoot) * total
        scores = classifier.logits(current[None])[0].detach()
        if int(scores.argmax()) != label:
            break
        own = logit_gradient(classifier, current, label)
        shortest, move = float("inf"), None
        for other in order[1:]:
            w = logit_gradient(classifier, current, other) - own
            f = float(scores[other] - scores[label])
            distance = abs(f) / float(w.norm())
            if distance < shortest:
                shortest, move = distance, (distance + 1e-4) * w / float(w.norm())
        assert move is not None
        total = total + move
        steps += 1
    final = pixels + (1 + overshoot) * total
    changed = int(classifier.logits(final[None])[0].argmax()) != label
    return (1 + overshoot) * total, changed, steps


def universal_one_by_one(
    classifier: Classifier, pixels: Tensor, order: list[int], *, epsilon: float, candidates: int, max_steps: int
) -> Tensor:
    """Return the perturbation after one pass of algorithm 1 of 2017 (linf), image after image."""
    delta = torch.zeros_like(pixels[0])
    for position in order:
        clean = int(classifier.logits(pixels[position][None]).argmax())
        shown = (pixels[position] + delta).clamp(0, 1)
        if int(classifier.logits(shown[None]).argmax()) == clean:
            step, changed, _ = deepfool_one(
                classifier, shown, candidates=candidates, overshoot=0.02, max_steps=max_steps
            )
            if changed:
                delta = (delta + step).clamp(-epsilon, epsilon)
    return delta
