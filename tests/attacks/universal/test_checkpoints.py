"""Checkpoints: a run killed at any moment goes on to the same bits, and a checkpoint of another run is refused."""

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from attacks.threat import Threat
from attacks.universal.checkpoints import CheckpointFile
from attacks.universal.deepfool import DeepFoolUniversal
from attacks.universal.driver import UniversalResult, craft_universal
from attacks.universal.sgd import SgdUniversal
from tests.attacks.conftest import as_classifier, network
from tests.attacks.crashing import assert_same
from wolfhound.classifier import Classifier
from wolfhound.errors import EvidenceError
from wolfhound.images import Splits

ATTACK = SgdUniversal(passes=4, images_per_update=24)


def craft(classifier: Classifier, splits: Splits, checkpoint: Any, **changes: Any) -> UniversalResult:
    options: dict[str, Any] = {
        "attack": ATTACK,
        "threat": Threat("linf", 16 / 255),
        "seed": 0,
        "batch_size": 64,
        "save_seconds": 0.0,
    }
    chosen = options | changes
    return craft_universal(
        chosen["attack"],
        classifier,
        splits.craft,
        splits.select,
        chosen["threat"],
        generator=torch.Generator().manual_seed(chosen["seed"]),
        batch_size=chosen["batch_size"],
        checkpoint=checkpoint,
        save_seconds=chosen["save_seconds"],
    )


def craft_until_killed(weights: bytes, splits: Splits, path: Path, function: str, call: int) -> None:
    """Run in a process of its own: craft with a checkpoint, and die by SIGKILL at the nth call of a function."""
    torch.set_num_threads(1)
    owner, name = FUNCTIONS[function]
    original, left = getattr(owner, name), iter(range(call - 1, -1, -1))

    def deadly(*arguments: Any, **options: Any) -> Any:
        if next(left, -1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, deadly)
    module = network()
    module.load_state_dict(safetensors.torch.load(weights))
    craft(as_classifier(module.double().eval()), splits, CheckpointFile(path))


FUNCTIONS: dict[str, tuple[Any, str]] = {
    "forward pass": (Classifier, "logits"),
    "flush": (os, "fsync"),
    "rename": (Path, "replace"),
}


def test_a_run_that_is_killed_again_and_again_ends_with_the_bits_of_one_that_was_not(
    trained: Classifier, trained_state: dict[str, torch.Tensor], textures: Splits, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.attacks.universal.test_checkpoints"])
    weights, path = safetensors.torch.save(trained_state), tmp_path / "run.safetensors"
    seen = []
    for function, call in (("forward pass", 4), ("flush", 1), ("rename", 3), ("forward pass", 6), ("flush", 5)):
        process = context.Process(target=craft_until_killed, args=(weights, textures, path, function, call))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        seen.append(CheckpointFile(path).load())
    assert seen[0] is seen[1] is None
    assert len({*seen[2:]}) == 3
    assert_same(vars(craft(trained, textures, CheckpointFile(path))), vars(craft(trained, textures, None)))
    assert list(tmp_path.glob(".*.partial"))
    CheckpointFile(path).forget()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def saved(trained: Classifier, textures: Splits, tmp_path: Path) -> CheckpointFile:
    """The checkpoint of a finished run."""
    file = CheckpointFile(tmp_path / "run.safetensors")
    craft(trained, textures, file)
    return file


def test_a_finished_run_is_not_done_again(saved: CheckpointFile, trained: Classifier, textures: Splits) -> None:
    result = craft(trained, textures, None)
    asked = []
    logits = trained.module.forward
    trained.module.forward = lambda inputs: asked.append(inputs.requires_grad) or logits(inputs)  # type: ignore
    assert_same(vars(craft(trained, textures, saved)), vars(result))
    assert asked
    assert not any(asked), "it took gradients"


@pytest.mark.parametrize(
    ("differing", "changes"),
    [
        ("attack", {"attack": replace(ATTACK, step=0.1)}),
        ("attack", {"attack": DeepFoolUniversal()}),
        ("threat", {"threat": Threat("linf", 15 / 255)}),
        ("seed", {"seed": 1}),
        ("batch size", {"batch_size": 32}),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_left(
    differing: str, changes: dict[str, Any], saved: CheckpointFile, trained: Classifier, textures: Splits
) -> None:
    before = saved.load()
    with pytest.raises(EvidenceError, match=f"one of another .*\n  - {differing}: .*, now ") as caught:
        craft(trained, textures, saved, **changes)
    assert str(caught.value).count("\n") == 1
    assert saved.load() == before


def test_other_networks_or_images_are_refused(
    saved: CheckpointFile, trained: Classifier, second: Classifier, textures: Splits
) -> None:
    darker = replace(trained, preprocessing=replace(trained.preprocessing, mean=(0.4, 0.5, 0.5)))
    for members in (second, darker, (trained, second), replace(trained, weights_digest="other")):
        with pytest.raises(EvidenceError, match="\n  - networks: "):
            craft(members, textures, saved)  # type: ignore[arg-type]
    fewer = replace(textures, craft=textures.craft.subset(range(90)))
    with pytest.raises(EvidenceError, match="\n  - crafting images: "):
        craft(trained, fewer, saved)
    swapped = replace(textures, select=textures.select.subset(range(47, -1, -1)))
    with pytest.raises(EvidenceError, match="\n  - select images: "):
        craft(trained, swapped, saved)


@pytest.mark.parametrize("position", [100, -1, -2000])
def test_a_checkpoint_with_one_changed_byte_is_refused(
    position: int, saved: CheckpointFile, trained: Classifier, textures: Splits
) -> None:
    data = bytearray(saved.load() or b"")
    data[position] ^= 1
    saved.save(bytes(data))
    with pytest.raises(EvidenceError, match=r"run\.safetensors: .*remove it to begin"):
        craft(trained, textures, saved)


@pytest.mark.parametrize("data", [b"", b"{}", b"\x02\0\0\0\0\0\0\0{}", safetensors.torch.save({})])
def test_what_is_no_checkpoint_is_refused(data: bytes, trained: Classifier, textures: Splits, tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "run.safetensors")
    file.save(data)
    with pytest.raises(EvidenceError, match=r"run\.safetensors: .*remove it to begin"):
        craft(trained, textures, file)


def test_within_a_pass_it_saves_no_more_often_than_it_is_told(
    trained: Classifier, textures: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting:
        saves = 0

        def load(self) -> bytes | None:
            return None

        def save(self, data: bytes) -> None:
            assert data
            self.saves += 1

    now = iter(range(10_000))
    monkeypatch.setattr("attacks.universal.driver.time.monotonic", lambda: float(next(now)))
    counts = []
    for seconds in (1e9, 3.0):
        store = Counting()
        craft(trained, textures, store, save_seconds=seconds)
        counts.append(store.saves)
    assert counts == [4, 8]
