"""Names that only a registry knows are checked before anything runs, all at once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.attack_checks import check_against_classes
from flows.audit_job import AuditJob
from flows.planning import check_against_registries
from wolfhound.errors import PlanError

PLAN = """\
wolfhound: 1
name: names
purpose: A test.
images: {source: demonstration, count: 100}
splits: {craft: 10, select: 10, report: 10}
classifiers:
  - {name: first, source: demonstration, architecture: vgg_f}
"""


def check(sections: str) -> None:
    source = (PLAN + sections).encode()
    check_against_registries(AuditJob(source, Path("/audits"), Path("/run"), Path("/cache"), "wolfhound run"))


def test_known_corruptions_pass() -> None:
    check("natural:\n  - {corruptions: [fog, snow]}\n  - {}\n")


def test_unknown_corruptions_and_attacks_are_named_together() -> None:
    sections = "natural:\n  - {corruptions: [fog, hail]}\nuniversal:\n  - {attack: none, threat: {epsilon: 0.1}}\n"
    with pytest.raises(PlanError, match=r"(?s)2 fault.*universal\[0\].*natural\[0\].*got hail"):
        check(sections)


def test_reference_errors_must_cover_every_corruption() -> None:
    with pytest.raises(PlanError, match=r"natural\[0\]\.reference: .* got none for snow"):
        check("natural:\n  - {corruptions: [fog, snow], reference: {name: a, errors: {fog: 50 %}}}\n")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "robust:\n  - {images: 4, attack: carlini_wagner, threat: {epsilon: 8/255}}",
            r"robust\[0\]: carlini_wagner: .* norm l2",
        ),
        (
            "targeted:\n  - {images: 4, attack: carlini_wagner, threat: {epsilon: 8/255}}",
            r"targeted\[0\]: carlini_wagner: .* norm l2",
        ),
        (
            "targeted:\n  - {images: 4, attack: pgd, threat: {norm: patch, epsilon: 0.1}}",
            "a patch is for patch_uap alone",
        ),
        ("universal:\n  - {attack: patch_uap, threat: {epsilon: 8/255}}", r"universal\[0\]: patch_uap: .* norm patch"),
        ("universal:\n  - {attack: cosine_uap, target: wolf, threat: {epsilon: 8/255}}", "only leaves classes"),
        (
            "robust:\n  - {images: 4, attack: deepfool, options: {norm: l2}, threat: {epsilon: 8/255}}",
            "the threat's, linf",
        ),
        (
            "robust:\n  - {images: 4, attack: pgd, surrogate: first, threat: {epsilon: 8/255}}",
            "other than the surrogate",
        ),
        ("targeted:\n  - {images: 4, attack: apgd_t, threat: {epsilon: 8/255}}", "an attack that can reach a class"),
    ],
)
def test_combinations_that_cannot_work_are_refused_with_the_reason(section: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        check(section + "\n")


def small_job(tmp_path: Path, sections: str) -> AuditJob:
    """An audit of pictures of two classes, of which the craft split may have one alone."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
                tmp_path / "pictures" / name / f"{i}.png"
            )
    plan = f"""\
wolfhound: 1
name: two
purpose: A test.
images: {{source: folder, path: pictures, size: 8, fit: {{method: squash}}}}
splits: {{craft: 1, select: 1, report: 10}}
classifiers:
  - {{name: first, source: factory, file: none.py, callable: none, preprocessing: {{mean: [0, 0, 0], std: [1, 1, 1]}}}}
{sections}
"""
    return AuditJob(plan.encode(), tmp_path, tmp_path / "run", tmp_path / "cache", "wolfhound run")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "robust:\n  - {attack: apgd_t, images: 4, threat: {epsilon: 8/255}}",
            "apgd_t: expected at least 4 classes, got 2",
        ),
        (
            "robust:\n  - {ensemble: certification, images: 4, threat: {epsilon: 8/255}}",
            r"robust\[0\]\.ensemble: apgd_t: .* nightly checks do without",
        ),
        ("universal:\n  - {attack: sgd_uap, target: cow, threat: {epsilon: 8/255}}", "name of a class, got 'cow'"),
        (
            "targeted:\n  - {images: 4, target: cow, threat: {epsilon: 8/255}}",
            r"targeted\[0\]: expected a target .*'cow'",
        ),
        ("targeted:\n  - {images: 4, target: 2, threat: {epsilon: 8/255}}", r"index in \[0, 2\), got 2"),
        (
            "targeted:\n  - {attack: hopskipjump, images: 4, target: every, threat: {norm: l2, epsilon: 1}}",
            "a picture of every class to reach among the 1 images of the craft split",
        ),
        (
            "targeted:\n  - {attack: hopskipjump, images: 10, target: random, threat: {norm: l2, epsilon: 1}}",
            "got none of '(cat|dog)'",
        ),
    ],
)
def test_what_the_classes_and_pictures_do_not_allow_is_refused_before_any_work(
    section: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match=message):
        check_against_classes(small_job(tmp_path, section))


