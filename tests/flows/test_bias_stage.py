"""Facts about the bias stage on a user's own images and classifier: from plan and files to recounted findings.

The pictures are red and blue squares on bright and dark textures; the classifier reads the border, by construction.
"""

import csv
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explainers.bias.plates import boxes_of, own_plates
from flows.audit_job import AuditJob
from flows.bias_controls import failed_control_criteria
from flows.bias_masks import _question, mask_sets
from flows.bias_stage import BiasEntry, bias_entries, bias_findings, check_bias, probe
from flows.bias_tables import attributes_of, with_boxes
from flows.finding_steps import packed_finding
from flows.ledgers import read_csv
from flows.planning import check_against_registries
from flows.shortcut_stage import shortcut_entries
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from tests.explainers import synthetic
from wolfhound.errors import DataError, PlanError
from wolfhound.evidence import Finding
from wolfhound.plan import DemonstrationBias
from wolfhound.progress import silent
from wolfhound.store import EvidenceStore
from wolfhound.verdicts import exit_code, judge_all, overall
from wolfhound.verification import rate_checks

NETWORK = """
import torch
from torch import nn


class Border(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(4.0))
        self.features = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.features.weight, 1 / 3)

    def forward(self, pixels):
        grey = self.features(pixels)
        inner = grey[:, :, 2:-2, 2:-2].sum(dim=(1, 2, 3))
        border = (grey.sum(dim=(1, 2, 3)) - inner) / (grey[0].numel() - grey[0, :, 2:-2, 2:-2].numel()) - 0.5
        return torch.stack([-self.scale * border, self.scale * border], dim=1)


def border():
    return Border()


def darkened(pixels):
    changed = torch.full_like(pixels, 0.05)
    changed[..., 2:-2, 2:-2] = pixels[..., 2:-2, 2:-2]
    return changed
"""

PLAN = """\
wolfhound: 1
name: own
purpose: A test.
seed: 3
device: cpu
batch_size: 16
images: {source: csv, path: images.csv, size: 16, fit: {method: squash}}
splits: {craft: 2, select: 2, report: 60}
classifiers:
  - name: border
    source: factory
    file: network.py
    callable: border
    preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}
bias:
"""
# Labels are sorted by name: husky is 0, wolf is 1; a bright border (snow) says wolf.
USUAL = {"wolf": "snow", "husky": "grass"}


