"""Faults of images and plans are named before the run, and usual plans are left in peace."""

import pytest
from PIL import Image, ImageOps

from flows import preflight
from flows.audit_job import AuditJob
from flows.preflight import capacity
from flows.preflight.epsilon import epsilon_scale
from flows.preflight.geometry import resize_and_crop
from flows.preflight.sample import Inspected, inspect
from flows.subject_images import open_splits
from tests.flows.preflight.conftest import Alter, Plan, codes


def attack(norm: str, epsilon: str) -> str:
    return f"universal:\n  - {{attack: sgd_uap, threat: {{norm: {norm}, epsilon: {epsilon}}}}}\n"


def without_networks(job: AuditJob) -> Inspected:
    return Inspected(job, open_splits(job), ())


@pytest.mark.parametrize(
    ("norm", "epsilon", "found"),
    [
        ("linf", "8/255", []),
        ("linf", "0.5/255", [("epsilon-below-a-level", "error")]),
        ("linf", "0.0001", [("epsilon-below-a-level", "error")]),
        ("linf", "0.031", [("epsilon-part-level", "warning")]),
        ("linf", "0.8", [("epsilon-large", "warning")]),
        ("l2", "0.5", []),
        ("l2", "0.001", [("epsilon-below-a-level", "error")]),
        ("l2", "8", [("epsilon-large", "warning")]),
        ("patch", "0.05", []),
        ("patch", "0.001", [("epsilon-below-a-level", "error")]),
    ],
)
def test_an_epsilon_out_of_scale_is_named(
    norm: str, epsilon: str, found: list[tuple[str, str]], make_job: Plan
) -> None:
    notices = list(epsilon_scale(without_networks(make_job(rest=attack(norm, epsilon)))))
    assert [(notice.code, notice.severity) for notice in notices] == found
    assert all(notice.seen.startswith("universal[0].threat: ") for notice in notices)


def test_a_part_of_a_level_is_told_with_what_is_judged_and_what_was_probably_meant(make_job: Plan) -> None:
    (notice,) = epsilon_scale(without_networks(make_job(rest=attack("linf", "0.031"))))
    assert "what is judged is 7/255" in notice.seen
    assert "write 8/255" in notice.change


def test_every_section_with_a_threat_is_looked_at(make_job: Plan) -> None:
    threat = "threat: {norm: linf, epsilon: 0.001}"
    rest = (
        f"universal:\n  - {{attack: sgd_uap, {threat}}}\n"
        f"robust:\n  - {{attack: pgd, {threat}, images: 4}}\n"
        f"targeted:\n  - {{{threat}, images: 4}}\n"
        f"replay:\n  - {{{threat}, files: [{{name: one, path: one.npy}}]}}\n"
    )
    seen = [notice.seen.partition(".")[0] for notice in epsilon_scale(without_networks(make_job(rest=rest)))]
    assert sorted(seen) == ["replay[0]", "robust[0]", "targeted[0]", "universal[0]"]


def darkened(picture: Image.Image) -> Image.Image:
    """As a picture saved from floating point without the factor of 255."""
    return picture.point(lambda level: level / 255)


def test_pictures_that_are_nearly_black_stop_the_run(make_job: Plan, altered: Alter) -> None:
    found = codes(make_job(folder=altered(darkened)), "error")
    assert found[0] == "image-range"
    assert "near-chance" not in found


def test_blank_pictures_are_a_warning(make_job: Plan, altered: Alter) -> None:
    shades = iter(range(1000))

    def change(picture: Image.Image) -> Image.Image:
        number = next(shades)
        return Image.new("RGB", (16, 16), (number % 256, number // 2, 0)) if number % 8 == 0 else picture

    assert "blank-images" in codes(make_job(folder=altered(change)), "warning")


def test_a_picture_saved_again_is_a_leak_and_different_pictures_are_none(make_job: Plan, altered: Alter) -> None:
    folder = altered(lambda picture: picture)
    for path in sorted((folder / "images").rglob("*.png")):
        again = ImageOps.mirror(Image.open(path)).point(lambda level: min(255, level + 2))
        again.save(path.with_name(f"again-{path.name}"))
    notices = [notice for notice in preflight.notices(make_job(folder=folder)) if notice.code == "leak"]
    assert [notice.severity for notice in notices] == ["warning", "warning"]
    assert "again-" in notices[0].seen
    assert codes(make_job()) == []


def test_one_picture_under_two_labels_is_a_warning(make_job: Plan, altered: Alter) -> None:
    folder = altered(lambda picture: picture)
    original = next((folder / "images" / "texture 0").iterdir())
    (folder / "images" / "texture 1" / "same.png").write_bytes(original.read_bytes())
    (notice,) = (n for n in preflight.notices(make_job(folder=folder)) if n.code == "contradicting-labels")
    assert "texture 0 and texture 1" in notice.seen


def test_a_network_that_knows_a_smaller_resolution_is_named(make_job: Plan) -> None:
    (error,) = (n for n in preflight.notices(make_job("corner", size=56)) if n.severity == "error")
    assert error.code == "other-resolution"
    assert "28x28" in error.seen
    assert codes(make_job("corner", size=28)) == []


def test_a_network_that_knows_the_middle_of_the_picture_is_named(make_job: Plan, altered: Alter) -> None:
    folder = altered(lambda picture: ImageOps.expand(picture.resize((48, 48)), border=8, fill=(128, 128, 128)))
    (error,) = (n for n in preflight.notices(make_job(folder=folder)) if n.severity == "error")
    assert error.code == "other-resolution"
    assert "with the middle 75 % of each side" in error.seen


@pytest.mark.parametrize(
    ("fit", "size", "found"),
    [
        ("{method: crop, shorter_side: 256}", 224, []),
        ("{method: squash}", 224, ["other-crop"]),
        ("{method: crop, shorter_side: 224}", 224, ["other-crop"]),
        ("{method: crop, shorter_side: 256}", 200, ["other-crop"]),
    ],
)
def test_a_fit_other_than_that_of_published_weights_is_a_warning(
    fit: str, size: int, found: list[str], make_job: Plan
) -> None:
    job = make_job(size=size)
    net = "  - {name: net, source: torchvision, architecture: resnet18, weights: IMAGENET1K_V1}\n"
    before, _, after = job.source.decode().partition("  - name: net\n")
    text = before.replace("{method: squash}", fit) + net + after[after.index("universal:") :]
    other = AuditJob(text.encode(), job.folder, job.root, job.cache, job.command)
    assert [notice.code for notice in resize_and_crop(without_networks(other))] == found


def test_a_batch_that_does_not_fit_and_a_full_disk_stop_the_run(
    make_job: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspected = inspect(make_job(batch=4096))
    usual = list(capacity.memory_and_disk(inspected))
    assert [(notice.code, notice.severity) for notice in usual] == [("memory", "note")]
    monkeypatch.setattr(capacity, "available_memory", lambda _: 10_000_000)
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda _: _Usage(1000))
    full = list(capacity.memory_and_disk(inspected))
    assert [(notice.code, notice.severity) for notice in full] == [
        ("memory", "error"),
        ("disk-full", "error"),
        ("disk-full", "error"),
    ]


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free
