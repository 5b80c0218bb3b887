"""A plan is drafted from the network and the images, says what was seen, and runs as it is."""

from pathlib import Path

import pytest
from PIL import Image

from flows.audit import prepare, run_audit
from flows.audit_job import AuditJob
from flows.doctor import inspect_plan
from flows.draft_text import split_sizes
from tests.flows.drafting import draft, invoked, refusal
from tests.flows.drafting import project as project
from tests.flows.drafting import trained_state as trained_state
from tests.flows.drafting import workshop as workshop
from wolfhound.errors import DataError
from wolfhound.plan_reading import read_plan


def test_a_drafted_plan_passes_the_doctor_and_runs_to_its_end(project: Path) -> None:
    said = draft("--images", "images", "--model", "nets.py:sound", "--yes")
    assert "260 images of 4 classes, made 16x16" in said
    lines: list[str] = []
    cache = project / "cache"
    assert inspect_plan(project / "audit.yaml", output=None, cache=cache, default_cache=cache, say=lines.append)
    assert lines[-1].endswith("nothing stops the run")
    assert any("robust[0] on sound: at most" in line for line in lines)
    assert not (project / "runs").exists()
    plan = read_plan(project / "audit.yaml")
    shorter = plan.source.replace(b"severities: [1, 3, 5]\n    images: 140", b"severities: [1]\n    images: 10")
    shorter = shorter.replace(b"images: 140\n    checked: 32", b"images: 4\n    checked: 2")
    assert shorter.count(b"140") == 1
    job = AuditJob(shorter, project, project / "run", project / "cache", "wolfhound run audit.yaml")
    prepare(job)
    result = run_audit(job)
    assert {finding.kind for finding in result.evidence.findings} >= {"clean", "universal", "robust", "natural"}
    assert (project / "run" / "report.pdf").is_file()


def test_the_preprocessing_is_the_one_under_which_the_network_is_right(project: Path) -> None:
    draft("--images", "images", "--model", "nets.py:from_bytes", "--yes", "plan.yaml")
    text = (project / "plan.yaml").read_text()
    assert "mean: [0.0, 0.0, 0.0], std: [0.003921568627, 0.003921568627, 0.003921568627]" in text
    assert "none (pixels in 0..255): 9" in text


def test_questions_are_asked_for_what_no_flag_says(project: Path) -> None:
    said = draft(said="images\nnets.py:sound\n\nDecides about textures.\nof these\n2\n")
    assert "Where are the images" in said
    assert "Which preprocessing? These are as good as one another" in said
    assert "expected a number up to" in said
    assert read_plan(project / "audit.yaml").plan.purpose == "Decides about textures."


def test_preprocessings_that_the_images_do_not_tell_apart_are_not_said_to_be_known(project: Path) -> None:
    said = draft("--images", "images", "--model", "nets.py:sound", "--yes")
    assert "note: preprocessing ImageNet's is a guess: " in said
    assert "(say --mean and --std)" in (project / "audit.yaml").read_text()


def test_a_plan_elsewhere_names_the_same_files(project: Path) -> None:
    arguments = ("--images", "images", "--model", "nets.py:sound", "--mean", "0.5,0.5,0.5", "--std", "1,1,1", "-y")
    draft("plans/one.yaml", *arguments)
    (section,) = read_plan(project / "plans" / "one.yaml").plan.classifiers
    assert section.source == "factory"
    assert section.file.resolve() == (project / "nets.py").resolve()
    assert section.preprocessing.mean == (0.5, 0.5, 0.5)


def test_a_fit_is_that_of_the_weights_that_were_named(project: Path) -> None:
    draft("--images", "images", "--model", "resnet50", "--weights", "IMAGENET1K_V1", "--yes")
    images = read_plan(project / "audit.yaml").plan.images
    assert images.source == "folder"
    assert images.fit.shorter_side == 256, "resnet50's newer weights have 232"


@pytest.mark.parametrize("name", ["2024.yaml", "on.yaml"])
def test_a_plan_may_be_called_what_yaml_takes_for_something_else(name: str, project: Path) -> None:
    draft("--images", "images", "--model", "resnet18", "--yes", name)
    assert read_plan(project / name).plan.name == Path(name).stem


def test_the_size_is_that_of_a_picture_of_a_class_whatever_its_format(project: Path) -> None:
    for number in range(20):
        folder = project / "bitmaps" / f"class {number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.bmp")
    given = ("--model", "nets.py:sound", "--mean", "0,0,0", "--std", "1,1,1", "--yes")
    assert "made 16x16" in draft("--images", "bitmaps", *given)
    (project / "bitmaps" / "class 0" / "0.bmp").write_bytes(b"no picture")
    done = invoked("--images", "bitmaps", *given, "other.yaml")
    assert isinstance(done.exception, DataError)
    assert "0.bmp: expected a picture" in str(done.exception)


def test_imagenets_folders_are_known_by_their_index_for_a_network_of_torchvisions(project: Path) -> None:
    (project / "photographs").mkdir()
    for folder, name in zip(sorted((project / "images").iterdir()), ("0001_goldfish", "0207_retriever"), strict=False):
        (project / "photographs" / name).symlink_to(folder)
    draft("--images", "photographs", "--model", "squeezenet1_1", "--yes")
    plan = read_plan(project / "audit.yaml").plan
    assert plan.images.source == "folder"
    assert (plan.images.labels, plan.images.class_names, plan.images.size) == ("leading_index", "imagenet", 224)
    assert plan.images.fit.shorter_side == 256


@pytest.mark.parametrize(
    ("images", "model", "more", "wrong"),
    [
        (None, "resnet18", [], "expected --images beside --yes"),
        ("nowhere", "resnet18", [], "expected a folder with one folder of images a class"),
        ("images", "nets.py:nothing", [], "nothing"),
        ("images", "no_such_network", [], "expected a classifier of torchvision"),
        ("images", "nets.py:sound", ["--mean", "0.5"], "expected three numbers for --mean"),
        ("images", "nets.py:sound", ["--mean", "1,1,1"], "expected --mean and --std together, got --mean alone"),
        ("images", "nets.py:sound", ["--std", "1,1,1"], "expected --mean and --std together, got --std alone"),
        ("images", "resnet18", ["--mean", "1,1,1", "--std", "1,1,1"], "expected no --mean and --std for resnet18"),
        ("images", "nets.py:sound", ["nets.py"], "expected no file at nets.py yet"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_cannot_be_drafted_is_said_in_one_line(
    images: str | None, model: str, more: list[str], wrong: str
) -> None:
    found = [] if images is None else ["--images", images]
    assert wrong in refusal(*found, "--model", model, *more)


def test_splits_leave_room_for_copies_and_refuse_too_few() -> None:
    assert sum(split_sizes(100).values()) <= 90
    assert split_sizes(10**6) == {"craft": 1000, "select": 200, "report": 1000}
    with pytest.raises(DataError, match="at least 10 images"):
        split_sizes(9)
