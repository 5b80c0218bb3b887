"""The published wolf/husky shortcut on photographs, over seeds: how far do its predictions follow the background?

    python benchmarks/shortcut_photographs.py PHOTOGRAPHS WEIGHTS [--architecture squeezenet1_1] [--layer features.2]

PHOTOGRAPHS holds a folder `wolf` (on snow) and a folder `husky` (without snow). Prints for each seed, which draws the
20 training images: accuracy on the others, flips under backgrounds of the other class and of the same one (GrabCut
masks, painted-over plates), the excess with its interval, and whether it stays when the masks grow and shrink.
"""

import argparse
from pathlib import Path

from explainers.bias.ribeiro import judge_images, shortcut_classifier
from flows.audit_job import AuditJob
from flows.shortcut_stage import ShortcutEntry, ShortcutImages, open_shortcut_images
from flows.shortcut_swaps import swap_backgrounds
from wolfhound.classifier import Classifier
from wolfhound.loading import load_torchvision
from wolfhound.plan_shortcut import ShortcutSection

PLAN = """\
wolfhound: 1
name: shortcut-photographs
purpose: A benchmark.
device: cpu
batch_size: 40
images: {{source: folder, path: "{path}"}}
splits: {{craft: 1, select: 1, report: 1}}
classifiers: [{{name: network, source: torchvision, architecture: {architecture}, weights: "{weights}"}}]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--architecture", default="squeezenet1_1")
    parser.add_argument("--layer", default="features.2")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    given = parser.parse_args()
    network = load_torchvision(
        given.architecture, cache=given.cache, name="network", weights=str(given.weights), class_names=None
    )
    plan = PLAN.format(path=given.photographs, architecture=given.architecture, weights=given.weights)
    job = AuditJob(plan.encode(), Path(), given.cache / "unused", given.cache, "")
    print("seed  accuracy  other  placebo  excess [95 %]         p        stays")
    for seed in range(1, given.seeds + 1):
        section = ShortcutSection(
            source="folder",
            path=given.photographs.resolve(),
            network="network",
            layer=given.layer,
            usual=("snow", "no snow"),
            masks="grabcut",
            seed=seed,
        )
        images = open_shortcut_images(job, ShortcutEntry("shortcut", section))
        print(_line(job, section, network, images), flush=True)


def _line(job: AuditJob, section: ShortcutSection, network: Classifier, images: ShortcutImages) -> str:
    found, _ = shortcut_classifier(network, images.training, images.confounding, layer=section.layer)
    ledger = judge_images(found, images.test, images.confounding)
    swapped = swap_backgrounds(job, section, found, images.test, images.confounding)
    assert swapped is not None
    assert swapped.sensitivity is not None
    flips = swapped.flips
    accuracy, bounds = (ledger["prediction"] == ledger["label"]).mean(), flips.interval
    return (
        f"{section.seed:4}  {100 * accuracy:6.1f} %  {flips.other.successes:2}/{flips.other.total}  "
        f"{flips.placebo.successes:4}/{flips.placebo.total}  {100 * flips.difference:5.1f} [{100 * bounds.low:.1f}, "
        f"{100 * bounds.high:.1f}]  {flips.p_value:.1e}  {swapped.sensitivity.stays}"
    )


if __name__ == "__main__":
    main()
