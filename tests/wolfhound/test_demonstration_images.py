"""The generated image set: repeatable, balanced, masked, with its confounder planted by exact quota."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wolfhound.demonstration import BACKGROUNDS, CLASSES, background_plates, demonstration_images, wolf_husky_images
from wolfhound.demonstration.imagesets import _takes_usual
from wolfhound.demonstration.scenes import SUBJECTS, Streams, draw_picture
from wolfhound.errors import DataError
from wolfhound.images import ImageSet, check_disjoint


def _backgrounds(images: ImageSet, class_name: str) -> Counter[str]:
    assert images.groups is not None
    label = images.class_names.index(class_name)
    return Counter(group for group, own in zip(images.groups, images.labels, strict=True) if own == label)


def test_ten_classes_and_six_backgrounds_with_wolf_husky_snow_and_grass_among_them() -> None:
    assert len(CLASSES) == 10
    assert {"wolf", "husky"} < set(CLASSES)
    assert len(BACKGROUNDS) == 6
    assert {"snow", "grass"} < set(BACKGROUNDS)


def test_the_same_seed_draws_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = demonstration_images(tmp_path / "a", count=30, seed=4)
    second = demonstration_images(tmp_path / "b", count=30, seed=4)
    assert first.pixels.path.read_bytes() == second.pixels.path.read_bytes()
    assert first.fingerprint == second.fingerprint
    assert not set(first.hashes) & set(demonstration_images(tmp_path, count=30, seed=5).hashes)


def test_an_image_depends_on_its_index_and_never_on_the_count(tmp_path: Path) -> None:
    short, long = (demonstration_images(tmp_path, count=count, seed=4) for count in (25, 40))
    assert long.hashes[:25] == short.hashes
    assert short.groups is not None
    assert long.groups is not None
    assert long.groups[:25] == short.groups


def test_every_image_is_different(tmp_path: Path) -> None:
    assert len(set(demonstration_images(tmp_path, count=200, seed=0).hashes)) == 200


def test_classes_are_balanced_and_the_other_eight_take_every_background_equally_often(tmp_path: Path) -> None:
    images = demonstration_images(tmp_path, count=120, seed=2, size=16)
    assert Counter(images.labels.tolist()) == dict.fromkeys(range(10), 12)
    for class_name in set(CLASSES) - {"wolf", "husky"}:
        assert _backgrounds(images, class_name) == dict.fromkeys(BACKGROUNDS, 2)


@pytest.mark.parametrize(("confounding", "usual"), [(0.5, 20), (0.75, 30), (0.95, 38), (1.0, 40)])
def test_the_confounder_holds_as_an_exact_quota(tmp_path: Path, confounding: float, usual: int) -> None:
    pair = wolf_husky_images(tmp_path, count=80, seed=3, size=16, confounding=confounding)
    assert _backgrounds(pair, "wolf") == Counter({"snow": usual, "grass": 40 - usual})
    assert _backgrounds(pair, "husky") == Counter({"grass": usual, "snow": 40 - usual})


def test_the_confounder_of_the_ten_classes_touches_wolf_and_husky_alone(tmp_path: Path) -> None:
    free = demonstration_images(tmp_path, count=60, seed=3, size=16, confounding=0.5)
    bound = demonstration_images(tmp_path, count=60, seed=3, size=16, confounding=1.0)
    assert _backgrounds(bound, "wolf") == {"snow": 6}
    assert _backgrounds(bound, "husky") == {"grass": 6}
    changed = {CLASSES[free.labels[i]] for i in range(60) if free.hashes[i] != bound.hashes[i]}
    assert changed == {"wolf", "husky"}


@given(share=st.floats(0.5, 1.0), count=st.integers(1, 400))
def test_every_prefix_holds_the_quota_to_less_than_one_image(share: float, count: int) -> None:
    usual = sum(_takes_usual(turn, share) for turn in range(count))
    assert abs(usual - share * count) < 1 + 1e-6


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_mask_covers_what_the_object_changes_and_nothing_else(class_name: str) -> None:
    """Two pictures of one object before two backgrounds agree exactly inside the mask and differ outside it."""
    for index in range(6):
        snow, grass = (
            draw_picture(class_name, background, size=64, streams=Streams.of(seed=9, family=7, index=index))
            for background in ("snow", "grass")
        )
        assert np.array_equal(snow.mask, grass.mask)
        inside, outside = snow.mask == 255, snow.mask == 0
        assert 0.04 < inside.mean() < 0.9
        assert np.array_equal(snow.pixels[:, inside], grass.pixels[:, inside])
        assert (snow.pixels[:, outside] != grass.pixels[:, outside]).mean() > 0.6
        edge = ~inside & ~outside
        assert 0.01 < edge.mean() < 0.35, "the edge of the mask is antialiased and thin"


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_object_stays_in_the_picture(class_name: str) -> None:
    """The middle of the object's mask lies well inside, and of an upright object no more than a rim is cut off."""
    for index in range(12):
        mask = draw_picture(class_name, "sand", size=64, streams=Streams.of(seed=1, family=7, index=index)).mask
        rows, columns = np.nonzero(mask)
        assert 0.2 * 64 < columns.mean() < 0.8 * 64
        assert 0.2 * 64 < rows.mean() < 0.9 * 64


