"""The import of torchvision beside any torch: each case in a process of its own, with an imitated torchvision."""

import subprocess
import sys
from pathlib import Path

import pytest

# What the real package does: on import it registers fake kernels for two operators of its compiled library.
DECLARES_FAKES = """
import torch
import torchvision.part
for name in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{name}")(lambda dets, scores, threshold: dets)
done = True
"""
OPERATORS_EXIST = """
import torch
own = torch.library.Library("torchvision", "DEF")
own.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
own.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def imported(folder: Path, init: str, then: str) -> str:
    """Return what `then` prints in a process in which torchvision is a package with the given __init__."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(init)
    (package / "part.py").write_text("")
    script = f"import sys; sys.path.insert(0, {str(folder)!r})\nimport wolfhound.torchvision_import as door\n{then}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# `tv.part` is there only if the second attempt imported the parts anew, not those of the first, failed one.
REPORT = "tv = door.torchvision(); print(tv.done and tv.part.__name__, len(door._declared))"
REFUSED = """
try:
    door.torchvision()
except ImportError as error:
    print(type(error).__name__, error)
print(sorted(name for name in sys.modules if name.startswith("torchvision")))
"""


def test_where_the_plain_import_works_nothing_is_declared(tmp_path: Path) -> None:
    assert imported(tmp_path, OPERATORS_EXIST + DECLARES_FAKES, REPORT) == "torchvision.part 0"


def test_where_the_compiled_operators_are_missing_their_schemas_are_declared_and_the_import_works(
    tmp_path: Path,
) -> None:
    assert imported(tmp_path, DECLARES_FAKES, REPORT) == "torchvision.part 1"


def test_a_second_call_returns_the_same_package_and_declares_nothing_more(tmp_path: Path) -> None:
    then = "first = door.torchvision(); print(door.torchvision() is first, len(door._declared))"
    assert imported(tmp_path, DECLARES_FAKES, then) == "True 1"


def test_an_operator_without_a_kernel_fails_when_called_instead_of_answering(tmp_path: Path) -> None:
    then = """
import torch
door.torchvision()
try:
    print(torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5))
except NotImplementedError as error:
    print("refused")
"""
    assert imported(tmp_path, DECLARES_FAKES, then) == "refused"


def test_another_failure_is_an_import_error_with_its_cause(tmp_path: Path) -> None:
    told = imported(tmp_path, "raise RuntimeError('CUDA versions differ')", REFUSED + "print(len(door._declared))")
    assert told.startswith("ImportError torchvision cannot be imported beside torch")
    assert "CUDA versions differ" in told
    assert told.endswith("\n0"), "nothing is declared for a failure of another kind"


def test_a_failure_after_the_declaration_is_an_import_error_and_leaves_no_half_imported_package(tmp_path: Path) -> None:
    broken = DECLARES_FAKES + "raise RuntimeError('still broken')"
    told = imported(tmp_path, broken, REFUSED).splitlines()
    assert told[0].startswith("ImportError torchvision cannot be imported beside torch")
    assert "still broken" in told[0]
    assert told[1] == "[]"


def test_a_missing_torchvision_is_an_import_error(tmp_path: Path) -> None:
    assert imported(tmp_path, "raise ModuleNotFoundError('No module named torchvision')", REFUSED).startswith(
        "ModuleNotFoundError"
    )


@pytest.mark.parametrize("name", ["googlenet", "vgg16", "vgg19", "resnet152"])
def test_the_installed_torchvision_knows_the_architectures_of_the_2017_table(name: str) -> None:
    from wolfhound.torchvision_import import torchvision

    assert name in torchvision().models.list_models(module=torchvision().models)
