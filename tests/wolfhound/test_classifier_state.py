"""The digest of a classifier's weights, and the frame in which attacks and explainers work on it."""

import contextlib
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wolfhound.classifier import frozen, state_digest


def random_pixels(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


# --- digest


def state() -> dict[str, Tensor]:
    return {
        "weight": random_pixels(2, 3, 4, 4),
        "bias": torch.tensor([0.5, -0.5], dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "mask": torch.tensor([True, False]),
    }


def test_the_digest_is_the_sha256_of_names_types_shapes_and_bytes() -> None:
    weights = torch.tensor([[1.0, 2.0]])
    literal = hashlib.sha256(b"b|torch.int64|[]|" + np.int64(3).tobytes() + b"w|torch.float32|[1, 2]|")
    literal.update(np.array([1, 2], dtype=np.float32).tobytes())
    assert state_digest({"w": weights, "b": torch.tensor(3)}) == literal.hexdigest()


def test_the_digest_does_not_depend_on_order_layout_strides_or_gradients() -> None:
    expected = state_digest(state())
    changed = dict(reversed(state().items()))
    changed["weight"] = changed["weight"].contiguous(memory_format=torch.channels_last).requires_grad_()
    changed["bias"] = torch.stack([changed["bias"], changed["bias"]], dim=1)[:, 0]
    assert not changed["bias"].is_contiguous()
    assert state_digest(changed) == expected


def test_the_digest_of_an_expanded_tensor_is_that_of_its_copy() -> None:
    expanded = torch.tensor([1.0, 2.0]).expand(3, 2)
    assert state_digest({"w": expanded}) == state_digest({"w": expanded.clone()})


def test_a_pth_and_a_safetensors_file_of_the_same_weights_have_one_digest(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(state(), buffer)
    buffer.seek(0)
    save_file(state(), tmp_path / "weights.safetensors")
    digests = {
        state_digest(torch.load(buffer, weights_only=True)),
        state_digest(load_file(tmp_path / "weights.safetensors")),
    }
    assert digests == {state_digest(state())}


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s | {"count": torch.tensor(8)},
        lambda s: s | {"count": torch.tensor(7, dtype=torch.int32)},
        lambda s: s | {"weight": s["weight"].reshape(2, 3, 2, 8)},
        lambda s: s | {"empty": torch.zeros(0, 4)},
        lambda s: s | {"more": torch.zeros(0)},
        lambda s: {name: tensor for name, tensor in s.items() if name != "empty"},
        lambda s: {("Bias" if name == "bias" else name): tensor for name, tensor in s.items()},
        lambda s: s | {"weight": s["weight"].flip(0)},
        lambda s: s | {"weight": torch.nextafter(s["weight"], torch.tensor(2.0))},
        lambda s: s | {"mask": s["mask"].to(torch.uint8)},
    ],
)
def test_every_change_of_the_weights_changes_the_digest(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    assert state_digest(change(state())) != state_digest(state())


def test_taking_the_digest_changes_nothing() -> None:
    weights = state()
    kept = {name: tensor.clone() for name, tensor in weights.items()}
    state_digest(weights)
    assert all(torch.equal(weights[name], kept[name]) for name in kept)


# --- frozen


class Stubborn(nn.Module):
    """A network that refuses to change its mode."""

    def train(self, mode: bool = True) -> "Stubborn":
        raise RuntimeError(f"no mode {mode}")


def mixed_network() -> nn.Sequential:
    """Some parts in training, some not; some parameters frozen, some not; one parameter in two places."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.Sequential(nn.Conv2d(4, 4, 1)))
    network.train()
    network[1].eval()
    network[3][0].eval()
    network[0].bias.requires_grad_(False)  # type: ignore[union-attr]
    network[3][0].weight = nn.Parameter(network[3][0].weight.detach().clone())
    network.append(network[3][0])
    return network


def modes(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


def flags(module: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in module.parameters()]


def test_inside_every_part_evaluates_and_no_parameter_asks_for_gradients() -> None:
    network = mixed_network()
    with frozen(network) as inside:
        assert inside is network
        assert not any(modes(network))
        assert not any(flags(network))


@pytest.mark.parametrize("leave", ["normally", "exception", "interrupt", "return"])
def test_mixed_modes_and_flags_are_restored_however_it_is_left(leave: str) -> None:
    network = mixed_network()
    before = modes(network), flags(network)
    assert len(set(before[0])) == len(set(before[1])) == 2, "the network starts mixed"

    def work() -> None:
        with frozen(network):
            if leave == "exception":
                raise ZeroDivisionError
            if leave == "interrupt":
                raise KeyboardInterrupt
            if leave == "return":
                return

    with contextlib.suppress(ZeroDivisionError, KeyboardInterrupt):
        work()
    assert (modes(network), flags(network)) == before


def test_what_the_body_changes_is_restored_too() -> None:
    network = mixed_network()
    before = modes(network), flags(network)
    with frozen(network):
        network.train()
        for parameter in network.parameters():
            parameter.requires_grad_(True)
    assert (modes(network), flags(network)) == before


def test_frames_within_frames_restore_step_by_step() -> None:
    network = mixed_network()
    before = modes(network), flags(network)
    with frozen(network):
        with frozen(network):
            pass
        assert not any(modes(network))
        assert not any(flags(network))
    assert (modes(network), flags(network)) == before


def test_a_network_that_refuses_evaluation_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(2, 2), Stubborn(), nn.Dropout())
    with pytest.raises(RuntimeError, match="no mode False"), frozen(network):
        raise AssertionError("not reached")
    assert all(modes(network))
    assert all(flags(network))


def test_inside_batch_statistics_stand_still_and_dropout_is_off() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5)).train()
    pixels = random_pixels(4, 3, 5, 5)
    statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with frozen(network):
        assert torch.equal(network(pixels), network(pixels))
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, statistics[name])


def test_gradients_reach_the_pixels_and_leave_the_parameters_gradients_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten())
    network[0].weight.grad = kept = torch.ones_like(network[0].weight)  # type: ignore[arg-type,assignment]
    pixels = random_pixels(1, 3, 2, 2).requires_grad_()
    with frozen(network):
        network(pixels).sum().backward()
    assert pixels.grad is not None
    assert network[0].weight.grad is kept
    assert torch.equal(kept, torch.ones_like(kept))
    assert network[0].bias.grad is None


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_a_scripted_network_is_frozen_and_restored_too() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    with frozen(scripted):
        assert not any(modes(scripted))
        assert not any(flags(scripted))
    assert all(modes(scripted))
    assert all(flags(scripted))
