"""A pretrained ImageNet network on photographs of wolves on snow and huskies without: estimated masks, interventions.

What must hold whatever the network relies on: the verdict is what its parts say, every rate comes out of its ledger,
the masks are labelled as estimates, and a change that takes the animal away does more than noise. That this network
follows the snow was measured: 26 points of excess flips, 12 to 40, on 46 photographs.
"""

import csv
import re
from pathlib import Path

import pytest

from flows.audit_job import AuditJob
from flows.ledgers import read_csv
from tests.flows.own_images import findings_of
from tests.flows.test_bias_stage import recounted
from tests.real_subjects import real_subjects
from wolfhound.evidence import Finding

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(1800)]

NAMES = {"wolf": ("timber wolf", "snow"), "husky": ("Siberian husky", "no snow")}
PLAN = """\
wolfhound: 1
name: real-bias
purpose: Does a network that was trained on ImageNet tell wolves from huskies by the snow?
seed: 1
device: cpu
batch_size: 40
images: {source: csv, path: photographs.csv, root: IMAGES/husky_wolf, class_names: imagenet, size: 224}
splits: {craft: 2, select: 2, report: 60}
classifiers:
  - {name: squeezenet, source: torchvision, architecture: squeezenet1_1, weights: MODELS/squeezenet1_1_torchvision.pth}
bias:
  - {source: masks, estimate: grabcut, plates: inpainted, decide_among: labels, kinds: groups,
     usual: {timber wolf: snow, Siberian husky: no snow}, crossed: 0, shown: 2}
  - {source: interventions, decide_among: labels, interventions: [tint, tile_shuffle,
     {name: blur, options: {sigma: 0.05}}]}
"""


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[AuditJob, dict[str, Finding]]:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    real, folder = real_subjects(), tmp_path_factory.mktemp("real")
    root = real / "images" / "husky_wolf"
    with (folder / "photographs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "label", "group"))
        for name, (label, kind) in NAMES.items():
            writer.writerows((f"{name}/{path.name}", label, kind) for path in sorted((root / name).iterdir()))
    plan = PLAN.replace("IMAGES", str(real / "images")).replace("MODELS", str(real / "models"))
    job = AuditJob(plan.encode(), folder, folder / "run", folder / "cache", "again")
    Path(job.root).mkdir()
    return job, {finding.id: finding for finding in findings_of(job)}


def test_every_rate_comes_out_of_its_ledger_again(audited: tuple[AuditJob, dict[str, Finding]]) -> None:
    job, found = audited
    assert recounted(job, list(found.values()))


def test_the_masks_are_labelled_as_estimates_and_those_that_are_none_are_counted(
    audited: tuple[AuditJob, dict[str, Finding]],
) -> None:
    finding = audited[1]["bias/masks-1/squeezenet"]
    assert finding.claim.endswith("The masks are estimates.")
    words = re.search(r"from a centred rectangle, margin 0.1, none usable in (\d+) more", finding.conditions["images"])
    assert words is not None
    assert int(words[1]) + finding.rates["flip_rate_placebo"].total == 60


def test_masks_as_they_are_give_the_findings_own_excess(audited: tuple[AuditJob, dict[str, Finding]]) -> None:
    job, found = audited
    finding = found["bias/masks-1/squeezenet"]
    rows = {row["pixels"]: row for row in read_csv(job.store.get(finding.ledgers["by mask"])).to_dict("records")}
    assert sorted(map(int, rows)) == [-4, -2, 0, 2, 4]
    assert float(rows[0]["excess"]) == pytest.approx(finding.quantities["excess flip rate"].value)


def test_the_verdict_is_what_its_parts_and_its_masks_allow(audited: tuple[AuditJob, dict[str, Finding]]) -> None:
    finding = audited[1]["bias/masks-1/squeezenet"]
    parts = [words for name, words in finding.facts.items() if re.match("control:|excess flips|the effect's", name)]
    assert len(parts) == 4
    assert (finding.facts["verdict"] == "uses the confounder") == all(words.startswith("yes") for words in parts)
    assert bool(finding.doubts) != finding.facts["masks grown and shrunk"].startswith("the result stays")


def test_a_network_that_tells_wolves_from_huskies_follows_the_snow_beside(
    audited: tuple[AuditJob, dict[str, Finding]],
) -> None:
    finding = audited[1]["bias/masks-1/squeezenet"]
    assert finding.rates["accuracy"].share > 0.8
    excess = finding.quantities["excess flip rate"].interval
    assert excess is not None
    assert excess.low > 0
    assert finding.quantities["effect on the margin"].value > 0  # snow pulls toward wolf, not away from it
    assert finding.facts["Grad-CAM, randomisation"].startswith("randomisation check: the maps depend on")


def test_a_blur_that_takes_the_animal_away_does_more_than_noise_of_its_norm(
    audited: tuple[AuditJob, dict[str, Finding]],
) -> None:
    finding = audited[1]["bias/interventions-2/squeezenet"]
    assert finding.rates["flip_rate_blur"].share > finding.rates["flip_rate_blur_placebo"].share
    for name in ("tint", "tile_shuffle", "blur"):
        words = finding.facts[f"verdict on {name}"]
        assert ": no (" not in words or not words.startswith("depends")
