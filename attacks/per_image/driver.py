"""The driver of every per-image attack: it delivers what the attack proposes, judges it and writes the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.base import ImageAttack
from attacks.feasibility import refuse_threat
from attacks.judge import judge, predictions, uint8_batches
from attacks.threat import Threat
from wolfhound.checks import check_labels
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.metrics import Predictions
from wolfhound.progress import Progress, silent

IMAGE_COLUMNS = (
    "image",
    "label",
    "target",
    "clean",
    "adversarial",
    "linf",
    "l2",
    "steps",
    "queries",
    "success",
    "adversarial_float",
    "success_float",
)


@dataclass(frozen=True, eq=False)
class ImageAttackResult:
    """What a per-image attack did.

    Attributes:
        ledger: one row an image: image (content hash), label, target, clean, adversarial (predictions), linf and l2 (of
            the delivered perturbation, pixel scale), steps, queries (see `attacks.base.ImageProposal`) and success; all
            of the 8-bit image that is delivered. adversarial_float and success_float are of the same proposal in
            floating point, bounded and clipped but not rounded. For an untargeted attack, target is the class to leave.
        kept: positions of the images whose adversarial versions were kept, in order.
        adversarial: those versions as they were judged, uint8 `[len(kept),3,H,W]`.
    """

    ledger: pd.DataFrame
    kept: tuple[int, ...]
    adversarial: Tensor
    attack: str
    options: Mapping[str, Any]
    threat: Threat | None


def attack_images(
    attack: ImageAttack,
    classifier: Classifier,
    images: ImageSet,
    targets: NDArray[np.int64],
    threat: Threat | None,
    *,
    generator: torch.Generator,
    keep: Sequence[int] = (),
    batch_size: int = 64,
    progress: Progress = silent,
) -> ImageAttackResult:
    """Return the ledger of `attack` on every one of `images`, and the adversarial versions of those in `keep`.

    `targets` int64 `[N]`: the class to reach for each image (for an untargeted attack, the class to leave). `threat`
    None: only [0, 1] bounds the perturbation. Success is decided here, on the delivered 8-bit image: the target
    reached, or for an untargeted attack left.

    Raises:
        PlanError: the attack cannot work under such a threat.
        DataError: targets that do not fit the images or classes, or `keep` outside the images.
        EvidenceError: the attack proposed something that is not finite.
        ModelError: a logit is NaN or infinite.
    """
    seeds = torch.randint(2**63 - 1, (len(images),), generator=generator)
    return attack_seeded(
        attack, classifier, images, targets, threat, seeds=seeds, keep=keep, batch_size=batch_size, progress=progress
    )


def attack_seeded(
    attack: ImageAttack,
    classifier: Classifier,
    images: ImageSet,
    targets: NDArray[np.int64],
    threat: Threat | None,
    *,
    seeds: Tensor,
    keep: Sequence[int] = (),
    batch_size: int = 64,
    progress: Progress = silent,
) -> ImageAttackResult:
    """Return what `attack_images` does, with one given seed an image, int64 `[N]`.

    Raises:
        As `attack_images` does.
    """
    wanted = torch.from_numpy(np.asarray(targets))
    refuse_threat(attack, threat)
    _check_request(classifier, images, wanted, keep)
    parts, kept = [], {}
    with frozen(classifier.module), progress(f"{classifier.name}: {attack.name}", len(images)) as advance:
        for positions, batch in uint8_batches(images, batch_size):
            rows = torch.from_numpy(positions)
            part, delivered = _attack_batch(attack, classifier, batch, wanted[rows], threat, seeds=seeds[rows])
            parts.append(part.assign(image=[images.hashes[i] for i in positions], label=images.labels[positions]))
            kept.update({i: delivered[i - positions[0]] for i in keep if positions[0] <= i <= positions[-1]})
            advance(len(batch))
    ledger = pd.concat(parts, ignore_index=True)[list(IMAGE_COLUMNS)]
    shown = torch.stack([kept[i] for i in keep]) if keep else torch.empty((0, 3, *images.size), dtype=torch.uint8)
    return ImageAttackResult(ledger, tuple(keep), shown, attack.name, asdict(attack), threat)  # type: ignore[call-overload]


def _check_request(classifier: Classifier, images: ImageSet, targets: Tensor, keep: Sequence[int]) -> None:
    if not len(images):
        raise DataError(f"{images.name}: expected at least one image to attack, got none")
    try:
        check_labels(targets, count=len(images), classes=len(classifier.class_names), name="targets")
    except (TypeError, ValueError) as error:
        raise DataError(f"{classifier.name}: {error}") from error
    outside = [i for i in keep if not 0 <= i < len(images)]
    if outside:
        raise DataError(f"expected positions to keep in [0, {len(images)}), got {outside}")


def _attack_batch(
    attack: ImageAttack, classifier: Classifier, batch: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
) -> tuple[pd.DataFrame, Tensor]:
    clean = predictions(classifier, batch)
    pixels = batch.to(classifier.device, classifier.dtype).div_(255)
    proposal = attack.propose(classifier, pixels.clone(), targets.to(classifier.device), threat, seeds=seeds)
    found = judge(classifier, pixels, proposal.pixels, targets.numpy(), threat, targeted=attack.targeted)
    levels = (found.delivered.to(torch.int16) - batch.to(torch.int16)).to(torch.float64).flatten(1)
    table = {
        "target": targets.numpy(),
        "clean": clean,
        "adversarial": found.adversarial,
        "linf": levels.abs().amax(dim=1).numpy() / 255,
        "l2": levels.norm(dim=1).numpy() / 255,
        "steps": proposal.steps.numpy(),
        "queries": proposal.queries.numpy(),
        "success": found.success,
        "adversarial_float": found.adversarial_float,
        "success_float": found.success_float,
    }
    return pd.DataFrame(table), found.delivered


def random_targets(avoid: Predictions, *, classes: int, generator: torch.Generator) -> NDArray[np.int64]:
    """Return a random class for each image other than that in `avoid` (its label or prediction), int64 `[N]`.

    Raises:
        DataError: fewer than two classes.
    """
    if classes < 2:
        raise DataError(f"expected at least two classes to choose a target from, got {classes}")
    shift = torch.randint(1, classes, (len(avoid),), generator=generator).numpy()
    targets: NDArray[np.int64] = (avoid + shift) % classes
    return targets


def noise_images(count: int, size: tuple[int, int], *, generator: torch.Generator) -> Tensor:
    """Return uniform random images to start from, uint8 `[count,3,H,W]`."""
    return torch.randint(0, 256, (count, 3, *size), generator=generator, dtype=torch.uint8)


def blank_images(count: int, size: tuple[int, int], *, level: int = 128) -> Tensor:
    """Return images of one grey level (0 to 255) to start from, uint8 `[count,3,H,W]`."""
    return torch.full((count, 3, *size), level, dtype=torch.uint8)