def test_each_class_is_drawn_in_several_poses() -> None:
    assert all(len(set(subject.poses)) >= 2 for subject in SUBJECTS.values())


def test_masks_and_pixels_have_the_shapes_that_an_image_set_promises(tmp_path: Path) -> None:
    images = demonstration_images(tmp_path, count=12, seed=1, size=32)
    assert images.load().shape == (12, 3, 32, 32)
    assert images.load_masks().shape == (12, 1, 32, 32)
    assert float(images.load_masks().max()) == 1.0


def test_plates_are_backgrounds_without_an_object(tmp_path: Path) -> None:
    plates = background_plates(tmp_path, per_background=3, seed=1)
    assert plates.class_names == ("snow", "grass")
    assert plates.groups == ("snow", "grass") * 3
    assert plates.labels.tolist() == [0, 1] * 3
    assert not plates.load_masks().any()


def test_snow_is_brighter_and_less_green_than_grass(tmp_path: Path) -> None:
    plates = background_plates(tmp_path, per_background=20, seed=1)
    lower_half = plates.load()[:, :, 32:].mean(dim=(2, 3))
    labels = torch.from_numpy(plates.labels)
    snow, grass = lower_half[labels == 0].mean(dim=0), lower_half[labels == 1].mean(dim=0)
    assert snow.mean() > grass.mean() + 0.15
    assert grass[1] > grass[0]
    assert grass[1] > grass[2] + 0.05
    assert snow[1] - snow[2] < 0.02


def test_the_three_families_share_no_image(tmp_path: Path) -> None:
    check_disjoint(
        ten=demonstration_images(tmp_path, count=40, seed=1),
        pair=wolf_husky_images(tmp_path, count=40, seed=1, confounding=0.5),
        plates=background_plates(tmp_path, per_background=20, seed=1),
    )


def test_a_stored_set_is_reused_without_drawing(tmp_path: Path) -> None:
    first = demonstration_images(tmp_path, count=12, seed=1, size=16)
    written = first.pixels.path.stat().st_mtime_ns
    again = demonstration_images(tmp_path, count=12, seed=1, size=16)
    assert again.pixels.path.stat().st_mtime_ns == written
    assert again.fingerprint == first.fingerprint


@pytest.mark.parametrize("part", ["pixels.u8", "masks.u8", "digests.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_found_and_mended(tmp_path: Path, part: str, damage: str) -> None:
    images = demonstration_images(tmp_path, count=12, seed=1, size=16)
    folder = images.pixels.path.parent
    sound = {path.name: path.read_bytes() for path in folder.iterdir()}
    content = sound[part]
    if damage == "remove":
        (folder / part).unlink()
    else:
        (folder / part).write_bytes(content[:-5] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    mended = demonstration_images(tmp_path, count=12, seed=1, size=16)
    assert mended.fingerprint == images.fingerprint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == sound


def test_drawing_that_breaks_off_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wolfhound.demonstration.imagesets.draw_picture", broken)
    with pytest.raises(KeyboardInterrupt):
        demonstration_images(tmp_path, count=12, seed=1, size=16)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, "at least 1 image"),
        ({"seed": -1}, "seed of at least 0"),
        ({"size": 8}, "size from 16"),
        ({"confounding": 0.4}, "confounding in"),
        ({"confounding": float("nan")}, "confounding in"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, float], message: str) -> None:
    asked: dict[str, float] = {"count": 10, "seed": 1, "size": 64, "confounding": 0.5} | wrong
    with pytest.raises(DataError, match=message):
        demonstration_images(tmp_path, **asked)  # type: ignore[arg-type]


def test_unknown_and_repeated_backgrounds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="moon"):
        background_plates(tmp_path, per_background=2, backgrounds=("snow", "moon"), seed=1)
    with pytest.raises(DataError, match="different backgrounds"):
        background_plates(tmp_path, per_background=2, backgrounds=("snow", "snow"), seed=1)
