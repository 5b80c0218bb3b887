"""The table: every perturbation of the audit judged on one target in a single reading of the held-out images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Generator

from attacks.controls import sign_noise
from attacks.judge import Bounded, transfer_predictions
from attacks.threat import Threat
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import csv_bytes
from flows.naming import threat_name
from flows.replay_stage import ReplayEntry
from flows.steps import StepValue, pack, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from flows.universal_stage import UniversalEntry, best_run, load_delta
from wolfhound.evidence import Artefact
from wolfhound.progress import Progress, silent

NOISE = "random sign noise (control)"


@dataclass(frozen=True)
class Judged:
    """A perturbation to judge: where it is stored, the threat that bounds it, and what it is multiplied by before."""

    artefact: Artefact
    threat: Threat
    scale: float = 1.0


def noise_column(threat: Threat) -> str:
    """The ledger column of the noise control of that size."""
    return f"noise/{threat_name(replace(threat, target=None))}"


def judged_on(
    target: str,
    universal: Sequence[UniversalEntry],
    crafted: Mapping[str, Sequence[StepValue]],
    replayed: Sequence[ReplayEntry],
    read: Mapping[str, StepValue],
) -> dict[str, Judged]:
    """Return what is judged on one target, by ledger column.

    `crafted` has the runs of each universal column, `read` the files of each replayed one. On a network that a
    perturbation was crafted on, its other seeds and smaller epsilons are judged as well.
    """
    wanted: dict[str, Judged] = {}
    for entry in universal:
        for source in entry.sources if target in entry.targets else ():
            wanted |= _of_source(
                entry, source, crafted[entry.column(source)], white_box=entry.white_box(source, target)
            )
    for replay in replayed:
        for source in replay.sources if target in replay.targets else ():
            column = replay.column(source)
            wanted[column] = Judged(unpack(read[column]["deltas"]), replay.threat)
    return wanted


def _of_source(entry: UniversalEntry, source: str, runs: Sequence[StepValue], *, white_box: bool) -> dict[str, Judged]:
    artefacts = [unpack(run["deltas"]) for run in runs]
    best = artefacts[best_run(runs)]
    wanted = {entry.column(source): Judged(best, entry.threat)}
    if white_box and len(runs) > 1:
        wanted |= {entry.seed_column(source, i): Judged(each, entry.threat) for i, each in enumerate(artefacts)}
    for epsilon in entry.section.epsilons if white_box else ():
        smaller = Judged(best, replace(entry.threat, epsilon=epsilon), epsilon / entry.threat.epsilon)
        wanted[entry.epsilon_column(source, epsilon)] = smaller
    return wanted


def evaluate(job: AuditJob, target: str, wanted: Mapping[str, Judged], progress: Progress = silent) -> StepValue:
    """Return the per-image ledger of one target under every perturbation and a noise control a threat. Done once.

    Each image is read once, and goes through the target once clean and once a perturbation; once more without rounding
    for a perturbation judged in full that rounding to 8 bit changes.
    """
    classifier, report = open_classifier(job, target), open_splits(job).splits.report
    noise_seed = job.seed("noise")
    step = job.step(
        f"table/{target}",
        judged={name: [one.artefact.sha256, one.threat.text, one.scale] for name, one in sorted(wanted.items())},
        classifier=classifier.identity,
        report=report.fingerprint,
        noise=noise_seed,
    )

    def work() -> StepValue:
        judged = _noise(wanted, report.size, seed=noise_seed)
        for name, one in wanted.items():
            judged[name] = (load_delta(job.store.get(one.artefact)) * one.scale, one.threat)
        ledger = transfer_predictions(
            classifier.to(job.device),
            report,
            judged,
            in_float=[name for name, one in wanted.items() if one.scale == 1],
            batch_size=batch_size(job),
            progress=progress,
        )
        return {"ledger": pack(job.store.put(csv_bytes(ledger), ".csv"))}

    return step.once(work)


def _noise(wanted: Mapping[str, Judged], size: tuple[int, int], *, seed: int) -> dict[str, Bounded]:
    """Return one noise control for each size of threat that something is judged at in full."""
    threats = {noise_column(one.threat): replace(one.threat, target=None) for one in wanted.values() if one.scale == 1}
    return {
        name: (sign_noise(threat, size, generator=Generator().manual_seed(seed)), threat)
        for name, threat in threats.items()
    }
