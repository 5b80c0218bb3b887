"""A plan is drafted for a network behind every door, through the door that its file, name or address stands for."""

from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from flows.audit import prepare, run_audit
from flows.audit_job import AuditJob
from flows.doctor import inspect_plan
from tests.extras import needed
from tests.flows.drafting import draft, refusal
from tests.flows.drafting import project as project
from tests.flows.drafting import trained_state as trained_state
from tests.flows.drafting import workshop as workshop
from tests.packages import importable
from tests.wolfhound.endpoint_server import Server, serving
from wolfhound.plan_classifiers import Subject
from wolfhound.plan_reading import read_plan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

STATED = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")


def network(project: Path, name: str = "sound") -> nn.Module:
    """Return the workshop's trained network, made by one of its functions."""
    loader = SourceFileLoader("wolfhound_drafted", str(project / "nets.py"))
    module = module_from_spec(spec_from_loader(loader.name, loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    made: nn.Module = getattr(module, name)().eval()
    return made


def doctored(project: Path) -> list[str]:
    """Return what the doctor says of the drafted plan, which nothing may stop."""
    said: list[str] = []
    cache = project / "cache"
    assert inspect_plan(project / "audit.yaml", output=None, cache=cache, default_cache=cache, say=said.append), said
    return said


def only(project: Path) -> Subject:
    (section,) = read_plan(project / "audit.yaml").plan.classifiers
    return section


def test_a_torchscript_file_is_told_from_a_state_dict_by_what_it_holds(project: Path) -> None:
    torch.jit.save(torch.jit.trace(network(project), torch.rand(2, 3, 16, 16)), "scripted.pt")  # type: ignore[no-untyped-call]
    draft("--images", "images", "--model", "scripted.pt", "--yes")
    assert only(project).source == "torchscript"
    doctored(project)


def test_weights_alone_are_refused_with_the_flags_that_open_them(project: Path) -> None:
    torch.save(network(project).state_dict(), "state.pt")
    said = refusal("--images", "images", "--model", "state.pt")
    assert "holds weights alone (say --weights state.pt, and with --model what they belong to" in said
    (project / "build.py").write_text(
        "from torch import nn\nimport torch\n\ndef build():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(768, 4))\n"
    )
    made = nn.Sequential(nn.Flatten(), nn.Linear(768, 4))
    torch.save(made.state_dict(), "linear.pth")
    draft("--images", "images", "--model", "build.py:build", "--weights", "linear.pth", "--yes", *STATED)
    section = only(project)
    assert section.source == "factory"
    assert section.weights == project / "linear.pth"


def test_a_function_is_called_with_the_arguments_that_are_given(project: Path) -> None:
    (project / "build.py").write_text(
        "from torch import nn\nimport torch\n\ndef build(classes, name):\n    torch.manual_seed(0)\n"
        "    assert name == 'a net'\n    return nn.Sequential(nn.Flatten(), nn.Linear(768, classes))\n"
    )
    given = ("--images", "images", "--model", "build.py:build", *STATED)
    assert "missing 2 required positional arguments" in refusal(*given)
    assert "expected --argument KEY=VALUE" in refusal(*given, "--argument", "classes")
    draft(*given, "--argument", "classes=4", "--argument", "name=a net", "--yes")
    section = only(project)
    assert section.source == "factory"
    assert section.arguments == {"classes": 4, "name": "a net"}


def test_an_exported_program_says_its_own_size(project: Path) -> None:
    program = torch.export.export(network(project), (torch.rand(1, 3, 16, 16),))
    torch.export.save(program, "net.pt2")
    draft("--images", "images", "--model", "net.pt2", "--yes")
    assert only(project).source == "exported"
    images = read_plan(project / "audit.yaml").plan.images
    assert images.source == "folder"
    assert images.size == 16
    doctored(project)


def test_a_module_of_an_installed_package_is_a_factory_too(project: Path) -> None:
    (project / "zoo_of_drafts.py").write_text("import nets\n\ndef make():\n    return nets.sound()\n")
    with importable(project, "zoo_of_drafts", "nets"):
        draft("--images", "images", "--model", "zoo_of_drafts:make", "--yes", *STATED)
    section = only(project)
    assert section.source == "factory"
    assert (section.module, section.callable) == ("zoo_of_drafts", "make")


class NetworkServer(Server):
    """Answers as the workshop's network, by logits or by probabilities."""

    network: nn.Module

    def scores(self, pixels: Any) -> Any:
        with torch.no_grad():
            logits = self.network(torch.tensor(np.asarray(pixels), dtype=torch.float32))
        return (logits.softmax(1) if self.softmax else logits).numpy()


@pytest.fixture
def server(project: Path) -> Iterator[NetworkServer]:
    shape = {"name": "pixels", "datatype": "FP32", "shape": [-1, 3, 16, 16]}
    made = NetworkServer(metadata={"inputs": [shape], "outputs": [{"name": "scores"}]})
    made.network = network(project)
    with serving(made):
        yield made


def test_of_a_server_the_part_of_the_audit_is_drafted_that_needs_no_gradients_and_it_runs(
    project: Path, server: NetworkServer
) -> None:
    server.softmax = True
    said = draft("--images", "images", "--model", f"{server.url}/v2/models/net", "--yes")
    assert "note: the server answers probabilities" in said
    section = only(project)
    assert section.source == "endpoint"
    assert (section.url, section.model, section.scores) == (server.url, "net", "probabilities")
    assert any("robust[0] on net: at most 0 gradients" in line for line in doctored(project))
    source = read_plan(project / "audit.yaml").source
    for long, short in ((b"most_queries: 500", b"most_queries: 5"), (b"images: 50", b"images: 4")):
        assert long in source
        source = source.replace(long, short)
    source = source.replace(b"severities: [1, 3, 5]", b"severities: [1]")
    job = AuditJob(source, project, project / "run", project / "cache", "wolfhound run audit.yaml")
    prepare(job)
    kinds = {finding.kind for finding in run_audit(job).evidence.findings}
    assert {"clean", "robust", "natural"} <= kinds
    assert "universal" not in kinds


def test_a_server_without_the_models_name_is_asked_for_it(project: Path, server: NetworkServer) -> None:
    said = refusal("--images", "images", "--model", server.url)
    assert f"expected --model {server.url}/v2/models/NAME" in said
    draft("--images", "images", "--model", server.url, *STATED, said="\nnet\n")
    assert only(project).source == "endpoint"


def test_a_name_of_torchvisions_that_is_a_file_too_is_refused_until_it_is_said_which(project: Path) -> None:
    (project / "resnet18").mkdir()
    assert "say torchvision:resnet18 or ./resnet18" in refusal("--images", "images", "--model", "resnet18")
    draft("--images", "images", "--model", "torchvision:resnet18", "--yes")
    assert only(project).source == "torchvision"


@pytest.mark.parametrize(
    ("model", "more", "wrong"),
    [
        ("nets.py", [], "say --model nets.py:FUNCTION"),
        ("microsoft/resnet-50", [], "did you mean hf:microsoft/resnet-50?"),
        ("missing.onnx", [], "there is no such file"),
        ("images", [], "expected a folder with config.json"),
        ("broken.pt", [], "holds weights alone"),
        ("http://127.0.0.1:9/v2/models/net", [], "cannot be reached"),
        ("no.such.module:make", [*STATED], "cannot be imported"),
    ],
)
def test_what_is_no_network_is_refused_with_what_to_say(
    model: str, more: list[str], wrong: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    (project / "broken.pt").write_bytes(b"no archive")
    assert wrong in refusal("--images", "images", "--model", model, *more)


@pytest.mark.extras
@pytest.mark.parametrize("dynamo", [False, True])
def test_an_onnx_file_says_its_own_size_and_is_converted(dynamo: bool, project: Path) -> None:
    needed("onnx", "onnxruntime", "onnx2pytorch", *(["onnxscript"] if dynamo else []))
    torch.onnx.export(network(project), (torch.rand(2, 3, 16, 16),), "net.onnx", dynamo=dynamo, verbose=False)
    draft("--images", "images", "--model", "net.onnx", "--yes")
    section = only(project)
    assert section.source == "onnx"
    assert section.execution == "torch"
    doctored(project)


@pytest.mark.extras
def test_an_onnx_file_that_cannot_be_converted_is_a_black_box_and_said_to_be_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx2pytorch = needed("onnx2pytorch", "onnx", "onnxruntime")
    torch.onnx.export(network(project), (torch.rand(2, 3, 16, 16),), "net.onnx", dynamo=False)

    def failing(*_: object, **__: object) -> None:
        raise NotImplementedError("no such operator")

    monkeypatch.setattr(onnx2pytorch, "ConvertModel", failing)
    said = draft("--images", "images", "--model", "net.onnx", "--yes")
    assert "note: audited as a black box, since" in said
    plan = read_plan(project / "audit.yaml").plan
    assert plan.universal == ()
    assert only(project).black_box


@pytest.mark.extras
def test_a_folder_of_transformers_brings_its_own_preprocessing(project: Path) -> None:
    transformers = needed("transformers")
    names = {i: f"texture {i}" for i in range(4)}
    config = transformers.ResNetConfig(
        num_channels=3, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=4,
        id2label=names, label2id={name: i for i, name in names.items()},
    )  # fmt: skip
    transformers.ResNetForImageClassification(config).eval().save_pretrained(project / "hub")
    (project / "hub" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {"shortest_edge": 20}, '
        '"do_center_crop": true, "crop_size": {"height": 16, "width": 16}, "resample": 3}'
    )
    draft("--images", "images", "--model", "hf:hub", "--yes")
    section, images = only(project), read_plan(project / "audit.yaml").plan.images
    assert section.source == "huggingface"
    assert section.folder == project / "hub"
    assert images.source == "folder"
    assert (images.size, images.fit.shorter_side, images.fit.interpolation) == (16, 20, "bicubic")
    (project / "hub" / "preprocessor_config.json").unlink()
    draft("--images", "images", "--model", "hf:hub", "--yes", "bare.yaml", "--size", "16", *STATED)


@pytest.mark.extras
def test_a_network_of_timms_is_prepared_as_timm_evaluates_it(project: Path) -> None:
    timm = needed("timm")
    torch.save(timm.create_model("resnet10t", pretrained=False, num_classes=4).state_dict(), project / "w.pth")
    draft("--images", "images", "--model", "timm:resnet10t", "--weights", "w.pth", "--yes")
    section, images = only(project), read_plan(project / "audit.yaml").plan.images
    assert section.source == "timm"
    assert section.weights == str(project / "w.pth")
    stated = timm.data.resolve_model_data_config(timm.create_model("resnet10t", pretrained=False))
    assert images.source == "folder"
    assert images.size == stated["input_size"][-1]
    assert images.fit.shorter_side == int(images.size / stated["crop_pct"])
    assert images.fit.interpolation == stated["interpolation"]
