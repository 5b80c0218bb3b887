"""From ledgers to findings on per-image attacks: robust accuracy, its curve against epsilon, and the doubts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch

from attacks.doubts import above_chance, black_box_stronger, epsilon_zero_doubt, not_monotone, not_started, still_rising
from attacks.per_image.curves import SizeCurve
from attacks.per_image.standard import ENSEMBLES, clean_accuracy, robust_accuracy, robust_accuracy_float
from flows.audit_job import AuditJob
from flows.ledgers import column, read_csv
from flows.robust_stage import RobustEntry, attacked_images, iterations_of, made, sizes_of
from flows.steps import StepValue, unpack
from flows.targeted_pictures import attack_gallery
from wolfhound.counting import Case, Counted, holds, same
from wolfhound.evidence import Artefact, AttackCheck, Doubt, Finding, Quantity
from wolfhound.metrics import Predictions
from wolfhound.statistics import Rate

ATTACKED = "attacked images"
PER_IMAGE = "per image"
RIGHT = "attacked images that were right when clean"
AS_DELIVERED = "after rounding to an 8-bit image; in floating point: also counting versions that succeed before it"


def robust_finding(
    job: AuditJob, entry: RobustEntry, name: str, value: StepValue, doubts: tuple[Doubt, ...]
) -> Finding:
    """Return the finding on one classifier, recomputed from the ledgers."""
    ledger = read_csv(job.store.get(unpack(value["ledger"])))
    rates = _rates(entry, ledger)
    robust, found = rates["robust_accuracy"], _doubts(job, entry, ledger, value)
    curve = SizeCurve(entry.threat.norm, sizes_of(job, value), ATTACKED) if "sizes" in value else None
    return Finding(
        id=f"robust/{entry.name}/{name}",
        kind="robust",
        subject=name,
        title=f"{entry.title} on {name}" + (f", from {entry.section.surrogate}" if entry.section.surrogate else ""),
        claim=(
            f"Under {entry.title} at {entry.threat.norm} {entry.threat.epsilon_text}, {robust.successes} of "
            f"{robust.total} images were still classified as labelled; without an attack "
            f"{rates['accuracy_without_attack'].successes} were. An attack that fails proves nothing: this is an upper "
            "bound."
        ),
        knowledge=entry.threat.knowledge,
        conditions=_conditions(entry, value, len(ledger)),
        rates=rates,
        controls=("accuracy_without_attack",),
        counted=_counted(entry),
        quantities=_quantities(ledger, curve),
        series={} if curve is None else _series(curve),
        counts=_broken_by(ledger),
        galleries=_galleries(job, entry, ledger, value),
        ledgers=_ledgers(value),
        reproduce=job.command,
        doubts=(*doubts, *found),
        checks=_checks(value["checks"], {doubt.code for doubt in found}),
    )


def _rates(entry: RobustEntry, ledger: pd.DataFrame) -> dict[str, Rate]:
    if entry.section.ensemble is not None:
        clean, robust, in_float = clean_accuracy(ledger), robust_accuracy(ledger), robust_accuracy_float(ledger)
    else:
        right = column(ledger, "clean") == column(ledger, "label")
        stands = right & ~ledger["success"].to_numpy(bool)
        both = stands & ~ledger["success_float"].to_numpy(bool)
        clean, robust, in_float = (Rate(int(kept.sum()), len(ledger), ATTACKED) for kept in (right, stands, both))
    broken = Rate(clean.successes - robust.successes, clean.successes, RIGHT)
    return {
        "robust_accuracy": Rate(robust.successes, robust.total, ATTACKED),
        "robust_accuracy_float": Rate(in_float.successes, in_float.total, ATTACKED),
        "attack_success": broken,
        "accuracy_without_attack": Rate(clean.successes, clean.total, ATTACKED),
    }


def _counted(entry: RobustEntry) -> dict[str, Counted]:
    right = same("clean", "label")
    stands, broken = holds("robust", True), holds("robust", False)
    both: Case = (right, holds("robust_float", True))
    if entry.section.ensemble is None:
        stands, broken = holds("success", False), holds("success", True)
        both = (right, stands, holds("success_float", False))
    return {
        "robust_accuracy": Counted(PER_IMAGE, ((right, stands),)),
        "robust_accuracy_float": Counted(PER_IMAGE, (both,)),
        "attack_success": Counted(PER_IMAGE, ((broken,),), total=(right,)),
        "accuracy_without_attack": Counted(PER_IMAGE, ((right,),)),
    }


def _conditions(entry: RobustEntry, value: StepValue, images: int) -> dict[str, str]:
    surrogate = {} if entry.section.surrogate is None else {"crafted on": entry.section.surrogate}
    return {
        "attack": f"{entry.title} ({value['citation']})",
        **surrogate,
        "settings": value["settings"],
        "threat": entry.threat.text,
        "images": f"the first {images} of the report split in the order of their hashes",
        "judged": AS_DELIVERED,
        "seed": str(value["seed"]),
    }


def _quantities(ledger: pd.DataFrame, curve: SizeCurve | None) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    fallen = ledger["success"].to_numpy(bool) if "success" in ledger else (ledger["attack"] != "").to_numpy()
    # An image that is wrong when clean needed no perturbation: its size of 0 would pull the medians down.
    hits = ledger[fallen & (column(ledger, "clean") == column(ledger, "label"))]
    for name, unit, meaning in (
        ("linf", "of [0, 1]", "median largest change of a pixel, successful images"),
        ("l2", "on [0, 1]", "median Euclidean length, successful images"),
        ("ssim", "(1 is equal)", "median structural similarity to the original, successful images"),
        ("queries", "queries", "median number of times the network was asked, successful images"),
    ):
        if name in hits and len(hits) and not hits[name].isna().all():
            found[f"median {name}"] = Quantity(float(hits[name].astype(float).median()), unit, meaning)
    if curve is not None and np.isfinite(curve.sizes).all() and (curve.sizes > 0).any():
        found["median smallest size"] = Quantity(curve.median_size, "on [0, 1]", "median smallest successful size")
        found["accuracy is zero at"] = Quantity(curve.zero_at, "on [0, 1]", "least epsilon at which no image is left")
    return found


def _series(curve: SizeCurve) -> dict[str, tuple[tuple[float, float], ...]]:
    """Return the whole curve, thinned to what a chart can show: at most 30 of its steps, ends included."""
    falls, left = curve.steps
    picked = np.unique(np.linspace(0, len(falls) - 1, min(30, len(falls))).round().astype(int))
    total, scale = len(curve.sizes), 255 if curve.norm == "linf" else 1
    unit = "epsilon in 255ths" if curve.norm == "linf" else "epsilon (L2)"
    points = tuple((float(f"{scale * falls[i]:.3g}"), float(left[i]) / total) for i in picked)
    return {f"accuracy by {unit}": points}


def _broken_by(ledger: pd.DataFrame) -> dict[str, dict[str, int]]:
    if "attack" not in ledger:
        return {}
    counts = ledger.loc[ledger["attack"] != "", "attack"].value_counts()
    return {"images broken first by": {str(name): int(count) for name, count in counts.items()}} if len(counts) else {}


def _ledgers(value: StepValue) -> dict[str, Artefact]:
    names = {"ledger": PER_IMAGE, "tried": "every attack tried", "sizes": "smallest successful sizes"}
    return {title: unpack(value[key]) for key, title in names.items() if key in value}


def _galleries(job: AuditJob, entry: RobustEntry, ledger: pd.DataFrame, value: StepValue) -> tuple[Any, ...]:
    if "shown" not in value:
        return ()
    adversarial = safetensors.torch.load(job.store.get(unpack(value["shown"])))["adversarial"].float() / 255
    images = attacked_images(job, entry.section.images)
    return (attack_gallery(job.store, images, adversarial, ledger, targeted=False),)


def _doubts(job: AuditJob, entry: RobustEntry, ledger: pd.DataFrame, value: StepValue) -> tuple[Doubt, ...]:
    found = _check_doubts(job, entry, value["checks"])
    if entry.section.ensemble is not None:
        found.append(_black_box_doubt(ledger, value["access"]))
    elif entry.section.surrogate is None and hasattr(made(job, entry), "starts"):
        found.append(not_started(ledger, name=entry.title))
    return tuple(doubt for doubt in found if doubt is not None)


def _check_doubts(job: AuditJob, entry: RobustEntry, checks: Mapping[str, Any]) -> list[Doubt | None]:
    """Return the doubts that the checked images raise: not reproducible, not converged, stuck, not working."""
    if not checks:
        return []
    labels, clean = _integers(checks["labels"]), _integers(checks["clean"])
    outcomes = {name: np.array(checks[name]["success"], bool) for name in ("once", "twice", "large") if name in checks}
    found = [epsilon_zero_doubt(_integers(checks["again"]), _integers(checks["zero"]["adversarial"]))]
    found.append(epsilon_zero_doubt(_integers(checks["again"]), clean))
    if "twice" in outcomes:
        attack = ENSEMBLES[entry.section.ensemble].attacks[0] if entry.section.ensemble else made(job, entry)
        iterations = iterations_of(attack)
        assert iterations is not None
        found.append(still_rising(outcomes["once"], outcomes["twice"], iterations=iterations))
    if "large" in outcomes:
        found.append(above_chance(labels, _integers(checks["large"]["adversarial"])))
        found.append(not_monotone([(entry.threat.epsilon, outcomes["once"]), (0.5, outcomes["large"])]))
    return found[1:] if found[0] == found[1] else found


def _checks(checks: Mapping[str, Any], doubts: set[str]) -> tuple[AttackCheck, ...]:
    """Return what was tried on the checked images, in words, with the doubt that it raised if it raised one."""
    if not checks:
        return ()
    total, clean = checks["images"], _integers(checks["clean"])
    changed = int((_integers(checks["zero"]["adversarial"]) != _integers(checks["again"])).sum())
    right = clean == _integers(checks["labels"])
    hits = {
        name: int((np.array(checks[name]["success"], bool) & right).sum())
        for name in ("once", "twice", "large")
        if name in checks
    }
    again = int((_integers(checks["again"]) != clean).sum())
    rows = [("two clean passes", f"{again} of {total} predictions differ", "epsilon-zero" if again else "")]
    told = f"{changed} of {total} predictions differ from the clean ones"
    rows.append(("epsilon 0", told, "epsilon-zero" if changed else ""))
    if "twice" in hits:
        told = f"{hits['twice']} of {right.sum()} right images fooled, {hits['once']} with the iterations of the plan"
        rows.append(("twice the iterations", told, "still-rising"))
    if "large" in hits:
        kept = int((_integers(checks["large"]["adversarial"]) == _integers(checks["labels"])).sum())
        told = f"{kept} of {total} images still right, {hits['large']} fooled ({hits['once']} at the plan's size)"
        rows.append(("linf 0.5", told, "above-chance"))
        rows.append(("success by size", told, "not-monotone"))
    return tuple(AttackCheck(name, text, code if code in doubts else "") for name, text, code in rows)


def _integers(values: list[int]) -> Predictions:
    return np.array(values, dtype=np.int64)


def _black_box_doubt(worst: pd.DataFrame, access: Mapping[str, str]) -> Doubt | None:
    """Return a doubt where images that stood every white-box attack of an ensemble fell to one without gradients."""
    right = worst[column(worst, "clean") == column(worst, "label")]
    blind = {name for name, given in access.items() if given.startswith("black-box")}
    broken = right["attack"].to_numpy(str) != ""
    by_blind = right["attack"].isin(blind).to_numpy()
    return black_box_stronger(broken & ~by_blind, broken, name=", ".join(sorted(blind)))
