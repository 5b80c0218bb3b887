"""What an attack is: a small frozen dataclass of hyper-parameters that only proposes; a driver and a judge do the rest.

A new attack is one file that implements one of the two protocols, one line in the registry and one row in the shared
contract test.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from attacks.threat import Knowledge, Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet
from wolfhound.progress import Advance

Tier = Literal["quick", "nightly", "certification"]
Tiers = Mapping[Tier, Mapping[str, Any]]
"""How thoroughly to attack: what each tier puts in place of an attack's defaults (see `attacks.universal.budget`)."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A universal perturbation as it stands after an update.

    Only those with `seen` 0, at the end of a pass, are measured; the others are there to go on from.

    Attributes:
        delta: `[3,H,W]` on the pixel scale, at the image set's size; the driver projects and rounds it.
        passes: finished passes over the crafting images.
        gradients: gradients with respect to one image taken so far (a backward pass for one image counts one).
        state: whatever else the attack needs to go on from here (an optimiser's moments, say). A proposal is never
            changed once it was yielded, nor are its tensors.
        finished: whether the attack stops here by its own rule.
        seen: images of the present pass already used; 0 between passes.
    """

    delta: Tensor
    passes: int
    gradients: int
    state: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    finished: bool = False
    seen: int = 0


@runtime_checkable
class UniversalAttack(Protocol):
    """Looks for one perturbation that changes the prediction of most images.

    `gradients_exact` says whether `gradients` is exact or an upper bound.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    tiers: ClassVar[Tiers]
    gradients_exact: ClassVar[bool]

    def steps(self, images: int) -> int:
        """Return how many steps `proposals` advances in all: one for each of that many images in each pass."""
        ...

    def gradients(self, images: int) -> int:
        """Return how many gradients with respect to one image a run takes, for each network that it is crafted on."""
        ...

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
        """Yield a proposal after every pass over `images`, and as often within one as it can be resumed there.

        Called with every classifier `frozen`. It is crafted on all of them alike (see `attacks.universal.ensemble`).
        `chunk` is how many images go through a network at once: it bounds memory and may change the result by
        round-off only. Going on from `resume` with the generator as it stood when that proposal was yielded gives the
        same proposals as never having stopped; so what is drawn before the first pass is kept in the state.
        """
        ...


@dataclass(frozen=True, eq=False)
class ImageProposal:
    """Adversarial versions of a batch, and what each image cost.

    Attributes:
        pixels: `[B,3,H,W]`; the driver bounds, clips and rounds them.
        steps: iterations that each image took, int64 `[B]`.
        queries: how often the network was asked about each image (forward passes, those for gradients included), int64
            `[B]`.
    """

    pixels: Tensor
    steps: Tensor
    queries: Tensor


@runtime_checkable
class ImageAttack(Protocol):
    """Looks for one perturbation an image.

    `targeted` says whether it looks for a class to reach or for one to leave. An attack that can do both has it as a
    field, False by default; the plan's section sets it, never the plan's options. `access` is what it must be given:
    an attack that asks for less than gradients never calls backward, and one that asks for labels looks at nothing but
    the largest logit.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    access: ClassVar[Knowledge]

    @property
    def targeted(self) -> bool:
        """Whether `targets` are classes to reach (True) or to leave (False)."""
        ...

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """Return adversarial pixels for `pixels` `[B,3,H,W]` in [0, 1].

        Called inside `frozen`. `targets` int64 `[B]`: the class to reach, or for an untargeted attack the class to
        leave. `threat` None: nothing but [0, 1] bounds the perturbation. `seeds` int64 `[B]`: one seed an image, so
        that randomness does not depend on how images are batched.
        """
        ...


def in_groups(positions: Tensor, size: int) -> Iterator[Tensor]:
    """Yield `positions` int64 `[N]` in order, at most `size` at a time."""
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def images_to(classifier: Classifier, images: ImageSet, positions: Tensor) -> Tensor:
    """Return the pixels at `positions` int64 `[B]`, on the classifier's device and in its dtype, `[B,3,H,W]`."""
    return images.load(positions.numpy()).to(classifier.device, classifier.dtype)


def clean_labels(classifier: Classifier, images: ImageSet, *, chunk: int) -> Tensor:
    """Return what the network itself says of each crafting image, int64 `[N]` on the CPU: its pseudo-labels."""
    with torch.no_grad():
        parts = in_groups(torch.arange(len(images)), chunk)
        return torch.cat([classifier.logits(images_to(classifier, images, part)).argmax(dim=1).cpu() for part in parts])


def check_positive(attack: Any, *names: str) -> None:
    """Raise unless each of the named hyper-parameters is above 0.

    Raises:
        ValueError: one is not; the message names it.
    """
    for name in names:
        if not getattr(attack, name) > 0:
            raise ValueError(f"expected {name} above 0, got {getattr(attack, name)!r}")


def check_choice(attack: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise unless the named hyper-parameter is one of `choices`.

    Raises:
        ValueError: it is not.
    """
    if getattr(attack, name) not in choices:
        raise ValueError(f"expected {name} out of {', '.join(choices)}, got {getattr(attack, name)!r}")


def refuse_target(name: str, threat: Threat) -> None:
    """Raise where an attack that only leaves classes is asked to reach one.

    Raises:
        PlanError: the threat has a target.
    """
    if threat.target is not None:
        raise PlanError(f"{name}: expected an untargeted threat, got {threat.text} (use sgd_uap for a target class)")
