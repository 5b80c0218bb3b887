"""One real network through every door that a user would take: the same predictions, the same fooling rates."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from attacks.judge import fooling_rates, predict, transfer_predictions, under
from attacks.registry import make_universal
from attacks.threat import Threat
from attacks.universal.driver import craft_universal
from flows.audit_job import AuditJob
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from tests.extras import needed
from tests.real_subjects import real_subjects
from wolfhound.torchvision_import import torchvision

pytestmark = [
    pytest.mark.real,
    pytest.mark.extras,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

THREAT = Threat("linf", 10 / 255)
POINTS = 0.2

PLAN = """\
wolfhound: 1
name: doors
purpose: One network through every door.
seed: 2017
device: cpu
batch_size: 50
images: {images}
splits: {splits}
classifiers:
  - {first}
  - {{name: safetensors, {again}}}
  - {{name: torchscript, source: torchscript, file: net.ts.pt, preprocessing: {numbers}}}
  - {{name: exported, source: exported, file: net.pt2, preprocessing: {numbers}}}
  - {{name: onnx, source: onnx, file: net.onnx, preprocessing: {numbers}}}
  - {{name: onnxruntime, source: onnx, execution: onnxruntime, file: net.onnx, preprocessing: {numbers}}}
"""
NUMBERS = "{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}"


@dataclass(frozen=True)
class Case:
    images: str
    splits: str
    first: str
    again: str
    weights: str
    size: int


CASES = {
    "cifar10_resnet20": Case(
        "{{source: folder, path: {real}/images/cifar10_jpeg, size: 32, fit: {{method: squash}}}}",
        "{craft: 160, select: 60, report: 500}",
        "{{name: factory, source: factory, file: {real}/archs.py, callable: CifarResNet, arguments: {{n: 3}}, "
        "weights: {real}/models/cifar10_resnet20.pth, preprocessing: {numbers}}}",
        "source: factory, file: {real}/archs.py, callable: CifarResNet, arguments: {{n: 3}}, "
        "weights: net.safetensors, preprocessing: {numbers}",
        "cifar10_resnet20.pth",
        32,
    ),
    "squeezenet1_1": Case(
        "{{source: folder, path: {real}/images/nips2017_dev, size: 224, fit: {{method: squash}}, "
        "labels: leading_index, class_names: imagenet}}",
        "{craft: 30, select: 10, report: 120}",
        "{{name: torchvision, source: torchvision, architecture: squeezenet1_1, "
        "weights: {real}/models/squeezenet1_1_torchvision.pth}}",
        "source: torchvision, architecture: squeezenet1_1, weights: net.safetensors",
        "squeezenet1_1_torchvision.pth",
        224,
    ),
}


def network(real: Path, name: str, case: Case) -> nn.Module:
    state = torch.load(real / "models" / case.weights, weights_only=True)
    if name == "squeezenet1_1":
        made = torchvision().models.squeezenet1_1()
    else:
        sys.path.insert(0, str(real))
        try:
            import archs
        finally:
            sys.path.remove(str(real))
        made = archs.CifarResNet(3)
    made.load_state_dict(state)
    module: nn.Module = made.eval()
    return module


def written(real: Path, name: str, folder: Path) -> AuditJob:
    """Save one network in every format, as its user would, and write the plan that names them."""
    case = CASES[name]
    net, sample = network(real, name, case), torch.rand(2, 3, case.size, case.size)
    save_file(dict(net.state_dict()), folder / "net.safetensors")
    torch.jit.save(torch.jit.trace(net, sample), str(folder / "net.ts.pt"))  # type: ignore[no-untyped-call]
    shapes: Any = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(net, (sample,), dynamic_shapes=shapes), folder / "net.pt2")
    axes = {"images": {0: "batch"}}
    torch.onnx.export(net, (sample,), str(folder / "net.onnx"), dynamo=False, input_names=["images"], dynamic_axes=axes)
    parts = {"real": real, "numbers": NUMBERS}
    plan = PLAN.format(
        images=case.images.format(**parts),
        splits=case.splits,
        first=case.first.format(**parts),
        again=case.again.format(**parts),
        numbers=NUMBERS,
    )
    return AuditJob(plan.encode(), folder, folder / "run", folder / "cache", "wolfhound run")


def crafted(job: AuditJob, name: str) -> Tensor:
    splits = open_splits(job).splits
    return craft_universal(
        make_universal("sgd_uap", {"passes": 4}),
        [open_classifier(job, name)],
        splits.craft,
        splits.select,
        THREAT,
        generator=torch.Generator().manual_seed(1),
        batch_size=50,
    ).best


@pytest.mark.parametrize("name", CASES)
def test_every_door_gives_the_same_predictions_and_fooling_rates(name: str, tmp_path: Path) -> None:
    real = real_subjects()
    needed("onnx", "onnxruntime", "onnx2pytorch")
    job = written(real, name, tmp_path)
    doors, report = job.plan.classifier_names, open_splits(job).splits.report
    opened = {door: open_classifier(job, door) for door in doors}
    clean = {door: predict(opened[door], report, batch_size=50) for door in doors}
    deltas = {door: crafted(job, door) for door in doors if opened[door].differentiable}
    fired = under(THREAT, {door: delta.float() for door, delta in deltas.items()})
    rates = {}
    for door in doors:
        ledger = transfer_predictions(opened[door], report, fired, batch_size=50)
        rates[door] = {crafted_on: rate.percent for crafted_on, rate in fooling_rates(ledger).items()}
    shown = {door: {key: round(value, 2) for key, value in row.items()} for door, row in rates.items()}
    print(f"\n{name}: accuracy {(clean[doors[0]] == report.labels).mean():.4f} of {len(report)}, fooled: {shown}")
    assert all(np.array_equal(clean[door], clean[doors[0]]) for door in doors)
    for crafted_on in deltas:
        column = [rates[door][crafted_on] for door in doors]
        assert max(column) - min(column) <= POINTS  # one perturbation at every door
    own = [rates[door][door] for door in deltas]
    assert max(own) - min(own) <= POINTS  # crafted through each door
