"""Universal attacks run bare, without the driver: every proposal as it came."""

from collections.abc import Sequence

import torch

from attacks.base import Proposal, UniversalAttack
from attacks.threat import Threat
from attacks.universal.ensemble import all_frozen
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet


def all_proposals(
    attack: UniversalAttack,
    classifiers: Sequence[Classifier],
    images: ImageSet,
    threat: Threat,
    *,
    seed: int = 0,
    chunk: int = 50,
) -> list[Proposal]:
    """Return every proposal, those within a pass included."""
    generator = torch.Generator().manual_seed(seed)
    with all_frozen(classifiers):
        return list(
            attack.proposals(
                classifiers, images, threat, generator=generator, chunk=chunk, advance=lambda _: None, resume=None
            )
        )


def after_passes(
    attack: UniversalAttack,
    classifiers: Sequence[Classifier],
    images: ImageSet,
    threat: Threat,
    *,
    seed: int = 0,
    chunk: int = 50,
) -> list[Proposal]:
    """Return the proposals after whole passes."""
    found = all_proposals(attack, classifiers, images, threat, seed=seed, chunk=chunk)
    return [proposal for proposal in found if not proposal.seen]
