"""The commented plan that `wolfhound init` writes from what it saw."""

import datetime
import json
import os
from pathlib import Path

from flows.draft import Draft, Wanted
from wolfhound.errors import DataError

_MOST = {"craft": 1000, "select": 200, "report": 1000}

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
  source: folder
  path: {images}
  size: {size}
  fit: {fit}   # <- check: as the deployed system prepares its images
  labels: {labels}
  class_names: {names}

splits: {splits}   # disjoint by content; more report images give narrower intervals

classifiers:
{classifier}

universal:                        # one perturbation for all images
  - attack: sgd_uap
    tier: quick                   # quick, nightly or certification
    threat: {{norm: linf, epsilon: {epsilon}}}

robust:                           # perturbations of single images, the worst of four attacks
  - ensemble: quick               # certification is the standard ensemble of Croce and Hein (2020)
    threat: {{norm: linf, epsilon: {epsilon}}}
    images: {attacked}
    checked: {checked}

natural:                          # noise, blur, weather, compression: nobody attacks
  - severities: [1, 3, 5]
    images: {attacked}

# inside:                         # filters, activation maps and patches, for networks with convolutions
#   - {{methods: [gradcam], images: 4, measured: 8}}

fixed_on: {today}            # the day on which the criteria were fixed: before the run
criteria:                         # <- check: the thresholds are yours to fix; the gate is open only if all are met
  - id: clean-accuracy
    text: The classifier recognises at least 80 % of held-out images.
    rate: clean.accuracy
    at_least: 80 %
  - id: universal
    text: A universal perturbation changes at most 30 % of predictions.
    rate: universal.fooling_rate
    at_most: 30 %
  - id: robust-accuracy
    text: Of images under attack the classifier still recognises at least 50 %.
    rate: robust.robust_accuracy
    at_least: 50 %
  - id: natural-robustness
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
    attacked = min(200, splits["report"])
    fit = "{method: squash}" if draft.crop is None else f"{{method: crop, shorter_side: {draft.crop}}}"
    return _PLAN.format(
        model=wanted.model,
        file=path.name,
        name=json.dumps(path.stem, ensure_ascii=False),
        purpose=json.dumps(purpose),
        count=draft.count,
        classes=draft.classes,
        images=_quoted(wanted.images, path),
        size=draft.size,
        fit=fit,
        labels=draft.labels,
        names=draft.names,
        splits="{" + ", ".join(f"{name}: {count}" for name, count in splits.items()) + "}",
        classifier=_classifier(wanted, draft, path),
        epsilon="8/255" if draft.size <= 96 else "4/255",
        attacked=attacked,
        checked=min(32, attacked),
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


def _classifier(wanted: Wanted, draft: Draft, path: Path) -> str:
    if wanted.factory is None:
        weights = wanted.weights or "DEFAULT"
        shown = weights if not Path(weights).suffix else _quoted(Path(weights), path)
        return (
            f"  - name: {wanted.model}\n    source: torchvision\n    architecture: {wanted.model}\n"
            f"    weights: {shown}              # preprocessing: {draft.seen}"
        )
    file, name = wanted.factory
    given = draft.preprocessing
    assert given is not None  # a factory's network has none of its own, so one was found
    weights = f"    weights: {_quoted(Path(wanted.weights), path)}\n" if wanted.weights else ""
    return (
        f"  - name: {name}\n    source: factory\n    file: {_quoted(file, path)}\n    callable: {name}\n{weights}"
        f"    # <- check. Chosen: {draft.seen}\n"
        f"    preprocessing: {{mean: {_channel(given.mean)}, std: {_channel(given.std)}}}"
    )


def _channel(values: tuple[float, float, float]) -> str:
    return json.dumps([float(f"{value:.10g}") for value in values])


def _quoted(target: Path, path: Path) -> str:
    """Return `target` as seen from the plan's folder where it lies near it, else in full; quoted for YAML."""
    whole, folder = target.resolve(), path.resolve().parent
    near = whole.is_relative_to(folder) or whole.is_relative_to(folder.parent)
    return json.dumps(os.path.relpath(whole, folder) if near else str(whole), ensure_ascii=False)
