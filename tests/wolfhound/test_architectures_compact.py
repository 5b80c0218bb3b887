"""The compact demonstration family keeps what makes each architecture, and says truthfully what it gives up."""

import pytest
import torch
from torch import Tensor, nn

from wolfhound.architectures.compact import COMPACT, compact_architecture, compact_network, grad_cam_layer
from wolfhound.architectures.compact_googlenet import Inception
from wolfhound.architectures.compact_resnet import Bottleneck
from wolfhound.architectures.response_norm import ResponseNorm
from wolfhound.errors import ModelError

SIX = ("vgg_f", "caffenet", "googlenet", "vgg16", "vgg19", "resnet152")


def _layers(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def _filters(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def test_the_family_is_the_six_architectures_of_the_2017_table() -> None:
    assert tuple(COMPACT) == SIX


@pytest.mark.parametrize("architecture", SIX)
def test_logits_have_one_column_a_class(architecture: str) -> None:
    network = compact_network(architecture, num_classes=3).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize("architecture", SIX)
def test_the_grad_cam_layer_is_the_last_spatial_map_that_follows_a_convolution(architecture: str) -> None:
    network = compact_network(architecture, num_classes=10).eval()
    spatial: list[tuple[str, tuple[int, ...]]] = []
    handles = []
    for name, layer in network.named_modules():

        def record(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
            if output.ndim == 4:
                spatial.append((name, tuple(output.shape)))

        handles.append(layer.register_forward_hook(record))
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 64))
    for handle in handles:
        handle.remove()
    shapes = dict(spatial)
    chosen = grad_cam_layer(architecture)
    assert shapes[chosen][-1] >= 4, "a map of fewer than 4x4 cells shows nothing"
    after = [name for name, _ in spatial[[name for name, _ in spatial].index(chosen) + 1 :]]
    assert all(
        isinstance(network.get_submodule(name), nn.AdaptiveAvgPool2d | nn.MaxPool2d) or name == "features"
        for name in after
    )


@pytest.mark.parametrize("architecture", SIX)
def test_no_module_overwrites_what_a_hook_has_seen(architecture: str) -> None:
    network = compact_network(architecture, num_classes=2)
    assert not any(getattr(layer, "inplace", False) for layer in network.modules())


def test_vgg_f_normalises_before_pooling_and_caffenet_after_it() -> None:
    def order(architecture: str) -> list[str]:
        names = [name for name, _ in compact_network(architecture, num_classes=2).named_children()]
        return [name for name in names if name in ("norm1", "pool1", "norm2", "pool2")]

    assert order("vgg_f") == ["norm1", "pool1", "norm2", "pool2"]
    assert order("caffenet") == ["pool1", "norm1", "pool2", "norm2"]
    assert all(len(_layers(compact_network(name, num_classes=2), ResponseNorm)) == 2 for name in ("vgg_f", "caffenet"))


def test_vgg_f_and_caffenet_begin_with_large_filters_and_caffenet_has_its_groups() -> None:
    for architecture in ("vgg_f", "caffenet"):
        filters = _filters(compact_network(architecture, num_classes=2))
        assert [layer.kernel_size[0] for layer in filters] == [7, 5, 3, 3, 3]
    assert [layer.groups for layer in filters] == [1, 2, 1, 2, 2]


def test_googlenet_has_nine_inception_modules() -> None:
    assert len(_layers(compact_network("googlenet", num_classes=2), Inception)) == 9


@pytest.mark.parametrize(("architecture", "depth"), [("vgg16", 13), ("vgg19", 16)])
def test_vgg_has_its_number_of_3x3_convolutions(architecture: str, depth: int) -> None:
    filters = _filters(compact_network(architecture, num_classes=2))
    assert [layer.kernel_size for layer in filters] == [(3, 3)] * depth


def test_resnet152_has_its_blocks_and_151_convolutions() -> None:
    network = compact_network("resnet152", num_classes=2)
    blocks = [len(_layers(network.get_submodule(f"layer{stage}"), Bottleneck)) for stage in (1, 2, 3, 4)]
    assert blocks == [3, 8, 36, 3]
    shortcuts = sum(isinstance(block.shortcut, nn.Sequential) for block in _layers(network, Bottleneck))  # type: ignore[union-attr]
    assert len(_filters(network)) - shortcuts == 151  # with the fully connected layer: 152


@pytest.mark.parametrize("architecture", SIX)
def test_the_description_states_reduced_width_and_size(architecture: str) -> None:
    description = compact_architecture(architecture).description
    assert "family" in description
    assert "width" in description
    assert "64x64" in description


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"expected one of vgg_f, caffenet, .* got 'alexnet'"):
        grad_cam_layer("alexnet")
