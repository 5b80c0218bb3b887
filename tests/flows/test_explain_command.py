"""`wolfhound explain` as a user runs it, on a network of the user's own that sees nothing but red."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from explainers.base import Targets
from explainers.layers import default_layer
from explainers.registry import EXPLAINERS, explainer
from flows.cli import main
from flows.explain_choice import chosen_classes, chosen_methods, class_index, class_rows, slot_targets
from flows.explain_files import summary_lines
from flows.explain_model import ModelRequest, load_photographs, open_model
from flows.explaining import explain_photographs, scores
from wolfhound.errors import DataError, ModelError, PlanError
from wolfhound.progress import silent

MODEL = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self, gain=1.0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(gain * 0.4 * torch.randn(parameter.shape, generator=generator))

    def forward(self, pixels):
        return self.head(self.second(self.first(pixels).relu()).relu().mean(dim=(2, 3)))
"""
FACTORY = ("--mean", "0,0,0", "--std", "1,1,1", "--size", "32", "--class-names", "names.txt")
NAMES = ("timber wolf", "Siberian husky", "cat")


def wolfhound(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", "explain", *arguments, "--cache", "cache", "--quiet"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that runs the command in this process, and gives exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("MPLCONFIGDIR", str(folder / "cache"))
        monkeypatch.setattr(sys, "argv", ["wolfhound", "explain", *arguments, "--cache", "cache", "--quiet"])
        with pytest.raises(SystemExit) as left:
            main()
        return (left.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explain")
    (made / "model.py").write_text(MODEL)
    (made / "names.txt").write_text("\n".join(NAMES) + "\n")
    rng = np.random.default_rng(0)
    for name, size in (("one.png", (40, 50)), ("two.png", (64, 36))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(made / name)
    return made


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    wanted = ("-m", "gradcam,layercam", "-c", "top-1", "-c", "cat", "-l", "second", "-o", "out", "--format", "both")
    return wolfhound("model.py:Network", "one.png", "two.png", *FACTORY, *wanted, cwd=folder)


@pytest.fixture(scope="module")
def opened(folder: Path):
    request = ModelRequest(
        f"{folder / 'model.py'}:Network", None, str(folder / "names.txt"), (0, 0, 0), (1, 1, 1), 32
    )  # fmt: skip
    return open_model(request, cache=folder, progress=silent)


def test_it_says_prediction_class_layer_and_verdict(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for said in ("one.png: ", "two.png: ", "explained: cat (class 2, ", "checked on 2 of 2 photographs"):
        assert said in done.stdout
    for method in ("Grad-CAM", "LayerCAM"):
        assert f"{method}, layer second: randomisation check: " in done.stdout
    for name in ("one.png", "one.svg", "two.png", "two.svg", "maps.safetensors", "explanation.json"):
        assert (folder / "out" / name).is_file()


def test_raw_maps_and_probabilities_are_the_explainers_own(
    folder: Path, done: subprocess.CompletedProcess[str], opened
) -> None:
    del done
    document = json.loads((folder / "out" / "explanation.json").read_text())
    tensors = load_file(folder / "out" / "maps.safetensors")
    pixels = load_photographs([folder / "one.png", folder / "two.png"], opened)
    assert pixels.shape == (2, 3, 32, 32)
    with torch.no_grad():
        shares = opened.classifier.logits(pixels).softmax(dim=1)
    keys = set()
    for image, entry in enumerate(document["images"]):
        assert entry["top"][0]["index"] == int(shares[image].argmax())
        for explained in entry["explained"]:
            assert explained["probability"] == pytest.approx(float(shares[image, explained["index"]]), abs=1e-5)
            for made in explained["maps"]:
                targets = Targets.of(explained["index"], count=1)
                expected = explainer(made["method"]).explain(
                    opened.classifier, pixels[image : image + 1], targets, layer="second"
                )
                torch.testing.assert_close(tensors[made["key"]], expected.raw[0], rtol=1e-4, atol=1e-7)
                assert made["highest"] == pytest.approx(float(expected.raw.max()), rel=1e-4)
                keys.add(made["key"])
    assert keys == set(tensors)
    assert [check["method"] for check in document["checks"]] == ["gradcam", "layercam"]
    assert all(check["passed"] in (True, False) for check in document["checks"])


def test_a_second_run_writes_the_same_bytes(folder: Path, here) -> None:
    """A photograph alone is compared with its mirror images."""
    outputs = []
    for output in ("first", "again"):
        code, said, errors = here("model.py:Network", "one.png", *FACTORY, "-o", output)
        assert code == 0, errors
        assert "the photograph and its three mirror images" in said
        outputs.append({path.name: path.read_bytes() for path in (folder / output).iterdir()})
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-m", "grad-cam"), "there is no method 'grad-cam' (did you mean 'gradcam'"),
        (("-c", "timberwolf"), "there is no class 'timberwolf' (did you mean 'timber wolf'"),
        (("-l", "secnd"), "'secnd' (close: second"),
        (("-c", "cat", "--against", "cat"), "got class 2 on both sides"),
    ],
)
def test_bad_usage_is_2_with_the_nearest_name_and_writes_nothing(
    folder: Path, here, arguments: tuple[str, ...], said: str
) -> None:
    code, _, errors = here("model.py:Network", "one.png", *FACTORY, *arguments, "-o", "none")
    assert code == 2
    assert said in errors
    assert not (folder / "none").exists()


def test_a_network_that_fails_on_the_way_is_4(folder: Path, here) -> None:
    (folder / "fragile.py").write_text(
        MODEL + "\n\nclass Fragile(Network):\n    def forward(self, pixels):\n"
        "        if pixels.shape[0] == 1:\n            raise RuntimeError('no single images')\n"
        "        return super().forward(pixels)\n"
    )
    code, _, errors = here("fragile.py:Fragile", "one.png", *FACTORY, "-l", "second", "-o", "none")
    assert code == 4
    assert "broke off: RuntimeError: no single images" in errors


@pytest.mark.parametrize("method", [name for name in EXPLAINERS if name not in ("cam", "rise", "lime")])
def test_every_method_gives_maps_in_its_place_and_an_unchecked_figure_says_so(folder: Path, opened, method) -> None:
    """CAM cannot explain this network, and RISE and LIME ask it thousands of times."""
    files = [folder / "one.png", folder / "two.png"]
    pixels = load_photographs(files, opened)
    logits = scores(opened.classifier, pixels)
    classes = [[1, 0], [0]]
    found = explain_photographs(
        opened.classifier, files, pixels, logits, classes, methods=[method], check=False, progress=silent
    )
    layer = "" if method in PIXELS else opened_layer(opened)
    expected = explainer(method).explain(opened.classifier, pixels, Targets.of([1, 0]))
    (maps,) = found.maps[0].values()
    assert maps.layer == expected.layer == layer
    torch.testing.assert_close(maps.raw, expected.raw, rtol=1e-3, atol=1e-6)
    assert any("Randomisation check not run" in line for line in summary_lines(found))


PIXELS = ("occlusion", "saliency", "smoothgrad", "integrated-gradients", "guided-backpropagation", "deconvnet")


def opened_layer(opened) -> str:
    return default_layer(opened.classifier)


def test_classes_are_found_by_name_index_and_rank() -> None:
    assert class_index("Timber_Wolf", NAMES) == 0
    assert class_index("2", NAMES) == 2
    assert class_index("2", ("a", "2", "b")) == 1
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 0.0, 1.0]])
    assert class_rows(chosen_classes(["predicted"], NAMES), logits) == [[1], [0]]
    assert class_rows(chosen_classes(["cat", "top-2"], NAMES), logits) == [[2, 1], [2, 0]]
    assert class_rows(chosen_classes(["timber wolf", "predicted"], NAMES), logits) == [[0, 1], [0]]


