"""The standard ensemble: several attacks one after the other on the images that still stand, and the worst an image.

Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", ICML
2020: APGD on the cross-entropy, APGD-T on the targeted DLR loss, FAB-T, and the Square attack.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from attacks.base import ImageAttack
from attacks.judge import predict
from attacks.per_image.apgd import ApgdCrossEntropy, ApgdTargeted
from attacks.per_image.driver import IMAGE_COLUMNS, attack_seeded
from attacks.per_image.fab import FabTargeted
from attacks.per_image.square import Square
from attacks.threat import Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, EvidenceError, PlanError
from wolfhound.images import ImageSet
from wolfhound.metrics import accuracy
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

Variant = Literal["quick", "nightly", "certification"]

REPORT_IMAGES = "report images"
NONE = ""
"""In the ledger of the worst: no attack, where an image was wrong when clean or stood every attack."""

Store = Callable[[str, pd.DataFrame], None]


@dataclass(frozen=True)
class Ensemble:
    """Attacks in the order in which they are tried. `standard`: whether its result may be called the standard one."""

    name: str
    title: str
    attacks: tuple[ImageAttack, ...]
    standard: bool = False

    def __post_init__(self) -> None:
        names = [attack.name for attack in self.attacks]
        if not names or len(set(names)) != len(names):
            raise PlanError(f"{self.name}: expected at least one attack and each once, got {names}")
        aiming = [attack.name for attack in self.attacks if attack.targeted]
        if aiming:
            raise PlanError(f"{self.name}: expected untargeted attacks, got {aiming} (robust accuracy is untargeted)")


ENSEMBLES: Mapping[Variant, Ensemble] = MappingProxyType(
    {
        "quick": Ensemble(
            "quick_check",
            "Quick check (not the standard ensemble)",
            (
                ApgdCrossEntropy(iterations=20),
                ApgdTargeted(iterations=20, targets=3),
                FabTargeted(iterations=20, targets=1),
                Square(most_queries=200),
            ),
        ),
        "nightly": Ensemble(
            "nightly_check",
            "Nightly check (not the standard ensemble)",
            (
                ApgdCrossEntropy(iterations=50),
                ApgdTargeted(iterations=50, targets=5),
                FabTargeted(iterations=50, targets=3),
                Square(most_queries=1000),
            ),
        ),
        "certification": Ensemble(
            "standard_ensemble",
            "Standard ensemble (APGD-CE, APGD-T, FAB-T, Square)",
            (ApgdCrossEntropy(), ApgdTargeted(), FabTargeted(), Square()),
            standard=True,
        ),
    }
)
"""The certification variant is the standard ensemble: 100 iterations, 9 targets, 5,000 queries. The others do less."""


@dataclass(frozen=True, eq=False)
class EnsembleResult:
    """What an ensemble did.

    Attributes:
        tried: one row an image and attack that was tried on it: attack (its name), and the columns of
            `attacks.per_image.driver.ImageAttackResult.ledger`.
        worst: one row an image of the report: image, label, clean, attack (that broke it, or "" where none did),
            adversarial (prediction; the clean one where no attack broke it), linf, l2 (0 where none did), robust
            (right when clean, and every attack failed) and robust_float (the same where a proposal counts too that
            succeeds only in floating point, before it is rounded).
    """

    ensemble: Ensemble
    threat: Threat
    tried: pd.DataFrame
    worst: pd.DataFrame


def run_ensemble(
    ensemble: Ensemble,
    classifier: Classifier,
    images: ImageSet,
    threat: Threat,
    *,
    seed: int,
    stored: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    store: Store = lambda name, part: None,  # noqa: ARG005
    batch_size: int = 64,
    progress: Progress = silent,
) -> EnsembleResult:
    """Run the attacks in order, each on the images that were right when clean and that no earlier attack broke.

    Every image and attack has its own seed, made of `seed`, the image's content hash and the attack's name, so that no
    result depends on the order or number of the other images. `store` is called with an attack's name and its part of
    the ledger as soon as it is done; `stored` parts of an earlier run are taken instead of running the attack.

    Raises:
        DataError: no images.
        PlanError: the threat has a target.
        EvidenceError: a stored part is of other images than those that the attack would be tried on.
        ModelError: a logit is NaN or infinite.
    """
    if not len(images):
        raise DataError(f"{images.name}: expected at least one image to attack, got none")
    if threat.target is not None:
        raise PlanError(f"{ensemble.name}: expected an untargeted threat, got {threat.text}")
    clean = predict(classifier, images, batch_size=batch_size, progress=progress)
    standing = np.flatnonzero(clean == images.labels)
    parts = []
    for attack in ensemble.attacks:
        if not len(standing):
            break
        subset = images.subset(standing)
        part = stored.get(attack.name)
        if part is None:
            part = _tried(attack, classifier, subset, threat, seed=seed, batch_size=batch_size, progress=progress)
            store(attack.name, part)
        _check_part(part, subset, attack)
        parts.append(part)
        standing = standing[~part["success"].to_numpy(dtype=bool)]
    return EnsembleResult(ensemble, threat, _joined(parts), _worst(images, clean, parts))


def _tried(
    attack: ImageAttack,
    classifier: Classifier,
    images: ImageSet,
    threat: Threat,
    *,
    seed: int,
    batch_size: int,
    progress: Progress,
) -> pd.DataFrame:
    """Return the ledger of one attack, with its name."""
    seeds = image_seeds(images.hashes, seed=seed, purpose=attack.name)
    ledger = attack_seeded(
        attack, classifier, images, images.labels, threat, seeds=seeds, batch_size=batch_size, progress=progress
    ).ledger
    ledger.insert(0, "attack", attack.name)
    return ledger


def image_seeds(hashes: tuple[str, ...], *, seed: int, purpose: str) -> Tensor:
    """Return one seed an image, int64 `[N]`: the first 63 bits of a SHA-256 over seed, purpose and content hash."""
    digests = (hashlib.sha256(f"{seed}|{purpose}|{content}".encode()).digest() for content in hashes)
    return torch.tensor([int.from_bytes(digest[:8]) >> 1 for digest in digests], dtype=torch.int64)


def clean_accuracy(worst: pd.DataFrame) -> Rate:
    """Return the share of the report images that are right when clean, from the ledger of the worst."""
    return accuracy(
        worst["clean"].to_numpy(dtype=np.int64), worst["label"].to_numpy(dtype=np.int64), denominator=REPORT_IMAGES
    )


def robust_accuracy(worst: pd.DataFrame) -> Rate:
    """Return the share of the report images that are right when clean and on which every attack failed."""
    return Rate(int(worst["robust"].sum()), len(worst), REPORT_IMAGES)


def robust_accuracy_float(worst: pd.DataFrame) -> Rate:
    """Return the same where a proposal counts too that succeeds only in floating point; never more than the other."""
    return Rate(int(worst["robust_float"].sum()), len(worst), REPORT_IMAGES)


def accuracy_after(result: EnsembleResult) -> dict[str, Rate]:
    """Return the robust accuracy after each attack and all before it, by the attack's name, in order.

    An attack that was not run, as no image stood any more, leaves what was left before it.
    """
    broken_by = result.worst["attack"].value_counts()
    standing = clean_accuracy(result.worst).successes
    rates = {}
    for attack in result.ensemble.attacks:
        standing -= int(broken_by.get(attack.name, 0))
        rates[attack.name] = Rate(standing, len(result.worst), REPORT_IMAGES)
    return rates


def _check_part(part: pd.DataFrame, subset: ImageSet, attack: ImageAttack) -> None:
    if tuple(part["image"]) != subset.hashes or set(part["attack"]) != {attack.name}:
        raise EvidenceError(
            f"{attack.name}: expected a stored part of the {len(subset)} images still standing, got one of {len(part)} "
            "others (it is of another run; remove it)"
        )


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["attack", *IMAGE_COLUMNS])


def _worst(
    images: ImageSet, clean: np.ndarray[tuple[int], np.dtype[np.int64]], parts: list[pd.DataFrame]
) -> pd.DataFrame:
    """Return the ledger of the worst; the parts tell which images stood before each attack, in order."""
    count = len(images)
    attack = np.full(count, NONE, dtype=object)
    adversarial, linf, l2 = clean.copy(), np.zeros(count), np.zeros(count)
    standing, robust_float = np.flatnonzero(clean == images.labels), clean == images.labels
    for part in parts:
        broken = part["success"].to_numpy(dtype=bool)
        robust_float[standing[broken | part["success_float"].to_numpy(dtype=bool)]] = False
        rows, fallen = standing[broken], part[broken]
        attack[rows], adversarial[rows] = fallen["attack"], fallen["adversarial"]
        linf[rows], l2[rows] = fallen["linf"], fallen["l2"]
        standing = standing[~broken]
    robust = np.zeros(count, dtype=bool)
    robust[standing] = True
    columns = {"clean": clean, "attack": attack, "adversarial": adversarial, "linf": linf, "l2": l2}
    columns |= {"robust": robust, "robust_float": robust_float}
    return pd.DataFrame({"image": list(images.hashes), "label": images.labels, **columns})
