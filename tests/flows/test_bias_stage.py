"""Facts about the bias stage on a user's own images and classifier: from plan and files to recounted findings.

The pictures are red and blue squares on bright and dark textures; the classifier reads the border, by construction.
"""

import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explainers.bias.plates import boxes_of, own_plates
from flows.audit_job import AuditJob
from flows.bias_masks import _question, mask_sets
from flows.bias_stage import bias_entries, bias_findings, check_bias, probe
from flows.bias_tables import attributes_of, with_boxes
from flows.ledgers import read_csv
from flows.planning import check_against_registries
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from tests.flows.own_images import PLAN, SWAPS, findings_of, job_of, written
from wolfhound.errors import DataError, PlanError
from wolfhound.evidence import Finding
from wolfhound.progress import silent
from wolfhound.store import EvidenceStore
from wolfhound.verification import rate_checks


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
