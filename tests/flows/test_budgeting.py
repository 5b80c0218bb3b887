"""What the attacks will cost is said beforehand, and is what they take."""

from pathlib import Path

import pytest

from attacks.universal.budget import gradients
from flows.audit import prepare
from flows.audit_job import AuditJob
from flows.budgeting import budget_lines
from flows.universal_stage import universal_entries
from tests.wolfhound.pictures import write_folder

PLAN = """\
wolfhound: 1
name: budget
purpose: A test of what is said beforehand.
device: cpu
batch_size: 8
images: {source: folder, path: images, size: 32}
splits: {craft: 8, select: 4, report: 4}
classifiers:
  - {name: small, source: factory, file: net.py, callable: net, preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}}
universal:
  - {attack: sgd_uap, tier: quick, threat: {epsilon: 10/255}, seeds: 2}
  - {attack: deepfool_uap, options: {passes: 2}, threat: {epsilon: 10/255}}
"""


NET = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 2))
"""


@pytest.fixture
def job(tmp_path: Path) -> AuditJob:
    write_folder(tmp_path / "images", {"cat": 10, "dog": 10}, side=32)
    (tmp_path / "net.py").write_text(NET)
    return AuditJob(PLAN.encode(), tmp_path, tmp_path / "run", tmp_path / "cache", "wolfhound run plan.yaml")


def test_gradients_and_time_are_said_before_the_run(job: AuditJob) -> None:
    prepare(job)
    first, second = budget_lines(job)
    entry = universal_entries(job)[0]
    assert f"{gradients(entry.attack(), 8):,} gradients" in first
    assert "each of 2 seeds" in first
    assert "on this machine" in first
    assert "at most" in second


def test_a_tier_is_the_options_that_the_attack_declares_for_it(job: AuditJob) -> None:
    entry = universal_entries(job)[0]
    assert entry.attack().passes == type(entry.attack()).tiers["quick"]["passes"]  # type: ignore[attr-defined]