def test_classes_that_are_not_there_are_all_named() -> None:
    with pytest.raises(PlanError, match=r"3 classes are not there:\n.*woolf.*timber wolf.*\n.*below 3.*\n.*top-3"):
        chosen_classes(["woolf", "7", "top-9"], NAMES)
    with pytest.raises(PlanError, match=r"2 classes are called 'crane': say which by its index \(1, 3\)"):
        class_index("crane", ("a", "crane", "b", "crane"))


def test_the_family_stands_for_every_method_of_one_pass_and_nothing_twice() -> None:
    family = chosen_methods(["cam-family"])
    assert {"gradcam", "hirescam", "layercam", "eigencam"} <= set(family)
    assert chosen_methods(["gradcam", "cam-family"]) == family
    with pytest.raises(PlanError, match="out of cam-family, cam, gradcam"):
        chosen_methods([])


def test_an_image_with_fewer_classes_repeats_its_last_one() -> None:
    targets = slot_targets([[0, 1], [2]], 1, against=None)
    assert targets.classes.tolist() == [1, 2]
    assert slot_targets([[0], [2]], 0, against=1).against.tolist() == [1, 1]


def test_every_photograph_that_cannot_be_read_is_named(folder: Path, opened) -> None:
    (folder / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"2 photograph\(s\) cannot be read:\n.*none.png.*\n.*broken.png.*decoded"):
        load_photographs([folder / "none.png", folder / "one.png", folder / "broken.png"], opened)


def test_a_factory_must_come_with_its_preprocessing_and_a_plan_with_nothing(folder: Path) -> None:
    with pytest.raises(ModelError, match="expected --mean, --std and --class-names"):
        open_model(ModelRequest("model.py:Network"), cache=folder, progress=silent)
    with pytest.raises(PlanError, match="the plan states weights; change it there"):
        open_model(ModelRequest("plan.yaml#mine", "w.pth"), cache=folder, progress=silent)


def test_a_classifier_of_a_plan_comes_with_the_plans_size_and_classes(folder: Path) -> None:
    for name in ("0_wolf", "1_husky"):
        (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        for index in range(3):
            pixels = np.random.default_rng([index, len(name)]).integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{index}.png")
    (folder / "model2.py").write_text(MODEL.replace("nn.Linear(8, 3)", "nn.Linear(8, 2)"))
    (folder / "plan.yaml").write_text("""\
wolfhound: 1
name: own
purpose: a test
images: {source: folder, path: photos, size: 24, fit: {method: squash}}
splits: {craft: 2, select: 2, report: 2}
classifiers:
  - {name: mine, source: factory, file: model2.py, callable: Network,
     preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}}
""")
    made = open_model(ModelRequest(f"{folder / 'plan.yaml'}#mine"), cache=folder / "cache", progress=silent)
    assert made.classifier.class_names == ("0_wolf", "1_husky")
    assert (made.size, made.fit.method) == ((24, 24), "squash")
    with pytest.raises(PlanError, match="out of mine, got 'other'"):
        open_model(ModelRequest(f"{folder / 'plan.yaml'}#other"), cache=folder, progress=silent)
