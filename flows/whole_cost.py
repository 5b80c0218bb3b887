"""How long a whole audit takes and how much memory, said before it starts: the attacks' prices, and all else."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from attacks.corruptions.judging import corrupt
from attacks.judge import uint8_batches
from attacks.universal.budget import duration
from explainers.cams.cam import RULES
from explainers.checks.baselines import BASELINES
from flows.audit_job import AuditJob
from flows.batches import batch_size, footprint_of
from flows.budgeting import Priced, pace_of, priced_attacks
from flows.explaining import CHECKED_AT_MOST, DRAWS, STAGES
from flows.inside_stage import STEPS, inside_entries
from flows.natural_stage import natural_entries
from flows.preflight.capacity import WORK_SPACE
from flows.replay_stage import replay_entries
from flows.subject_images import open_splits
from flows.universal_stage import universal_entries
from wolfhound.demonstration.training import TrainingRecipe, train
from wolfhound.plan import DemonstrationClassifier
from wolfhound.plan_bias import DemonstrationBias

LOOPS = 200_000
"""Rounds of the loop by which it is measured how fast this machine runs Python, as the report's layout does."""

REPORT = (800.0, 120.0)
"""How many times as long as that loop the report takes to write: at any rate, and for each finding."""

REPORT_MEMORY = 3e8
"""Bytes that pictures and pages of a report take."""

DOUBTING = (64 * 2, 64 * 12)
"""Gradients and forward passes, at most about, by which a network is doubted before anything else."""

UNCOUNTED = {
    "probes": "probes of plug-ins",
    "bias": "what bias probes measure",
    "shortcut": "planted shortcuts",
    "hypotheses": "hypotheses",
}
"""Sections of a plan of which it is not known beforehand what they ask, and what they are called."""

COUNTED = ("universal", "replay", "robust", "targeted", "natural", "inside", "groups")
"""The others; groups are counted from the ledgers of attacks, which takes no time."""

_TRAINED_BATCHES = 2
_LOOPED = 15


@dataclass(frozen=True)
class WholeCost:
    """What an audit takes on this machine.

    Attributes:
        parts: seconds by what they go into, in words.
        most: seconds that attacks on single images take if they never stop early.
        left_out: what is in the plan and not counted.
        memory: bytes of the process at its peak, about.
    """

    parts: dict[str, float]
    most: float
    left_out: tuple[str, ...]
    memory: int

    @property
    def seconds(self) -> float:
        """Seconds of everything, at most."""
        return sum(self.parts.values()) + self.most

    @property
    def text(self) -> str:
        """The cost as it is printed.

        >>> print(WholeCost({"the report": 30.0}, 90.0, ("bias",), 2_000_000_000).text.replace(" (", "\\n("))
        in all at most about 2.0 min on this machine
        (the report 30 s, attacks on single images at most 1.5 min), without bias; about 2.0 GB of memory
        """
        parts = [f"{what} {duration(seconds)}" for what, seconds in self.parts.items() if seconds >= 0.5]
        if self.most >= 0.5:
            parts.append(f"attacks on single images at most {duration(self.most)}")
        without = f", without {', '.join(self.left_out)}" if self.left_out else ""
        return (
            f"in all at most about {duration(self.seconds)} on this machine ({', '.join(parts)}){without}; "
            f"about {self.memory / 1e9:.1f} GB of memory"
        )


def whole_cost(job: AuditJob) -> WholeCost:
    """Return what the whole audit takes, if nothing of it is done yet: calibrated on this machine, within seconds."""
    attacks = list(priced_attacks(job))
    parts = {
        "training": _training(job),
        "crafting": _of(attacks, "universal"),
        "predictions": _predictions(job) + _of(attacks, "natural"),
        "corrupting": _corrupting(job),
        "explaining": _explaining(job),
        "the report": _report(job, attacks),
    }
    most = _of(attacks, "single images")
    return WholeCost(parts, most, tuple(_left_out(job, attacks)), _memory(job))


def _of(attacks: list[Priced], kind: str) -> float:
    return sum(priced.seconds or 0.0 for priced in attacks if priced.kind == kind)


def _training(job: AuditJob) -> float:
    """Return how long demonstration classifiers train, those of bias probes included, from a few steps of each."""
    training, recipe = open_splits(job).training, TrainingRecipe()
    sections = [section for section in job.plan.bias if isinstance(section, DemonstrationBias)]
    wanted = [(section.architecture, (len(section.shares) + 1) * section.training_images) for section in sections]
    names = [s.architecture for s in job.plan.classifiers if isinstance(s, DemonstrationClassifier)]
    wanted += [(name, 0 if training is None else len(training)) for name in names]
    paces = {name: _training_pace(job, name) for name in dict.fromkeys(name for name, _ in wanted)}
    return recipe.epochs * sum(images * paces[name] for name, images in wanted)