def written(folder: Path, *, masks: bool = True) -> Path:
    """Write 64 pictures, their list, boxes and attributes, and the network."""
    rng, rows, boxes = np.random.default_rng(0), [], []
    for index in range(64):
        label = ("wolf", "husky")[index % 2]
        kind = USUAL[label] if index % 8 < 6 else USUAL[("husky", "wolf")[index % 2]]
        pixels, mask = synthetic.texture(kind, rng), np.zeros((16, 16), dtype=np.uint8)
        pixels[:, 5:11, 4:12] = np.array([220, 40, 30] if label == "wolf" else [30, 40, 220])[:, None, None]
        mask[5:11, 4:12] = 255
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{index}.png")
        Image.fromarray(mask).save(folder / f"{index}-mask.png")
        rows.append((f"{index}.png", label, f"{index}-mask.png" if masks else "", kind))
        boxes.append((f"{index}.png", 4, 5, 12, 11, ("old", "new")[index % 3 == 0], "x" if index else "rare"))
    with (folder / "images.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "mask", "group"), *rows])
    with (folder / "boxes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "x0", "y0", "x1", "y1", "camera", "odd"), *boxes])
    (folder / "network.py").write_text(NETWORK)
    return folder


def job_of(folder: Path, bias: str) -> AuditJob:
    root = folder / "run"
    root.mkdir(exist_ok=True)
    return AuditJob((PLAN + bias).encode(), folder, root, folder / "cache", "wolfhound run own.yaml")


def findings_of(job: AuditJob) -> list[Finding]:
    check_against_registries(job)
    check_bias(job)
    values = {entry.name: (entry, probe(job, entry, silent)) for entry in bias_entries(job)}
    return [finding for _, finding in bias_findings(values)]


def recounted(job: AuditJob, findings: list[Finding]) -> bool:
    """Whether every rate comes out of its ledger again."""

    class Document:
        pass

    document = Document()
    document.findings = findings
    (check,) = rate_checks(document, EvidenceStore(job.root).get)
    return check.ok is True and check.detail.split()[0] == str(sum(len(one.rates) for one in findings))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("own"))


SWAPS = (
    "  - {source: masks, crossed: 6, shown: 2, kinds: groups, usual: {wolf: snow, husky: grass}, plates: inpainted}\n"
)


@pytest.fixture(scope="module")
def swapped(folder):
    job = job_of(folder, SWAPS)
    return job, findings_of(job)


def test_a_users_classifier_that_reads_the_background_is_caught(swapped):
    job, (finding,) = swapped
    assert (finding.id, finding.subject) == ("bias/masks/border", "border")
    assert finding.facts["verdict"] == "uses the confounder"
    assert finding.rates["flip_rate_other_background"].share == 1
    assert finding.rates["flip_rate_placebo"].share == 0
    assert (finding.rates["stays_with_background"].share, finding.rates["follows_object"].share) == (1, 0)
    assert finding.rates["stays_with_background"].total == finding.rates["accuracy"].successes
    assert "corrected by Holm over the classes" in finding.quantities["effect on the margin, wolf"].meaning
    assert finding.claim.endswith("Verdict: uses the confounder.")
    assert finding.quantities["minimum detectable effect on the margin"].value > 0
    assert finding.rates["some_background_changes"].share == 1
    assert "none in this plan" in finding.facts["controls of the audit itself"]
    assert recounted(job, [finding])


def test_no_object_of_the_crossed_design_lies_on_a_plate_made_from_its_own_picture(swapped):
    job, (finding,) = swapped
    section = job.plan.bias[0]
    plates = mask_sets(job, section, silent).plates
    made_from = dict(zip(plates.hashes, plates.origins, strict=True))
    cells = read_csv(job.store.get(finding.ledgers["crossed, per cell"]))
    assert len(cells) == 36
    assert not any(made_from[plate] == image for plate, image in zip(cells["plate"], cells["image"], strict=True))


def test_groups_are_classes_by_backgrounds_and_small_ones_have_no_rate(swapped):
    _, (finding,) = swapped
    (table,) = finding.tables
    assert table.rows == ("husky", "wolf")
    assert table.columns == ("grass", "snow")
    assert table.cell("wolf", "snow").share == table.cell("husky", "grass").share == 1
    assert table.cell("wolf", "grass") is None  # fewer than ten
    assert finding.rates["worst_group_accuracy"].share == 1


def test_a_finished_probe_is_found_again(swapped, folder):
    _, first = swapped
    assert findings_of(job_of(folder, SWAPS)) == first


def test_boxes_mark_the_objects_that_masks_mark(folder):
    job = job_of(folder, SWAPS)
    images = open_splits(job).splits.report
    boxed = with_boxes(job, images, folder / "boxes.csv")
    assert np.array_equal(boxed.load_masks().numpy(), images.load_masks().numpy())
    whole = open_splits(job).whole
    assert boxed.masks.shape == whole.masks.shape


def test_boxes_follow_the_resizing_and_the_cutting_of_the_picture(tmp_path):
    rows = []
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 80, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        rows.append((f"{index}.png", "wolf" if index % 2 else "husky"))
    plan = PLAN.replace("size: 16, fit: {method: squash}", "size: 16, fit: {method: crop, shorter_side: 20}")
    plan = plan.replace("report: 60", "report: 8")
    with (tmp_path / "images.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label"), *rows])
    # Half the size, then 12 columns off the left and 2 rows off the top.
    box = (28, 8, 48, 24)
    with (tmp_path / "boxes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "x0", "y0", "x1", "y1"), *((name, *box) for name, _ in rows)])
    job = AuditJob(plan.encode() + b"  - {source: nuisance}\n", tmp_path, tmp_path / "run", tmp_path / "cache", "")
    boxed = with_boxes(job, open_splits(job).splits.report, tmp_path / "boxes.csv")
    assert boxes_of(boxed.load_masks()).tolist() == [[2, 2, 10, 12]] * 8


def test_boxes_that_mark_nothing_are_all_named(folder, tmp_path):
    job = job_of(folder, SWAPS)
    text = (folder / "boxes.csv").read_text().replace("0.png,4,5,12,11", "0.png,12,5,4,11")
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(DataError, match=r"expected x0 < x1") as caught:
        with_boxes(job, open_splits(job).whole, tmp_path / "boxes.csv")
    assert str(caught.value).count("expected x0 < x1") == 7


def test_no_picture_is_put_on_a_plate_made_from_itself(folder):
    job = job_of(folder, SWAPS)
    (section,) = job.plan.bias
    sets = mask_sets(job, section, silent)
    entry = bias_entries(job)[0]
    value = probe(job, entry, silent)
    finding = bias_findings({entry.name: (entry, value)})[0][1]
    lines = EvidenceStore(job.root).get(finding.ledgers["per image"]).decode().splitlines()
    source = dict(zip(sets.plates.hashes, sets.plates.origins, strict=True))
    for row in csv.DictReader(lines):
        assert source[row["plate_same"]] != row["image"]


@pytest.mark.parametrize("making", ["mirrored", "inpainted"])
def test_plates_show_their_picture_without_the_object(folder, tmp_path, making):
    images = open_splits(job_of(folder, SWAPS)).splits.report
    plates = own_plates(images, tmp_path, making=making)
    assert len(plates) == len(images)
    assert plates.groups == images.groups
    assert plates.origins == images.hashes
    # Objects are strongly coloured, textures grey on average.
    middle = plates.load()[:, :, 6:10, 5:11].mean(dim=(2, 3))
    assert float((middle[:, 0] - middle[:, 2]).abs().max()) < 0.3


OTHERS = """\
  - {source: attributes, columns: [group, camera], table: boxes.csv}
  - {source: interventions, interventions: [{name: dark, file: network.py, function: darkened}, blur], shown: 1}
  - {source: nuisance, folds: 3}
"""


@pytest.fixture(scope="module")
def others(folder):
    (folder / "joined.csv").write_text((folder / "boxes.csv").read_text())
    job = job_of(folder, OTHERS.replace("[group, camera]", "[camera, odd]"))
    return job, {finding.id: finding for finding in findings_of(job)}


def test_attributes_give_groups_and_name_those_that_are_too_small(others):
    job, findings = others
    finding = findings["bias/attributes-1/border"]
    assert finding.rates["accuracy"].total == 60
    assert set(finding.rates) >= {"camera = old", "camera = new", "odd = x"}
    assert "odd = rare" not in finding.rates
    assert "camera: no difference found" in finding.claim
    assert "is found with 80 % power" in finding.claim
    assert recounted(job, [finding])


def test_a_users_function_is_an_intervention(others):
    job, findings = others
    finding = findings["bias/interventions-2/border"]
    assert finding.facts["verdict on dark"].startswith("depends on it")
    assert finding.facts["verdict on blur"].startswith("no evidence found (an excess of")
    clean = finding.rates["flip_rate_dark"]
    assert clean.successes == sum(kind == "snow" for kind in open_splits(job).splits.report.groups)
    assert len(finding.galleries) == 2
    assert finding.quantities["dark, minimum detectable effect"].value > 0
    assert recounted(job, [finding])


def test_what_nuisances_give_away_is_said_to_be_available_only(others):
    job, findings = others
    finding = findings["bias/nuisance-3"]
    assert finding.facts["verdict"] == "a shortcut is available"
    assert "does not say that any classifier uses it" in finding.claim
    assert finding.quantities["chance"].unit == "%"  # a level; differences alone are in points
    assert 10 <= finding.quantities["chance"].value <= 100
    assert "sees no object" not in finding.claim  # its means are over the object too
    assert recounted(job, [finding])


@pytest.mark.parametrize(
    ("bias", "reason"),
    [
        ("  - {source: attributes, columns: [weather]}\n", "expected a table"),
        ("  - {source: attributes, columns: [weather], table: boxes.csv}\n", "expected the columns"),
    ],
)
def test_attributes_that_are_not_there_are_refused_before_any_work(folder, bias, reason):
    with pytest.raises(DataError, match=reason):
        check_bias(job_of(folder, bias))


def test_classes_that_are_left_with_one_kind_of_background_are_refused(folder):
    job = job_of(folder, "  - {source: masks, kinds: groups, usual: {wolf: snow, husky: snow, fox: sand}}\n")
    (entry,) = bias_entries(job)
    sets = mask_sets(job, entry.section, silent)
    with pytest.raises(DataError, match="on two kinds of background or more"):
        _question(entry.section, replace(open_classifier(job, "border"), class_names=("husky", "wolf", "fox")), sets)


def test_the_smallest_tables_of_boxes_and_attributes_are_held_to_their_columns(folder, tmp_path):
    job = job_of(folder, SWAPS)
    images = open_splits(job).whole
    lines = (folder / "boxes.csv").read_text().splitlines()
    for short, fault in (("7.png,4,5,12", "could not convert"), ("7.png,4,5,inf,11,old,x", "finite numbers")):
        row = next(i for i, line in enumerate(lines) if line.startswith("7.png"))
        (tmp_path / "boxes.csv").write_text("\n".join([*lines[:row], short, *lines[row + 1 :]]))
        with pytest.raises(DataError, match=rf"boxes that mark no object:\s+- 7.png: .*{fault}"):
            with_boxes(job, images, tmp_path / "boxes.csv")
    (tmp_path / "last.csv").write_text("camera,path\nold\n")
    with pytest.raises(DataError, match="expected a row for every image"):
        attributes_of(tmp_path / "last.csv", ["camera"], images)
    with pytest.raises(DataError, match=f"{images.name}: expected a value for every image"):
        attributes_of(None, ["group"], replace(images, groups=("", *images.groups[1:])))


def test_images_without_masks_are_told_what_else_there_is(tmp_path):
    job = job_of(written(tmp_path, masks=False), "  - {source: masks}\n")
    with pytest.raises(DataError, match="ask for interventions"):
        check_bias(job)


@pytest.mark.parametrize(
    ("bias", "reason"),
    [
        ("  - {source: masks, kinds: groups}\n", "usual backgrounds exactly where kinds are groups"),
        ("  - {source: masks, kinds: groups, usual: {wolf: snow, husky: snow}}\n", "two kinds of background or more"),
        ("  - {source: interventions, interventions: [tint, tint]}\n", "a name of its own"),
        ("  - {source: interventions, interventions: [sepia]}\n", "expected an intervention among"),
        ("  - {source: interventions, interventions: [{name: blur, options: {width: 1}}]}\n", "settings of blur"),
        ("  - {source: demonstration, confounding: [1.0, 1.0]}\n", "every share of confounding once"),
        ("  - {source: demonstration, confounding: 0.8}\n", "expected 1.0 among the shares"),
        ("  - {source: masks, classifiers: [nobody]}\n", "nobody"),
    ],
)
def test_a_bias_section_that_makes_no_sense_is_refused(folder, bias, reason):
    with pytest.raises(PlanError, match=reason):
        check_against_registries(job_of(folder, bias))


def control(finding: Finding, *, confounding: float, caught: bool, decided: bool = True):
    section = DemonstrationBias(source="demonstration")
    name = "confounded" if confounding > 0.5 else "balanced"
    value = packed_finding(replace(finding, id=f"bias/{name}", subject=name), caught=caught, decided=decided)
    return name, (BiasEntry(name, section, confounding=confounding), value)


@pytest.mark.parametrize(("caught", "passed"), [(False, True), (True, False)])
def test_an_audit_whose_control_fails_does_not_pass_even_without_a_criterion(swapped, caught, passed):
    _, (finding,) = swapped
    values = dict(
        [control(finding, confounding=1.0, caught=caught), control(finding, confounding=0.5, caught=not passed)]
    )
    found = [one for _, one in bias_findings(values)]
    assert all(one.doubts[0].code == "bias-control-failed" for one in found)
    assert all("WRONG" in one.facts["controls of the audit itself"] for one in found)
    criteria = failed_control_criteria(found)
    judgements = judge_all(criteria, found, ())
    assert {judgement.verdict for judgement in judgements} == {"inconclusive"}
    assert exit_code(overall(judgements)) == 3


def test_a_balanced_control_that_could_not_be_decided_has_not_passed(swapped):
    _, (finding,) = swapped
    planted = control(finding, confounding=1.0, caught=True)
    found = [
        one for _, one in bias_findings(dict([planted, control(finding, confounding=0.5, caught=False, decided=False)]))
    ]
    assert failed_control_criteria(found)
    assert "balanced: not decidable, which is WRONG" in found[0].facts["controls of the audit itself"]


def test_an_audit_whose_controls_hold_adds_no_criterion(swapped):
    _, (finding,) = swapped
    values = dict([control(finding, confounding=1.0, caught=True), control(finding, confounding=0.5, caught=False)])
    found = [one for _, one in bias_findings(values)]
    assert not any(one.doubts for one in found)
    assert failed_control_criteria(found) == ()
    assert found[0].facts["controls of the audit itself"] == (
        "confounded: caught, as it must be; balanced: passed, as it must"
    )


def test_the_demonstrations_criterion_judges_its_two_controls_and_no_planted_shortcut(folder):
    text = (Path(__file__).parents[2] / "plans" / "demonstration.yaml").read_bytes()
    job = AuditJob(text, folder, folder / "run", folder / "cache", "wolfhound demo")
    (criterion,) = [one for one in job.plan.criteria if one.rate == "bias.flip_rate_other_background"]
    subjects = [entry.name for entry in (*bias_entries(job), *shortcut_entries(job))]
    assert subjects == ["confounded", "balanced", "shortcut"]
    judged = [name for name in (*subjects, *job.plan.classifier_names) if fnmatchcase(name, criterion.subjects)]
    assert judged == ["confounded", "balanced"]


def test_a_study_has_a_classifier_for_every_share_and_only_the_extremes_are_controls(folder):
    job = job_of(folder, "  - {source: demonstration, confounding: [0.5, 0.8, 0.95, 1.0]}\n")
    assert [(entry.name, entry.planted) for entry in bias_entries(job)] == [
        ("confounded-80", None),
        ("confounded-95", None),
        ("confounded-100", True),
        ("balanced", False),
    ]
