"""`wolfhound explain` on a real classifier and real photographs of huskies."""

import json
from pathlib import Path

import pytest

from flows.explain_files import write_files
from flows.explain_model import ModelRequest, load_photographs, open_model
from flows.explaining import explain_photographs, scores
from tests.real_subjects import real_subjects
from wolfhound.progress import silent

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory):
    real = real_subjects()
    weights = str(real / "models" / "squeezenet1_1_torchvision.pth")
    opened = open_model(ModelRequest("squeezenet1_1", weights), cache=tmp_path_factory.mktemp("cache"), progress=silent)
    files = sorted((real / "images" / "husky_wolf" / "husky").glob("*.jp*g"))[:4]
    pixels = load_photographs(files, opened)
    logits = scores(opened.classifier, pixels)
    classes = [[int(row.argmax())] for row in logits]
    methods = ("gradcam", "guided-backpropagation")
    return explain_photographs(opened.classifier, files, pixels, logits, classes, methods=methods, progress=silent)


def test_huskies_are_seen_as_dogs_of_the_sledge(explained) -> None:
    names = [explained.classifier.class_names[row[0]] for row in explained.classes]
    assert sum(name in ("Siberian husky", "Eskimo dog", "malamute") for name in names) >= 3


def test_grad_cam_hangs_on_the_weights_and_guided_backpropagation_hardly_does(explained) -> None:
    """As Adebayo et al. 2018 found."""
    kept = {method: check.kept.mean for (method, _), check in explained.checks.items()}
    assert abs(kept["gradcam"]) < 0.3
    assert kept["guided-backpropagation"] > 0.35
    assert explained.checks["gradcam", ""].passed


def test_figures_and_numbers_are_written(explained, tmp_path: Path) -> None:
    written = write_files(explained, tmp_path, formats=("png",))
    assert len(written) == 4 + 2
    document = json.loads((tmp_path / "explanation.json").read_text())
    assert document["checks"][0]["passed"] is True
    assert "no evidence of what the classifier uses" in document["checks"][1]["caution"]
