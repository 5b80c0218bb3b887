"""Transfer an image: crafted on a surrogate network, judged on another one that it never asks.

Papernot, McDaniel & Goodfellow, "Transferability in machine learning: from phenomena to black-box attacks using
adversarial samples", 2016.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.base import ImageAttack, ImageProposal
from attacks.threat import Knowledge, Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import PlanError


class Surrogate:
    """The network that a transfer attack works on. Shared, not copied, where options are written down."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def __repr__(self) -> str:
        return f"Surrogate({self.classifier.name!r}, {self.classifier.weights_digest[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Surrogate) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Surrogate":
        return self


@dataclass(frozen=True)
class Transfer:
    """Propose what `inner` finds on the surrogate; the judged network is not asked, so that its queries are 0.

    `inner` stops where the surrogate is fooled; give it a margin to aim for, if it has one, to transfer further. It is
    no entry of the registry: it is made of an attack and a network, which whoever runs it hands over.
    """

    inner: ImageAttack
    surrogate: Surrogate

    name: ClassVar[str] = "transfer"
    title: ClassVar[str] = "Transfer from a surrogate"
    source: ClassVar[str] = "Papernot et al., Transferability in machine learning, 2016"
    access: ClassVar[Knowledge] = "transfer"

    @property
    def targeted(self) -> bool:
        """Whether `inner` looks for a class to reach."""
        return self.inner.targeted

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """See `attacks.base.ImageAttack`; steps are those taken on the surrogate.

        Raises:
            PlanError: the surrogate knows other classes than the judged network.
        """
        surrogate = self.surrogate.classifier
        if surrogate.class_names != classifier.class_names:
            raise PlanError(
                f"{surrogate.name}: expected a surrogate with the classes of {classifier.name}, got "
                f"{len(surrogate.class_names)} and {len(classifier.class_names)} classes that differ"
            )
        moved = pixels.to(surrogate.device, surrogate.dtype)
        with frozen(surrogate.module):
            found = self.inner.propose(surrogate, moved, targets.to(surrogate.device), threat, seeds=seeds)
        return ImageProposal(found.pixels.to(pixels), found.steps, torch.zeros_like(found.queries))
