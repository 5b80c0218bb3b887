"""Names that only a registry knows are checked before anything runs, all at once."""

from pathlib import Path

import pytest

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


BLACK = """\
wolfhound: 1
name: names
purpose: A test.
images: {source: folder, path: photographs}
splits: {craft: 10, select: 10, report: 10}
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
