"""The commented plan that `wolfhound init` writes from what it saw."""

import datetime
import json
from pathlib import Path

from flows.draft import Draft
from flows.draft_wanted import Wanted
from flows.draft_yaml import section_lines
from wolfhound.errors import DataError

_IMAGE_COMMENTS = {"fit": "<- check: as the deployed system prepares its images"}
_MOST = {"craft": 1000, "select": 200, "report": 1000}

_WITH_GRADIENTS = """\
universal:                        # one perturbation for all images
  - attack: sgd_uap
    tier: quick                   # quick, nightly or certification
    threat: {{norm: linf, epsilon: {epsilon}}}

robust:                           # perturbations of single images, the worst of four attacks
  - ensemble: quick               # certification is the standard ensemble of Croce and Hein (2020)
    threat: {{norm: linf, epsilon: {epsilon}}}
    images: {attacked}
    checked: {checked}
"""

_BLACK_BOX = """\
# No gradients can be had of this classifier, so it is attacked by questions alone, which find less. Another one of the
# same classes that gives gradients, listed beside it, can craft perturbations for it: sources of universal ones, a
# surrogate of robust ones.
robust:                           # perturbations of single images, found by asking for scores
  - attack: square                # Andriushchenko et al. (2020)
    options: {{most_queries: 500}}  # <- check: questions an image; more find more
    threat: {{norm: linf, epsilon: {epsilon}}}
    images: {attacked}
    checked: 0                    # images on which the attack is doubted with more questions
"""

_INSIDE = """\
# inside:                         # filters, activation maps and patches, for networks with convolutions
#   - {{methods: [gradcam], images: 4, measured: 8}}

"""

_UNIVERSAL_CRITERION = """\
  - id: universal
    text: A universal perturbation changes at most 30 % of predictions.
    rate: universal.fooling_rate
    at_most: 30 %
"""

_ROBUST_CRITERION = """\
  - id: robust-accuracy
    text: Of images under attack the classifier still recognises at least 50 %.
    rate: robust.robust_accuracy
    at_least: 50 %
"""

_PLAN = """\
# An audit of {model}, drafted from its images and its network. Check what is marked "<- check", then:
#   wolfhound doctor {file}     what would ruin the audit, and what it will cost
#   wolfhound run {file}        the audit; the same command goes on where it broke off
# Relative paths are meant from this file's folder. All keys: wolfhound plan schema
wolfhound: 1
name: {name}
purpose: {purpose}                # <- check: what the classifier decides, for whom, what an error costs
organisation: ""
responsible: ""
seed: 1                           # every random choice of the audit follows from it
device: auto                      # CUDA, then MPS, then the CPU
batch_size: auto                  # as many images at once as fit; changes no result

images:                           # {count} images of {classes} classes were found
{images}

splits: {splits}   # disjoint by content; more report images give narrower intervals

classifiers:
{classifier}

{attacks}
natural:                          # noise, blur, weather, compression: nobody attacks
  - severities: [1, 3, 5]
    images: {attacked}

{inside}fixed_on: {today}            # the day on which the criteria were fixed: before the run
criteria:                         # <- check: the thresholds are yours to fix; the gate is open only if all are met
  - id: clean-accuracy
    text: The classifier recognises at least 80 % of held-out images.
    rate: clean.accuracy
    at_least: 80 %
{judged}  - id: natural-robustness
    text: Of images under common corruptions the classifier recognises at least 60 %.
    rate: natural.accuracy_under_corruption
    at_least: 60 %
"""


def plan_text(wanted: Wanted, draft: Draft, *, path: Path, purpose: str, today: datetime.date) -> str:
    """Return the plan for `path`, with the paths in it relative to its folder.

    Raises:
        DataError: too few images to split.
    """
    splits = split_sizes(draft.count)
    attacked = min(50 if draft.black_box else 200, splits["report"])
    epsilon = "8/255" if max(draft.size) <= 96 else "4/255"
    attacks = _BLACK_BOX if draft.black_box else _WITH_GRADIENTS
    return _PLAN.format(
        model=wanted.model,
        file=path.name,
        name=json.dumps(path.stem, ensure_ascii=False),
        purpose=json.dumps(purpose),
        count=draft.count,
        classes=draft.classes,
        images=section_lines(draft.images, plan=path, comments=_IMAGE_COMMENTS, indent="  "),
        splits="{" + ", ".join(f"{name}: {count}" for name, count in splits.items()) + "}",
        classifier=_classifier(draft, path),
        attacks=attacks.format(epsilon=epsilon, attacked=attacked, checked=min(32, attacked)),
        inside="" if draft.black_box else _INSIDE.format(),
        judged=_ROBUST_CRITERION if draft.black_box else _UNIVERSAL_CRITERION + _ROBUST_CRITERION,
        attacked=attacked,
        today=today.isoformat(),
    )


def split_sizes(count: int) -> dict[str, int]:
    """Return how many of `count` images craft, choose and report: three, one and six of ten, within bounds.

    Some are left over, as images of equal content count once.

    >>> split_sizes(1000)
    {'craft': 270, 'select': 90, 'report': 540}

    Raises:
        DataError: fewer than ten images.
    """
    if count < 10:
        raise DataError(f"expected at least 10 images to split, got {count} (add images)")
    usable = count * 9 // 10 if count >= 50 else count
    shares = {"craft": usable * 3 // 10, "select": max(1, usable // 10), "report": usable * 6 // 10}
    return {name: min(_MOST[name], share) for name, share in shares.items()}


def _classifier(draft: Draft, path: Path) -> str:
    notes = [f"    # <- check: {note}\n" for note in draft.notes]
    comments = {"weights": f"preprocessing: {draft.seen}", "preprocessing": f"<- check. Chosen: {draft.seen}"}
    if "preprocessing" in draft.classifier:
        del comments["weights"]
    lines = section_lines(draft.classifier, plan=path, comments=comments, indent="    ")
    return "".join(notes) + "  - " + lines.lstrip()
