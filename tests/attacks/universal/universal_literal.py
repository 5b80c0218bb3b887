"""The universal methods as their papers write them: one image at a time, torch's own optimiser. Slow on purpose."""

import copy
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import Proposal, UniversalAttack
from attacks.threat import Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import ImageSet

ImageLoss = Callable[[Tensor, int], Tensor]
"""(perturbed image `[1,3,H,W]`, position) -> what is descended, a number."""


def last_proposal(
    attack: UniversalAttack, classifier: Classifier, images: ImageSet, threat: Threat, *, seed: int = 0, chunk: int = 5
) -> Proposal:
    """Return what the attack proposes in the end."""
    proposals = []
    with frozen(classifier.module):
        for proposal in attack.proposals(
            (classifier,),
            images,
            threat,
            generator=torch.Generator().manual_seed(seed),
            chunk=chunk,
            advance=lambda _: None,
        ):
            proposals.append(proposal)
    return proposals[-1]


def minibatches(count: int, passes: int, size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Yield the positions of each minibatch, in the order that a run draws them in."""
    for _ in range(passes):
        order = torch.randperm(count, generator=generator).tolist()
        for start in range(0, count, size):
            yield order[start : start + size]


def by_torch_adam(
    loss: ImageLoss,
    images: ImageSet,
    *,
    epsilon: float,
    passes: int,
    size: int,
    step: float,
    decays: bool,
    noise: float = 0.0,
) -> Tensor:
    """Return v `[3,H,W]` after descending the mean of `loss` by torch's Adam, clamped to epsilon after each update.

    It starts from uniform noise of at most `noise` epsilon where that is not 0.
    """
    generator = torch.Generator().manual_seed(0)
    delta = torch.zeros(3, *images.size, dtype=torch.float64)
    if noise:
        delta += noise * epsilon * (2 * torch.rand(3, *images.size, generator=generator).double() - 1)
    delta.requires_grad_()
    optimiser = torch.optim.Adam([delta], lr=step * epsilon)
    total = passes * math.ceil(len(images) / size)
    for done, group in enumerate(minibatches(len(images), passes, size, generator)):
        share = 0.5 + 0.5 * math.cos(math.pi * done / total) if decays else 1
        optimiser.param_groups[0]["lr"] = share * step * epsilon
        optimiser.zero_grad()
        for position in group:
            image = images.load([position]).double()
            (loss((image + delta).clamp(0, 1), position) / len(group)).backward()
        optimiser.step()
        with torch.no_grad():
            delta.clamp_(-epsilon, epsilon)
    return delta.detach()


def predicted(classifier: Classifier, images: ImageSet) -> list[int]:
    """Return the network's own label of each clean image."""
    with torch.no_grad():
        return [int(classifier.logits(images.load([i]).double()).argmax()) for i in range(len(images))]


def clipped_loss(classifier: Classifier, shown: Tensor, label: int, clip: float) -> Tensor:
    """Return min(cross-entropy, clip) of one image, from the logits' definition."""
    logits = classifier.logits(shown)[0]
    loss = logits.exp().sum().log() - logits[label]
    return torch.minimum(loss, torch.tensor(clip, dtype=loss.dtype))


def sga(
    classifier: Classifier,
    images: ImageSet,
    *,
    epsilon: float,
    passes: int,
    outer: int,
    inner: int,
    rounds: int,
    step: float,
    clip: float,
) -> Tensor:
    """Return v by algorithm 1 of SGA: the signs of the aggregated inner gradients."""
    labels, generator = predicted(classifier, images), torch.Generator().manual_seed(0)
    delta = torch.zeros(3, *images.size, dtype=torch.float64)
    for group in minibatches(len(images), passes, outer, generator):
        wandering, gradients = delta.clone(), []
        for _ in range(rounds * len(group) // inner):
            chosen = [group[i] for i in torch.randperm(len(group), generator=generator)[:inner].tolist()]
            at = wandering.clone().requires_grad_()
            for i in chosen:
                shown = (images.load([i]).double() + at).clamp(0, 1)
                (clipped_loss(classifier, shown, labels[i], clip) / inner).backward()
            assert at.grad is not None
            gradients.append(at.grad)
            wandering = (wandering + step * epsilon * at.grad.sign()).clamp(-epsilon, epsilon)
        delta = (delta + step * epsilon * torch.stack(gradients).mean(dim=0).sign()).clamp(-epsilon, epsilon)
    return delta


def hardest_pair(
    classifier: Classifier,
    images: ImageSet,
    group: list[int],
    labels: list[int],
    *,
    weight_radius: float,
    weight_steps: int,
    image_radius: float,
    image_steps: int,
    smoothing: float,
) -> tuple[Classifier, list[Tensor]]:
    """Return a copy of the network with descended weights, and the descended images, by DM-UAP's inner loops."""
    module = copy.deepcopy(classifier.module)
    other = Classifier("copy", module, classifier.class_names, classifier.preprocessing, "")
    weights = list(module.parameters())
    for weight in weights:
        weight.requires_grad_(True)
    length = weight_radius * math.sqrt(sum(float(weight.detach().square().sum()) for weight in weights))
    for _ in range(weight_steps):
        module.zero_grad()
        for i in group:
            scores = other.logits(images.load([i]).double())[0].log_softmax(dim=0)
            loss = -(1 - smoothing) * scores[labels[i]] - smoothing * scores.mean()
            (loss / len(group)).backward()
        norm = math.sqrt(sum(float(weight.grad.square().sum()) for weight in weights if weight.grad is not None))
        with torch.no_grad():
            for weight in weights:
                if weight.grad is not None:
                    weight -= length / weight_steps * weight.grad / norm
    return other, [
        nearer(other, images.load([i]).double(), labels[i], radius=image_radius, steps=image_steps) for i in group
    ]


def nearer(classifier: Classifier, start: Tensor, label: int, *, radius: float, steps: int) -> Tensor:
    """Return one image `[1,3,H,W]` after L2 descent of its loss; `radius` is a root mean square a number."""
    ball, current = radius * math.sqrt(start.numel()), start.clone()
    for _ in range(steps):
        at = current.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(functional.cross_entropy(classifier.logits(at), torch.tensor([label])), at)
        away = current - 1.25 * ball / steps * gradient / gradient.norm() - start
        current = (start + away * min(1.0, ball / max(float(away.norm()), 1e-300))).clamp(0, 1)
    return current
