"""An ONNX file computes what the network did that it was made of: converted to torch, or as a black box."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.extras import needed
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.errors import ModelError
from wolfhound.loading import load_onnx

PREPROCESSING = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), (12, 12))
NAMES = ("cat", "dog", "owl")

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


class Small(nn.Module):
    """Two layers share one bias, which torch's older exporter hands on through an Identity node."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.second, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
        self.second.bias = self.conv.bias
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.second(self.norm(torch.relu(self.conv(images)))))
        kept: Tensor = self.head(self.drop(features.mean((2, 3))))
        return kept


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = Small()
        for _ in range(20):  # moments that are not 0 and 1
            made(torch.rand(4, 3, 12, 12))
        return made.eval()


def written(network: nn.Module, path: Path, *, dynamo: bool = False, fixed: int | None = None) -> Path:
    needed("onnx", "onnxruntime", "onnx2pytorch", *(["onnxscript"] if dynamo else []))
    sample = (torch.rand(fixed or 2, 3, 12, 12),)
    if dynamo:
        shapes: Any = None if fixed else ({0: torch.export.Dim("batch")},)
        torch.onnx.export(network, sample, str(path), dynamo=True, dynamic_shapes=shapes, verbose=False)
    else:
        axes = None if fixed else {"images": {0: "batch"}}
        torch.onnx.export(network, sample, str(path), dynamo=False, input_names=["images"], dynamic_axes=axes)
    return path


def load(path: Path, **options: Any) -> Classifier:
    return load_onnx(path, preprocessing=PREPROCESSING, class_names=NAMES, **options)


def pixels() -> Tensor:
    return torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("fixed", [None, 1, 4])
def test_a_converted_network_has_the_networks_scores_and_gradients(
    dynamo: bool, fixed: int | None, network: nn.Module, tmp_path: Path
) -> None:
    found = load(written(network, tmp_path / "net.onnx", dynamo=dynamo, fixed=fixed))
    assert found.differentiable
    with frozen(found.module), frozen(network):
        at, also = pixels().requires_grad_(), pixels().requires_grad_()
        ours, theirs = found.logits(at), network(PREPROCESSING.apply(also))
        ours[:, 0].sum().backward()
        theirs[:, 0].sum().backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(at.grad, also.grad, rtol=1e-3, atol=1e-6)


def test_onnxruntime_has_its_scores_and_no_gradients(network: nn.Module, tmp_path: Path) -> None:
    path = written(network, tmp_path / "net.onnx")
    found = load(path, execution="onnxruntime")
    assert not found.differentiable
    assert found.weights_digest in found.provenance
    torch.testing.assert_close(found.logits(pixels()), network(PREPROCESSING.apply(pixels())), rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match=r"no gradients \(execution: torch does\)"):
        found.logits(pixels().requires_grad_())


def test_a_conversion_that_computes_something_else_is_refused(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(network, tmp_path / "net.onnx")
    converter = needed("onnx2pytorch")

    class Off(converter.ConvertModel):  # type: ignore[misc]
        def forward(self, images: Tensor) -> Any:
            return super().forward(images) + 0.01

    monkeypatch.setattr(converter, "ConvertModel", Off)
    with pytest.raises(ModelError, match=r"computes other scores than onnxruntime.*execution: onnxruntime"):
        load(path)


def test_a_network_without_a_gradient_is_refused_with_the_way_out(tmp_path: Path) -> None:
    onnx = needed("onnx", "onnxruntime", "onnx2pytorch")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Hardmax", ["flat"], ["scores"]),
    ]
    given = helper.make_tensor_value_info("images", floats, ["batch", 3, 12, 12])
    graph = helper.make_graph(nodes, "g", [given], [helper.make_tensor_value_info("scores", floats, ["batch", 3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match=r"has no gradient; execution: onnxruntime"):
        load(tmp_path / "net.onnx")
    assert load(tmp_path / "net.onnx", execution="onnxruntime").logits(pixels()).sum() == 5


@pytest.mark.parametrize("content", [None, b"", b"no graph at all"])
def test_missing_and_damaged_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    needed("onnx", "onnxruntime", "onnx2pytorch")
    if content is not None:
        (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.onnx"):
        load(tmp_path / "net.onnx")


def test_channels_last_is_refused_with_its_reason(tmp_path: Path) -> None:
    class Last(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((1, 2))

    needed("onnx", "onnxruntime", "onnx2pytorch")
    torch.onnx.export(Last(), (torch.rand(1, 12, 12, 3),), str(tmp_path / "net.onnx"), dynamo=False)
    with pytest.raises(ModelError, match="channels last"):
        load(tmp_path / "net.onnx")
