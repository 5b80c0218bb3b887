"""Installed packages bring attacks, explainers, classifiers and image sets by entry points; every mistake is said."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from attacks import registry
from attacks.threat import Threat
from explainers.registry import explainer
from tests.packages import install
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, ModelError, PlanError, WolfhoundError
from wolfhound.plugins import plugged, plugged_classifier, plugged_images, plugin_names

EXAMPLE = Path(__file__).parents[2] / "docs" / "plugin-example"
MODULE = """
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.loading.finish import finish
from torch import nn

def network(*, cache, classes=2):
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, classes))
    return finish(net, name="theirs", class_names=["a", "b"], preprocessing=Preprocessing(input_size=(4, 4)),
                  architecture="one layer", provenance="made up")

def number(*, cache):
    return 3

def failing(*, cache):
    raise KeyError("lost")

class Plain:
    name = "plain"
    def explain(self, classifier, pixels, targets=None, *, layer=None):
        return None

class Odd:
    def __init__(self, needed):
        pass
"""
POINTS = {
    "wolfhound.classifiers": {"net": "network", "number": "number", "failing": "failing", "absent": "absent"},
    "wolfhound.images": {"number": "number", "failing": "failing"},
    "wolfhound.explainers": {"plain": "Plain", "odd": "Odd", "number": "number"},
    "wolfhound.attacks": {"number": "number", "plain": "Plain"},
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(tmp_path, "theirs", POINTS, MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the documented example from a copy, offline, into a folder of its own."""
    source, target = tmp_path_factory.mktemp("source") / "example", tmp_path_factory.mktemp("installed")
    shutil.copytree(EXAMPLE, source)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    done = subprocess.run(
        [*command, "--no-build-isolation", "--target", target, source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_the_documented_example_is_installed_found_and_attacks(
    example: Path, monkeypatch: pytest.MonkeyPatch, linear_classifier: Classifier
) -> None:
    monkeypatch.syspath_prepend(example)
    assert "darken" in plugin_names("wolfhound.attacks")
    attack = registry.make_image("plugin:darken", {"share": 0.5}, targeted=False)
    pixels = torch.full((2, 3, 8, 8), 0.6, dtype=torch.float64)
    labels = torch.zeros(2, dtype=torch.int64)
    found = attack.propose(linear_classifier, pixels, labels, Threat("linf", 0.2), seeds=labels)
    torch.testing.assert_close(found.pixels, pixels - 0.1)
    with pytest.raises(PlanError, match=r"no option 'amount'.*|share=1\.0"):
        registry.make_image("plugin:darken", {"amount": 1})
    with pytest.raises(PlanError, match="expected a universal attack"):
        registry.make_universal("plugin:darken", {})
    with pytest.raises(PlanError, match="expected an attack that can reach a class"):
        registry.make_image("plugin:darken", {}, targeted=True)


@pytest.mark.usefixtures("package")
def test_a_classifier_comes_under_the_plans_name_and_after_the_common_check(tmp_path: Path) -> None:
    assert plugged_classifier("net", {}, cache=tmp_path, called="mine").name == "mine"
    with pytest.raises(ModelError, match="3 scores but 2 class names"):
        plugged_classifier("net", {"classes": 3}, cache=tmp_path, called="mine")


@pytest.mark.usefixtures("package")
def test_an_explainer_comes_by_its_name() -> None:
    assert explainer("plugin:plain").name == "plain"


def classifier(name: str, **options: int) -> Callable[[], object]:
    return lambda: plugged_classifier(name, options, cache=Path(), called="mine")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("ask", "kind", "reason"),
    [
        (
            classifier("nobody"),
            PlanError,
            "expected an installed plug-in called nobody .*there is: absent, failing, net",
        ),
        (classifier("absent"), PlanError, r"absent \(theirs:absent of theirs 1.0\) cannot be loaded: AttributeError"),
        (classifier("net", colour=1), PlanError, "does not take these options: got an unexpected keyword .*'colour'"),
        (classifier("number"), ModelError, "to return a wolfhound Classifier, got int"),
        (classifier("failing"), ModelError, "fails: KeyError: 'lost'"),
        (lambda: plugged_images("number", {}, cache=Path()), DataError, "to return a wolfhound ImageSet, got int"),
        (lambda: plugged_images("failing", {}, cache=Path()), DataError, "fails: KeyError"),
        (lambda: explainer("plugin:odd"), PlanError, "cannot be made: TypeError"),
        (lambda: explainer("plugin:number"), PlanError, "to implement the protocol"),
        (lambda: registry.make("plugin:plain", {}), PlanError, "a dataclass with the method"),
        (lambda: registry.make("plugin:number", {}), PlanError, "a dataclass with the method"),
    ],
)
def test_mistakes_of_plug_ins_are_said(ask: Callable[[], object], kind: type[WolfhoundError], reason: str) -> None:
    with pytest.raises(kind, match=reason):
        ask()


def test_two_packages_that_offer_one_name_are_refused(package: Path) -> None:
    install(package, "others", {"wolfhound.classifiers": {"net": "network"}}, MODULE)
    with pytest.raises(PlanError, match=r"got 2: net \(others:network of others 1.0\), net \(theirs:network"):
        plugged("wolfhound.classifiers", "net")
