"""From findings to the evidence document: criteria judged, gaps named, limits stated."""

from collections.abc import Sequence

from attacks.per_image.standard import ENSEMBLES
from attacks.registry import make_image
from flows import preflight
from flows.audit_job import AuditJob
from flows.bias_controls import failed_control_criteria
from flows.subject_images import open_splits
from wolfhound.evidence import Criterion, Evidence, Finding, ImageRecord, RateTable, Subject
from wolfhound.images import ImageSet
from wolfhound.plan import CriterionSection
from wolfhound.verdicts import judge_all

LIMITATIONS = ("Perturbations were added to digital images; printed or photographed ones were not tested.",)
_DEMONSTRATION = (
    "The demonstration classifiers are small networks trained on generated drawings. They are not the published "
    "networks."
)
_ALWAYS_UNTESTED = (
    "poisoning and backdoors planted in training (NIST AI 100-2: NISTAML.021, .023, .024)",
    "physical attacks (printed or photographed perturbations and patches)",
    "extraction of the network and of its training data",
    "formal verification: no proof was attempted",
)


def conclude(
    job: AuditJob,
    *,
    subjects: Sequence[Subject],
    images: Sequence[ImageRecord],
    findings: Sequence[Finding],
    tables: Sequence[RateTable],
) -> Evidence:
    """Return the evidence document with every criterion of the plan judged."""
    criteria = tuple(_criterion(job, section) for section in job.plan.criteria)
    criteria += failed_control_criteria(findings)
    demonstration = any(section.source == "demonstration" for section in job.plan.classifiers)
    return Evidence(
        name=job.plan.name,
        purpose=job.plan.purpose,
        organisation=job.plan.organisation,
        responsible=job.plan.responsible,
        plan_sha256=job.plan_sha256,
        seed=job.plan.seed,
        subjects=tuple(subjects),
        images=tuple(images),
        class_names=open_splits(job).whole.class_names,
        findings=tuple(findings),
        criteria=criteria,
        judgements=judge_all(criteria, findings, subjects),
        tables=tuple(tables),
        not_tested=(*_left_out(job), *_ALWAYS_UNTESTED),
        limitations=(*((_DEMONSTRATION,) if demonstration else ()), *preflight.limitations(job), *LIMITATIONS),
    )


def _left_out(job: AuditJob) -> list[str]:
    # Replayed ones are judged as those crafted here are, but were made for other networks.
    replayed = "crafted for these networks" if job.plan.replay else "and their transfer"
    stages = {
        f"universal perturbations {replayed}": job.plan.universal,
        "perturbations of single images, adversarial accuracy (per-image attacks)": job.plan.robust,
        "targeted fooling": job.plan.targeted,
        "natural robustness (common corruptions: noise, blur, weather, digital)": job.plan.natural,
        "reliance on backgrounds and other shortcuts (bias probes)": job.plan.bias,
        "what can be seen inside the networks (filters, activation maps, patches)": job.plan.inside,
    }
    left_out = [f"{name}: not in the plan" for name, section in stages.items() if not section]
    if not _asks_by_queries(job):
        left_out.append("black-box attacks by queries (scores or labels): not in the plan")
    return left_out


def _asks_by_queries(job: AuditJob) -> bool:
    """Whether the plan has an attack that only asks: by name, or the Square attack in an ensemble."""
    return any(
        attack.access.startswith("black-box")
        for section in job.plan.robust
        for attack in (
            ENSEMBLES[section.ensemble].attacks
            if section.ensemble is not None
            else (make_image(str(section.attack), section.options, targeted=False),)
        )
    )


def _criterion(job: AuditJob, section: CriterionSection) -> Criterion:
    upper = section.at_most is not None
    threshold = section.at_most if section.at_most is not None else section.at_least
    assert threshold is not None  # the plan's own validation: exactly one of the two
    fixed = job.plan.fixed_on
    return Criterion(
        id=section.id,
        text=section.text,
        rate=section.rate,
        subjects=section.subjects,
        comparator="at most" if upper else "at least",
        threshold=threshold,
        fixed_on=fixed.isoformat() if fixed else "no date stated in the plan",
        clauses=section.clauses,
    )


def image_records(job: AuditJob) -> tuple[ImageRecord, ...]:
    """Return the image sets that the audit used, with counts and fingerprints."""
    opened = open_splits(job)
    roles: list[tuple[str, ImageSet]] = [
        ("crafts the perturbations", opened.splits.craft),
        ("chooses the checkpoint", opened.splits.select),
        ("every reported number", opened.splits.report),
    ]
    if opened.training is not None:
        roles.insert(0, ("trains the demonstration classifiers", opened.training))
    return tuple(
        ImageRecord(
            name=images.name,
            role=role,
            count=len(images),
            classes=len(set(images.labels.tolist())),
            size=images.size,
            fingerprint=images.fingerprint,
            provenance=opened.provenance,
        )
        for role, images in roles
    )
