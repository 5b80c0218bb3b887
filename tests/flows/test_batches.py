"""A batch size is found within the memory, remembered by the run, and changes no result."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from flows import batches
from flows.audit import run_audit
from flows.audit_job import AuditJob
from flows.batches import batch_size, largest_fitting, record_batch_size
from tests.flows.preflight.conftest import Plan, codes
from tests.flows.preflight.conftest import make_job as make_job
from tests.flows.preflight.conftest import trained_state as trained_state
from tests.flows.preflight.conftest import workshop as workshop
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.evidence import dump_evidence
from wolfhound.memory import Footprint, _left_in_container, available_memory, footprint

ATTACKS = """\
universal:
  - {attack: sgd_uap, threat: {norm: linf, epsilon: 8/255}, options: {passes: 2}}
robust:
  - {attack: pgd, threat: {norm: linf, epsilon: 4/255}, images: 20, checked: 8}
targeted:
  - {threat: {norm: linf, epsilon: 8/255}, images: 8, shown: 1}
natural:
  - {corruptions: [gaussian_noise], severities: [3], images: 20}
"""


def test_the_footprint_counts_what_the_backward_pass_keeps() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10), nn.Sigmoid(), nn.Linear(10, 2))
    classifier = Classifier("net", module, ("a", "b"), Preprocessing(input_size=(4, 4)), "0" * 64)
    taken = footprint(classifier, (4, 4))
    assert taken.weights == 4 * (48 * 10 + 10 + 10 * 2 + 2)
    # The pixels and their gradient (48 values each), the sigmoid's output (10) and the logits (2), four bytes each;
    # and the three deviations of the normalisation, kept once for the two images that it is counted on.
    assert taken.image == 4 * (2 * 48 + 10 + 2) + 4 * 3 // 2


def test_what_fits_is_a_power_of_two_and_not_even_one_image_is_an_error() -> None:
    assert largest_fitting(Footprint(100, 10), 100 + 10 * 63, name="net") == 32
    assert largest_fitting(Footprint(0, 1), 10**9, name="net") == batches.LARGEST
    with pytest.raises(ModelError, match="net: expected room for one image"):
        largest_fitting(Footprint(100, 10), 105, name="net")


def test_free_memory_is_that_of_this_machine() -> None:
    assert 10**7 < available_memory(torch.device("cpu")) < 2**44


def test_a_containers_limit_is_what_is_left_beside_files_that_can_be_forgotten(tmp_path: Path) -> None:
    assert _left_in_container(tmp_path) == []
    rows = {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 300\ninactive_file 250"}
    for name, text in rows.items():
        (tmp_path / name).write_text(text + "\n")
    assert _left_in_container(tmp_path) == [550]
    (tmp_path / "memory.max").write_text("max\n")
    assert _left_in_container(tmp_path) == []


def test_a_run_that_broke_off_goes_on_with_its_batch_size(make_job: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(batch="auto")
    monkeypatch.setattr(batches, "available_memory", lambda _: 3_000_000)
    first = record_batch_size(job)
    assert math.log2(first).is_integer()
    assert first < batches.LARGEST
    monkeypatch.setattr(batches, "available_memory", lambda _: 10**12)
    resumed = AuditJob(job.source, job.folder, job.root, job.cache, "wolfhound run the-same.yaml")
    assert batch_size(resumed) == first


def test_the_batch_size_changes_no_byte_of_the_evidence(make_job: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.audit.render", lambda *_, **__: None)
    found = []
    for size in ("7", "64", "auto"):
        job = make_job(batch=size, rest=ATTACKS)
        evidence = run_audit(AuditJob(job.source, job.folder, job.root / size, job.cache, job.command)).evidence
        text = dump_evidence(evidence).decode()
        found.append(text.replace(evidence.plan_sha256, "the plan"))
    assert found[0] == found[1] == found[2]


def test_a_batch_size_found_by_itself_raises_no_notice(make_job: Plan) -> None:
    assert codes(make_job(batch="auto")) == []
