"""The bias probes of an audit: one entry a classifier and section, each with what runs it and whether it is a control.

The demonstration's classifiers are controls of the audit itself: a planted shortcut must be caught, a balanced
classifier must pass. If one fails, every finding by the same probe is in doubt, the user's own included.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from explainers.bias.probe import ask_about
from explainers.bias.verdict import ProbeSettings
from flows.audit_job import AuditJob
from flows.bias_attributes import probe_attributes
from flows.bias_controls import CONTROL_FAILED
from flows.bias_interventions import probe_interventions
from flows.bias_masks import check_masks, probe_masks
from flows.bias_nuisance import probe_nuisance
from flows.bias_swap_numbers import USES
from flows.bias_swaps import SwapRequest, measure_swaps, swap_finding
from flows.bias_tables import attributes_of
from flows.finding_steps import finding_of, packed_finding, subject_of
from flows.steps import StepValue
from flows.subject_classifiers import describe
from flows.subject_images import open_splits
from wolfhound import demonstration
from wolfhound.classifier import Classifier
from wolfhound.evidence import Doubt, Finding, Subject
from wolfhound.images import ImageSet, check_disjoint
from wolfhound.plan import DemonstrationBias
from wolfhound.plan_bias import AttributeBias, BiasSection, InterventionBias, MaskBias, NuisanceBias
from wolfhound.progress import Progress, silent

PLATES = 40
_PROBE_SEED, _PLATE_SEED = 1_000_003, 2_000_003
_USUAL = {0: "snow", 1: "grass"}


@dataclass(frozen=True)
class BiasEntry:
    """One probe of one subject.

    Attributes:
        name: unique among the audit's probes.
        section: of the plan.
        classifier: the plan's classifier that is asked; empty for the demonstration's own and for the images alone.
        confounding: of the demonstration's classifiers: what they are trained with.
    """

    name: str
    section: BiasSection
    classifier: str = ""
    confounding: float = 0.5

    @property
    def planted(self) -> bool | None:
        """Whether the shortcut must be found (True) or must not be (False); None where it is for the probe to say.

        Networks that were trained on some counter-examples may learn either, so only full confounding is a control.
        """
        if not isinstance(self.section, DemonstrationBias) or 0.5 < self.confounding < 1:
            return None
        return self.confounding == 1


def check_bias(job: AuditJob) -> None:
    """Raise unless the images have what every bias section of the plan needs: masks, boxes, groups, attributes.

    Raises:
        DataError: they have not.
    """
    for section in job.plan.bias:
        if isinstance(section, MaskBias):
            check_masks(job, section)
        elif isinstance(section, AttributeBias):
            attributes_of(section.table, section.columns, open_splits(job).splits.report)


def bias_entries(job: AuditJob) -> tuple[BiasEntry, ...]:
    """Return every probe of the plan, in its order; of a demonstration section the confounded classifiers first."""
    entries: list[BiasEntry] = []
    for index, section in enumerate(job.plan.bias, start=1):
        suffix = f"-{index}" if len(job.plan.bias) > 1 else ""
        if isinstance(section, DemonstrationBias):
            entries += _demonstration_entries(section, suffix)
        elif isinstance(section, NuisanceBias):
            entries.append(BiasEntry(f"nuisance{suffix}", section))
        else:
            named = [(name, f"{section.source}{suffix}/{name}") for name in job.plan.chosen(section.classifiers)]
            entries += [BiasEntry(entry, section, classifier) for classifier, entry in named]
    return tuple(entries)


def _demonstration_entries(section: DemonstrationBias, suffix: str) -> list[BiasEntry]:
    shares = section.shares
    confounded = [
        BiasEntry(f"confounded{f'-{100 * share:g}' if len(shares) > 1 else ''}{suffix}", section, confounding=share)
        for share in shares
    ]
    return [*confounded, BiasEntry(f"balanced{suffix}", section, confounding=0.5)]


def probe(job: AuditJob, entry: BiasEntry, progress: Progress = silent) -> StepValue:
    """Return the finding of one probe. Done once."""
    match entry.section:
        case DemonstrationBias() as section:
            return _probe_demonstration(job, entry, section, progress)
        case MaskBias() as section:
            return probe_masks(job, section, entry.name, entry.classifier, progress)
        case AttributeBias() as section:
            return probe_attributes(job, section, entry.name, entry.classifier)
        case InterventionBias() as section:
            return probe_interventions(job, section, entry.name, entry.classifier, progress)
        case NuisanceBias() as section:
            return probe_nuisance(job, section, entry.name, progress)


def _probe_demonstration(job: AuditJob, entry: BiasEntry, section: DemonstrationBias, progress: Progress) -> StepValue:
    """Return the probe of one classifier of the demonstration, which is trained on its first use."""
    classifier, probed, plates = _demonstrated(job, entry, section, progress)
    step = job.step(
        f"bias/{entry.name}",
        classifier=classifier.identity,
        probed=probed.fingerprint,
        plates=plates.fingerprint,
        seed=job.seed("bias"),
        shown=section.shown,
        crossed=section.crossed,
    )

    def work() -> StepValue:
        request = SwapRequest(
            identifier=f"bias/{entry.name}",
            probed=probed,
            plates=plates,
            question=ask_about(classifier, tuple(_USUAL), _USUAL),
            settings=ProbeSettings(),
            crossed=section.crossed,
            shown=section.shown,
        )
        result = measure_swaps(job, classifier, request, progress)
        conditions = _conditions(entry, section, classifier.architecture)
        finding = swap_finding(job, entry.name, request, result, conditions)
        caught = result.probe.verdict == USES
        decided = caught or result.probe.controls_null
        return packed_finding(finding, subject=describe(classifier), caught=caught, decided=decided)

    return step.once(work)


def _demonstrated(
    job: AuditJob, entry: BiasEntry, section: DemonstrationBias, progress: Progress
) -> tuple[Classifier, ImageSet, ImageSet]:
    """Return the classifier, the images that it is probed with, balanced over backgrounds, and the plates."""
    folder, seed = job.cache / "images", section.seed

    def drawn(count: int, seed: int, confounding: float) -> ImageSet:
        return demonstration.wolf_husky_images(
            folder, count=count, seed=seed, confounding=confounding, progress=progress
        )

    training = drawn(section.training_images, seed, entry.confounding)
    probed = drawn(section.probe_images, seed + _PROBE_SEED, 0.5)
    plates = demonstration.background_plates(folder, per_background=PLATES, seed=seed + _PLATE_SEED, progress=progress)
    check_disjoint(training=training, probe=probed)
    classifier = demonstration.demonstration_classifier(
        section.architecture,
        job.cache / "classifiers",
        training,
        seed=job.seed("train", "bias", section.architecture),
        progress=progress,
    )
    return replace(classifier, name=entry.name), probed, plates


def _conditions(entry: BiasEntry, section: DemonstrationBias, architecture: str) -> dict[str, str]:
    share = f"{100 * entry.confounding:g} %"
    control = {True: "planted shortcut, must be caught", False: "balanced training, must pass", None: ""}[entry.planted]
    role = f"control of the audit: {control}" if control else "part of a study; a network may learn either cue"
    return {
        "classifier": architecture,
        "training": f"{section.training_images} images, wolf on snow and husky on grass in {share} of them",
        "role": role,
    }


def bias_findings(values: Mapping[str, tuple[BiasEntry, StepValue]]) -> list[tuple[Subject | None, Finding]]:
    """Return the finding of every probe, with the subject where it is no classifier of the plan.

    If a control of the audit failed, every swap of backgrounds and every intervention is in doubt.
    """
    failed = [
        f"{name} was {_outcome(value)}"
        for name, (entry, value) in values.items()
        if entry.planted is not None and not _as_it_must(entry, value)
    ]
    doubt = Doubt(CONTROL_FAILED, f"the audit's own control failed: {', '.join(failed)}")
    found: list[tuple[Subject | None, Finding]] = []
    for entry, value in values.values():
        finding = finding_of(value)
        by_swap = isinstance(entry.section, DemonstrationBias | MaskBias | InterventionBias)
        doubts = (*finding.doubts, doubt) if failed and by_swap else finding.doubts
        finding = replace(finding, doubts=doubts)
        found.append((subject_of(value), _with_controls(finding, values) if by_swap else finding))
    return found


def _as_it_must(entry: BiasEntry, value: StepValue) -> bool:
    """Whether a control came out right. Not decided is not passed: the probe could not have failed it."""
    return bool(value["caught"] == entry.planted and value["decided"])


def _outcome(value: StepValue) -> str:
    return "caught" if value["caught"] else "not caught" if value["decided"] else "not decidable"


def _with_controls(finding: Finding, values: Mapping[str, tuple[BiasEntry, StepValue]]) -> Finding:
    """Return the finding with what became of the audit's own controls printed beside it."""
    outcomes = [
        f"{name}: {'caught' if value['caught'] else 'passed'}, as it must {'be' if entry.planted else ''}".rstrip()
        if _as_it_must(entry, value)
        else f"{name}: {_outcome(value)}, which is WRONG"
        for name, (entry, value) in values.items()
        if entry.planted is not None
    ]
    words = "; ".join(outcomes) or "none in this plan (add a bias section with source: demonstration)"
    return replace(finding, facts={**finding.facts, "controls of the audit itself": words})
