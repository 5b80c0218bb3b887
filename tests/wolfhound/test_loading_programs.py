"""TorchScript and exported programs compute what the network did that they were made of, or are refused."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing, frozen, state_digest
from wolfhound.errors import ModelError
from wolfhound.loading import load_exported, load_torchscript

PREPROCESSING = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), (12, 12))
NAMES = ("cat", "dog", "owl")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        kept: Tensor = self.head(self.drop(torch.relu(self.norm(self.conv(images))).mean((2, 3))))
        return kept


def run_at_reading() -> dict[str, Tensor]:
    return {}


class Odd:
    """Something that a pickle brings back by calling a function of this module."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return run_at_reading, ()


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return Small().eval()


def exported(network: nn.Module, path: Path, *, fixed: int | None = None) -> Path:
    shapes: Any = None if fixed else ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network, (torch.rand(fixed or 2, 3, 12, 12),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def traced(network: nn.Module, path: Path) -> Path:
    torch.jit.save(torch.jit.trace(network, torch.rand(2, 3, 12, 12)), str(path))  # type: ignore[no-untyped-call]
    return path


def script(path: Path) -> Classifier:
    return load_torchscript(path, preprocessing=PREPROCESSING, class_names=NAMES)


def program(path: Path, *, allow_pickle_code: bool = False) -> Classifier:
    return load_exported(path, preprocessing=PREPROCESSING, class_names=NAMES, allow_pickle_code=allow_pickle_code)


def scores_and_gradient(module: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    at = pixels.clone().requires_grad_()
    scores = module(at)
    (gradient,) = torch.autograd.grad(scores[:, 0].sum(), at)
    return scores.detach(), gradient


def assert_same_function(found: Classifier, network: nn.Module) -> None:
    pixels = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    with frozen(found.module), frozen(network):
        ours = scores_and_gradient(found.logits, pixels)
        theirs = scores_and_gradient(lambda at: network(PREPROCESSING.apply(at)), pixels)
    torch.testing.assert_close(ours, theirs)


def test_a_traced_network_is_the_network(network: nn.Module, tmp_path: Path) -> None:
    found = script(traced(network, tmp_path / "net.pt"))
    assert_same_function(found, network)
    assert found.weights_digest == state_digest(network.state_dict())
    assert "SHA-256" in found.provenance


def test_a_frozen_script_is_known_by_its_file(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.jit.save(torch.jit.freeze(torch.jit.script(network)), str(path))  # type: ignore[no-untyped-call]
    found = script(path)
    assert_same_function(found, network)
    assert found.weights_digest in found.provenance


def test_an_exported_program_is_the_network_and_can_be_switched_like_one(network: nn.Module, tmp_path: Path) -> None:
    found = program(exported(network, tmp_path / "net.pt2"))
    assert_same_function(found, network)
    assert found.weights_digest == state_digest(network.state_dict())
    assert not any(part.training for part in found.module.modules())
    found.module.train()
    with frozen(found.module):
        assert not found.module.training
    assert found.module.training


@pytest.mark.parametrize("size", [1, 4])
def test_a_program_exported_for_one_batch_size_takes_any(size: int, network: nn.Module, tmp_path: Path) -> None:
    assert_same_function(program(exported(network, tmp_path / "net.pt2", fixed=size)), network)


def test_a_program_that_was_exported_in_training_mode_is_refused(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="was exported in training mode"):
        program(exported(network.train(), tmp_path / "net.pt2"))


def with_entry(path: Path, name: str, data: bytes) -> Path:
    """Return a copy of an archive in which the entry that ends in `name` holds `data`."""
    copy = path.with_name("changed" + path.suffix)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, data if entry.endswith(name) else old.read(entry))
    return copy


def test_a_program_with_a_pickle_that_asks_for_code_is_refused_unless_the_plan_allows_it(
    network: nn.Module, tmp_path: Path
) -> None:
    torch.save(((torch.rand(2, 3, 12, 12),), Odd()), tmp_path / "odd.pt")
    asking = with_entry(exported(network, tmp_path / "net.pt2"), "model.pt", (tmp_path / "odd.pt").read_bytes())
    with pytest.raises(ModelError, match=r"running code.*allow_pickle_code: true"):
        program(asking)
    assert "as the plan allows" in program(asking, allow_pickle_code=True).provenance


def test_a_program_with_machine_code_or_two_entries_of_one_name_is_refused(network: nn.Module, tmp_path: Path) -> None:
    path = exported(network, tmp_path / "net.pt2")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"")
    with pytest.raises(ModelError, match="twice"):
        program(path)
    path = exported(network, tmp_path / "net.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/data/aotinductor/model/x.so", b"")
    with pytest.raises(ModelError, match="machine code"):
        program(path)


def test_a_script_that_writes_files_is_refused(tmp_path: Path) -> None:
    class Writer(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            torch.save(images, "never-written.pt")
            return images.mean((2, 3))

    torch.jit.save(torch.jit.script(Writer()), str(tmp_path / "net.pt"))  # type: ignore[no-untyped-call]
    with pytest.raises(ModelError, match="reads or writes files"):
        script(tmp_path / "net.pt")


@pytest.mark.parametrize("load", [script, program])
@pytest.mark.parametrize("kind", ["missing", "empty", "noise", "cut", "state dict", "other zip"])
def test_damaged_and_foreign_files_are_refused(load: Any, kind: str, network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    whole = (traced if load is script else exported)(network, tmp_path / "whole.pt2").read_bytes()
    if kind == "state dict":
        torch.save(network.state_dict(), path)
    elif kind == "other zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/constants.pkl", pickle.dumps(Odd()))
            archive.writestr("net/models/model.json", b"{")
    elif kind != "missing":
        path.write_bytes({"empty": b"", "noise": bytes(range(256)) * 9, "cut": whole[: len(whole) // 2]}[kind])
    with pytest.raises(ModelError, match=r"net\.pt"):
        load(path)
