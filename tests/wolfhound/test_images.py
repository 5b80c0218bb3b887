"""Image sets: what is read is what was stored, and a split is disjoint, balanced and independent of reading order."""

import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ImageSetFactory
from wolfhound.errors import DataError
from wolfhound.images import ImageSet, PixelFile, Splits, check_disjoint, split


def on_paper(labels: Sequence[int], contents: Sequence[int] | None = None, *, classes: int = 5) -> ImageSet:
    """Return a set whose pixels nobody reads: for what depends on labels and content hashes alone."""
    contents = range(len(labels)) if contents is None else contents
    return ImageSet(
        name="paper",
        pixels=PixelFile(Path("nowhere"), (max(len(labels), 1), 3, 1, 1)),
        rows=np.arange(len(labels), dtype=np.int64),
        labels=np.asarray(labels, dtype=np.int64),
        class_names=tuple(f"class {i}" for i in range(classes)),
        hashes=tuple(f"{content:064x}" for content in contents),
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parts(splits: Splits) -> tuple[ImageSet, ImageSet, ImageSet]:
    return splits.craft, splits.select, splits.report


# --- reading


def test_loaded_pixels_are_the_stored_bytes_over_255(make_images: ImageSetFactory) -> None:
    images = make_images([0, 1, 2, 1], size=(3, 5))
    stored = np.fromfile(images.pixels.path, dtype=np.uint8).reshape(4, 3, 3, 5)
    for position in range(4):
        literal = [[[value / 255 for value in row] for row in channel] for channel in stored[position].tolist()]
        torch.testing.assert_close(images.load([position])[0], torch.tensor(literal), atol=1e-7, rtol=0)
    assert images.load().dtype == torch.float32
    assert 0 <= images.load().min() <= images.load().max() <= 1


@pytest.mark.parametrize("positions", [[2, 0], np.array([3]), slice(1, 3), [], [-1], slice(None), [1, 1]])
def test_pixels_labels_and_masks_are_chosen_by_position_in_the_given_order(
    make_images: ImageSetFactory, positions: list[int] | slice
) -> None:
    images = make_images([0, 1, 2, 1], masks=True)
    everything = images.load()
    assert torch.equal(images.load(positions), everything[positions])
    assert torch.equal(images.load_masks(positions), images.load_masks()[positions])
    assert set(images.load_masks().unique().tolist()) == {0.0, 1.0}
    assert images.load_masks(positions).shape[1:] == (1, 8, 8)


def test_loaded_pixels_are_a_copy_that_can_be_changed(make_images: ImageSetFactory) -> None:
    images = make_images([0, 1])
    before = images.load()
    images.load().zero_()
    assert torch.equal(images.load(), before)
    assert np.fromfile(images.pixels.path, dtype=np.uint8).any()


def test_masks_that_do_not_exist_are_an_error_that_names_the_set(make_images: ImageSetFactory) -> None:
    with pytest.raises(DataError, match="made: this image set has no object masks"):
        make_images([0, 1]).load_masks()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
def test_batches_give_every_image_once_in_order(make_images: ImageSetFactory, size: int) -> None:
    images = make_images([0, 1, 2, 1, 0]).subset([4, 2, 0, 1])
    batches = list(images.batches(size))
    assert np.concatenate([positions for positions, _ in batches]).tolist() == [0, 1, 2, 3]
    assert torch.equal(torch.cat([pixels for _, pixels in batches]), images.load())
    assert all(len(pixels) == len(positions) <= size for positions, pixels in batches)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_that_would_yield_nothing_is_refused(make_images: ImageSetFactory, size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        list(make_images([0]).batches(size))


def test_no_images_make_no_batches(make_images: ImageSetFactory) -> None:
    assert list(make_images([0]).subset([]).batches(4)) == []


READ_ALL = """
import resource, sys
from pathlib import Path
import numpy as np
from wolfhound.images import ImageSet, PixelFile
path, count = Path(sys.argv[1]), int(sys.argv[2])
rows = np.arange(count)
images = ImageSet("large", PixelFile(path, (count, 3, 224, 224)), rows, rows * 0, ("a",), ("",) * count)
images.load([0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = sum(float(pixels[0, 0, 0, 0]) for _, pixels in images.batches(10))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, total)
"""


def test_reading_a_large_set_keeps_little_of_it_in_memory(tmp_path: Path) -> None:
    """600 MB of pixels; a map held open, or a copy of all, would show as 600 MB of resident memory."""
    count, path = 4000, tmp_path / "pixels.raw"
    with path.open("wb") as file:
        file.truncate(count * 3 * 224 * 224)
    command = [sys.executable, "-c", READ_ALL, str(path), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    grown, total = done.stdout.split()
    scale = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    assert int(grown) * scale < 250e6
    assert float(total) == 0


# --- subsets


def test_a_subset_keeps_everything_of_its_images_together(make_images: ImageSetFactory) -> None:
    images = make_images([0, 1, 2, 1], masks=True, groups=["snow", "grass", "snow", "sand"])
    chosen = [3, 0, 2]
    subset = images.subset(chosen, name="some")
    again = subset.subset([2, 1])
    assert again.hashes == (images.hashes[2], images.hashes[0])
    assert again.labels.tolist() == [2, 0]
    assert again.groups == ("snow", "snow")
    assert again.origins == ("0002.png", "0000.png")
    assert again.size == images.size == (8, 8)
    assert torch.equal(again.load(), images.load([2, 0]))
    assert torch.equal(again.load_masks(), images.load_masks([2, 0]))
    assert (subset.name, again.name, len(again)) == ("some", "some", 2)


@pytest.mark.parametrize("positions", [[True, False, True], np.array([True, True, False]), [0.0, 1.0], ["0"]])
def test_positions_that_are_no_integers_are_refused(make_images: ImageSetFactory, positions: list[int]) -> None:
    with pytest.raises(TypeError, match="integer positions"):
        make_images([0, 1, 2]).subset(positions)


def test_a_position_outside_the_set_is_an_error_though_the_file_has_that_row(make_images: ImageSetFactory) -> None:
    images = make_images([0, 1, 2]).subset([0, 1])
    with pytest.raises(IndexError):
        images.subset([2])
    with pytest.raises(IndexError):
        images.load([2])


# --- what a set refuses


def parts_of(images: ImageSet) -> dict[str, object]:
    return {name: getattr(images, name) for name in ImageSet.__dataclass_fields__}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", np.array([0, 1]), "as many labels"),
        ("hashes", ("a",), "as many labels"),
        ("groups", ("snow",), "as many labels"),
        ("origins", ("a", "b"), "as many labels"),
        ("rows", np.array([0, 1]), "as many labels"),
        ("labels", np.array([0, 1, 3]), r"labels in \[0, 3\), got 0 to 3"),
        ("labels", np.array([0, -1, 2]), r"labels in \[0, 3\), got -1 to 2"),
        ("rows", np.array([0, 1, 3]), r"rows in \[0, 3\), got 0 to 3"),
        ("rows", np.array([0, 1, -1]), r"rows in \[0, 3\), got -1 to 1"),
        ("pixels", PixelFile(Path("p"), (3, 8, 8, 3)), "pixels of shape"),
        ("pixels", PixelFile(Path("p"), (3, 8, 8)), "pixels of shape"),
        ("masks", PixelFile(Path("p"), (3, 1, 8, 8)), "masks of shape"),
        ("masks", PixelFile(Path("p"), (3, 8, 9)), "masks of shape"),
    ],
)
def test_a_set_whose_parts_do_not_fit_is_refused(
    make_images: ImageSetFactory, field: str, value: object, message: str
) -> None:
    good = parts_of(make_images([0, 1, 2]))
    with pytest.raises(DataError, match=message):
        ImageSet(**good | {field: value})  # type: ignore[arg-type]


# --- fingerprint


def test_the_fingerprint_is_of_contents_not_of_files_or_names(make_images: ImageSetFactory) -> None:
    first, second = (make_images([0, 1, 2], name=name, masks=True, groups="abc") for name in ("one", "two"))
    assert first.pixels.path != second.pixels.path
    assert first.fingerprint == second.fingerprint


def test_a_subset_of_all_has_the_fingerprint_of_the_whole_and_a_part_has_not(make_images: ImageSetFactory) -> None:
    images = make_images([0, 1, 2], masks=True)
    assert images.subset([0, 1, 2]).fingerprint == images.fingerprint
    assert images.subset([0, 1]).fingerprint != images.fingerprint
    assert images.subset([0, 2, 1]).fingerprint != images.fingerprint


def test_whatever_can_change_a_number_changes_the_fingerprint(make_images: ImageSetFactory) -> None:
    images = make_images([0, 1, 2], groups="abc", masks=True)
    other = make_images([0, 1, 2], groups="abc", masks=True, seed=1)
    changes: list[dict[str, object]] = [
        {},
        {"hashes": other.hashes},
        {"labels": np.array([0, 1, 1])},
        {"class_names": ("class 0", "class 1", "wolf")},
        {"class_names": ("class 0", "class 1", "class 2", "class 3")},
        {"groups": ("a", "b", "b")},
        {"groups": None},
        {"masks": other.masks},
        {"masks": None},
    ]
    fingerprints = {ImageSet(**parts_of(images) | change).fingerprint for change in changes}  # type: ignore[arg-type]
    assert len(fingerprints) == len(changes)


def test_class_names_are_told_apart_wherever_they_are_cut(make_images: ImageSetFactory) -> None:
    images = parts_of(make_images([0, 0]))
    cuts = [("a", "b\nc"), ("a\nb", "c"), ("a,b", "c"), ("a", "b,c"), ('a","b', "c"), ("a", "b", "c")]
    fingerprints = {ImageSet(**images | {"class_names": names}).fingerprint for names in cuts}  # type: ignore[arg-type]
    assert len(fingerprints) == len(cuts)


# --- splits


populations = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 25)), min_size=1, max_size=60)
shares = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))


