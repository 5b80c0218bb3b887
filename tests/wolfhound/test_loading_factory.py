"""A network from a user's Python file is loaded, tried once, and every mistake is said clearly."""

import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.packages import importable
from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.errors import ModelError
from wolfhound.loading import load_factory

SIZE = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (6, 5))
FILE = """
import torch
from dataclasses import dataclass
from torch import nn
from neighbour import WIDTH

@dataclass
class Settings:
    width: int = WIDTH

class Net(nn.Module):
    def __init__(self, classes: int, inputs: int = 90) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(inputs, classes))

    def forward(self, images):
        return self.body(images)

class Pair(Net):
    def forward(self, images):
        return self.body(images), images

class Undefined(Net):
    def forward(self, images):
        return self.body(images) / 0

class Zoo:
    @staticmethod
    def trained():
        net = Net(2)
        for parameter in net.parameters():
            torch.nn.init.constant_(parameter, 0.5)
        return net

def number():
    return 3

def failing():
    raise KeyError("lost")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("WIDTH = 4\n")
    path = tmp_path / "nets.py"
    path.write_text(textwrap.dedent(FILE))
    return path


def weights(file: Path, *, classes: int = 2) -> Path:
    generator = torch.Generator().manual_seed(5)
    state = {
        "body.2.weight": torch.randn(classes, 90, generator=generator),
        "body.2.bias": torch.randn(classes, generator=generator),
    }
    torch.save(state, file.with_name("w.pth"))
    return file.with_name("w.pth")


def load(file: Path, callable_name: str = "Net", **options: Any) -> Classifier:
    options = {"preprocessing": SIZE, "class_names": ("dog", "wolf"), **options}
    return load_factory(file, callable_name, **options)


def test_the_classifier_computes_what_the_network_and_its_weights_say(file: Path) -> None:
    path = weights(file)
    classifier = load(file, arguments={"classes": 2}, weights=path)
    state = torch.load(path, weights_only=True)
    pixels = torch.rand(3, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    wanted = ((pixels - 0.5) / 0.25).flatten(1) @ state["body.2.weight"].T + state["body.2.bias"]
    torch.testing.assert_close(classifier.logits(pixels), wanted)
    assert classifier.weights_digest == state_digest(state)
    assert classifier.name == "Net"
    assert classifier.class_names == ("dog", "wolf")
    assert classifier.architecture.startswith("Net(classes=2) of nets.py, SHA-256 ")
    assert classifier.provenance.startswith("file w.pth, SHA-256 ")
    assert str(file.parent) not in classifier.architecture + classifier.provenance


def test_the_network_is_in_evaluation_mode_and_asks_for_no_weight_gradients(file: Path) -> None:
    module = load(file, arguments={"classes": 2}, weights=weights(file)).module
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_gradients_reach_the_pixels(file: Path) -> None:
    classifier = load(file, arguments={"classes": 2}, weights=weights(file))
    pixels = torch.full((1, 3, 6, 5), 0.5, requires_grad=True)
    classifier.logits(pixels)[0, 1].backward()
    assert pixels.grad is not None
    state = torch.load(weights(file), weights_only=True)
    torch.testing.assert_close(pixels.grad.flatten(), state["body.2.weight"][1] / 0.25)


def test_a_factory_that_brings_its_weights_needs_no_file(file: Path) -> None:
    classifier = load(file, "Zoo.trained", name="zoo")
    assert classifier.name == "zoo"
    assert classifier.provenance == "weights as its factory made them"


def test_a_factory_with_random_weights_is_refused(file: Path) -> None:
    with pytest.raises(ModelError, match="has random weights"):
        load(file, arguments={"classes": 2})


def test_the_callers_randomness_and_import_path_are_left_alone(file: Path) -> None:
    import sys

    before, paths = torch.get_rng_state(), list(sys.path)
    load(file, arguments={"classes": 2}, weights=weights(file))
    assert torch.equal(torch.get_rng_state(), before)
    assert sys.path == paths


def test_an_edited_file_is_read_anew(file: Path) -> None:
    load(file, "Zoo.trained")
    file.write_text(file.read_text().replace("0.5)", "0.7)"))
    assert float(load(file, "Zoo.trained").module.get_parameter("body.2.bias")[0]) == pytest.approx(0.7)


def test_two_folders_with_neighbours_of_one_name_keep_them_apart(tmp_path: Path) -> None:
    import sys

    before = dict(sys.modules)
    biases = []
    for value in (1.0, 2.0):
        folder = tmp_path / f"at{value}"
        (folder / "parts").mkdir(parents=True)
        (folder / "parts" / "__init__.py").write_text("from parts.inner import VALUE\n")
        (folder / "parts" / "inner.py").write_text(f"VALUE = {value}\n")
        (folder / "model.py").write_text(
            "from torch import nn\n"
            "def net():\n"
            "    from parts import VALUE\n"
            "    made = nn.Sequential(nn.Flatten(), nn.Linear(90, 2))\n"
            "    for parameter in made.parameters():\n"
            "        nn.init.constant_(parameter, VALUE)\n"
            "    return made\n"
        )
        biases.append(float(load(folder / "model.py", "net").module.get_parameter("1.bias")[0]))
    assert biases == [1.0, 2.0]
    assert not any(name.split(".")[0] in ("parts", "model") for name in sys.modules)
    assert {name: sys.modules[name] for name in before} == before


@pytest.mark.parametrize(
    ("callable_name", "options", "message"),
    [
        ("Lost", {}, "has no Lost .it has Net, Pair, Settings"),
        ("Zoo.lost", {}, "has no Zoo.lost"),
        ("number", {}, "expected number.. .* to return a torch.nn.Module, got int"),
        ("failing", {}, "failing.. .* fails: KeyError: 'lost'"),
        ("Net", {"arguments": {"klasses": 2}}, "fails: TypeError"),
        ("Zoo.trained", {"class_names": ("a", "b", "c")}, "returns 2 scores but 3 class names were given"),
        ("Zoo.trained", {"preprocessing": Preprocessing(input_size=(9, 9))}, "fails on two images of 9x9"),
        ("WIDTH", {}, "to be callable, got int"),
        ("Zoo.trained", {"weights": Path("gone.pth")}, "no such file"),
    ],
)
def test_each_mistake_is_named(file: Path, callable_name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(file, callable_name, **options)


@pytest.mark.parametrize(
    ("callable_name", "message"),
    [("Pair", "expected one tensor of scores, got tuple"), ("Undefined", "scores that are not finite")],
)
def test_outputs_that_are_no_finite_scores_are_refused(file: Path, callable_name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(file, callable_name, arguments={"classes": 2}, weights=weights(file))


def test_files_that_cannot_be_imported_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is none"):
        load(tmp_path / "gone.py")
    (tmp_path / "bad.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(ModelError, match="cannot be imported: ModuleNotFoundError"):
        load(tmp_path / "bad.py")
    (tmp_path / "bad.py").write_text("def f(:\n")
    with pytest.raises(ModelError, match="cannot be imported: SyntaxError"):
        load(tmp_path / "bad.py")


def test_a_module_type_is_what_the_factory_returns(file: Path) -> None:
    assert isinstance(load(file, "Zoo.trained").module, nn.Module)


def test_a_factory_of_an_installed_package_is_called_as_one_of_a_file(file: Path) -> None:
    options: dict[str, Any] = {"preprocessing": SIZE, "class_names": ("dog", "wolf")}
    with importable(file.parent, "nets"):
        found = load_factory("nets", "Net", arguments={"classes": 2}, weights=weights(file), **options)
        assert found.weights_digest == load(file, arguments={"classes": 2}, weights=weights(file)).weights_digest
        assert found.architecture == "Net(classes=2) of nets"
        with pytest.raises(ModelError, match="has random weights"):
            load_factory("nets", "Net", arguments={"classes": 2}, **options)
        with pytest.raises(ModelError, match=r"nets has no Nest \(it has .*Net"):
            load_factory("nets", "Nest", **options)
    with pytest.raises(ModelError, match=r"the module nowhere\.at\.all cannot be imported"):
        load_factory("nowhere.at.all", "Net", **options)
