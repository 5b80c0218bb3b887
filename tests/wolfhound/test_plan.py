"""Facts about audit plans: what is accepted, and how every fault is named."""

import json
from importlib import resources
from pathlib import Path

import pytest

from wolfhound.errors import PlanError
from wolfhound.plan import AuditPlan, parse_fraction
from wolfhound.plan_reading import parse_plan, read_plan

MINIMAL = """\
wolfhound: 1
name: small
purpose: a test
images: {source: folder, path: photos}
splits: {craft: 1, select: 1, report: 1}
classifiers:
  - {name: net, source: torchvision, architecture: vgg16, weights: nets/vgg16.pth}
"""


def parse(text: str) -> AuditPlan:
    return parse_plan(text.encode(), name="plan.yaml", folder=Path("/audits"))


def faults_of(text: str) -> list[str]:
    with pytest.raises(PlanError) as caught:
        parse(text)
    return str(caught.value).splitlines()[1:]


def test_relative_paths_are_meant_from_the_plans_folder() -> None:
    plan = parse(MINIMAL)
    assert plan.images.path == Path("/audits/photos")  # type: ignore[union-attr]
    assert plan.classifiers[0].weights == "/audits/nets/vgg16.pth"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["images", "labels", "folders", "random", "inpainted"])
def test_a_folder_may_be_called_by_a_word_that_means_something_elsewhere(name: str) -> None:
    assert parse(MINIMAL.replace("photos", name)).images.path == Path("/audits") / name  # type: ignore[union-attr]


def test_what_a_table_calls_its_column_of_paths_is_no_path() -> None:
    columns = "source: csv, path: set.csv, columns: {path: file, mask: file_of_mask}"
    images = parse(MINIMAL.replace("source: folder, path: photos", columns)).images
    assert images.path == Path("/audits/set.csv")  # type: ignore[union-attr]
    assert images.columns.path == "file"  # type: ignore[union-attr]


def test_every_kind_of_section_is_counted_where_there_is_one() -> None:
    """Whatever a plan can hold beside its frame says what is measured, so a new kind cannot be forgotten here."""
    frame = {
        *(
            "wolfhound",
            "name",
            "purpose",
            "organisation",
            "responsible",
            "seed",
            "device",
            "batch_size",
            "mixed_precision",
        ),
        *(
            "preflight",
            "output",
            "cache",
            "compare_with",
            "images",
            "splits",
            "classifiers",
            "criteria",
            "fixed_on",
            "report",
        ),
    }
    kinds = [name for name in AuditPlan.model_fields if name not in frame]
    plan = parse(MINIMAL)
    assert plan.sections == {}
    full = plan.model_copy(
        update={kind: "one" if kind in ("groups", "hypotheses") else ("one", "two") for kind in kinds}
    )
    assert full.sections == {kind: 1 if kind in ("groups", "hypotheses") else 2 for kind in kinds}


def test_a_weights_name_is_not_taken_for_a_path() -> None:
    plan = parse(MINIMAL.replace("nets/vgg16.pth", "IMAGENET1K_V1"))
    assert plan.classifiers[0].weights == "IMAGENET1K_V1"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("10/255", 10 / 255), (" 8 / 255 ", 8 / 255), ("30 %", 0.3), ("12.5%", 0.125), (0.5, 0.5), ("1/0", "1/0")],
)
def test_fractions_are_read_as_people_write_them(written: object, meant: object) -> None:
    assert parse_fraction(written) == meant


def test_every_fault_is_named_at_once_with_its_line() -> None:
    broken = (
        MINIMAL.replace("craft: 1", "craft: 0")
        + "seed: minus one\nfoo: 3\nuniversal:\n  - attack: sgd_uap\n    threat: {epsilon: 8}\n"
    )
    faults = faults_of(broken)
    assert len(faults) == 4
    assert any("line 5, splits.craft" in fault for fault in faults)
    assert any("line 8, seed" in fault for fault in faults)
    assert any("line 9, foo: is no key of a plan" in fault for fault in faults)
    assert any("line 12, universal[0].threat" in fault and "did you mean 8/255?" in fault for fault in faults)


