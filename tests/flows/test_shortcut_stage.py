"""The published wolf/husky experiment as a stage, on features of a small network of the user's own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.audit_job import AuditJob
from flows.finding_steps import finding_of, subject_of
from flows.ledgers import read_csv
from flows.shortcut_stage import LEDGER, open_shortcut_images, plant_shortcut, shortcut_entries
from flows.steps import noting_reuse
from tests.flows.test_explain_command import MODEL
from tests.real_subjects import real_subjects
from wolfhound.counting import recount
from wolfhound.errors import DataError, PlanError
from wolfhound.evidence import Finding
from wolfhound.plan_reading import parse_plan

PLAN = """\
wolfhound: 1
name: shortcut
purpose: a test
seed: 3
device: cpu
batch_size: 50
images: {source: folder, path: photos, size: 24, fit: {method: squash}}
splits: {craft: 2, select: 2, report: 2}
classifiers:
  - {name: mine, source: factory, file: model.py, callable: Network,
     preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}}
shortcut:
  - SHORTCUT
"""
DRAWN = "{source: demonstration, network: mine, layer: first, test_images: 60}"


def job_of(folder: Path, shortcut: str) -> AuditJob:
    return AuditJob(PLAN.replace("SHORTCUT", shortcut).encode(), folder, folder / "run", folder / "cache", "again")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shortcut")
    (made / "model.py").write_text(MODEL.replace("nn.Linear(8, 3)", "nn.Linear(8, 2)"))
    # The same dark disc on white snow and on green grass: the ground is all there is to tell them by.
    rows, columns = np.mgrid[:24, :24]
    disc = ((rows - 12) ** 2 + (columns - 12) ** 2 < 49)[..., None]
    for name, colour in (("wolf", (220, 220, 230)), ("husky", (40, 160, 60))):
        (made / "photos" / name).mkdir(parents=True)
        for index in range(16):
            noise = np.random.default_rng([index, len(name)]).integers(-15, 15, (24, 24, 3))
            pixels = np.clip(np.where(disc, 30, np.array(colour)) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(made / "photos" / name / f"{index}.png")
    return made


@pytest.fixture(scope="module")
def drawn(folder: Path) -> tuple[AuditJob, Finding]:
    job = job_of(folder, DRAWN)
    (entry,) = shortcut_entries(job)
    value = plant_shortcut(job, entry)
    subject, finding = subject_of(value), finding_of(value)
    assert subject is not None
    assert subject.name == finding.subject == "shortcut"
    return job, finding


def test_the_planted_shortcut_is_caught_by_the_swap(drawn: tuple[AuditJob, Finding]) -> None:
    _, finding = drawn
    assert finding.rates["accuracy_usual_background"].share > 0.9
    assert finding.rates["accuracy_unusual_background"].share < 0.4
    excess = finding.quantities["excess flip rate"].interval
    assert excess is not None
    assert excess.low > 0.5
    assert 0 < finding.quantities["minimum detectable excess"].value < 0.5
    assert finding.rates["flip_rate_placebo"].share < 0.2


def test_every_rate_counts_again_from_the_ledger(drawn: tuple[AuditJob, Finding]) -> None:
    job, finding = drawn
    ledger = read_csv(job.store.get(finding.ledgers[LEDGER]))
    columns = {str(name): tuple(str(cell) for cell in ledger[name]) for name in ledger}
    assert set(finding.counted) == set(finding.rates)
    for name, rate in finding.rates.items():
        assert recount(finding.counted[name], columns) == (rate.successes, rate.total)


def test_ten_predictions_are_shown_with_lime_and_grad_cam_two_of_them_wrong(drawn: tuple[AuditJob, Finding]) -> None:
    job, finding = drawn
    (gallery,) = finding.galleries
    assert [len(row) for row in gallery.rows] == [3] * 10
    assert sum("WRONG" in row[0].caption for row in gallery.rows) == 2
    assert finding.facts["ten predictions"] == "2 of 10 wrong"
    assert "drawn at random (seed 1)" in gallery.selection
    ledger = read_csv(job.store.get(finding.ledgers[LEDGER]))
    assert (ledger["shown"] == "yes").sum() == 10


def test_a_finished_experiment_is_not_done_again(drawn: tuple[AuditJob, Finding]) -> None:
    job, finding = drawn
    (entry,) = shortcut_entries(job)
    with noting_reuse() as reused:
        assert finding_of(plant_shortcut(job, entry)) == finding
    assert reused == {"shortcut/shortcut"}


def test_photographs_that_are_all_confounded_are_said_to_be(folder: Path) -> None:
    job = job_of(folder, "{source: folder, path: photos, size: 24, network: mine, layer: first}")
    (entry,) = shortcut_entries(job)
    finding = finding_of(plant_shortcut(job, entry))
    assert "no test image shows the other background" in finding.claim
    assert "accuracy_unusual_background" not in finding.rates
    assert "wrong on the other background" in finding.facts["not the published display"]
    assert "no object masks" in finding.facts["no intervention"]
    assert "as the plan states" in finding.conditions["training"]


def test_images_whose_confounded_ones_are_all_trained_on_are_told_so(folder: Path) -> None:
    usual = {"wolf": "snow", "husky": "grass"}
    rows = [("path", "label", "group")]
    for name, kind in usual.items():
        other = next(one for one in usual.values() if one != kind)
        rows += [(f"photos/{name}/{i}.png", name, kind if i < 10 else other) for i in range(16)]
    (folder / "all.csv").write_text("\n".join(",".join(row) for row in rows))
    shape = "{source: csv, path: all.csv, size: 24, usual: [snow, grass], network: mine, layer: first}"
    job = job_of(folder, shape)
    finding = finding_of(plant_shortcut(job, shortcut_entries(job)[0]))
    assert "no test image shows" in finding.claim
    assert "accuracy_usual_background" not in finding.rates
    assert finding.rates["accuracy_unusual_background"].total == 12


def test_estimated_masks_come_with_their_sensitivity(folder: Path) -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    shape = "{source: folder, path: photos, size: 24, network: mine, layer: first, masks: grabcut}"
    job = job_of(folder, shape)
    (entry,) = shortcut_entries(job)
    finding = finding_of(plant_shortcut(job, entry))
    assert "on 12 of 12 images" in finding.conditions["intervention"]
    assert finding.facts["masks grown and shrunk"].startswith("the result stays: -2 px +100.0 points")
    assert finding.facts["masks grown and shrunk"].endswith("12 images, 0 left out")


def test_training_and_test_images_are_different_ones(folder: Path) -> None:
    job = job_of(folder, "{source: folder, path: photos, size: 24, network: mine, layer: first}")
    images = open_shortcut_images(job, shortcut_entries(job)[0])
    assert (len(images.training), len(images.test)) == (20, 12)
    assert not set(images.training.hashes) & set(images.test.hashes)


def test_faults_of_the_section_are_named(folder: Path) -> None:
    for text, fault in (
        ("{source: folder, network: mine, layer: first}", "needs its path"),
        ("{source: demonstration, network: none, layer: first}", "names 'none'"),
        ("{source: demonstration, network: mine, layer: first, masks: given}", "in a CSV file alone"),
        ("{source: demonstration, network: mine, layer: first, classes: [cat, dog]}", "wolves on snow"),
    ):
        with pytest.raises(PlanError, match=fault):
            parse_plan(PLAN.replace("SHORTCUT", text).encode(), name="plan", folder=folder)
    job = job_of(folder, "{source: folder, path: photos, classes: [cat, wolf], network: mine, layer: first}")
    with pytest.raises(DataError, match="expected the classes cat"):
        open_shortcut_images(job, shortcut_entries(job)[0])


REAL = """\
wolfhound: 1
name: real-shortcut
purpose: The published experiment on photographs.
seed: 3
device: cpu
batch_size: 40
images: {source: folder, path: IMAGES/nips2017_dev, labels: leading_index, class_names: imagenet, limit_per_class: 1}
splits: {craft: 10, select: 16, report: 50}
classifiers:
  - {name: squeezenet, source: torchvision, architecture: squeezenet1_1, weights: MODELS/squeezenet1_1_torchvision.pth}
shortcut:
  - {source: folder, path: IMAGES/husky_wolf, size: 128, usual: [snow, no snow], network: squeezenet,
     layer: features.2, masks: grabcut}
"""


@pytest.mark.real
@pytest.mark.slow
def test_a_regression_on_real_features_follows_real_snow(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    real = real_subjects()
    plan = REAL.replace("IMAGES", str(real / "images")).replace("MODELS", str(real / "models"))
    job = AuditJob(plan.encode(), tmp_path, tmp_path / "run", tmp_path / "cache", "again")
    finding = finding_of(plant_shortcut(job, shortcut_entries(job)[0]))
    assert finding.rates["accuracy"].share > 0.8
    excess = finding.quantities["excess flip rate"].interval
    assert excess is not None
    assert excess.low > 0.2
    assert "the result stays" in finding.facts["masks grown and shrunk"]
