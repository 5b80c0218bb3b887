"""Facts about masks sections whose masks are estimated. What needs OpenCV is skipped where it is not installed."""

import sys
from dataclasses import replace

import pandas as pd
import pytest

from explainers.bias.grabcut import DilationSensitivity
from explainers.bias.probe import background_probe
from explainers.bias.verdict import ProbeSettings
from flows.bias_estimated import mask_sensitivity, with_estimated_masks, with_sensitivity
from flows.bias_masks import _question, mask_sets
from flows.bias_stage import check_bias
from flows.ledgers import read_csv
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from tests.flows.own_images import SWAPS, findings_of, job_of, written
from tests.flows.test_bias_stage import recounted
from wolfhound.errors import DataError
from wolfhound.progress import silent

BOXED = SWAPS.replace("crossed: 6", "crossed: 0, estimate: grabcut, boxes: boxes.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("estimated"), masks=False)


def test_masks_are_estimated_inside_the_boxes_and_named_so(folder):
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    job = job_of(folder, BOXED)
    (finding,) = findings_of(job)
    assert "estimated masks, GrabCut (OpenCV" in finding.conditions["images"]
    assert "from the boxes given" in finding.conditions["images"]
    assert finding.claim.endswith("The masks are estimates.")
    assert finding.facts["masks grown and shrunk"].startswith("the result stays: -2 px +")
    assert finding.facts["verdict"] == "uses the confounder"
    assert not finding.doubts
    assert len(read_csv(job.store.get(finding.ledgers["by mask"]))) == 5
    assert recounted(job, [finding])


def test_estimated_masks_fill_their_boxes_and_do_not_leave_them(folder):
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    job = job_of(folder, BOXED)
    masks = mask_sets(job, job.plan.bias[0], silent).probed.load_masks()
    inside = masks[..., 5:11, 4:12]
    assert float(masks.sum()) == float(inside.sum())
    assert float(inside.mean()) > 0.9  # the object fills its box


def test_without_boxes_a_centred_rectangle_is_taken_and_unusable_masks_are_left_out(folder):
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    images = open_splits(job_of(folder, BOXED)).splits.report
    found = with_estimated_masks(job_of(folder, BOXED), images, boxed=False, progress=silent)
    assert "a centred rectangle" in found.how
    assert len(found.images) + found.left_out == len(images)
    areas = found.images.load_masks().mean(dim=(1, 2, 3))
    assert 0.02 <= float(areas.min()) <= float(areas.max()) <= 0.9


@pytest.mark.parametrize("among_classes", [False, True])
def test_masks_as_they_are_give_the_probes_own_excess(tmp_path, among_classes):
    job = job_of(written(tmp_path), SWAPS)
    classifier, sets = open_classifier(job, "border"), mask_sets(job, job.plan.bias[0], silent)
    question, _ = _question(job.plan.bias[0], classifier, sets)
    settings = ProbeSettings(among_classes=among_classes)
    probe = background_probe(classifier, sets.probed, sets.plates, classes=question.classes,
                             usual_background=question.usual, seed=1, settings=settings)  # fmt: skip
    table = mask_sensitivity(job, classifier, sets.probed, sets.plates, probe).table.set_index("pixels")
    assert list(table.index) == [-2, -1, 0, 1, 2]
    unchanged, pooled = table.loc[0], probe.pooled
    assert unchanged["other"] == pooled.other.successes
    assert unchanged["placebo"] == pooled.placebo.successes
    assert (unchanged["low"], unchanged["p_value"]) == (pooled.interval.low, pooled.p_value)


def test_a_result_that_does_not_stay_is_in_doubt(tmp_path):
    job = job_of(written(tmp_path), SWAPS)
    (finding,) = findings_of(job)
    table = pd.DataFrame([{"pixels": 1, "images": 8, "excess": 0.5, "low": -0.1, "high": 0.8}])
    stays = DilationSensitivity(table, stays=True, left_out=0)
    assert with_sensitivity(job, finding, stays).doubts == ()
    (doubt,) = with_sensitivity(job, finding, replace(stays, stays=False)).doubts
    assert doubt.code == "bias-masks-unstable"


def test_without_opencv_an_estimate_is_refused_before_any_work(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DataError, match=r"pip install 'wolfhound\[grabcut\]'"):
        check_bias(job_of(folder, BOXED))
