"""Data-free UAP: one perturbation that overexcites the network's layers, crafted without a photograph."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from attacks.base import Proposal, Tiers, check_choice, check_positive, refuse_target
from attacks.threat import Threat
from attacks.universal.adam import Decay, Run, Shown, adam_proposals
from attacks.universal.drawn_images import PRIORS, Drawn, Prior
from attacks.universal.ensemble import Member
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet
from wolfhound.progress import Advance


@dataclass(frozen=True)
class DataFreeUniversal:
    """v <- project(v + a * Adam(mean gradient of the sum over layers of log(energy of the positive activations))).

    Mopuri et al., "Generalizable Data-free Objective for Crafting Universal Adversarial Perturbations", TPAMI 2019 (all
    layers' activations, noise of the images' range as input), with what Liu et al., "TRM-UAP", ICCV 2023, changed: only
    positive activations count, and jigsaws may be the input. The energy of a layer is half the sum of squares of what
    its convolution puts out above 0 for clip(x + v, 0, 1), x a drawn image.

    No photograph is used in crafting: of the crafting images only their size. (Where a checkpoint is chosen on a select
    split, that choice uses photographs; the last perturbation does not depend on them.)

    Departures: the energy is taken image by image; the steps decay where the original halves a saturated perturbation.

    Attributes:
        passes: proposals, each after `updates_per_pass` updates.
        updates_per_pass: updates between two proposals.
        images_per_update: drawn images in the mean of one update.
        step: Adam's learning rate as a share of epsilon.
        decay: "cosine" lets the steps shrink to zero; "none" keeps their length.
        prior: "noise" around grey, or a "jigsaw" of coloured tiles.
    """

    passes: int = 10
    updates_per_pass: int = 40
    images_per_update: int = 8
    step: float = 0.1
    decay: Decay = "cosine"
    prior: Prior = "jigsaw"

    name: ClassVar[str] = "data_free_uap"
    title: ClassVar[str] = "Data-free UAP (crafted without photographs)"
    source: ClassVar[str] = "Mopuri et al., Generalizable Data-free Objective for Crafting UAPs, TPAMI 2019"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 3}, "nightly": {}, "certification": {"passes": 40}}
    gradients_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "passes", "updates_per_pass", "images_per_update", "step")
        check_choice(self, "decay", ("none", "cosine"))
        check_choice(self, "prior", PRIORS)

    def steps(self, images: int) -> int:  # noqa: ARG002
        """Return the drawn images of all passes, whatever the number of crafting images."""
        return self.passes * self.updates_per_pass * self.images_per_update

    def gradients(self, images: int) -> int:
        """Return one gradient a drawn image."""
        return self.steps(images)

    def proposals(
        self,
        classifiers: Sequence[Classifier],
        images: ImageSet,
        threat: Threat,
        *,
        generator: torch.Generator,
        chunk: int,
        advance: Advance,
        resume: Proposal | None = None,
    ) -> Iterator[Proposal]:
        """Yield the perturbation after every update (see `attacks.base.UniversalAttack`).

        Raises:
            PlanError: the threat has a target, or a network has no convolution.
        """
        refuse_target(self.name, threat)
        count = self.updates_per_pass * self.images_per_update
        members = []
        for classifier in classifiers:
            if not convolutions(classifier.module):
                raise PlanError(
                    f"{self.name}: expected a network with convolutions (torch.nn.Conv2d), none in {classifier.name}"
                )
            members.append(Member(classifier, torch.zeros(count, device=classifier.device)))
        shown = Shown(count, images.size, lambda part: Drawn.of(part, self.prior, images.size, generator=generator))
        run = Run(threat, generator, chunk, advance, resume)
        yield from adam_proposals(energy, members, shown, run, options=self)


def convolutions(module: nn.Module) -> list[nn.Module]:
    """Return the network's convolutions."""
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def energy(classifier: Classifier, shown: Tensor, _: Tensor) -> Tensor:
    """Return the sum over convolutions of log(half the positive outputs' sum of squares) for each image, `[B]`."""
    with recorded(convolutions(classifier.module)) as outputs:
        classifier.logits(shown)
    tiny = torch.finfo(shown.dtype).tiny
    energies = [output.relu().square().flatten(1).sum(dim=1) / 2 for output in outputs]
    return torch.stack([level.clamp_min(tiny).log() for level in energies]).sum(dim=0)


@contextmanager
def recorded(parts: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Record what `parts` put out while the context is open; the hooks are gone afterwards, also after an error."""
    outputs: list[Tensor] = []

    def record(_: nn.Module, __: Any, output: Tensor) -> None:
        outputs.append(output)

    handles = [part.register_forward_hook(record) for part in parts]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
