"""VGG-F and CaffeNet have the layer shapes, map sizes and parameter counts of their papers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wolfhound.architectures.caffenet import CAFFENET_PREPROCESSING, caffenet
from wolfhound.architectures.folding import fold_batch_norms
from wolfhound.architectures.response_norm import ResponseNorm
from wolfhound.architectures.vgg_f import VGG_F_PREPROCESSING, vgg_f


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return {"vgg_f": vgg_f().eval(), "caffenet": caffenet().eval()}


def _weighted(layer_of: nn.Module, kind: type[nn.Module]) -> dict[str, tuple[int, ...]]:
    named = ((name.rsplit(".", 1)[-1], layer) for name, layer in layer_of.named_modules())
    return {name: tuple(layer.weight.shape) for name, layer in named if isinstance(layer, kind)}


def _map_sizes(network: nn.Module, size: int) -> dict[str, tuple[int, ...]]:
    sizes: dict[str, tuple[int, ...]] = {}

    def record(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: sizes.__setitem__(name, tuple(output.shape[1:]))

    handles = [layer.register_forward_hook(record(name)) for name, layer in network.features.named_children()]  # type: ignore[union-attr, operator]
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, size, size))
    finally:
        for handle in handles:
            handle.remove()
    return sizes


def _parameters_of_layers(layers: list[tuple[int, int, int, int]]) -> int:
    """Closed form: (inputs, outputs, kernel, groups) -> weights and biases."""
    return sum(outputs * (inputs // groups) * kernel**2 + outputs for inputs, outputs, kernel, groups in layers)


HEAD = [(256 * 6 * 6, 4096, 1, 1), (4096, 4096, 1, 1), (4096, 1000, 1, 1)]


def test_vgg_f_has_the_filters_of_table_1(networks: dict[str, nn.Module]) -> None:
    assert _weighted(networks["vgg_f"], nn.Conv2d) == {
        "conv1": (64, 3, 11, 11),
        "conv2": (256, 64, 5, 5),
        "conv3": (256, 256, 3, 3),
        "conv4": (256, 256, 3, 3),
        "conv5": (256, 256, 3, 3),
    }
    assert _weighted(networks["vgg_f"], nn.Linear) == {"fc6": (4096, 9216), "fc7": (4096, 4096), "fc8": (1000, 4096)}


def test_vgg_f_has_the_parameters_that_its_layers_imply(networks: dict[str, nn.Module]) -> None:
    convolutions = [(3, 64, 11, 1), (64, 256, 5, 1), *[(256, 256, 3, 1)] * 3]
    expected = _parameters_of_layers(convolutions + HEAD)
    assert sum(parameter.numel() for parameter in networks["vgg_f"].parameters()) == expected == 60_834_536


def test_vgg_f_maps_shrink_as_in_the_release(networks: dict[str, nn.Module]) -> None:
    sizes = _map_sizes(networks["vgg_f"], 224)
    expected = {"conv1": (64, 54, 54), "pool1": (64, 27, 27), "conv2": (256, 27, 27), "pool2": (256, 13, 13)}
    expected |= {"conv5": (256, 13, 13), "pool5": (256, 6, 6)}
    assert {name: sizes[name] for name in expected} == expected
    assert list(sizes)[:5] == ["conv1", "relu1", "norm1", "pool1", "conv2"], "VGG-F normalises before it pools"


def test_caffenet_has_the_filters_of_the_bvlc_definition(networks: dict[str, nn.Module]) -> None:
    assert _weighted(networks["caffenet"], nn.Conv2d) == {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
    }
    groups = {name: layer.groups for name, layer in networks["caffenet"].features.named_children() if "conv" in name}  # type: ignore[union-attr, operator]
    assert groups == {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}


def test_caffenet_has_60_965_224_parameters(networks: dict[str, nn.Module]) -> None:
    convolutions = [(3, 96, 11, 1), (96, 256, 5, 2), (256, 384, 3, 1), (384, 384, 3, 2), (384, 256, 3, 2)]
    expected = _parameters_of_layers(convolutions + HEAD)
    assert sum(parameter.numel() for parameter in networks["caffenet"].parameters()) == expected == 60_965_224


def test_caffenet_pools_before_it_normalises_and_its_maps_shrink_as_in_caffe(networks: dict[str, nn.Module]) -> None:
    sizes = _map_sizes(networks["caffenet"], 227)
    expected = {"conv1": (96, 55, 55), "pool1": (96, 27, 27), "norm1": (96, 27, 27), "pool2": (256, 13, 13)}
    expected |= {"conv5": (256, 13, 13), "pool5": (256, 6, 6)}
    assert {name: sizes[name] for name in expected} == expected
    assert list(sizes)[:5] == ["conv1", "relu1", "pool1", "norm1", "conv2"]


@pytest.mark.parametrize("build", [vgg_f, caffenet])
def test_another_number_of_classes_changes_the_last_layer_alone(build: Callable[[int], nn.Module]) -> None:
    assert _weighted(build(7), nn.Linear) == {"fc6": (4096, 9216), "fc7": (4096, 4096), "fc8": (7, 4096)}


def test_preprocessing_keeps_the_published_scale_of_0_to_255() -> None:
    grey = torch.full((1, 3, 227, 227), 0.5)
    normalised = CAFFENET_PREPROCESSING.apply(grey)[0, :, 0, 0]
    assert torch.allclose(normalised, 127.5 - torch.tensor([122.67892, 116.66877, 104.00699]), atol=1e-3)
    normalised = VGG_F_PREPROCESSING.apply(grey[..., :224, :224])[0, :, 0, 0]
    assert torch.allclose(normalised, 127.5 - torch.tensor([123.68, 116.779, 103.939]), atol=1e-3)


def _response_norm_in_words(features: Tensor, *, size: int, alpha: float, k: float) -> Tensor:
    """Krizhevsky et al. 2012, section 3.3, channel by channel, alpha divided by the number of channels as in Caffe."""
    channels = features.shape[1]
    normalised = torch.empty_like(features)
    for channel in range(channels):
        first, last = max(0, channel - size // 2), min(channels - 1, channel + size // 2)
        energy = sum((features[:, other] ** 2 for other in range(first, last + 1)), torch.zeros(()))
        normalised[:, channel] = features[:, channel] / (k + alpha / size * energy) ** 0.75
    return normalised


@pytest.mark.parametrize(("alpha", "k"), [(5e-4, 2.0), (1e-4, 1.0), (0.7, 1.0)])
def test_response_norm_is_the_formula_and_what_pytorch_computes(alpha: float, k: float) -> None:
    features = 40 * torch.randn(2, 9, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    normalised = ResponseNorm(9, alpha=alpha, k=k).double()(features)
    assert torch.allclose(normalised, _response_norm_in_words(features, size=5, alpha=alpha, k=k), rtol=1e-12)
    assert torch.allclose(normalised, nn.LocalResponseNorm(5, alpha=alpha, beta=0.75, k=k)(features), rtol=1e-12)


def test_response_norm_brings_nothing_into_the_state_dict(networks: dict[str, nn.Module]) -> None:
    layers = [f"conv{i}" for i in range(1, 6)] + ["fc6", "fc7", "fc8"]
    names = {name.split(".", 1)[1] for name in networks["caffenet"].state_dict()}
    assert names == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_folding_leaves_the_function_as_it_was() -> None:
    generator = torch.Generator().manual_seed(3)
    inner = nn.Sequential(nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), inner, nn.Conv2d(6, 2, 1)).double()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 2, generator=generator)
    images = torch.randn(2, 3, 6, 6, generator=generator, dtype=torch.float64)
    before = network.eval()(images)
    after = fold_batch_norms(network)(images)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert torch.allclose(before, after, rtol=1e-10)
