"""DeepFool, batched over images: the smallest step that carries each image over the nearest class boundary."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.threat import Norm
from wolfhound.classifier import Classifier

BEYOND = 1e-4
"""Added to each distance, as the authors' code does, so that a step ends beyond the boundary and not on it."""


@dataclass(frozen=True, eq=False)
class DeepFoolSteps:
    """What DeepFool found for a batch.

    Attributes:
        delta: the perturbations, overshoot included, `[B,3,H,W]`.
        crossed: whether the prediction left the label, bool `[B]`.
        gradients: gradients with respect to one image that it took.
    """

    delta: Tensor
    crossed: Tensor
    gradients: int


def deepfool(
    classifier: Classifier, pixels: Tensor, labels: Tensor, *, candidates: int, overshoot: float, max_steps: int
) -> DeepFoolSteps:
    """Return the (approximately) smallest L2 perturbation that takes each of `pixels` away from its label.

    Moosavi-Dezfooli et al., "DeepFool", CVPR 2016, algorithm 2. At each step the network is linearised, and the image
    moves to the nearest of the linearised boundaries between the label and the other `candidates` - 1 classes that
    scored highest at the start: with f_k = z_k - z_label and w_k its gradient, by |f_k| / ||w_k|| along w_k / ||w_k||.
    An image stops where its prediction has changed, or after `max_steps`. Call it inside `frozen`.

    `pixels` `[B,3,H,W]`; `labels` int64 `[B]`, the present predictions. The result is not clipped to [0, 1].
    """
    total = torch.zeros_like(pixels)
    crossed = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
    active = torch.arange(len(pixels), device=pixels.device)
    rivals = torch.empty(0)
    gradients = 0
    for step in range(max_steps + 1):
        at, logits = _logits_with_graph(classifier, pixels[active] + (1 + overshoot) * total[active])
        if step == 0:
            rivals = strongest_rivals(logits.detach(), labels, candidates)
        left = logits.detach().argmax(dim=1) != labels[active]
        crossed[active[left]] = True
        active = active[~left]
        if step == max_steps or not len(active):
            break
        if bool(left.any()):  # a second forward pass of the rest is cheaper than backward passes through them all
            at, logits = _logits_with_graph(classifier, at.detach()[~left])
        with torch.enable_grad():
            margins = logits.gather(1, rivals[active]) - logits.gather(1, labels[active, None])
        total[active] += nearest_boundary(margins, at)
        gradients += margins.numel()
    return DeepFoolSteps((1 + overshoot) * total, crossed, gradients)


def _logits_with_graph(classifier: Classifier, pixels: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        at = pixels.detach().requires_grad_()
        return at, classifier.logits(at)


def strongest_rivals(logits: Tensor, labels: Tensor, candidates: int) -> Tensor:
    """Return the classes but the label with the highest logits, int64 `[B,min(candidates, classes) - 1]`."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.topk(min(candidates, logits.shape[1]) - 1, dim=1).indices


def nearest_boundary(margins: Tensor, pixels: Tensor, norm: Norm = "l2") -> Tensor:
    """Return the step of each image to the nearest linearised boundary; zero where every gradient vanishes.

    `margins` `[B,rivals]`, each rising through 0 at its boundary, with their graph in `pixels` `[B,3,H,W]`. L2: by
    |f| / ||w|| along w / ||w||; linf (section 2.3 of the paper, q = 1): by |f| / ||w||_1 along sign(w).

    One backward pass for each rival over the whole batch, keeping only the nearest so far: on the CPU faster than
    vectorised gradients or a repeated batch from 5 images on, and its memory does not grow with the candidates.
    """
    nearest = torch.full((len(pixels),), torch.inf, dtype=pixels.dtype, device=pixels.device)
    step = torch.zeros_like(pixels)
    rivals = margins.shape[1]
    for rival in range(rivals):
        with torch.enable_grad():
            margin = margins[:, rival]
            reached = margin.sum()
        (slope,) = torch.autograd.grad(reached, pixels, retain_graph=rival + 1 < rivals)
        length = slope.flatten(1).norm(p=2 if norm == "l2" else 1, dim=1)
        distance = torch.where(length > 0, margin.detach().abs() / length, torch.inf)
        closer = distance < nearest
        unit = _unit(slope, length) if norm == "l2" else slope.sign()
        moved = (distance + BEYOND)[:, None, None, None] * unit
        step = torch.where(closer[:, None, None, None], moved, step)
        nearest = torch.where(closer, distance, nearest)
    return step


def _unit(slope: Tensor, length: Tensor) -> Tensor:
    return slope / length.clamp_min(torch.finfo(length.dtype).tiny)[:, None, None, None]