def _training_pace(job: AuditJob, architecture: str) -> float:
    """Return for how many seconds an image keeps a training step busy."""
    images, few = open_splits(job).whole, TrainingRecipe(epochs=1)
    sample = images.subset(range(min(len(images), _TRAINED_BATCHES * few.batch_size)))
    return _seconds(partial(train, architecture, sample, seed=0, recipe=few)) / len(sample)


def _predictions(job: AuditJob) -> float:
    """Return how long it takes to predict held-out images: clean, doubted, and under every perturbation."""
    report, total = job.plan.splits.report, 0.0
    for name in job.plan.classifier_names:
        pace = pace_of(job, name)
        columns = sum(_columns(job, name))
        # Once as delivered and once more without rounding.
        forwards = report * (1 + 2 * columns) + DOUBTING[1]
        total += forwards * pace.forward + DOUBTING[0] * pace.gradient
    return total


def _columns(job: AuditJob, target: str) -> Iterator[int]:
    """Yield how many perturbations and noise controls of each section are judged on one network."""
    for entry in universal_entries(job):
        if target in entry.targets:
            own = sum(entry.white_box(source, target) for source in entry.sources)
            yield 2 + len(entry.sources) + own * (entry.section.seeds - 1 + len(entry.section.epsilons))
    for replay in replay_entries(job):
        if target in replay.targets:
            yield 1 + len(replay.sources)


def _corrupting(job: AuditJob) -> float:
    """Return how long it takes to corrupt images, from one image under each corruption; once for each network."""
    total = 0.0
    for entry in natural_entries(job):
        images = entry.section.images or job.plan.splits.report
        _, sample = next(uint8_batches(open_splits(job).splits.craft, 1))
        took = sum(_seconds(partial(corrupt, sample, corruption, 3, seeds=[0])) for corruption in entry.corruptions)
        total += images * took * len(entry.section.severities) * len(entry.classifiers)
    return total


def _explaining(job: AuditJob) -> float:
    """Return how long it takes to look inside networks: maps, their checks, their scores, the strongest patches."""
    total = 0.0
    for entry in inside_entries(job):
        section, pace = entry.section, pace_of(job, entry.classifier)
        kinds = len(section.methods) * max(1, len(section.layers))
        checked = min(CHECKED_AT_MOST, section.measured) * (1 + STAGES + DRAWS)
        # Deletion and insertion of every kind of map and of three baselines. Half of the time goes into drawing.
        forwards = section.measured * 2 * (STEPS + 2) * (kinds + len(BASELINES))
        forwards += job.plan.splits.report if section.patches else 0
        total += 2 * (kinds * (section.measured + checked) * pace.gradient + forwards * pace.forward)
    return total


def _report(job: AuditJob, attacks: list[Priced]) -> float:
    """Return how long the report takes to write, by how fast this machine runs a Python loop."""
    plan = job.plan
    transfers = sum(len(entry.targets) for entry in universal_entries(job))
    others = len(plan.classifiers) + 2 * len(plan.bias) + len(plan.shortcut) + len(inside_entries(job))
    fixed, each = REPORT
    return _loop_seconds() * (fixed + each * (len(attacks) + transfers + others))


def _loop_seconds() -> float:
    def loop() -> int:
        total = 0
        for number in range(LOOPS):
            total += number & 7
        return total

    return sum(_once(loop) for _ in range(_LOOPED)) / _LOOPED  # the mean: other work slows the report too


def _left_out(job: AuditJob, attacks: list[Priced]) -> Iterator[str]:
    plan = job.plan
    for name, words in UNCOUNTED.items():
        if getattr(plan, name):
            yield words
    if any(section.road for section in plan.inside):
        yield "ROAD"
    asking = sorted({method for section in plan.inside for method in section.methods} - set(RULES))
    yield from asking
    yield from (priced.what for priced in attacks if priced.seconds is None)


def _memory(job: AuditJob) -> int:
    """Return the bytes of the process at its peak: what it took so far, and what a full batch of an attack adds.

    Calibrating took gradients on as many craft images as a batch holds; an attack keeps versions of its own beside.
    """
    splits = job.plan.splits
    names = [s.name for s in job.plan.classifiers if not isinstance(s, DemonstrationClassifier)]
    attacked = [section.images for section in job.plan.robust] + [section.images for section in job.plan.targeted]
    count = min(batch_size(job), max([splits.craft, *attacked]))
    added = [
        WORK_SPACE * footprint_of(job, name).bytes(count) - footprint_of(job, name).bytes(min(count, splits.craft))
        for name in names
    ]
    if job.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(job.device)
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return int(peak + max([REPORT_MEMORY, *added]))


def _seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes the second time: the first one loads and allocates."""
    work()
    return _once(work)


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
