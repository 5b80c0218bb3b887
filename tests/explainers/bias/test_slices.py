import numpy as np
import pytest
import torch
from scipy import stats

from explainers.bias.slices import find_slices, image_statistics, in_thirds, show_slice


def table(seed: int = 0, count: int = 300) -> dict[str, list[str]]:
    rng = np.random.default_rng(seed)
    return {
        "light": rng.choice(["dark", "bright"], count).tolist(),
        "place": rng.choice(["indoors", "outdoors", "street"], count).tolist(),
        "camera": rng.choice(["a", "b"], count).tolist(),
    }


def errors(
    flags: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", seed: int = 1
) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    rng = np.random.default_rng(seed)
    return rng.random(len(flags)) < np.where(flags, 0.7, 0.1)


def test_a_planted_slice_of_two_conditions_is_the_first_proposed() -> None:
    attributes = table()
    planted = (np.array(attributes["light"]) == "dark") & (np.array(attributes["place"]) == "street")
    found = find_slices(attributes, errors(planted))
    first = found.proposed[0]
    assert first.name == "light: dark and place: street"
    assert first.rows.tolist() == np.flatnonzero(planted).tolist()
    assert first.interval.low > 0.3
    assert first.errors.total == planted.sum()
    assert first.errors.total + first.rest.total == 300


def test_p_values_are_fishers_one_sided_and_corrected_over_every_slice() -> None:
    attributes = table()
    wrong = errors(np.array(attributes["camera"]) == "a")
    found = find_slices(attributes, wrong, least=5)
    assert len(found.slices) == 7 + 2 * 3 + 2 * 2 + 3 * 2
    for one in found.slices[:5]:
        counts = [
            [one.errors.successes, one.errors.total - one.errors.successes],
            [one.rest.successes, one.rest.total - one.rest.successes],
        ]
        assert one.p_value == pytest.approx(stats.fisher_exact(counts, alternative="greater").pvalue)
    assert found.slices[0].p_holm == pytest.approx(min(1, found.slices[0].p_value * len(found.slices)))


def test_without_a_planted_slice_hardly_any_search_proposes_one() -> None:
    none = np.zeros(300, dtype=np.bool_)
    searches = [find_slices(table(seed), errors(none, seed + 100)) for seed in range(60)]
    assert sum(bool(search.proposed) for search in searches) <= 6  # 5 % of 60 is 3


def test_small_slices_are_not_looked_at_but_counted() -> None:
    attributes = {"rare": ["x"] * 5 + ["y"] * 95, "half": ["a", "b"] * 50}
    found = find_slices(attributes, np.zeros(100, dtype=np.bool_), least=20)
    # rare: y leaves a rest of 5 images, so it has nothing to be compared with.
    assert {one.name for one in found.slices} == {"half: a", "half: b", "rare: y and half: a", "rare: y and half: b"}
    assert found.too_small == 4


def test_statistics_are_those_of_pictures_that_are_known() -> None:
    red = torch.zeros(3, 20, 20)
    red[0] = 1
    framed = torch.zeros(3, 20, 20)
    framed[:, 2:-2, 2:-2] = 1
    chess = ((torch.arange(20)[:, None] + torch.arange(20)) % 2).float().expand(3, 20, 20)
    found = image_statistics(torch.stack([red, framed, chess]))
    assert found["brightness"].tolist() == pytest.approx([0.2126, 0.64, 0.5])
    assert found["red"].tolist() == pytest.approx([1 - 0.2126, 0, 0])
    assert found["border_brightness"].tolist() == pytest.approx([0.2126, 0, 0.5])
    assert found["contrast"].tolist() == pytest.approx([0, 0.48, 0.5])
    assert found["detail"].tolist() == pytest.approx([0, 2 * 16 / (19 * 20), 1])


def test_thirds_hold_equal_values_together() -> None:
    assert in_thirds(np.array([1.0, 1.0, 1.0, 1.0, 2.0, 3.0])).count("low") == 4
    assert set(in_thirds(np.ones(7))) == {"low"}


def test_images_are_shown_whether_they_are_wrong_or_not() -> None:
    found = find_slices(table(), errors(np.array(table()["camera"]) == "a"))
    one = found.slices[0]
    shown = show_slice(one, shown=6, seed=0)
    assert len(shown) == 6
    assert set(shown.tolist()) <= set(one.rows.tolist())
    assert shown.tolist() == show_slice(one, shown=6, seed=0).tolist()
    assert shown.tolist() != show_slice(one, shown=6, seed=1).tolist()


def test_attributes_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="expected attributes of 3 images"):
        find_slices({"a": ["x"]}, np.zeros(3, dtype=np.bool_))
