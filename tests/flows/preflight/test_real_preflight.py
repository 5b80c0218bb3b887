"""No false alarm on real networks and photographs that are set up as they should be; their usual faults are named."""

import shutil
from pathlib import Path

import pytest

from flows import preflight
from flows.audit_job import AuditJob
from tests.flows.preflight.conftest import codes
from tests.real_subjects import EXACT_MOBILENET, real_index, real_subjects

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

PLAN = """\
wolfhound: 1
name: real
purpose: Real networks on real photographs.
device: cpu
batch_size: 32
images: {{source: folder, path: {real}/images/{images}, size: {size}, fit: {fit}, labels: leading_index,
  class_names: {names}}}
splits: {{craft: {craft}, select: {select}, report: {report}}}
classifiers:
{classifiers}
universal:
  - {{attack: sgd_uap, threat: {{norm: linf, epsilon: 10/255}}}}
"""
SQUASH, CROP = "{method: squash}", "{method: crop, shorter_side: 256}"
SETS = {
    "nips2017_dev": (224, SQUASH, (160, 60, 80)),
    "imagenet_sample": (224, CROP, (50, 20, 30)),
    "cifar10_jpeg": (32, SQUASH, (400, 100, 500)),
    "cifar10_lossless": (32, SQUASH, (20, 15, 15)),
}
CALLS = {
    "cifar10_resnet20": "callable: CifarResNet, arguments: {n: 3}",
    "cifar10_resnet56": "callable: CifarResNet, arguments: {n: 9}",
    "cifar10_robust_resnet4b": "callable: RobustResNet, arguments: {which: 4b}",
    "cifar10_oval21_wide": "callable: wong_small_cifar",
    "cifar10_tinyresnet8": "callable: TinyResNet8, arguments: {w: 16}",
}
ARCHITECTURES = ("squeezenet1_1", "squeezenet1_0", "mobilenet_v2")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def stated(name: str) -> str:
    values = next(model for model in real_index()["models"] if model["name"] == name)["preprocessing"]
    return f"preprocessing: {{mean: {values['mean']}, std: {values['std']}}}"


def door(name: str, preprocessing: str | None = None) -> str:
    """Return the plan's line for one network of the folder, with the preprocessing that its index states."""
    weights = real_subjects() / "models" / f"{name}.pth"
    shown = preprocessing or stated(name)
    if name in CALLS:
        file = real_subjects() / "archs.py"
        return f"  - {{name: {name}, source: factory, file: {file}, {CALLS[name]}, weights: {weights}, {shown}}}"
    architecture = next(known for known in ARCHITECTURES if name.startswith(known))
    return f"  - {{name: {name}, source: torchvision, architecture: {architecture}, weights: {weights}, {shown}}}"


def exact_mobilenet() -> str:
    weights = real_subjects() / "models" / "mobilenet_v2_tf2keras.pth"
    return (
        "  - {name: mobilenet_v2_exact, source: factory, file: exact.py, callable: mobilenet, "
        f"arguments: {{weights: {weights}}}, preprocessing: {{mean: [0, 0, 0], std: [1, 1, 1]}}}}"
    )


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real-preflight")
    shutil.copy(real_subjects() / "archs.py", folder / "archs.py")
    (folder / "exact.py").write_text(EXACT_MOBILENET)
    (folder / "cifar10.txt").write_text("\n".join(CIFAR10))
    (folder / "backwards.txt").write_text("\n".join(reversed(CIFAR10)))
    return folder


def job(workshop: Path, images: str, classifiers: str, *, size: int = 0, names: str = "") -> AuditJob:
    usual, fit, (craft, select, report) = SETS[images]
    text = PLAN.format(
        real=real_subjects(),
        images=images,
        size=size or usual,
        fit=fit,
        names=names or ("cifar10.txt" if "cifar" in images else "imagenet"),
        craft=craft,
        select=select,
        report=report,
        classifiers=classifiers,
    )
    return AuditJob(text.encode(), workshop, workshop / "run", workshop / "cache", "wolfhound run plan.yaml")


def networks(kind: str) -> list[str]:
    return [
        model["name"] for model in real_index()["models"] if model["name"].startswith("cifar10") == (kind == "cifar")
    ]


LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("nips2017_dev", "imagenet_sample")]


@pytest.mark.parametrize("images", ["cifar10_jpeg", "cifar10_lossless", *LONG])
def test_a_correct_set_up_raises_no_alarm(images: str, workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # How much memory is free is no fault of the set-up.
    monkeypatch.setattr("flows.preflight.capacity.available_memory", lambda _: 10**12)
    cifar = "cifar" in images
    lines = [door(name) for name in networks("cifar" if cifar else "imagenet")]
    lines += [] if cifar else [exact_mobilenet()]
    notices = preflight.notices(job(workshop, images, "\n".join(lines)))
    print("\n".join(notice.text for notice in notices))
    assert [notice.text for notice in notices if notice.severity != "note"] == []
    assert len(notices) == len(lines), "one note on memory for each network"


@pytest.mark.parametrize("name", ["cifar10_resnet20", "cifar10_resnet56", "cifar10_robust_resnet4b"])
def test_a_forgotten_normalisation_is_named(name: str, workshop: Path) -> None:
    plain = door(name, "preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}")
    assert "missing-normalisation" in codes(job(workshop, "cifar10_jpeg", plain), "error")


@pytest.mark.parametrize("name", ["cifar10_resnet20", "cifar10_tinyresnet8", "cifar10_oval21_wide"])
def test_classes_in_another_order_are_named(name: str, workshop: Path) -> None:
    """Folders are named by class, and the file of class names is backwards, so that labels count backwards too."""
    renamed = workshop / "renamed"
    for folder in (real_subjects() / "images" / "cifar10_jpeg").iterdir():
        if not (renamed / folder.name.partition("_")[2]).is_dir():
            shutil.copytree(folder, renamed / folder.name.partition("_")[2])
    usual = job(workshop, "cifar10_jpeg", door(name), names="backwards.txt")
    text = usual.source.decode().replace("labels: leading_index", "labels: class_name")
    text = text.replace(f"{real_subjects()}/images/cifar10_jpeg", str(renamed))
    wrong = AuditJob(text.encode(), workshop, workshop / "run", workshop / "cache", "wolfhound run plan.yaml")
    (error,) = (notice for notice in preflight.notices(wrong) if notice.severity == "error")
    assert error.code == "label-order"
    assert "with the classes sorted as text" in error.seen


def test_images_of_the_wrong_size_are_named(workshop: Path) -> None:
    large = job(workshop, "cifar10_jpeg", door("cifar10_resnet20"), size=96)
    (error,) = (notice for notice in preflight.notices(large) if notice.severity == "error")
    assert error.code == "other-resolution"
    assert error.seen.startswith(("shown images of 28x28", "shown images of 32x32"))