def test_names_that_no_classifier_has_are_faults() -> None:
    faults = faults_of(MINIMAL + "universal:\n  - {attack: sgd_uap, threat: {epsilon: 8/255}, sources: [net, other]}\n")
    assert faults == ["  - line 1, plan: universal[0].sources names 'other', which is none of ['net']"]


def test_a_repeated_key_is_a_fault_because_the_later_one_would_silently_win() -> None:
    with pytest.raises(PlanError, match="the key 'name' is there twice"):
        parse(MINIMAL + "name: again\n")


@pytest.mark.parametrize("bounds", ["", "at_most: 10 %, at_least: 5 %,"])
def test_a_criterion_has_exactly_one_bound(bounds: str) -> None:
    criterion = f"criteria:\n  - {{id: c, text: t, {bounds} rate: clean.accuracy}}\n"
    assert "exactly one of at_most and at_least" in faults_of(MINIMAL + criterion)[0]


def test_demonstration_classifiers_need_the_demonstration_images() -> None:
    text = MINIMAL + "  - {name: demo, source: demonstration, architecture: vgg16}\n"
    assert "demonstration classifiers know only the demonstration images" in faults_of(text)[0]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [", b"just text"])
def test_what_is_no_plan_at_all_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(content)
    with pytest.raises(PlanError):
        read_plan(path)


def test_a_missing_plan_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path / "none.yaml")


def test_the_digest_of_a_plan_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(MINIMAL)
    first = read_plan(path).digest
    path.write_text(MINIMAL + "# a comment changes what was given\n")
    assert read_plan(path).digest != first


@pytest.mark.parametrize("name", ["demonstration", "imagenet-universal", "own-classifier"])
def test_the_plans_that_are_shipped_are_valid(name: str) -> None:
    source = resources.files("plans").joinpath(f"{name}.yaml").read_bytes()
    plan = parse_plan(source, name=name, folder=Path("/audits"))
    assert plan.name == name
    assert plan.criteria


def test_the_schema_names_every_key_of_a_plan() -> None:
    schema = json.loads(json.dumps(AuditPlan.model_json_schema()))
    assert set(schema["properties"]) == set(AuditPlan.model_fields)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("{classifiers: [other]}", "natural[0].classifiers names 'other'"),
        ("{images: 100000}", "natural[0].images asks for 100000 images; the report split has"),
        ("{severities: [3, 1]}", "expected rising severities, each once, got [3, 1]"),
        ("{severities: [6]}", "natural[0].severities[0]"),
        ("{severities: []}", "natural[0].severities"),
        ("{severities: [1, 3], reference: {name: a, errors: {fog: 50 %}}}", "expected all five severities"),
    ],
)
def test_a_natural_section_that_cannot_be_run_is_a_fault(section: str, fault: str) -> None:
    assert fault in "\n".join(faults_of(MINIMAL + f"natural:\n  - {section}\n"))


def test_a_natural_section_tests_every_corruption_on_every_classifier_unless_told_otherwise() -> None:
    (section,) = parse(MINIMAL + "natural:\n  - {}\n").natural
    assert (section.classifiers, section.corruptions, section.severities) == ("all", "all", (1, 2, 3, 4, 5))
    assert section.images is None


def test_a_folder_may_be_called_like_a_word_of_the_plan(tmp_path: Path) -> None:
    text = "images: {source: folder, path: images, class_names: images.txt}"
    plan = f"""\
wolfhound: 1
name: words
purpose: A test.
{text}
splits: {{craft: 1, select: 1, report: 1}}
classifiers:
  - {{name: a, source: torchscript, file: a.pt, class_names: images, preprocessing: {{}}}}
"""
    found = parse_plan(plan.encode(), name="plan", folder=tmp_path)
    assert (found.images.path, found.images.class_names) == (tmp_path / "images", tmp_path / "images.txt")
    assert found.classifiers[0].class_names == "images"
