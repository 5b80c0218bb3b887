"""What the attacks will cost is said beforehand, and is what they take."""

from pathlib import Path
from typing import Any

import pytest

from attacks.base import ImageAttack
from attacks.per_image.costs import most_calls
from attacks.registry import make_image
from attacks.universal.budget import Pace, gradients
from flows import budgeting, robust_stage
from flows import whole_cost as whole_cost_module
from flows.audit import prepare
from flows.audit_job import AuditJob
from flows.budgeting import budget_lines
from flows.robust_stage import attack_robust, robust_entries
from flows.universal_stage import universal_entries
from flows.whole_cost import COUNTED, DOUBTING, UNCOUNTED, whole_cost
from tests.wolfhound.pictures import write_folder
from wolfhound.images import ImageSet

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


def with_attacks(job: AuditJob, sections: str) -> AuditJob:
    """Return the audit of other attacks, those on single images."""
    plan = job.source.decode().partition("universal:")[0] + sections
    return AuditJob(plan.encode(), job.folder, job.root, job.cache, job.command, run_id=sections)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_of_single_images_the_runs_that_doubt_an_attack_are_counted_too(
    norm: str, job: AuditJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = f"  - {{attack: pgd, options: {{most_steps: 3}}, threat: {{norm: {norm}, epsilon: 0.1}}, images: 4"
    attacked = with_attacks(job, f"robust:\n{section}, checked: 2}}\n")
    runs: list[tuple[ImageAttack, int]] = []
    through = robust_stage.attack_seeded

    def noted(attack: ImageAttack, *given: Any, **named: Any) -> Any:
        images: ImageSet = given[1]
        runs.append((attack, len(images)))
        return through(attack, *given, **named)

    monkeypatch.setattr(robust_stage, "attack_seeded", noted)
    attack_robust(attacked, robust_entries(attacked)[0], "small")
    costs = [(most_calls(attack), images) for attack, images in runs]
    assert len(costs) == {"linf": 5, "l2": 4}[norm]
    asked = sum(cost.gradients * images for cost, images in costs if cost)
    (line,) = budget_lines(attacked)
    assert f"at most {asked:,} gradients" in line


def test_a_curve_and_every_target_cost_what_they_repeat(job: AuditJob) -> None:
    attack = "attack: pgd, options: {most_steps: 3}, threat: {epsilon: 0.1}, images: 4"
    once, searched = (
        next(iter(budget_lines(with_attacks(job, f"robust:\n  - {{{attack}, checked: 0{more}}}\n"))))
        for more in ("", ", curve: true")
    )
    assert "at most 12 gradients" in once
    assert f"at most {12 * 17} gradients" in searched
    aimed = "options: {most_steps: 3}, threat: {epsilon: 0.1}, images: 4, shown: 1"
    (line,) = budget_lines(with_attacks(job, f"targeted:\n  - {{{aimed}, target: every}}\n"))
    looks = 3 + 1  # the ascent looks at the start too
    assert f"at most {looks * 5} gradients" in line


def test_a_transferred_attack_is_priced_by_the_network_that_it_asks(job: AuditJob) -> None:
    small = "  - {name: small,"
    other = small.replace("small", "other")
    twice = job.source.decode().replace(small, f"{other} source: factory, file: net.py, callable: net, "
        f"preprocessing: {{mean: [0, 0, 0], std: [1, 1, 1]}}}}\n{small}")  # fmt: skip
    both = AuditJob(twice.encode(), job.folder, job.root, job.cache, job.command, run_id="both")
    attack = "attack: pgd, options: {most_steps: 3}, threat: {epsilon: 0.1}, images: 4, surrogate: other"
    (line,) = budget_lines(with_attacks(both, f"robust:\n  - {{{attack}}}\n"))
    assert line.startswith("robust[0] on small, crafted on other: at most 12 gradients")


def at_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every network take two seconds for a gradient and one for a forward pass, and the report none."""
    for module in (budgeting, whole_cost_module):
        monkeypatch.setattr(module, "pace_of", lambda *_: Pace(2.0, 1.0))
    monkeypatch.setattr(whole_cost_module, "_loop_seconds", lambda: 0.0)


def test_the_whole_costs_what_its_parts_do(job: AuditJob, monkeypatch: pytest.MonkeyPatch) -> None:
    at_pace(monkeypatch)
    attacked = with_attacks(
        job,
        "universal:\n  - {attack: sgd_uap, options: {passes: 3}, threat: {epsilon: 10/255}, seeds: 2}\n"
        "robust:\n  - {attack: pgd, options: {most_steps: 3}, threat: {epsilon: 0.1}, images: 4, checked: 0}\n"
        "natural:\n  - {corruptions: [fog, snow], severities: [1, 3], images: 4}\n",
    )
    cost = whole_cost(attacked)
    attack = universal_entries(attacked)[0].attack()
    passes = attack.steps(8) / 8
    crafting = 2 * (gradients(attack, 8) * 2 + 8 + 4 * (1 + passes))
    assert cost.parts["crafting"] == pytest.approx(crafting)
    # The clean report split; as delivered and in floating point: noise, the better seed, both seeds; and corruptions.
    doubting = DOUBTING[0] * 2 + DOUBTING[1]
    assert cost.parts["predictions"] == pytest.approx(4 * (1 + 2 * 4) + doubting + 4 * 2 * 2)
    calls = most_calls(robust_attack(attacked))
    assert calls is not None
    assert cost.most == pytest.approx(4 * (2 * calls.gradients + calls.forwards))
    assert cost.parts["training"] == cost.parts["explaining"] == cost.parts["the report"] == 0
    assert cost.parts["corrupting"] > 0
    assert cost.left_out == ()
    assert cost.seconds == pytest.approx(sum(cost.parts.values()) + cost.most)
    assert cost.memory > 0


def robust_attack(job: AuditJob) -> ImageAttack:
    (section,) = job.plan.robust
    return make_image(str(section.attack), section.options, targeted=False)


def test_what_the_whole_cost_leaves_out_is_named(job: AuditJob, monkeypatch: pytest.MonkeyPatch) -> None:
    at_pace(monkeypatch)
    larger = AuditJob(job.source.replace(b"report: 4", b"report: 8"), job.folder, job.root, job.cache, job.command)
    plan = with_attacks(larger, "inside:\n  - {methods: [gradcam, rise], measured: 8, images: 1, road: true}\n")
    cost = whole_cost(plan)
    assert cost.left_out == ("ROAD", "rise")
    assert ", without ROAD, rise; about" in cost.text
    assert cost.parts["explaining"] > 0


def test_every_kind_of_section_is_counted_or_named_as_left_out(job: AuditJob) -> None:
    """A new kind of measurement cannot be forgotten here: whatever a plan counts as a section is one or the other."""
    plan = job.plan.model_copy(update=dict.fromkeys((*COUNTED, *UNCOUNTED), ("one",)))
    assert set(plan.sections) == {*COUNTED, *UNCOUNTED}
    others = {*type(job.plan).model_fields} - {*COUNTED, *UNCOUNTED}
    filled = job.plan.model_copy(update=dict.fromkeys(others - {"classifiers"}, ("one",)))
    assert set(filled.sections) <= set(job.plan.sections)


DEMONSTRATION = """\
wolfhound: 1
name: demonstration
purpose: A test of what is said beforehand.
device: cpu
batch_size: 20
images: {source: demonstration, count: 300}
splits: {craft: 20, select: 10, report: 20}
classifiers: [{name: vgg_f, source: demonstration, architecture: vgg_f}]
universal: [{attack: sgd_uap, options: {passes: 1}, threat: {epsilon: 10/255}}]
"""


def test_demonstration_classifiers_are_priced_without_being_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgeting, "CALIBRATION_SECONDS", 0.01)
    job = AuditJob(DEMONSTRATION.encode(), tmp_path, tmp_path / "run", tmp_path / "cache", "wolfhound demo")
    cost = whole_cost(job)
    assert cost.parts["training"] > 0
    assert cost.parts["crafting"] > 0
    assert not (tmp_path / "cache" / "classifiers").exists()
