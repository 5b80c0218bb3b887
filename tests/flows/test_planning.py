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
