"""What universal attacks ascend: a number for each perturbed image that grows as its prediction changes."""

import torch
from torch import Tensor
from torch.nn import functional

from wolfhound.classifier import Classifier


def lead_of_others(classifier: Classifier, shown: Tensor, labels: Tensor, *, most: float) -> Tensor:
    """Return min(max_{k != label} z_k - z_label, most) for each image, `[B]`: above 0 where the label is lost."""
    return -_lead(classifier.logits(shown), labels).clamp(min=-most)


def lead_of_target(classifier: Classifier, shown: Tensor, targets: Tensor, *, most: float) -> Tensor:
    """Return min(z_target - max_{k != target} z_k, most) for each image, `[B]`: above 0 where the target is reached."""
    return _lead(classifier.logits(shown), targets).clamp(max=most)


def clipped_cross_entropy(classifier: Classifier, shown: Tensor, labels: Tensor, *, clip: float) -> Tensor:
    """Return min(cross-entropy to the label, clip) in nats for each image, `[B]`."""
    return functional.cross_entropy(classifier.logits(shown), labels, reduction="none").clamp(max=clip)


def turned_away(classifier: Classifier, shown: Tensor, clean: Tensor) -> Tensor:
    """Return minus the cosine between the logits and the `clean` ones `[B,K]` of the same images, `[B]`."""
    return -functional.cosine_similarity(classifier.logits(shown), clean, dim=1)


def _lead(logits: Tensor, labels: Tensor) -> Tensor:
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
