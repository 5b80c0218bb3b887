"""The stage that looks inside a classifier, on a small network of the user's own and photographs of noise."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from explainers.checks.baselines import BASELINES
from flows.audit_job import AuditJob
from flows.finding_steps import finding_of
from flows.inside_stage import check_layers, inside_entries, look_inside
from flows.planning import check_against_registries
from flows.steps import noting_reuse
from tests.flows.test_explain_command import MODEL
from wolfhound.errors import ModelError, PlanError

PLAN = """\
wolfhound: 1
name: inside
purpose: a test
seed: 3
device: cpu
images: {source: folder, path: photos, size: 24, fit: {method: squash}}
splits: {craft: 2, select: 2, report: 12}
classifiers:
  - {name: mine, source: factory, file: model.py, callable: Network,
     preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}}
inside:
  - INSIDE
"""
INSIDE = "{methods: [gradcam, guided-backpropagation, cam], images: 2, measured: 8, patches: 2, patches_layer: second}"


def job_of(folder: Path, inside: str = INSIDE) -> AuditJob:
    return AuditJob(PLAN.replace("INSIDE", inside).encode(), folder, folder / "run", folder / "cache", "again")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("inside")
    (made / "model.py").write_text(MODEL.replace("nn.Linear(8, 3)", "nn.Linear(8, 2)"))
    for name in ("0_wolf", "1_husky"):
        (made / "photos" / name).mkdir(parents=True)
        for index in range(8):
            pixels = np.random.default_rng([index, len(name)]).integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(made / "photos" / name / f"{index}.png")
    return made


@pytest.fixture(scope="module")
def found(folder: Path):
    job = job_of(folder)
    (entry,) = inside_entries(job)
    return job, finding_of(look_inside(job, entry))


def test_the_finding_names_method_layer_and_verdict(found) -> None:
    _, finding = found
    assert (finding.id, finding.kind, finding.subject) == ("inside/mine", "inside", "mine")
    (layered,) = [name for name in finding.facts if name.startswith("Grad-CAM, ")]
    assert "rank correlation kept" in finding.facts[layered]
    assert "no evidence of what the classifier uses" in finding.facts["Guided backpropagation"]
    # Its ReLU comes after the layer, so the layer's mean does not make the logits.
    assert "cannot explain this network" in finding.facts["CAM"]


def test_galleries_show_filters_images_and_patches_by_a_stated_rule(found) -> None:
    job, finding = found
    filters, maps, patches = finding.galleries
    assert [len(row) for row in filters.rows] == [2]
    assert "8 filters of 3 x 3 in layer first" in filters.note
    assert [len(row) for row in maps.rows] == [1 + 2] * 2
    assert "in the order of their hashes" in maps.selection
    # Two channels, each with four patches and the guided backpropagation of each.
    assert [len(row) for row in patches.rows] == [8, 8]
    for gallery in finding.galleries:
        for picture in (picture for row in gallery.rows for picture in row):
            assert picture.alt
            Image.open(io.BytesIO(job.store.get(picture.artefact))).verify()


def test_every_score_stands_beside_every_baseline(found) -> None:
    job, finding = found
    assert {name.split(": ")[0] for name in finding.quantities} == {
        "deletion", "deletion, contrast", "insertion", "insertion, contrast",
    }  # fmt: skip
    for quantity in finding.quantities.values():
        direction, *beside, verdict = quantity.meaning.split("; ")
        assert direction.endswith("is good")
        assert [line.split(", difference ")[0].rsplit(" ", 1)[0] for line in beside] == list(BASELINES)
        assert verdict.lower().endswith("better than every baseline")
        assert quantity.interval.low <= quantity.value <= quantity.interval.high
    ledger = pd.read_csv(io.BytesIO(job.store.get(finding.ledgers["scores per image"])))
    for name, quantity in finding.quantities.items():
        score, method = name.split(": ")
        rows = ledger[(ledger["score"] == score) & (ledger["name"] == method)]
        assert len(rows) == 8
        assert quantity.value == pytest.approx(rows["value"].mean())


def test_a_second_look_finds_the_same_without_looking(found) -> None:
    job, finding = found
    (entry,) = inside_entries(job)
    with noting_reuse() as reused:
        assert finding_of(look_inside(job, entry)) == finding
    assert reused == {"inside/mine"}


def test_a_method_that_cannot_explain_the_network_is_named_with_the_reason(folder: Path, found) -> None:
    del found
    (folder / "dense.py").write_text(
        "import torch\nfrom torch import nn\n\ndef build():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 2))\n"
    )
    job = job_of(folder, "{methods: [gradcam], images: 1, measured: 8}")
    source = job.source.replace(b"model.py", b"dense.py").replace(b"Network", b"build")
    job = AuditJob(source, folder, folder / "dense", folder / "cache", "again")
    (entry,) = inside_entries(job)
    finding = finding_of(look_inside(job, entry))
    assert "cannot explain this network" in finding.facts["Grad-CAM"]
    assert "No method of the plan can explain mine" in finding.claim
    assert finding.galleries[0].rows == ()
    assert finding.quantities == {}


def test_unknown_methods_and_layers_are_found_before_the_run(folder: Path) -> None:
    with pytest.raises(PlanError, match=r"inside\[0\]: .*did you mean 'gradcam'"):
        check_against_registries(job_of(folder, "{methods: [grad-cam], measured: 8}"))
    with pytest.raises(ModelError, match=r"inside, mine: .*close: second"):
        check_layers(job_of(folder, "{layers: [secnd], measured: 8}"))


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("{images: 9, measured: 8}", "at most as many images shown as measured"),
        ("{measured: 13}", "the report split has 12 images"),
        ("{methods: [gradcam, gradcam], measured: 8}", "every method and every layer once"),
        ("{classifiers: [other], measured: 8}", r"inside\[0\].classifiers names 'other'"),
    ],
)
def test_faults_of_the_section_are_named(folder: Path, inside: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        _ = job_of(folder, inside).plan