def asked_of(images: ImageSet, shares: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return three sizes in about the given proportions that together need at most the different images."""
    different = len(set(images.hashes))
    most = max(1, math.ceil(sum(shares) / different))
    return shares[0] // most, shares[1] // most, shares[2] // most


@given(populations, shares, st.integers(0, 3))
def test_splits_have_the_sizes_asked_for_and_share_no_content_also_where_contents_repeat(
    population: list[tuple[int, int]], shares: tuple[int, int, int], seed: int
) -> None:
    images = on_paper([label for label, _ in population], [content for _, content in population])
    craft, select, report = asked_of(images, shares)
    splits = split(images, craft=craft, select=select, report=report, generator=seeded(seed))
    assert [len(part) for part in parts(splits)] == [craft, select, report]
    drawn = [content for part in parts(splits) for content in part.hashes]
    assert len(drawn) == len(set(drawn))
    known = set(zip(images.hashes, images.labels.tolist(), strict=True))
    assert all(pair in known for part in parts(splits) for pair in zip(part.hashes, part.labels.tolist(), strict=True))


@given(populations, shares, st.randoms(use_true_random=False))
def test_which_images_are_drawn_does_not_depend_on_the_order_of_reading(
    population: list[tuple[int, int]], shares: tuple[int, int, int], random: object
) -> None:
    """Also where equal contents carry different labels: another order must not choose another label."""
    shuffled = list(population)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    drawn = []
    for order in (population, shuffled):
        images = on_paper([label for label, _ in order], [content for _, content in order])
        craft, select, report = asked_of(images, shares)
        splits = split(images, craft=craft, select=select, report=report, generator=seeded(7))
        drawn.append([set(zip(part.hashes, part.labels.tolist(), strict=True)) for part in parts(splits)])
    assert drawn[0] == drawn[1]


@given(st.integers(1, 5), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 9))
def test_where_every_class_has_enough_each_split_holds_all_classes_alike(
    classes: int, craft: int, select: int, report: int, seed: int
) -> None:
    """Also two classes in two halves: dealt alternately, each half would hold one class alone."""
    enough = math.ceil((craft + select + report) / classes) + 1
    images = on_paper([i % classes for i in range(classes * enough)], classes=classes)
    splits = split(images, craft=craft, select=select, report=report, generator=seeded(seed))
    for part in parts(splits):
        counted = np.bincount(part.labels, minlength=classes)
        assert counted.max() - counted.min() <= 1


def test_two_classes_in_two_halves_stay_two_classes_in_each_half() -> None:
    images = on_paper([0, 1] * 50, classes=2)
    splits = split(images, craft=50, select=0, report=50, generator=seeded())
    assert Counter(splits.craft.labels.tolist()) == Counter(splits.report.labels.tolist()) == {0: 25, 1: 25}


@given(st.lists(st.integers(0, 30), min_size=2, max_size=5), st.integers(0, 9))
def test_scarce_classes_are_drawn_whole_and_shared_among_the_sets_by_size(sizes: list[int], seed: int) -> None:
    images = on_paper([label for label, size in enumerate(sizes) for _ in range(size)])
    total = len(images) * 3 // 4
    craft, select = total // 2, total // 6
    splits = split(images, craft=craft, select=select, report=total - craft - select, generator=seeded(seed))
    drawn = sum((np.bincount(part.labels, minlength=5) for part in parts(splits)), np.zeros(5, dtype=np.int64))
    level = max(drawn)
    for label, size in enumerate(sizes):
        assert drawn[label] == size or drawn[label] >= level - 1, "no class lacks images that another has to spare"
    for part in parts(splits):
        counted = np.bincount(part.labels, minlength=5)
        for label in range(len(sizes)):
            # Each end of the stretch that a set takes cuts at most one image of the class off or in.
            assert abs(counted[label] - drawn[label] * len(part) / max(total, 1)) <= 2


def test_every_image_can_be_drawn_into_every_split() -> None:
    images = on_paper([0, 0, 0, 1, 1, 1], classes=2)
    seen: list[set[str]] = [set(), set(), set()]
    for seed in range(60):
        splits = split(images, craft=2, select=1, report=2, generator=seeded(seed))
        for part, hashes in zip(parts(splits), seen, strict=True):
            hashes.update(part.hashes)
    assert seen == [set(images.hashes)] * 3


def test_where_not_every_class_fits_chance_decides_not_the_alphabet() -> None:
    images = on_paper(range(20), classes=20)
    drawn = Counter(
        int(label)
        for seed in range(200)
        for label in split(images, craft=5, select=0, report=0, generator=seeded(seed)).craft.labels
    )
    assert set(drawn) == set(range(20))
    assert max(drawn.values()) < 3 * min(drawn.values())


def test_the_same_seed_draws_the_same_and_another_draws_others() -> None:
    images = on_paper([i % 5 for i in range(50)])
    first, again, other = (split(images, craft=10, select=5, report=20, generator=seeded(s)) for s in (1, 1, 2))
    assert [p.fingerprint for p in parts(first)] == [p.fingerprint for p in parts(again)]
    assert [set(p.hashes) for p in parts(first)] != [set(p.hashes) for p in parts(other)]


def test_within_a_split_images_keep_the_order_of_reading(make_images: ImageSetFactory) -> None:
    images = make_images([i % 3 for i in range(12)])
    for part in parts(split(images, craft=4, select=3, report=5, generator=seeded())):
        assert list(part.rows) == sorted(part.rows)
        assert torch.equal(part.load(), images.load(part.rows))
    assert split(images, craft=4, select=3, report=5, generator=seeded()).select.name == "made/select"


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    split(on_paper([0, 1] * 5), craft=2, select=2, report=2, generator=seeded())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_copies_do_not_count_towards_the_images_there_are(make_images: ImageSetFactory) -> None:
    images = make_images([0, 0, 1, 1], same=[(1, 0), (3, 2)])
    with pytest.raises(DataError, match=r"asks for 3 images .*but there are only 2 different ones"):
        split(images, craft=1, select=1, report=1, generator=seeded())
    splits = split(images, craft=1, select=0, report=1, generator=seeded())
    assert len(set(splits.craft.hashes + splits.report.hashes)) == 2


@pytest.mark.parametrize("sizes", [(-1, 0, 2), (0, -3, 5), (1, 1, -1)])
def test_a_negative_number_of_images_is_refused(sizes: tuple[int, int, int]) -> None:
    craft, select, report = sizes
    with pytest.raises(DataError, match="expected 0 or more"):
        split(on_paper([0, 1, 2, 3]), craft=craft, select=select, report=report, generator=seeded())


def test_overlapping_sets_are_refused_with_every_pair_and_its_count(make_images: ImageSetFactory) -> None:
    images = make_images([0, 0, 0, 0, 0, 0], same=[(5, 0)])
    one, two, three = images.subset([0, 1, 2]), images.subset([2, 3, 5]), images.subset([4, 3])
    with pytest.raises(DataError) as raised:
        check_disjoint(craft=one, select=two, report=three)
    message = str(raised.value)
    assert "craft and select share 2 image(s)" in message, "a copy under another name is the same image"
    assert "select and report share 1 image(s)" in message
    assert "craft and report" not in message


def test_splits_cannot_be_made_of_overlapping_sets(make_images: ImageSetFactory) -> None:
    images = make_images([0, 1, 2])
    with pytest.raises(DataError, match="craft and report share 1"):
        Splits(craft=images.subset([0]), select=images.subset([1]), report=images.subset([0, 2]))
