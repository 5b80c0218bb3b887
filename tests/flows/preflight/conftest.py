"""Plans over drawn textures and networks with one fault each, as a user would write them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from flows import preflight
from flows.audit_job import AuditJob
from tests.attacks.conftest import draw_textures
from tests.attacks.conftest import trained_state as trained_state

PLAN = """\
wolfhound: 1
name: inspected
purpose: A test of what is looked for before a run.
device: cpu
batch_size: {batch}
images: {{source: folder, path: images, size: {size}, fit: {{method: squash}}}}
splits: {{craft: 96, select: 48, report: 96}}
classifiers:
  - name: net
    source: factory
    file: nets.py
    callable: {callable}
    preprocessing: {{mean: {mean}, std: {std}}}
{rest}
"""
ATTACK = "universal:\n  - {attack: sgd_uap, threat: {norm: linf, epsilon: 8/255}}\n"
HALF, QUARTER, NONE, ONE = [0.5] * 3, [0.25] * 3, [0] * 3, [1] * 3

Plan = Callable[..., AuditJob]
Alter = Callable[[Callable[[Image.Image], Image.Image]], Path]


def codes(job: AuditJob, *severities: str) -> list[str]:
    """Return the codes of what is seen before the run; errors and warnings where no severity is named."""
    wanted = severities or ("error", "warning")
    return [notice.code for notice in preflight.notices(job) if notice.severity in wanted]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, trained_state: dict[str, torch.Tensor]) -> Path:
    """A folder with textures, one folder a class, the networks' file and the trained weights."""
    folder = tmp_path_factory.mktemp("inspected")
    shutil.copy(Path(__file__).parent / "nets.py", folder / "nets.py")
    save_file({name: tensor.contiguous() for name, tensor in trained_state.items()}, folder / "net.safetensors")
    write_textures(folder, lambda picture: picture)
    return folder


@pytest.fixture
def altered(workshop: Path, tmp_path: Path) -> Alter:
    """Return a function that makes the workshop anew with every picture altered."""

    def alter(change: Callable[[Image.Image], Image.Image]) -> Path:
        for name in ("nets.py", "net.safetensors"):
            shutil.copy(workshop / name, tmp_path / name)
        write_textures(tmp_path, change)
        return tmp_path

    return alter


def write_textures(folder: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    """Write 260 textures into `folder`/images, one folder a class."""
    pixels, labels = draw_textures(260, seed=3)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = folder / "images" / f"texture {label}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        change(Image.fromarray(image.transpose(1, 2, 0))).save(path)


@pytest.fixture
def make_job(workshop: Path, tmp_path: Path) -> Plan:
    """Return a factory of jobs over the workshop: `make_job("sound", mean=..., rest=...)`."""

    def make(callable_name: str = "sound", *, folder: Path = workshop, **changed: object) -> AuditJob:
        settings = {"batch": 32, "size": 16, "mean": HALF, "std": QUARTER, "rest": ATTACK} | changed
        text = PLAN.format(callable=callable_name, **settings)
        return AuditJob(text.encode(), folder, tmp_path / "run", tmp_path / "cache", "wolfhound run plan.yaml")

    return make
