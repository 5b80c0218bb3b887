"""How many images go through a network at once: as the plan says, or as many as fit into the memory.

Results do not depend on it (beyond rounding), so a batch size found on one machine and another one on the next give the
same audit. It is found once a run and stated in the run record.
"""

from flows.audit_job import AuditJob
from flows.opened import once
from flows.steps import Step
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.errors import ModelError
from wolfhound.memory import Footprint, available_memory, footprint
from wolfhound.plan import DemonstrationClassifier

LARGEST = 256
"""More images at once make nothing faster, but progress rarer and interruptions dearer."""

SHARE = 0.4
"""Share of the free memory that one batch may take: attacks keep several versions of it, operations need work space."""

_DEMONSTRATION = 100


def batch_size(job: AuditJob) -> int:
    """Return the batch size of the audit: the plan's, or for "auto" the largest power of two that fits all networks.

    Raises:
        ModelError: not even one image fits.
    """
    wanted = job.plan.batch_size
    if wanted != "auto":
        return wanted
    found: int = once(job, ("batch size",), lambda: _as_before(job, _fitting(job)))
    return found


def record_batch_size(job: AuditJob) -> int:
    """Note the batch size in the run folder, so that a run which broke off goes on with the same one; return it."""
    size = batch_size(job)
    if job.plan.batch_size == "auto":
        _record(job).once(lambda: {"size": size})
    return size


def _as_before(job: AuditJob, fitting: int) -> int:
    recorded = _record(job).finished()
    return fitting if recorded is None else min(fitting, int(recorded["size"]))


def _record(job: AuditJob) -> Step:
    return job.step("batch size", plan=job.plan_sha256, device=str(job.device))


def footprint_of(job: AuditJob, name: str) -> Footprint:
    """Return what one classifier takes for an image of the plan's set."""
    taken: Footprint = once(
        job,
        ("footprint", name),
        lambda: footprint(open_classifier(job, name).to(job.device), open_splits(job).whole.size),
    )
    return taken


def _fitting(job: AuditJob) -> int:
    # Demonstration classifiers are small, and trained when they are first needed: not for the sake of a batch size.
    names = [s.name for s in job.plan.classifiers if not isinstance(s, DemonstrationClassifier)]
    if not names:
        return _DEMONSTRATION
    memory = int(SHARE * available_memory(job.device))
    return min(largest_fitting(footprint_of(job, name), memory, name=name) for name in names)


def largest_fitting(taken: Footprint, memory: int, *, name: str) -> int:
    """Return the largest power of two up to 256 that fits into `memory` bytes.

    >>> largest_fitting(Footprint(weights=0, image=10), 1000, name="net")
    64

    Raises:
        ModelError: not even one image fits.
    """
    most = min(taken.most(memory), LARGEST)
    if most < 1:
        raise ModelError(
            f"{name}: expected room for one image, which takes {taken.bytes(1) / 1e9:.2f} GB, got "
            f"{memory / 1e9:.2f} GB ({100 * SHARE:.0f} % of the free memory); free some, or take another device"
        )
    return 1 << (most.bit_length() - 1)
