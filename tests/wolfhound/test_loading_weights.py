"""Weights come from files without running their code, and fit the network or are refused with every difference."""

import argparse
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wolfhound.errors import ModelError
from wolfhound.loading.weights import load_into, read_state
from wolfhound.store import file_sha256


def network() -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)))


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    state = network().state_dict()
    return {
        name: torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def same(first: Any, second: Any) -> bool:
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("wrap", "note"),
    [
        (lambda state: state, None),
        (lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}}, 'under its key "state_dict"'),
        (lambda state: {"model": state, "args": "x"}, 'under its key "model"'),
        (lambda state: {f"module.{name}": tensor for name, tensor in state.items()}, 'the prefix "module."'),
        (
            lambda state: {"net": {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}},
            'without the prefix "_orig_mod."',
        ),
    ],
)
def test_state_dicts_are_unwrapped_and_it_is_said(wrap: Any, note: str | None, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(wrap(weights()), path)
    state = read_state(path)
    assert same(state.tensors, weights())
    assert state.provenance.startswith(f"file w.pth, SHA-256 {file_sha256(path)}")
    assert (note or "w.pth") in state.provenance
    assert bool(state.notes) == (note is not None)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "w.safetensors")
    assert same(read_state(tmp_path / "w.safetensors").tensors, weights())


def test_a_pickle_that_brings_code_is_refused_unread_with_a_way_out(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    for name, content in [("trap.pth", Trap()), ("args.pth", {"state_dict": weights(), "args": argparse.Namespace()})]:
        torch.save(content, tmp_path / name)
        with pytest.raises(ModelError, match=rf"running code that it asks for.*torch\.load\('{name}'"):
            read_state(tmp_path / name)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelError):
        read_state(tmp_path / "plain.pth")
    assert not marker.exists()


def test_a_pickle_is_run_where_the_plan_says_so_and_the_report_says_it_was(tmp_path: Path) -> None:
    whole = network()
    torch.save(whole, tmp_path / "net.pth")
    torch.save({"state_dict": weights(), "args": argparse.Namespace()}, tmp_path / "args.pth")
    found = read_state(tmp_path / "net.pth", allow_pickle_code=True)
    assert same(found.tensors, whole.state_dict())
    assert "read by running code that the file asks for, as the plan allows" in found.provenance
    assert same(read_state(tmp_path / "args.pth", allow_pickle_code=True).tensors, weights())
    torch.save(weights(), tmp_path / "plain.pth")
    assert read_state(tmp_path / "plain.pth", allow_pickle_code=True).notes == ()  # nothing had to be run


def test_a_pickle_whose_code_fails_is_said(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return int, ("no number",)

    torch.save(Trap(), tmp_path / "trap.pth")
    with pytest.raises(ModelError, match=r"trap\.pth fails while its code is run: ValueError"):
        read_state(tmp_path / "trap.pth", allow_pickle_code=True)


def test_a_whole_network_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "net.pth")
    with pytest.raises(ModelError, match="running code"):
        read_state(tmp_path / "net.pth")
    torch.jit.save(torch.jit.script(network()), tmp_path / "net.pt")  # type: ignore[no-untyped-call]
    with pytest.raises(ModelError, match="whole exported network"):
        read_state(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "best": 0.5}, r"got a mapping with the keys \['best', 'epoch'\]"),
        ([torch.zeros(3)], "got list"),
        ({}, "got dict"),
    ],
)
def test_files_without_a_state_dict_say_what_they_hold(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=message):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_missing_and_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        read_state(tmp_path / name)
    (tmp_path / name).write_bytes(b"\x01\x02not weights")
    with pytest.raises(ModelError, match="cannot be read"):
        read_state(tmp_path / name)
    save_file(weights(), tmp_path / "whole.safetensors") if name.endswith("s") else torch.save(
        weights(), tmp_path / "whole.pth"
    )
    whole = (tmp_path / f"whole{Path(name).suffix}").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        read_state(tmp_path / name)


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    broken = weights()
    broken["conv.bias"][1] = float("nan")
    torch.save(broken, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"not finite:\n  - conv.bias$"):
        read_state(tmp_path / "w.pth")


def test_every_difference_to_the_network_is_listed(tmp_path: Path) -> None:
    state = weights()
    del state["norm.weight"]
    state["head.weight"] = torch.zeros(2, 2)
    state["conv.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError) as caught:
        load_into(network(), read_state(tmp_path / "w.pth"), hint=" tiny")
    message = str(caught.value)
    assert "does not fit the network tiny; 3 difference(s)" in message
    assert "missing: norm.weight [4]" in message
    assert "unexpected: head.weight [2, 2]" in message
    assert "conv.bias: the file has shape [7], the network [4]" in message


def test_a_refused_file_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = weights()
    del state["norm.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError):
        load_into(module, read_state(tmp_path / "w.pth"))
    assert same(module.state_dict(), before)


def test_old_files_without_batch_counters_and_half_precision_are_loaded(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in weights().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "w.pth")
    module = network()
    load_into(module, read_state(tmp_path / "w.pth"))
    loaded = module.state_dict()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in state.items())
    assert loaded["conv.weight"].dtype == torch.float32
