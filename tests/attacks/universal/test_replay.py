"""Perturbations from files: every layout and format gives the same one, and what is ambiguous is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import scipy.io
import torch
from numpy.typing import NDArray

from attacks.judge import fooling_rates, transfer_predictions
from attacks.threat import Threat
from attacks.universal.replay import Reading, read_perturbation, replay
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError
from wolfhound.images import Splits
from wolfhound.store import file_sha256

Array = NDArray[Any]


def levels() -> Array:
    """A perturbation of +-10 levels, `[3,16,12]`, none of whose axes or colours could be exchanged unnoticed."""
    generator = np.random.default_rng(0)
    return (10 * generator.choice([-1.0, 1.0], (3, 16, 12))).astype(np.float32)


def as_torch(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


WRITERS: dict[str, Callable[[Path, Array], Any]] = {
    "v.npy": np.save,
    "v.pt": lambda path, array: torch.save(as_torch(array), path),
    "v.pth": lambda path, array: torch.save({"delta": as_torch(array)}, path),
    "v.safetensors": lambda path, array: safetensors.torch.save_file({"delta": as_torch(array)}, path),
    "v.mat": lambda path, array: scipy.io.savemat(path, {"r": array, "about": "a note"}),
    "only.mat": lambda path, array: scipy.io.savemat(path, {"noise": array}),
}
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "CHW": lambda v: v,
    "HWC": lambda v: v.transpose(1, 2, 0),
    "1CHW": lambda v: v[None],
    "1HWC": lambda v: v.transpose(1, 2, 0)[None],
    "11HWC": lambda v: v.transpose(1, 2, 0)[None, None],
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_every_format_layout_and_scale_gives_the_same_perturbation(
    name: str, layout: str, scale: float, tmp_path: Path
) -> None:
    path = tmp_path / name
    WRITERS[name](path, LAYOUTS[layout](levels() / np.float32(scale)))
    found = read_perturbation(path)
    assert found.delta.dtype == torch.float32
    torch.testing.assert_close(found.delta, as_torch(levels()) / 255, rtol=1e-6, atol=0)
    assert found.digest == file_sha256(path)
    assert found.reading.layout == layout.lstrip("1")
    assert found.reading.scale == ("levels" if scale == 1 else "unit")


def stored(path: Path, array: Array) -> Path:
    np.save(path, array)
    return path


def test_width_before_height_and_blue_before_red_are_turned_when_stated(tmp_path: Path) -> None:
    path = stored(tmp_path / "v.npy", levels()[::-1].transpose(2, 1, 0))
    found = read_perturbation(path, Reading(layout="WHC", channels="BGR"))
    torch.testing.assert_close(found.delta, as_torch(levels()) / 255)
    assert tuple(read_perturbation(path).delta.shape) == (3, 12, 16)


def test_whole_numbers_are_levels_whatever_their_size(tmp_path: Path) -> None:
    path = stored(tmp_path / "v.npy", np.sign(levels()).astype(np.int8))
    torch.testing.assert_close(read_perturbation(path).delta, as_torch(levels()).sign() / 255)


def test_one_of_a_stack_or_of_several_arrays_is_taken_when_stated(tmp_path: Path) -> None:
    stack = stored(tmp_path / "stack.npy", np.stack([0.5 * levels(), levels()]))
    torch.testing.assert_close(read_perturbation(stack, Reading(index=1)).delta, as_torch(levels()) / 255)
    last = stored(tmp_path / "last.npy", np.stack([0.5 * levels(), levels()], axis=-1).transpose(1, 2, 0, 3))
    torch.testing.assert_close(read_perturbation(last, Reading(index=1)).delta, as_torch(levels()) / 255)
    unclear = stored(tmp_path / "unclear.npy", np.ones((8, 8, 3, 3)))
    several = tmp_path / "several.safetensors"
    safetensors.torch.save_file({"best": as_torch(levels()), "last": as_torch(-levels())}, several)
    torch.testing.assert_close(read_perturbation(several, Reading(key="last")).delta, as_torch(-levels()) / 255)
    matlab = tmp_path / "several.mat"
    scipy.io.savemat(matlab, {"r": levels(), "s": -levels()})
    torch.testing.assert_close(read_perturbation(matlab).delta, as_torch(levels()) / 255)
    torch.testing.assert_close(read_perturbation(matlab, Reading(key="s")).delta, as_torch(-levels()) / 255)
    for path, wanted, message in (
        (stack, Reading(), r"a stack of shape \[2, 3, 16, 12\] \(state an index in \[0, 2\), got None"),
        (stack, Reading(index=2), "got 2"),
        (unclear, Reading(index=0), "which axis counts"),
        (several, Reading(), "expected one array, got 2 .*'best', 'last'"),
        (several, Reading(key="first"), "an array 'first', got 'best', 'last'"),
        (stack, Reading(key="v"), "key 'v' was asked for"),
        (stored(tmp_path / "one.npy", levels()), Reading(index=0), "index 0 was asked for"),
    ):
        with pytest.raises(DataError, match=message):
            read_perturbation(path, wanted)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 8, 3)), "two axes of 3"),
        (np.ones((4, 8, 8)), "no channel axis"),
        (np.ones((8, 8)), "expected 3 axes"),
        (np.ones((3, 8, 8)), "largest value .* got 1 .*state the scale"),
        (np.full((3, 8, 8), 0.6), "got 0.6"),
        (np.full((3, 8, 8), -255.0), "got 255"),
        (np.full((3, 8, 8), 200, dtype=np.int16), "got 200"),
        (np.ones((3, 8, 8), dtype=np.uint8), "signed numbers, got uint8"),
        (np.ones((3, 8, 8), dtype=bool), "got bool"),
        (np.ones((3, 8, 8), dtype=complex), "got complex"),
        (np.zeros((3, 8, 8)), "not all 0"),
        (np.full((3, 8, 8), np.nan), "finite"),
        (np.ones((3, 0, 8)), "finite"),
    ],
)
def test_what_is_ambiguous_or_no_perturbation_is_refused(array: Array, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_perturbation(stored(tmp_path / "v.npy", array))


def test_what_is_stated_overrules_the_guess_but_not_the_array(tmp_path: Path) -> None:
    square = stored(tmp_path / "square.npy", np.full((3, 8, 3), 1.0))
    assert float(read_perturbation(square, Reading(layout="HWC", scale="levels")).delta.max()) == pytest.approx(1 / 255)
    assert float(read_perturbation(square, Reading(layout="CHW", scale="unit")).delta.max()) == 1
    path = stored(tmp_path / "v.npy", levels())
    with pytest.raises(DataError, match="3 channels in a HWC array"):
        read_perturbation(path, Reading(layout="HWC"))
    with pytest.raises(DataError, match="within 1 on the scale 'unit', got 10"):
        read_perturbation(path, Reading(scale="unit"))


class Boom:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("boom"),))


def test_files_that_would_run_code_or_are_broken_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"v": Boom()}, "code.pt")
    np.save("code.npy", np.array([Boom()], dtype=object), allow_pickle=True)
    for name in ("broken.npy", "broken.pt", "broken.safetensors", "broken.mat"):
        Path(name).write_bytes(b"not what the name says")
    for path in sorted(Path().iterdir()):
        with pytest.raises(DataError, match=path.name):
            read_perturbation(path)
    assert not Path("boom").exists()
    with pytest.raises(DataError, match=r"out of \.npy, \.pt, \.pth, \.safetensors, \.mat, got '.png'"):
        read_perturbation(Path("code.pt").rename("v.png"))
    with pytest.raises(DataError, match=r"at absent\.npy"):
        read_perturbation(Path("absent.npy"))


def test_a_matlab_file_of_version_seven_three_is_refused_with_how_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "v.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b" ") + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match=r"HDF5 .*'-v7'"):
        read_perturbation(path)


def test_it_is_judged_as_our_own_are(trained: Classifier, textures: Splits, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    small = np.kron(generator.choice([-30.0, 30.0], (4, 4, 3)), np.ones((2, 2, 1)))
    found = read_perturbation(stored(tmp_path / "v.npy", small))
    threat = Threat("linf", 20 / 255)
    ledger = replay(trained, textures.report, {"published": found}, threat)
    own = transfer_predictions(trained, textures.report, {"published": (found.delta, threat)})
    assert ledger.equals(own)
    assert fooling_rates(ledger)["published"].successes > 0
    told = found.conditions(threat, (16, 16))
    assert told["resampled"].startswith("from 8x8 to 16x16: bilinear")
    assert told["size in the file"] == "linf 30/255"
    assert told["bounded"] == "projected on linf 20/255, untargeted, white-box"
    assert found.conditions(Threat("linf", 30 / 255), (8, 8))["bounded"] == "within linf 30/255"
    assert found.conditions(threat, (8, 8))["resampled"] == "as it is"
