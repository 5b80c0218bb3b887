"""Could the labels be guessed from nuisances alone? A finding on the images, whatever the classifiers make of them."""

from explainers.bias.nuisance import FEATURES, NuisanceProbe, nuisance_probe
from flows.audit_job import AuditJob
from flows.finding_steps import packed_finding
from flows.ledgers import csv_bytes
from flows.steps import StepValue
from flows.subject_images import open_splits
from wolfhound.counting import Counted, same
from wolfhound.errors import DataError
from wolfhound.evidence import Finding, Quantity
from wolfhound.plan_bias import NuisanceBias
from wolfhound.progress import Progress

LEDGER, SUBJECT = "per image", "the images"


def probe_nuisance(job: AuditJob, section: NuisanceBias, name: str, progress: Progress) -> StepValue:
    """Return the finding on the report split. Done once.

    Raises:
        DataError: fewer than two classes have enough images.
    """
    report = open_splits(job).splits.report
    step = job.step(f"bias/{name}", images=report.fingerprint, folds=section.folds, seed=job.seed("bias"))

    def work() -> StepValue:
        found = nuisance_probe(report, seed=job.seed("bias"), folds=section.folds, progress=progress)
        if found is None:
            raise DataError(f"{report.name}: expected two classes or more with 10 images (enlarge the report split)")
        return packed_finding(_finding(job, name, section, found))

    return step.once(work)


def _finding(job: AuditJob, name: str, section: NuisanceBias, found: NuisanceProbe) -> Finding:
    available = found.p_value < 0.05
    verdict = "a shortcut is available" if available else "none found available"
    rate = found.accuracy
    quantities = {
        "chance": Quantity(100 * found.chance, "%", "what always answering the commonest label would reach"),
        "p": Quantity(
            found.p_value,
            "p-value",
            "binomial, one-sided, of the accuracy against that chance; folds share fits, so it is approximate",
        ),
    }
    if found.detectable is not None:
        meaning = "the smallest accuracy that so many images tell from chance with 80 % power"
        quantities["minimum detectable accuracy"] = Quantity(100 * found.detectable, "%", meaning)
    return Finding(
        id=f"bias/{name}",
        kind="bias",
        subject=SUBJECT,
        title="Labels guessed from nuisances alone",
        claim=(
            f"A linear classifier that sees colours and contrasts, no shapes, guessed {rate.successes} of {rate.total} "
            f"labels: {verdict}. That a shortcut is available does not say that any classifier uses it."
        ),
        knowledge="none",
        conditions={
            "features": f"{FEATURES}; an object's own colours are part of the means over the image",
            "fitted": f"logistic regression, {section.folds} folds; every image is guessed by a fit without it",
            "images": f"the report split; {found.left_out} of classes with too few images left out",
            "seed": str(job.seed("bias")),
        },
        rates={"nuisance_accuracy": rate},
        counted={"nuisance_accuracy": Counted(LEDGER, ((same("prediction", "label"),),))},
        quantities=quantities,
        facts={"verdict": verdict},
        ledgers={LEDGER: job.store.put(csv_bytes(found.ledger), ".csv")},
        reproduce=job.command,
    )