def test_what_two_classes_allow_passes(tmp_path: Path) -> None:
    check_against_classes(
        small_job(
            tmp_path,
            "robust:\n  - {ensemble: quick, images: 4, threat: {epsilon: 8/255}}\n"
            "targeted:\n  - {images: 4, target: second best, threat: {epsilon: 8/255}}\n",
        )
    )


BLACK = """\
wolfhound: 1
name: names
purpose: A test.
images: {source: folder, path: photographs}
splits: {craft: 10, select: 10, report: 60}
classifiers:
  - {name: open, source: torchvision, architecture: resnet18}
  - {name: closed, source: endpoint, url: "http://127.0.0.1:9", model: net, preprocessing: {}}
"""


def black(sections: str) -> None:
    job = AuditJob((BLACK + sections).encode(), Path("/audits"), Path("/run"), Path("/cache"), "wolfhound run")
    check_against_registries(job)


def test_what_needs_gradients_is_refused_for_a_black_box_with_what_can_be_done_instead() -> None:
    sections = """\
universal:
  - {attack: sgd_uap, threat: {epsilon: 0.1}}
robust:
  - {ensemble: quick, threat: {epsilon: 0.1}, images: 5}
  - {attack: pgd, threat: {epsilon: 0.1}, images: 5, classifiers: [closed]}
  - {attack: pgd, threat: {epsilon: 0.1}, images: 5, classifiers: [open], surrogate: closed}
targeted:
  - {threat: {epsilon: 0.1}, images: 5}
inside:
  - {measured: 8}
"""
    with pytest.raises(PlanError) as caught:
        black(sections)
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    assert lines[1].startswith(
        "  - universal[0]: sgd_uap needs gradients, and closed gives none (write sources: [open]"
    )
    assert all("hopskipjump, square" in line for line in lines[2:5])
    assert lines[5].startswith("  - targeted[0]: targeted_ascent needs gradients")
    assert "write classifiers: [open]" in lines[6]


def test_what_asks_only_for_answers_is_done_to_a_black_box() -> None:
    black(
        """\
universal:
  - {attack: sgd_uap, threat: {epsilon: 0.1}, sources: [open], targets: all}
robust:
  - {attack: square, threat: {epsilon: 0.1}, images: 5}
  - {attack: pgd, threat: {epsilon: 0.1}, images: 5, classifiers: [closed], surrogate: open}
natural:
  - {}
inside:
  - {classifiers: [open], measured: 8}
"""
    )


def test_a_look_inside_a_black_box_is_refused_for_bias_probes_too() -> None:
    sections = """\
bias:
  - {source: interventions, interventions: [blur]}
shortcut:
  - {source: folder, path: wolves, network: closed, layer: features.0}
hypotheses: {images: 40}
"""
    with pytest.raises(PlanError) as caught:
        black(sections)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip(" -") for line in lines] == ["bias[0]", "shortcut[0]", "hypotheses"]
    black("bias:\n  - {source: interventions, interventions: [blur], shown: 0}\n")
