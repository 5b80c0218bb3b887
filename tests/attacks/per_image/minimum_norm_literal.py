"""Carlini & Wagner's L2 attack and DeepFool in linf as the papers write them: one image at a time. Slow on purpose."""

import torch
from torch import Tensor

from tests.attacks.deepfool_literal import logit_gradient
from wolfhound.classifier import Classifier


def carlini_wagner_one(
    classifier: Classifier,
    pixels: Tensor,
    category: int,
    *,
    targeted: bool,
    confidence: float,
    searches: int,
    most_steps: int,
    rate: float,
    constant: float,
) -> tuple[Tensor | None, int]:
    """Return the smallest perturbation found for one image `[3,H,W]` (None: none), and the steps taken."""
    low, high, best, taken = 0.0, float("inf"), None, 0
    for _ in range(searches):
        w = torch.atanh((2 * pixels - 1) * 0.999999).requires_grad_()
        optimiser = torch.optim.Adam([w], lr=rate)
        succeeded, before = False, float("inf")
        for step in range(most_steps):
            shown = (torch.tanh(w) + 1) / 2
            z = classifier.logits(shown[None])[0]
            rival = torch.cat([z[:category], z[category + 1 :]]).max()
            lead = z[category] - rival if targeted else rival - z[category]
            square = (shown - pixels).square().sum()
            if float(lead.detach()) > confidence:
                succeeded = True
                if best is None or float(square.detach()) < float(best.square().sum()):
                    best = (shown - pixels).detach()
            loss = square + constant * torch.clamp(confidence - lead, min=0)
            if step and step % (most_steps // 10) == 0:
                if float(loss.detach()) >= 0.9999 * before:
                    break
                before = float(loss.detach())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            taken += 1
        if succeeded:
            high = constant
        else:
            low = constant
        constant = (low + high) / 2 if high < float("inf") else 10 * constant
    return best, taken


def deepfool_linf_one(
    classifier: Classifier, pixels: Tensor, *, candidates: int, overshoot: float, most_steps: int
) -> tuple[Tensor, int]:
    """Return (perturbation, steps) for one image `[3,H,W]` (section 2.3 of 2016 with p = infinity, q = 1)."""
    first = classifier.logits(pixels[None])[0].detach()
    order = sorted(range(len(first)), key=lambda k: -float(first[k]))[:candidates]
    label, total = order[0], torch.zeros_like(pixels)
    for step in range(most_steps):
        current = (pixels + (1 + overshoot) * total).clamp(0, 1)
        scores = classifier.logits(current[None])[0].detach()
        if int(scores.argmax()) != label:
            return (1 + overshoot) * total, step
        own = logit_gradient(classifier, current, label)
        moves = []
        for other in order[1:]:
            w = logit_gradient(classifier, current, other) - own
            distance = abs(float(scores[other] - scores[label])) / float(w.abs().sum())
            moves.append((distance, (distance + 1e-4) * w.sign()))
        total = total + min(moves, key=lambda move: move[0])[1]
    return (1 + overshoot) * total, most_steps


def deepfool_towards_one(
    classifier: Classifier, pixels: Tensor, target: int, *, norm: str, overshoot: float, most_steps: int
) -> tuple[Tensor, int]:
    """Return (perturbation, steps) towards a class for one image `[3,H,W]`.

    The step of section 2 of 2016 to one boundary alone: that between the target and whichever other class leads.
    """
    total = torch.zeros_like(pixels)
    for step in range(most_steps):
        current = (pixels + (1 + overshoot) * total).clamp(0, 1)
        scores = classifier.logits(current[None])[0].detach().tolist()
        rival = max((k for k in range(len(scores)) if k != target), key=lambda k: scores[k])
        if scores[target] > scores[rival]:
            return (1 + overshoot) * total, step
        w = logit_gradient(classifier, current, target) - logit_gradient(classifier, current, rival)
        gap = scores[rival] - scores[target]
        if norm == "l2":
            length = float(w.square().sum()) ** 0.5
            total = total + (gap / length + 1e-4) * w / length
        else:
            total = total + (gap / float(w.abs().sum()) + 1e-4) * w.sign()
    return (1 + overshoot) * total, most_steps
